"""The stages of a training run, each to its end, and the gates between them, on one worker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.train_reasoner.config import STAGES, SftConfig, TrainReasonerConfig
from pipelines.train_reasoner.model import load_model, start_folder
from pipelines.train_reasoner.step import Harvester, Learner, grpo_step
from pipelines.train_reasoner.worker import Worker, WorkerSetup, make_rewards, make_worker
from spatialcode.errors import ConfigError, ParityError
from spatialcode.grpo.types import Trajectory
from spatialcode.grpo.update import supervised_update
from spatialcode.tiny.copying import CopyProgress, CopyTokens, copy_batch, copy_examples

_COPYING_WARMUP_STEPS = 20
#: Set the random numbers of the copying stage, and of copying beside programs, apart.
_COPYING_SEED, _COPIED_SEED = 31, 37


def run(setup: WorkerSetup) -> None:
    """Go through all stages, from a checkpoint if there is one, and write the result."""
    worker, found = make_worker(setup)
    names, folders = setup.config.stages, start_folders(setup.config)
    if found is not None:
        worker.log("resume", {"written_by": found.world_size})
    if worker.position.stage != "done":
        for place, name in enumerate(names):
            if place < names.index(worker.position.stage):
                continue
            worker.open_stage(name, folders[name], found)
            found = None
            _begin(worker)
            failed = _stage(worker)
            if failed is not None:
                worker.keep(failed=f"{name}: {failed}")
                break
            worker.close_stage(names[place + 1] if place + 1 < len(names) else "done")
    worker.write_result()
    if worker.files is not None:
        worker.files.close()


def start_folders(config: TrainReasonerConfig) -> dict[str, str]:
    """The weights that each stage starts from: those of the one before; GRPO's for the control."""
    folders, last = {}, start_folder(config)
    for name in config.stages:
        folders[name] = folders["grpo"] if name == "control" else last
        last = str(Path(config.output, name))
    return folders


def _stage(worker: Worker) -> str | None:
    """Train a stage to its end, unless a checkpoint says that it was; why it must not go on."""
    name = worker.opened.name
    if name not in worker.position.kept["accuracy"]:
        try:
            TRAINED_BY[name](worker)
        except ParityError as error:
            return str(error)
        if name != "copying":  # words are no answers yet
            worker.evaluate(name)
        if name == max(set(worker.config.stages) - {"control"}, key=STAGES.index):
            worker.evaluate_vsibench()
        worker.checkpoint({})
    return None if worker.config.dry_run else missed_gate(worker.config, name, worker.position.kept)


def _begin(worker: Worker) -> None:
    """Before a run's first step: how good the start is, and what cheats would get."""
    worker.measure_red_team()
    if "start" not in worker.position.kept.get("accuracy", {}):
        worker.evaluate("start")


def missed_gate(config: TrainReasonerConfig, name: str, kept: Mapping[str, Any]) -> str | None:
    """What is wrong where a stage ended below what it must reach; ``kept``: results so far."""
    if name == "copying":
        need, reached = config.copying.min_longest, copying_progress(config, kept).longest
        return None if reached >= need else f"expected runs of {need} words, got to {reached}"
    found = kept["accuracy"]
    needs: list[tuple[str, float]] = []
    if name == "sft":
        needs = [("mean", config.sft.min_accuracy)]
    elif name == "grpo":
        before = found.get("sft", found["start"])
        gains = (("mean", config.grpo.min_gain),
                 (config.grpo.named_family, config.grpo.min_family_gain))  # fmt: skip
        needs = [(key, before[key] + gain) for key, gain in gains if key and gain > 0]
    for key, need in needs:
        if found[name][key] < need:
            what = "held-out accuracy" + ("" if key == "mean" else f" in {key}")
            return f"expected a {what} of at least {need:.1f}, got {found[name][key]:.1f}"
    return None


