"""One step of GRPO: prompts, completions, rewards, advantages, an update, weights handed on.

The same page for one process and for every worker of Ray Train: all of them go through it together.

Groups without variance teach nothing. They are dropped, and others drawn in their place, up to a
bound. Scoring goes on while the next completions are written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.metrics import figures_of, shown_samples, sums_of
from pipelines.train_reasoner.model import ReasonerText
from pipelines.train_reasoner.prompts import PromptRow, Prompts
from pipelines.train_reasoner.rewards.pool import Rewards
from pipelines.train_reasoner.rollouts.rollouts import RolloutRequest, Rollouts
from spatialcode.grpo.advantages import AGGREGATIONS, GroupedRewards, group_moments
from spatialcode.grpo.batch import RolloutBatch, rollout_batch
from spatialcode.grpo.losses import LossSettings
from spatialcode.grpo.parity import BFLOAT16_TOLERANCE, ParityTolerance, check_parity
from spatialcode.grpo.scoring import ScoringSettings, sequence_logprobs
from spatialcode.grpo.types import Sample, SamplerSettings, Scored
from spatialcode.grpo.update import Stepper, UpdateConfig, update

#: Samples that the parity gate looks at: few enough for one forward pass on every worker.
_PARITY_SAMPLES = 16


@dataclass
class Clock:
    """Seconds of a step by what they were spent on."""

    spent_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        begun_s = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[name] = self.spent_s.get(name, 0.0) + time.perf_counter() - begun_s

    def shares(self, seconds: float) -> dict[str, float]:
        """Share of the step's time by name."""
        return {name: spent / max(seconds, 1e-9) for name, spent in self.spent_s.items()}


@dataclass
class ScoredGroup:
    """One prompt with its completions and their scores, all in one order."""

    row: PromptRow
    samples: list[Sample]
    scored: list[Scored]

    @property
    def varies(self) -> bool:
        """Whether its valid rewards differ, without which nothing is learnt from it."""
        totals = [one.total for one in self.scored if one.total is not None]
        ids = torch.zeros(len(totals), dtype=torch.long)
        return bool(group_moments(torch.tensor(totals, dtype=torch.float64), ids).varies.any())


@dataclass
class Harvest:
    """The groups of a step: those to learn from, and all that were written."""

    kept: list[ScoredGroup] = field(default_factory=list)
    every: list[ScoredGroup] = field(default_factory=list)


class Harvester:
    """Draws a worker's prompts, has completions written and scored, and keeps what varies.

    ``next_task``: number of the first prompt that was not drawn yet.
    """

    def __init__(
        self,
        config: TrainReasonerConfig,
        text: ReasonerText,
        rollouts: Rollouts,
        rewards: Rewards,
        prompts: Prompts,
    ) -> None:
        self.config, self.text = config, text
        self.rollouts, self.rewards, self.prompts = rollouts, rewards, prompts
        self.next_task = 0
        self._begun: list[PromptRow] = []
        self._handles: dict[int, list[int]] = {}

    def begin(self, count: int, step: int, attempt: int = 0) -> None:
        """Draw prompts and begin their completions."""
        self._begun = self.prompts.draw(count) if count else []
        if self._begun:
            self.next_task = max(self.next_task, self._begun[-1].number + 1)
        grpo = self.config.grpo
        seed = self.config.seed * 1_000_003 + step * 64 + attempt
        settings = SamplerSettings(grpo.temperature, 1.0, 0, grpo.max_new_tokens, seed)
        ids = [self.text.prompt_ids(row.messages) for row in self._begun]
        self.rollouts.start(RolloutRequest(ids, grpo.samples_per_prompt, settings), self._submit)

    def take(self, version: int, clock: Clock) -> list[ScoredGroup]:
        """The groups begun last, scored."""
        with clock.of("generation"):
            written = self.rollouts.take(version)
        with clock.of("reward"):
            groups = []
            for number, (row, samples) in enumerate(zip(self._begun, written, strict=True)):
                handles = self._handles.pop(number)
                scored = dict(self.rewards.collect(set(handles)))
                groups.append(ScoredGroup(row, samples, [scored[handle] for handle in handles]))
        self._begun = []
        return groups

    def harvest(self, stepper: Stepper, step: int, version: int, clock: Clock) -> Harvest:
        """Groups with variance, up to this worker's share of ``prompts_per_step``.

        Begins with the batch under way, if there is one; what had no variance is replaced in at
        most ``max_refills`` rounds, in which all workers take part.
        """
        found = Harvest()
        for attempt in range(self.config.grpo.max_refills + 1):
            missing = self.share - len(found.kept)
            if attempt and stepper.largest(missing) == 0:
                break
            if not self._begun:
                with clock.of("generation"):
                    self.begin(missing, step, attempt)
            groups = self.take(version, clock)
            found.every += groups
            found.kept += [group for group in groups if group.varies][:missing]
        return found

    @property
    def share(self) -> int:
        """Prompts of a step that are this worker's."""
        return self.config.grpo.prompts_per_step // self.config.num_workers

    def _submit(self, number: int, samples: list[Sample]) -> None:
        """Have a group scored; completions with the same text are scored once for all of them."""
        row = self._begun[number]
        texts = [self.text.completion(sample.completion_ids) for sample in samples]
        for handle in set(self._handles.pop(number, [])):  # written again: the old are forgotten
            next(iter(self.rewards.collect([handle])))
        distinct = list(dict.fromkeys(texts))
        handles = self.rewards.submit([row.reward_sample(text) for text in distinct])
        of_text = dict(zip(distinct, handles, strict=True))
        self._handles[number] = [of_text[text] for text in texts]


