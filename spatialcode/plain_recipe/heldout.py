"""Greedy accuracy on tasks, by family: the figure that tells whether a reasoner is any good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spatialcode.grpo.types import Engine, SamplerSettings
from spatialcode.tasks.tasks import Task, accuracy
from spatialcode.tiny.model import program_text, prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_PROGRAM_TOKENS = 96


@dataclass(frozen=True)
class Accuracy:
    """``by_family``: mean score 0 to 1; ``mean``: over families, each counted once."""

    by_family: Mapping[str, float]
    programs: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.by_family.values()) / max(1, len(self.by_family))


def greedy_accuracy(
    engine: Engine, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[Task], batch: int = 64
) -> Accuracy:
    """The likeliest program of each task, run and scored: letters exactly, numbers by MRA."""
    settings = SamplerSettings(temperature=0.0, max_new_tokens=MAX_PROGRAM_TOKENS)
    order = sorted(range(len(tasks)), key=lambda n: len(tasks[n].prompt))
    programs = [""] * len(tasks)
    for at in range(0, len(order), batch):
        part = order[at : at + batch]
        drawn = engine.generate([prompt_ids(tokenizer, tasks[n].prompt) for n in part], 1, settings)
        for n, (one,) in zip(part, drawn, strict=True):
            programs[n] = program_text(tokenizer, one.completion_ids)
    return summarise(tasks, programs)


def summarise(tasks: Sequence[Task], programs: Sequence[str]) -> Accuracy:
    """Scores of programs, one a task."""
    scores = tuple(map(accuracy, tasks, programs))
    families: defaultdict[str, list[float]] = defaultdict(list)
    for task, score in zip(tasks, scores, strict=True):
        families[task.family].append(score)
    means = {family: sum(found) / len(found) for family, found in sorted(families.items())}
    return Accuracy(means, tuple(programs), scores)


def row_of(found: Accuracy) -> dict[str, Any]:
    """For a report: percent, one decimal."""
    by_family = {name: round(100 * value, 1) for name, value in found.by_family.items()}
    return {"mean": round(100 * found.mean, 1), "num": len(found.scores), "by_family": by_family}
