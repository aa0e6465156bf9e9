"""GRPO of a reasoner's training: harvest groups, learn from them, hand the weights on."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from pipelines.train_reasoner.config import GrpoConfig, TrainReasonerConfig
from pipelines.train_reasoner.model import load_model
from pipelines.train_reasoner.steps import (
    Clock,
    Harvester,
    batch_of,
    figures_of,
    harvest,
    idle_batch,
    shown_samples,
    sums_of,
)
from pipelines.train_reasoner.worker import Worker, make_rewards
from spatialcode.grpo.batch import RolloutBatch
from spatialcode.grpo.losses import LossSettings
from spatialcode.grpo.parity import BFLOAT16_TOLERANCE, ParityTolerance, check_parity
from spatialcode.grpo.scoring import ScoringSettings, sequence_logprobs
from spatialcode.grpo.step import UpdateConfig, update
from spatialcode.grpo.types import Sample

#: Samples that the parity gate looks at: few enough for one forward pass on every worker.
_PARITY_SAMPLES = 16


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


def train_grpo(worker: Worker) -> None:
    """Until the steps or the seconds are over."""
    config, stage = worker.config, worker.opened
    worker.rewards = make_rewards(config)
    assert worker.prompts is not None
    harvester = Harvester(config, worker.text, stage.rollouts, worker.rewards, worker.prompts)
    scoring = ScoringSettings(config.grpo.temperature, max_tokens=config.grpo.micro_batch_tokens)
    reference = None
    if config.grpo.kl_coefficient > 0:
        reference = load_model(stage.folder, config.zero.bfloat16).to(stage.stepper.device)
    learner = _Learner(worker, harvester, scoring, update_config(config, scoring), reference)
    try:
        while worker.position.step < config.grpo.num_steps:
            if worker.seconds >= (config.grpo.max_seconds or math.inf):
                break
            _grpo_step(learner)
            worker.evaluate_if_due()
            worker.checkpoint_if_due()
    finally:
        worker.rewards.close()


def update_config(config: TrainReasonerConfig, scoring: ScoringSettings) -> UpdateConfig:
    """The update's settings, from the job's."""
    grpo: GrpoConfig = config.grpo
    # under ZeRO 3 a forward pass more on one worker than on another would hang: ratios then
    # compare with the log-probabilities stored with the samples
    recomputed = config.rollouts.one_step_off and config.zero.stage < 3
    return UpdateConfig(
        loss=grpo.loss,
        settings=LossSettings(
            clip_low=grpo.clip_low,
            clip_high=grpo.clip_high,
            kl_coefficient=grpo.kl_coefficient,
            kl_estimator=grpo.kl_estimator,
            max_completion_tokens=grpo.max_new_tokens,
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
