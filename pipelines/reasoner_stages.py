"""The stages of a reasoner's training, step by step, on one worker."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.reasoner_model import load_model, start_folder
from pipelines.reasoner_steps import (
    Clock,
    Harvester,
    batch_of,
    copying,
    example,
    figures_of,
    harvest,
    idle_batch,
    sft_step,
    shown_samples,
    sums_of,
)
from pipelines.reasoner_worker import Setting, Worker, make_rewards, make_worker
from pipelines.train_reasoner_config import STAGES, GrpoConfig, SftConfig, TrainReasonerConfig
from spatialcode.errors import ParityError
from spatialcode.grpo.batch import RolloutBatch
from spatialcode.grpo.losses import LossSettings
from spatialcode.grpo.parity import BFLOAT16_TOLERANCE, ParityTolerance, check_parity
from spatialcode.grpo.scoring import ScoringSettings, sequence_logprobs
from spatialcode.grpo.step import UpdateConfig, update
from spatialcode.grpo.types import Sample

#: Samples that the parity gate looks at: few enough for one forward pass on every worker.
_PARITY_SAMPLES = 16
_SFT_WARMUP_STEPS = 20


def run(setting: Setting) -> None:
    """Go through all stages, from a checkpoint if there is one, and write the result."""
    worker, found = make_worker(setting)
    config = setting.config
    folders = {"sft": start_folder(config)}
    folders["grpo"] = str(Path(config.output, "sft")) if "sft" in config.stages else folders["sft"]
    folders["control"] = folders["grpo"]
    names = config.stages
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


def _stage(worker: Worker) -> str | None:
    """Train a stage to its end, unless a checkpoint says that it was; why it must not go on."""
    name = worker.opened.name
    if name not in worker.position.kept["accuracy"]:
        try:
            (_train_grpo if name == "grpo" else _train_sft)(worker)
        except ParityError as error:
            return str(error)
        worker.evaluate(name)
        if name == max(set(worker.config.stages) - {"control"}, key=STAGES.index):
            worker.evaluate_vsibench()
        worker.checkpoint({})
    return _gate(worker, name)


def _begin(worker: Worker) -> None:
    """Before a run's first step: how good the start is, and what cheats would get."""
    worker.measure_red_team()
    if "start" not in worker.position.kept.get("accuracy", {}):
        worker.evaluate("start")


def _gate(worker: Worker, name: str) -> str | None:
    """What is wrong where a stage ended below what it must reach."""
    config, found = worker.config, worker.position.kept["accuracy"]
    need = 0.0
    if name == "sft":
        need = config.sft.min_accuracy
    elif name == "grpo" and config.grpo.min_gain > 0:
        need = found.get("sft", found["start"])["mean"] + config.grpo.min_gain
    reached = found[name]["mean"]
    if config.dry_run or reached >= need:
        return None
    return f"expected a held-out accuracy of at least {need:.1f}, got {reached:.1f}"


# --- supervised -------------------------------------------------------------------------------


def _train_sft(worker: Worker) -> None:
    """Until the steps, the seconds or the accuracy asked for are reached."""
    config, stage = worker.config, worker.opened
    sft = _limits(worker)
    while True:
        seconds = worker.seconds
        done = max(worker.position.step / sft.num_steps, seconds / (sft.max_seconds or math.inf))
        if done >= 1.0:
            return
        begun_s = time.monotonic()
        rate = sft.learning_rate * _sft_schedule(worker.position.step, done)
        stage.stepper.set_learning_rate(rate)
        examples, next_task = _taught(worker, sft)
        figures = sft_step(stage.stepper, examples, config.grpo.micro_batch_tokens)
        worker.advanced(next_task, worker.seconds)
        step_s = time.monotonic() - begun_s
        speed = figures["num_tokens"] / step_s
        place = {"seconds": worker.position.seconds, "step_s": step_s, "tokens_per_s": speed}
        worker.log("train", {**figures, "learning_rate": rate, **place})
        stop_at = sft.stop_at_accuracy if stage.name == "sft" else 100.0
        if _evaluated(worker, stop_at):
            return


def _taught(worker: Worker, sft: SftConfig) -> tuple[list[Sample], int]:
    """A worker's examples of the next step, and the first prompt's number after them."""
    count, step = sft.batch_size // worker.config.num_workers, worker.position.step
    if worker.opened.name == "sft" and step < sft.copy_steps and worker.text.compact:
        seed = (worker.config.seed, step, worker.setting.rank, 31)
        return copying(worker.text, count, seed), 0
    assert worker.prompts is not None
    rows = worker.prompts.draw(count)
    return [example(worker.text, row) for row in rows], rows[-1].number + 1


def _limits(worker: Worker) -> SftConfig:
    """The supervised stage's own limits; the control's are what GRPO took."""
    config = worker.config
    if worker.opened.name != "control":
        return config.sft
    seconds = worker.position.kept["seconds"]["grpo"]
    return replace(config.sft, num_steps=10**9 if not config.dry_run else 2, max_seconds=seconds)


