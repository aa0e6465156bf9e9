"""One supervised step and one GRPO step of a training worker, and what they measure."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.deepspeed import DeepSpeedStepper
from pipelines.train_reasoner.model import ReasonerText
from pipelines.train_reasoner.prompts import LocalPrompts, PromptRow, StreamedPrompts
from pipelines.train_reasoner.rewards.pool import Rewards
from pipelines.train_reasoner.rollouts.rollouts import Rollouts
from spatialcode.config import to_dict
from spatialcode.grpo.advantages import ADVANTAGES
from spatialcode.grpo.aggregation import (
    batch_sums,
    normalise_over_batch,
    normalise_then_sum,
    stack_terms,
)
from spatialcode.grpo.batch import RolloutBatch, rollout_batch
from spatialcode.grpo.scoring import ScoringSettings, micro_batches, score
from spatialcode.grpo.types import Sample, SamplerSettings, Scored


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
class Group:
    """One prompt with its completions and their scores, all in one order."""

    row: PromptRow
    samples: list[Sample]
    scored: list[Scored]

    def varies(self) -> bool:
        """Whether its rewards differ, without which nothing is learnt from it."""
        totals = [one.total for one in self.scored if one.total is not None]
        return len(totals) >= 2 and max(totals) - min(totals) > 1e-6


@dataclass
class Harvest:
    """The groups of a step: those to learn from, and all that were written."""

    kept: list[Group] = field(default_factory=list)
    every: list[Group] = field(default_factory=list)
    num_drawn: int = 0


def sft_step(
    stepper: DeepSpeedStepper, examples: Sequence[Sample], most_tokens: int
) -> dict[str, float]:
    """One optimiser step on completions that are taught; mean loss in nats a token.

    ``examples``: this worker's share. Source: maximum likelihood of the completion's tokens.
    """
    num_tokens = stepper.total(sum(len(one.completion_ids) for one in examples))
    # no two share a prompt: rows of a tree would only cost masks
    settings = ScoringSettings(packing="padded", max_tokens=most_tokens)
    stepper.model.train()
    packs = micro_batches(stepper.model, examples, range(len(examples)), settings)
    summed = 0.0
    for number in range(int(stepper.largest(len(packs)))):
        # a worker with fewer packs repeats its last for nothing: the others wait for it
        packed = packs[min(number, len(packs) - 1)]
        loss = -score(stepper.model, packed)[0].sum() / num_tokens
        loss = loss if number < len(packs) else loss * 0.0
        stepper.backward(loss)
        summed += float(loss.detach())
    return {"loss": stepper.total(summed), "grad_norm": stepper.step(), "num_tokens": num_tokens}


def example(text: ReasonerText, row: PromptRow) -> Sample:
    """What supervised training shows for a prompt."""
    target = text.target_ids(row.target)
    return Sample(text.prompt_ids(row.messages), target, (0.0,) * len(target), True, 0)


class Harvester:
    """Draws prompts, has completions written and scored, and drops groups without variance.

    Scoring goes on while the next completions are written.
    """

    def __init__(
        self,
        config: TrainReasonerConfig,
        text: ReasonerText,
        rollouts: Rollouts,
        rewards: Rewards,
        prompts: LocalPrompts | StreamedPrompts,
    ) -> None:
        self.config, self.text = config, text
        self.rollouts, self.rewards, self.prompts = rollouts, rewards, prompts
        self._begun: list[PromptRow] = []
        self._handles: dict[int, list[int]] = {}
        self.next_task = 0

    def begin(self, count: int, seed: int) -> None:
        """Draw prompts and begin their completions."""
        self._begun = self.prompts.draw(count) if count else []
        if self._begun:
            self.next_task = max(self.next_task, self._begun[-1].number + 1)
        grpo = self.config.grpo
        settings = SamplerSettings(grpo.temperature, 1.0, 0, grpo.max_new_tokens, seed)
        ids = [self.text.prompt_ids(row.messages) for row in self._begun]
        self.rollouts.start(ids, grpo.samples_per_prompt, settings, self._submit)

    def take(self, version: int, clock: Clock) -> list[Group]:
        """The groups begun last, scored."""
        with clock.of("generation"):
            written = self.rollouts.take(version)
        with clock.of("reward"):
            groups = []
            for number, (row, samples) in enumerate(zip(self._begun, written, strict=True)):
                handles = self._handles.pop(number)
                scored = dict(self.rewards.collect(set(handles)))
                groups.append(Group(row, samples, [scored[handle] for handle in handles]))
        return groups

    def _submit(self, number: int, samples: list[Sample]) -> None:
        """Have a group scored; what several samples say alike is scored once for all of them."""
        row = self._begun[number]
        texts = [self.text.completion(sample.completion_ids) for sample in samples]
        for handle in set(self._handles.pop(number, [])):  # written again: the old are forgotten
            next(iter(self.rewards.collect([handle])))
        distinct = list(dict.fromkeys(texts))
        handles = self.rewards.submit([row.reward_sample(text) for text in distinct])
        of_text = dict(zip(distinct, handles, strict=True))
        self._handles[number] = [of_text[text] for text in texts]


def harvest(
    harvester: Harvester, stepper: DeepSpeedStepper, step: int, version: int, clock: Clock
) -> Harvest:
    """Groups with variance, up to this worker's share of ``prompts_per_step``.

    Begins with the batch under way, if there is one; what had no variance is replaced in at most
    ``max_refills`` rounds, in which all workers take part.
    """
    config = harvester.config
    wanted = config.grpo.prompts_per_step // config.num_workers
    found = Harvest()
    for attempt in range(config.grpo.max_refills + 1):
        missing = wanted - len(found.kept)
        if attempt and stepper.largest(missing) == 0:
            break
        seed = config.seed * 1_000_003 + step * 64 + attempt
        if attempt or not harvester._begun:
            with clock.of("generation"):
                harvester.begin(missing, seed)
        groups = harvester.take(version, clock)
        harvester._begun = []
        found.num_drawn += len(groups)
        found.every += groups
        found.kept += [group for group in groups if group.varies()][:missing]
    return found


def batch_of(
    groups: Sequence[Group], config: TrainReasonerConfig, total: Callable[[float], float]
) -> RolloutBatch | None:
    """Advantages of the groups' samples by the configured rule, as a batch to learn from.

    ``total`` adds a number over workers, who all call this; None for one that has no groups.
    """
    samples = [sample for group in groups for sample in group.samples]
    scored = [one for group in groups for one in group.scored]
    numbers = [n for n, group in enumerate(groups) for _ in group.samples]
    ids = torch.tensor(numbers, dtype=torch.long)
    valid = torch.tensor([one.valid for one in scored], dtype=torch.bool)
    if config.grpo.aggregation == "weighted_sum":
        rewards = torch.tensor([one.total or 0.0 for one in scored])
        advantages = ADVANTAGES[config.grpo.advantages](rewards, ids, valid) if groups else rewards
    else:
        paid = {k.removeprefix("weight_"): v for k, v in to_dict(config.rubric).items()
                if k.startswith("weight_") and v > 0}  # fmt: skip
        terms, present, valid = stack_terms([one.terms for one in scored], list(paid))
        weights = torch.tensor(list(paid.values()))
        advantages = normalise_then_sum(terms, present, weights, ids, valid, batch_normalise=False)
        num, summed, squares = (total(value) for value in batch_sums(advantages, valid))
        advantages = normalise_over_batch(advantages, valid, (num, summed, squares))
    if not groups:
        return None
    masked = config.grpo.mask_truncated
    return rollout_batch(samples, advantages, ids, valid=valid, mask_truncated=masked)


def idle_batch(text: ReasonerText, row: PromptRow) -> RolloutBatch:
    """A batch in which nothing counts, for a worker that found nothing to learn from."""
    return rollout_batch(
        [example(text, row)], torch.zeros(1), torch.zeros(1, dtype=torch.long),
        valid=torch.zeros(1, dtype=torch.bool),
    )  # fmt: skip


def sums_of(found: Harvest, batch: RolloutBatch | None) -> dict[str, float]:
    """Sums over this worker's samples, to be added over workers: see `figures_of`."""
    sums: defaultdict[str, float] = defaultdict(float)
    for group in found.every:
        sums["groups"] += 1
        sums["groups_without_variance"] += not group.varies()
        for sample, scored in zip(group.samples, group.scored, strict=True):
            sums["samples"] += 1
            sums["tokens"] += len(sample.completion_ids)
            sums["truncated"] += not sample.finished
            sums["invalid"] += not scored.valid
            if scored.total is None or scored.terms is None:
                continue
            sums["reward"] += scored.total
            for name, value in scored.terms.items():
                sums[f"term/{name}"] += value
                sums[f"term_num/{name}"] += 1
            sums[f"family/{group.row.family}"] += scored.terms.get("answer", 0.0)
            sums[f"family_num/{group.row.family}"] += 1
    if batch is not None:
        sums["advantage_abs"] = float(batch.advantages.abs().sum())
        sums["advantage_num"] = batch.shape[0]
    return dict(sums)


