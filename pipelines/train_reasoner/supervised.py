"""Supervised stages of a reasoner's training: copying words, then what the solver wrote."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.train_reasoner.config import SftConfig, TrainReasonerConfig
from pipelines.train_reasoner.steps import example, sft_step
from pipelines.train_reasoner.worker import Worker
from spatialcode.errors import ConfigError
from spatialcode.grpo.types import Sample
from spatialcode.tiny.copying import CopyProgress, CopyTokens, copy_batch

_WARMUP_STEPS = 20


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
        rng = np.random.default_rng([worker.config.seed, step, worker.setting.rank, 31])
        batch = copy_batch(tokens, progress, config, rng)
        taught = [_sample(one.prompt_ids, one.completion_ids) for one in batch]
        taught = taught[: max(1, len(taught) // world_size)]
        rate = config.learning_rate * _schedule(step, step / config.num_steps, 0.5)
        figures = supervised_step(worker, taught, rate, 0)
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
        passed = worker.seconds / (sft.max_seconds or math.inf)
        done = max(worker.position.step / sft.num_steps, passed)
        if done >= 1.0:
            return
        assert worker.prompts is not None
        rows = worker.prompts.draw(sft.batch_size // worker.config.num_workers)
        taught = [example(worker.text, row) for row in rows]
        rate = sft.learning_rate * _schedule(worker.position.step, done, 0.05)
        worker.log("train", supervised_step(worker, taught, rate, rows[-1].number + 1))
        if worker.evaluate_if_due() >= stop_at:
            return
        worker.checkpoint_if_due()


def supervised_step(
    worker: Worker, taught: list[Sample], rate: float, next_task: int
) -> dict[str, float]:
    """One optimiser step on a worker's share of examples; figures for a line of metrics."""
    begun_s = time.monotonic()
    stepper = worker.opened.stepper
    stepper.set_learning_rate(rate)
    figures = sft_step(stepper, taught, worker.config.grpo.micro_batch_tokens)
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


def _schedule(step: int, done: float, final: float) -> float:
    """Share of the peak rate: a linear rise, then a cosine down to the final share."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return min(1.0, (step + 1) / _WARMUP_STEPS) * (final + (1.0 - final) * cosine)


def _sample(prompt_ids: tuple[int, ...], completion_ids: tuple[int, ...]) -> Sample:
    return Sample(prompt_ids, completion_ids, (0.0,) * len(completion_ids), True, 0)