def _sft_schedule(step: int, done: float) -> float:
    """Share of the peak rate: a linear rise, then a cosine down to a twentieth."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return min(1.0, (step + 1) / _SFT_WARMUP_STEPS) * (0.05 + 0.95 * cosine)


def _evaluated(worker: Worker, stop_at: float = math.inf) -> bool:
    """Evaluate and write a checkpoint where they are due; whether the accuracy is reached."""
    config, step = worker.config, worker.position.step
    reached = False
    if config.evaluation.every_steps and step % config.evaluation.every_steps == 0:
        reached = worker.evaluate() >= stop_at
    if step % config.checkpoint_every_steps == 0 and not reached:
        worker.checkpoint({})
    return reached


# --- GRPO -------------------------------------------------------------------------------------


@dataclass
class _Learner:
    """What GRPO's steps share."""

    worker: Worker
    harvester: Harvester
    scoring: ScoringSettings
    update: UpdateConfig
    reference: Any

    def learn(self, batch: RolloutBatch) -> dict[str, float]:
        if self.reference is not None:
            found, _ = sequence_logprobs(self.reference, batch.samples, self.scoring)
            batch = batch.with_reference(found.cpu())
        return update(self.worker.opened.stepper, batch, self.update).as_floats()


def _train_grpo(worker: Worker) -> None:
    config, stage = worker.config, worker.opened
    worker.rewards = make_rewards(config)
    assert worker.prompts is not None
    harvester = Harvester(config, worker.text, stage.rollouts, worker.rewards, worker.prompts)
    scoring = ScoringSettings(config.grpo.temperature, max_tokens=config.grpo.micro_batch_tokens)
    reference = None
    if config.grpo.kl_coefficient > 0:
        reference = load_model(stage.folder, config.zero.bfloat16).to(stage.stepper.device)
    learner = _Learner(worker, harvester, scoring, _update_config(config, scoring), reference)
    try:
        while worker.position.step < config.grpo.num_steps:
            if worker.seconds >= (config.grpo.max_seconds or math.inf):
                break
            _grpo_step(learner)
            _evaluated(worker)
    finally:
        worker.rewards.close()


def _update_config(config: TrainReasonerConfig, scoring: ScoringSettings) -> UpdateConfig:
    grpo: GrpoConfig = config.grpo
    # under ZeRO 3 a forward pass more on one worker than on another would hang: ratios then
    # compare with the log-probabilities stored with the samples
    recomputed = config.rollouts.one_step_off and config.zero.stage < 3
    return UpdateConfig(
        loss=grpo.loss,
        settings=LossSettings(
            kl_coefficient=grpo.kl_coefficient, max_completion_tokens=grpo.max_new_tokens
        ),
        scoring=scoring,
        entropy_coefficient=grpo.entropy_coefficient,
        num_epochs=grpo.updates_per_batch,
        old_policy="recomputed" if recomputed else "sampled",
        seed=config.seed,
    )


def _grpo_step(learner: _Learner) -> None:
    worker, harvester = learner.worker, learner.harvester
    config, stage, now = worker.config, worker.opened, worker.position
    clock, begun_s = Clock(), time.monotonic()
    found = harvest(harvester, stage.stepper, now.step, now.weight_version, clock)
    parity = {}
    if now.step == 0:
        parity = _parity(learner, [s for group in found.every for s in group.samples])
    next_task = harvester.next_task
    if config.rollouts.one_step_off and now.step + 1 < config.grpo.num_steps:
        seed = config.seed * 1_000_003 + (now.step + 1) * 64
        harvester.begin(config.grpo.prompts_per_step // config.num_workers, seed)
    stage.stepper.set_learning_rate(
        config.grpo.learning_rate * min(1.0, (now.step + 1) / max(1, config.grpo.warmup_steps))
    )
    batch = batch_of(found.kept, config, stage.stepper.total)
    with clock.of("update"):
        figures = learner.learn(batch or idle_batch(worker.text, found.every[0].row))
    with clock.of("sync"):
        stage.rollouts.sync(now.weight_version + 1)
    worker.advanced(next_task, worker.seconds)
    step_s = time.monotonic() - begun_s
    sums = stage.stepper.totals(sums_of(found, batch))
    row = {**figures_of(sums), **figures, **parity, "step_s": step_s, "share": clock.shares(step_s),
           "tokens_per_s": sums["tokens"] / step_s, "seconds": worker.position.seconds}  # fmt: skip
    worker.log("train", row)
    if worker.files is not None:
        shown = shown_samples(found, batch, worker.text)
        worker.files.samples(worker.position.total_steps, shown)


def _parity(learner: _Learner, samples: list[Sample]) -> dict[str, Any]:
    """Stop where trainer and sampler see different policies; see `check_parity`."""
    worker = learner.worker
    limit = worker.config.grpo.parity_tolerance
    exact = ParityTolerance(max_difference=limit, mean_difference=limit)
    tolerance = BFLOAT16_TOLERANCE if worker.config.zero.bfloat16 else exact
    whole = ScoringSettings(worker.config.grpo.temperature, max_tokens=10**9)
    few = samples[:_PARITY_SAMPLES]
    return {"parity": vars(check_parity(worker.opened.stepper.model, few, tolerance, whole))}