@dataclass
class Learner:
    """What the GRPO steps of a stage share. ``reference``: the policy that the divergence is taken
    from, None without one.
    """

    config: TrainReasonerConfig
    stepper: Stepper
    harvester: Harvester
    reference: Any = None


@dataclass(frozen=True)
class StepOutcome:
    """What a step did: figures for a line of metrics, samples for a reader, and the number of the
    first prompt that no step has drawn.
    """

    figures: dict[str, Any]
    samples: list[dict[str, Any]]
    next_task: int


def grpo_step(learner: Learner, step: int, version: int) -> StepOutcome:
    """Step number ``step`` of the stage, with weights of this ``version`` before it."""
    clock, begun_s = Clock(), time.monotonic()
    found = learner.harvester.harvest(learner.stepper, step, version, clock)
    parity = check_sampler(learner, found) if step == 0 else {}
    next_task = learner.harvester.next_task
    begin_next(learner, step)
    learner.stepper.set_learning_rate(learning_rate(learner.config, step))
    batch = batch_of(found.kept, learner.config, learner.stepper)
    with clock.of("update"):
        statistics = learn(learner, batch or idle_batch(found))
    with clock.of("sync"):
        learner.harvester.rollouts.sync(learner.stepper.full_weights(), version + 1)
    step_s = time.monotonic() - begun_s
    sums = learner.stepper.totals(sums_of(found, batch))
    figures = {
        **figures_of(sums), **statistics, **parity, "step_s": step_s,
        "share": clock.shares(step_s), "tokens_per_s": sums["tokens"] / step_s,
    }  # fmt: skip
    return StepOutcome(figures, shown_samples(found, batch, learner.harvester.text), next_task)


def check_sampler(learner: Learner, found: Harvest) -> dict[str, Any]:
    """Stop where trainer and sampler see different policies; see `check_parity`."""
    config = learner.config
    limit = config.grpo.parity_tolerance
    exact = ParityTolerance(max_difference=limit, mean_difference=limit)
    tolerance = BFLOAT16_TOLERANCE if config.zero.bfloat16 else exact
    whole = ScoringSettings(config.grpo.temperature, max_tokens=10**9)
    few = [sample for group in found.every for sample in group.samples][:_PARITY_SAMPLES]
    return {"parity": vars(check_parity(learner.stepper.model, few, tolerance, whole))}


def begin_next(learner: Learner, step: int) -> None:
    """One step off, the next batch is written while this one is learnt from."""
    config = learner.config
    if config.rollouts.one_step_off and step + 1 < config.grpo.num_steps:
        learner.harvester.begin(learner.harvester.share, step + 1)


def learning_rate(config: TrainReasonerConfig, step: int) -> float:
    """A linear rise, then constant."""
    return config.grpo.learning_rate * min(1.0, (step + 1) / max(1, config.grpo.warmup_steps))


def batch_of(
    groups: Sequence[ScoredGroup], config: TrainReasonerConfig, stepper: Stepper
) -> RolloutBatch | None:
    """Advantages of the groups' samples by the configured rule, as a batch to learn from.

    All workers call this together; None for one that has no groups.
    """
    samples = [sample for group in groups for sample in group.samples]
    scored = [one for group in groups for one in group.scored]
    numbers = [number for number, group in enumerate(groups) for _ in group.samples]
    ids = torch.tensor(numbers, dtype=torch.long)
    rewards = GroupedRewards.of(scored, ids, paid_terms(config))
    aggregate = AGGREGATIONS[config.grpo.aggregation]
    advantages = aggregate(rewards, config.grpo.advantages, stepper.total)
    if not groups:
        return None
    masked = config.grpo.mask_truncated
    return rollout_batch(samples, advantages, valid=rewards.valid, mask_truncated=masked)


def paid_terms(config: TrainReasonerConfig) -> dict[str, float]:
    """Rubric terms with a weight, by name."""
    return {name: weight for name, weight in config.rubric.weights().items() if weight > 0}


def idle_batch(found: Harvest) -> RolloutBatch:
    """A batch in which nothing counts, for a worker that found nothing to learn from."""
    nothing = torch.zeros(1)
    return rollout_batch(found.every[0].samples[:1], nothing, valid=nothing.bool())


def learn(learner: Learner, batch: RolloutBatch) -> dict[str, float]:
    """Update the weights; statistics of the update."""
    settings = update_config(learner.config)
    if learner.reference is not None:
        found, _ = sequence_logprobs(learner.reference, batch.samples, settings.scoring)
        batch = replace(batch, ref_logprobs=found.cpu())
    return update(learner.stepper, batch, settings).as_floats()


def update_config(config: TrainReasonerConfig) -> UpdateConfig:
    """The update's settings, from the job's."""
    grpo = config.grpo
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
        scoring=ScoringSettings(grpo.temperature, max_tokens=grpo.micro_batch_tokens),
        entropy_coefficient=grpo.entropy_coefficient,
        num_epochs=grpo.updates_per_batch,
        old_policy="recomputed" if recomputed else "sampled",
    )
