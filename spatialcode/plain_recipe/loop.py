"""GRPO in one plain process: groups of completions, rewards, advantages, an update, again.

Groups whose valid rewards are all equal teach nothing; they are dropped and others drawn in their
place, up to a bound. A sample without a valid reward is masked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch

from spatialcode.config import require
from spatialcode.errors import ConfigError
from spatialcode.grpo.advantages import ADVANTAGES, group_moments, zero_variance
from spatialcode.grpo.batch import rollout_batch
from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.masks import rewards_of
from spatialcode.grpo.step import StepStatistics, UpdateConfig, update
from spatialcode.grpo.stepper import Stepper
from spatialcode.grpo.types import Sample, SamplerSettings, Scored
from spatialcode.plain_recipe.rewards import Reward

TaskT = TypeVar("TaskT")


@dataclass(frozen=True)
class LoopConfig:
    """``num_groups`` prompts a step with ``group_size`` completions each. ``max_refills``: how
    often a step draws again in place of groups without variance; then it makes do with what it has.
    """

    num_groups: int = 24
    group_size: int = 8
    max_refills: int = 2
    advantage: str = "mean_std"
    mask_truncated: bool = False
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    update: UpdateConfig = field(default_factory=UpdateConfig)

    def __post_init__(self) -> None:
        require(self.num_groups >= 1, "num_groups", "at least 1", self.num_groups)
        require(self.group_size >= 2, "group_size", "at least 2", self.group_size)
        require(self.max_refills >= 0, "max_refills", "0 or more", self.max_refills)
        if self.advantage not in ADVANTAGES:
            known = sorted(ADVANTAGES)
            raise ConfigError(f"advantage: expected one of {known}, got {self.advantage!r}")


@dataclass(frozen=True)
class Group(Generic[TaskT]):
    """One task, its completions and their scores."""

    task: TaskT
    samples: tuple[Sample, ...]
    texts: tuple[str, ...]
    scored: tuple[Scored, ...]

    @property
    def varies(self) -> bool:
        """Whether its valid rewards differ."""
        rewards, valid = rewards_of([one.total for one in self.scored])
        ids = torch.zeros(len(rewards), dtype=torch.long)
        return not len(zero_variance(ids, group_moments(rewards, ids, valid))[0])


@dataclass(frozen=True)
class LoopStep(Generic[TaskT]):
    """What one step did. ``reward``: mean of the valid ones over all groups drawn, dropped ones
    included, so that it does not depend on who was dropped. ``seconds``: by part of the step.
    """

    step: int
    reward: float
    num_drawn: int
    num_dropped: int
    num_invalid: int
    truncated_share: float
    groups: tuple[Group[TaskT], ...]
    update: StepStatistics | None
    seconds: dict[str, float]


class GrpoLoop(Generic[TaskT]):
    """Draws tasks from ``source``, writes with ``engine``, scores with ``reward``, updates.

    ``encode``: a task's prompt as token ids; ``decode``: a completion's ids as the text that is
    scored. The engine either shares the stepper's model, or is given its weights after each step.
    """

    def __init__(
        self,
        stepper: Stepper,
        engine: HFEngine,
        source: Iterator[TaskT],
        reward: Reward[TaskT],
        config: LoopConfig,
        *,
        encode: Callable[[TaskT], Sequence[int]],
        decode: Callable[[tuple[int, ...]], str],
    ) -> None:
        self.stepper, self.engine, self.source, self.reward = stepper, engine, source, reward
        self.config, self.encode, self.decode = config, encode, decode
        self.num_steps = 0
        self._draws = 0
        if config.update.scoring.temperature != config.sampler.temperature:
            raise ConfigError("update.scoring.temperature: expected the sampler's")

    def draw(self, count: int, seconds: dict[str, float]) -> list[Group[TaskT]]:
        """Groups of ``count`` further tasks, scored."""
        began = time.perf_counter()
        tasks = [next(self.source) for _ in range(count)]
        prompts = [self.encode(task) for task in tasks]
        seconds["tasks"] += time.perf_counter() - began
        began = time.perf_counter()
        sampler = replace(self.config.sampler, seed=self.config.sampler.seed + self._draws)
        self._draws += 1
        drawn = self.engine.generate(prompts, self.config.group_size, sampler)
        texts = [[self.decode(sample.completion_ids) for sample in samples] for samples in drawn]
        seconds["generation"] += time.perf_counter() - began
        began = time.perf_counter()
        repeated = [task for task, group in zip(tasks, texts, strict=True) for _ in group]
        scored = iter(self.reward(repeated, [text for group in texts for text in group]))
        groups = [
            Group(task, tuple(samples), tuple(group), tuple(next(scored) for _ in group))
            for task, samples, group in zip(tasks, drawn, texts, strict=True)
        ]
        seconds["reward"] += time.perf_counter() - began
        return groups

    def step(self) -> LoopStep[TaskT]:
        """One update from fresh samples; none where no group varies."""
        seconds = dict.fromkeys(("tasks", "generation", "reward", "update"), 0.0)
        kept: list[Group[TaskT]] = []
        drawn: list[Group[TaskT]] = []
        for _ in range(1 + self.config.max_refills):
            groups = self.draw(self.config.num_groups - len(kept), seconds)
            drawn += groups
            kept += [group for group in groups if group.varies]
            if len(kept) == self.config.num_groups:
                break
        began = time.perf_counter()
        statistics = self._update(kept) if kept else None
        seconds["update"] = time.perf_counter() - began
        self.num_steps += 1
        scores = [one.total for group in drawn for one in group.scored]
        valid = [total for total in scores if total is not None]
        samples = [sample for group in drawn for sample in group.samples]
        return LoopStep(
            step=self.num_steps, reward=sum(valid) / max(1, len(valid)), num_drawn=len(drawn),
            num_dropped=len(drawn) - len(kept), num_invalid=len(scores) - len(valid),
            truncated_share=sum(not one.finished for one in samples) / len(samples),
            groups=tuple(kept), update=statistics, seconds=seconds,
        )  # fmt: skip

    def _update(self, groups: Sequence[Group[TaskT]]) -> StepStatistics:
        samples = [sample for group in groups for sample in group.samples]
        ids = torch.repeat_interleave(
            torch.arange(len(groups)), torch.tensor([len(group.samples) for group in groups])
        )
        rewards, valid = rewards_of([one.total for group in groups for one in group.scored])
        advantages = ADVANTAGES[self.config.advantage](rewards, ids, valid)
        batch = rollout_batch(
            samples, advantages, ids, valid=valid, mask_truncated=self.config.mask_truncated
        )
        statistics = update(self.stepper, batch, self.config.update)
        self._follow()
        return statistics

    def _follow(self) -> None:
        version = self.engine.weight_version + 1
        trained: Any = self.stepper.model
        if self.engine.model is trained:
            self.engine.follow(version)
        else:
            self.engine.load_weights(trained.named_parameters(), version)
