"""Groups of completions for a step: prompts are drawn, completions written and scored.

Groups without variance teach nothing. They are dropped, and others drawn in their place, up to a
bound. Scoring goes on while the next completions are written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.model import ReasonerText
from pipelines.train_reasoner.prompts import PromptRow, Prompts
from pipelines.train_reasoner.rewards.pool import Rewards
from pipelines.train_reasoner.rollouts.rollouts import RolloutRequest, Rollouts
from spatialcode.grpo.advantages import group_moments
from spatialcode.grpo.types import Sample, SamplerSettings, Scored
from spatialcode.grpo.update import Stepper


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