def train_copying(worker: Worker) -> None:
    """Until runs of the longest length are copied, or the steps are over."""
    if not worker.text.compact:
        raise ConfigError(
            "copying.num_steps: expected 0 with a model that reads messages of a chat"
        )
    config, tokens = worker.config.copying, CopyTokens.of(worker.text.tokenizer)
    world_size = worker.config.num_workers
    progress = copying_progress(worker.config, worker.position.kept)
    while not progress.learnt and worker.position.step < config.num_steps:
        step = worker.position.step
        rng = np.random.default_rng([worker.config.seed, step, worker.setup.rank, _COPYING_SEED])
        taught = copy_batch(tokens, progress, config, rng)
        taught = taught[: max(1, len(taught) // world_size)]
        rise = (step + 1) / _COPYING_WARMUP_STEPS
        rate = config.learning_rate * _schedule(rise, step / config.num_steps, 0.5)
        figures = _supervised_step(worker, taught, rate)
        progress = progress.after(figures["loss"], config)
        worker.keep(copying=vars(progress))
        worker.log("train", {**figures, "longest": progress.longest})
        worker.checkpoint_if_due()


def copying_progress(config: TrainReasonerConfig, kept: Mapping[str, Any]) -> CopyProgress:
    """Where copying stands, from what checkpoints keep."""
    if "copying" not in kept:
        return CopyProgress.begun(config.copying)
    return CopyProgress.of(kept["copying"])


def train_sft(worker: Worker) -> None:
    """Until the steps, the seconds or the accuracy asked for are reached."""
    sft = _limits(worker)
    stop_at = sft.stop_at_accuracy if worker.opened.name == "sft" else math.inf
    while True:
        step = worker.position.step
        passed = worker.seconds / (sft.max_seconds or math.inf)
        done = max(step / sft.num_steps, passed)
        if done >= 1.0:
            return
        rows = worker.opened.prompts.draw(sft.batch_size // worker.config.num_workers)
        copied = copied_words(
            worker.config, worker.text.tokenizer,
            num_prompts=len(rows), step=step, rank=worker.setup.rank,
        )  # fmt: skip
        taught = [*map(worker.text.example, rows), *copied]
        rate = sft.learning_rate * _schedule((step + 1) / max(1, sft.warmup_steps), done, 0.05)
        figures = _supervised_step(
            worker, taught, rate, next_task=rows[-1].number + 1, repeat_weight=sft.repeat_weight
        )
        worker.log("train", figures)
        if worker.evaluate_if_due() >= stop_at:
            return
        worker.checkpoint_if_due()


def copied_words(
    config: TrainReasonerConfig, tokenizer: Any, *, num_prompts: int, step: int, rank: int
) -> list[Trajectory]:
    """Examples of random words to copy, beside so many prompts: copying is not to be forgotten."""
    if config.sft.copied_share == 0:
        return []
    rng = np.random.default_rng([config.seed, step, rank, _COPIED_SEED])
    count = int(rng.binomial(num_prompts, config.sft.copied_share))
    return [*copy_examples(count, CopyTokens.of(tokenizer), rng)]


def train_grpo(worker: Worker) -> None:
    """Until the steps or the seconds are over."""
    config, stage = worker.config, worker.opened
    rewards = make_rewards(config)
    harvester = Harvester(config, worker.text, stage.rollouts, rewards, stage.prompts)
    learner = Learner(config, stage.stepper, harvester)
    if config.grpo.kl_coefficient > 0:
        reference = load_model(stage.folder, config.zero.bfloat16, config.model.revision)
        learner.reference = reference.to(stage.stepper.device)
    try:
        while worker.position.step < config.grpo.num_steps:
            if worker.seconds >= (config.grpo.max_seconds or math.inf):
                break
            now = worker.position
            outcome = grpo_step(learner, now.step, now.weight_version)
            worker.advanced(outcome.next_task, worker.seconds)
            worker.log("train", {**outcome.figures, "seconds": worker.position.seconds})
            worker.show(outcome.samples)
            worker.evaluate_if_due()
            worker.checkpoint_if_due()
    finally:
        rewards.close()


#: Stages by name: each function trains the open stage to its end.
TRAINED_BY: Mapping[str, Callable[[Worker], None]] = {
    "copying": train_copying,
    "sft": train_sft,
    "grpo": train_grpo,
    "control": train_sft,
}


def _supervised_step(
    worker: Worker,
    taught: Sequence[Trajectory],
    rate: float,
    *,
    next_task: int = 0,
    repeat_weight: float = 0.0,
) -> dict[str, float]:
    """One optimiser step on a worker's share of examples; figures for a line of metrics."""
    begun_s = time.monotonic()
    stepper = worker.opened.stepper
    stepper.set_learning_rate(rate)
    limit = worker.config.grpo.micro_batch_tokens
    figures = vars(supervised_update(stepper, taught, limit, repeat_weight))
    worker.advanced(next_task, worker.seconds)
    step_s = time.monotonic() - begun_s
    return {
        **figures, "learning_rate": rate, "seconds": worker.position.seconds, "step_s": step_s,
        "tokens_per_s": figures["num_tokens"] / step_s,
    }  # fmt: skip


def _limits(worker: Worker) -> SftConfig:
    """The supervised stage's own limits; the control's are what GRPO took."""
    config = worker.config
    if worker.opened.name != "control":
        return config.sft
    seconds = worker.position.kept["seconds"]["grpo"]
    return replace(config.sft, num_steps=10**9 if not config.dry_run else 2, max_seconds=seconds)


def _schedule(rise: float, done: float, final: float) -> float:
    """Share of the peak rate: a linear rise, then a cosine down to the final share."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return min(1.0, rise) * (final + (1.0 - final) * cosine)