def figures_of(sums: Mapping[str, float]) -> dict[str, Any]:
    """Means for a line of metrics, from sums over all workers."""

    def share(name: str, of: str) -> float:
        return sums.get(name, 0.0) / max(1.0, sums.get(of, 0.0))

    terms = [name.removeprefix("term/") for name in sums if name.startswith("term/")]
    families = [name.removeprefix("family/") for name in sums if name.startswith("family/")]
    num_valid = max(1.0, sums.get("samples", 0.0) - sums.get("invalid", 0.0))
    return {
        "reward": sums.get("reward", 0.0) / num_valid,
        "accuracy": sum(sums[f"family/{name}"] for name in families) / num_valid,
        "length": share("tokens", "samples"),
        "truncated": share("truncated", "samples"),
        "invalid": share("invalid", "samples"),
        "without_variance": share("groups_without_variance", "groups"),
        "advantage": share("advantage_abs", "advantage_num"),
        "terms": {name: share(f"term/{name}", f"term_num/{name}") for name in terms},
        "families": {name: share(f"family/{name}", f"family_num/{name}") for name in families},
        "num_samples": sums.get("samples", 0.0),
        "num_generated_tokens": sums.get("tokens", 0.0),
    }


def shown_samples(
    found: Harvest, batch: RolloutBatch | None, text: ReasonerText, most: int = 2
) -> list[dict[str, Any]]:
    """Some samples for a reader: the best and the worst of a group that was learnt from."""
    rows = []
    for number, group in enumerate(found.kept[:1] or found.every[:1]):
        size = len(group.samples)
        order = sorted(range(size), key=lambda k: group.scored[k].total or 0.0, reverse=True)
        for place in [order[0], order[-1]][:most]:
            scored = group.scored[place]
            learnt = batch is not None and bool(found.kept)
            rows.append({
                "family": group.row.family, "prompt": group.row.prompt,
                "completion": text.completion(group.samples[place].completion_ids),
                "reward": scored.total, "terms": dict(scored.terms or {}),
                "reasons": list(scored.reasons), "error": scored.error,
                "advantage": float(batch.advantages[number * size + place])
                if learnt and batch is not None else 0.0,
            })  # fmt: skip
    return rows
