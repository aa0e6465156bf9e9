"""What the reward does not show: held-out greedy accuracy, a term that is never paid, and what
completions get that do not look at the room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.model import ReasonerText
from pipelines.train_reasoner.prompts import PromptRow
from pipelines.train_reasoner.rewards.scorers import RubricScorer, item_from_json
from pipelines.train_reasoner.rollouts.rollouts import RolloutRequest, Rollouts
from spatialcode.grpo.types import SamplerSettings
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.rubric.scoring import RubricConfig
from spatialcode.scene.text import from_json


class Judge:
    """Scores completions by the rubric as it is paid, and by the term that is held out of it."""

    def __init__(self, rubric: RubricConfig, heldout_term: str) -> None:
        self.heldout_term = heldout_term
        self._paid = RubricScorer(rubric)
        self._watched = RubricScorer(rubric.with_weight(heldout_term, 1.0))

    def figures(self, row: PromptRow, completion: str) -> dict[str, float]:
        """``accuracy`` (0 to 1, as VSI-Bench), ``reward``, ``heldout`` where the term applies."""
        item, code = item_from_json(row.item), from_json(row.code)
        paid = self._paid.score(item, code, completion)
        terms = self._watched.score(item, code, completion).terms
        found = {"accuracy": paid.terms["answer"], "reward": paid.total}
        if self.heldout_term in terms:
            found["heldout"] = terms[self.heldout_term]
        return found


@dataclass(frozen=True)
class Evaluation:
    """Held-out figures: accuracies in percent, by family and their mean; the rest 0 to 1."""

    accuracy: dict[str, float]
    reward: float
    heldout: float
    num: int


def evaluate(
    rollouts: Rollouts,
    text: ReasonerText,
    rows: Sequence[PromptRow],
    judge: Judge,
    config: TrainReasonerConfig,
) -> dict[str, float]:
    """Sums over this worker's rows, to be added over workers: see `summary`.

    Decoding is greedy; a prompt longer than training's counts as not answered, a longer completion
    is cut.
    """
    settings = SamplerSettings(temperature=0.0, max_new_tokens=config.grpo.max_new_tokens)
    ids = [text.prompt_ids(row.messages) for row in rows]
    fitting = [n for n, prompt in enumerate(ids) if len(prompt) <= config.data.max_prompt_tokens]
    groups = rollouts.write(RolloutRequest([ids[number] for number in fitting], 1, settings))
    written = {n: group[0].completion_ids for n, group in zip(fitting, groups, strict=True)}
    completions = [text.completion(written.get(number, ())) for number in range(len(rows))]
    return judged(rows, completions, judge)


def judged(rows: Sequence[PromptRow], completions: Sequence[str], judge: Judge) -> dict[str, float]:
    """Sums of the figures of completions, one a row."""
    sums: dict[str, float] = {}
    for row, completion in zip(rows, completions, strict=True):
        for name, value in judge.figures(row, completion).items():
            for key in (name, f"{name}/{row.family}"):
                sums[key] = sums.get(key, 0.0) + value
                sums[f"num/{key}"] = sums.get(f"num/{key}", 0.0) + 1
    return sums


def summary(sums: Mapping[str, float]) -> Evaluation:
    """Means of the summed figures; the mean accuracy counts every family once."""

    def mean(key: str) -> float:
        return sums.get(key, 0.0) / max(1.0, sums.get(f"num/{key}", 0.0))

    families = sorted(key.removeprefix("accuracy/") for key in sums if key.startswith("accuracy/"))
    accuracy = {name: round(100 * mean(f"accuracy/{name}"), 2) for name in families}
    accuracy["mean"] = round(sum(accuracy.values()) / max(1, len(accuracy)), 2)
    num = int(sums.get("num/accuracy", 0))
    return Evaluation(accuracy, mean("reward"), mean("heldout"), num)


def red_team_ceiling(rows: Sequence[PromptRow], judge: Judge, prefix: str) -> dict[str, float]:
    """Mean reward of each completion that answers without looking, and the highest: ``ceiling``.

    ``prefix``: what stands before a bare program ("program: ") where that is what is read.
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, completion in _blind(item_from_json(row.item), prefix):
            found.setdefault(name, []).append(judge.figures(row, completion)["reward"])
    means = {name: sum(values) / len(rows) for name, values in found.items()}
    return {**means, "ceiling": max(means.values(), default=0.0)}


def _blind(item: QuestionItem, prefix: str) -> list[tuple[str, str]]:
    """Completions by a name that is the same for every question."""
    if item.options:
        words = [option.split(". ", 1)[-1] for option in item.options]
        return [
            *((f"letter {n}", f"{prefix}Answer: {'ABCDEF'[n]}" if not prefix
               else f'{prefix}"{word}"') for n, word in enumerate(words[:4])),
            ("all options", prefix + "\n".join(item.options)),
            ("empty", prefix),
        ]  # fmt: skip
    numbers = [(f"number {value}", value) for value in ("1", "2", "3", "10", "100")]
    return [
        *((name, f"{prefix}{value}" if prefix else f"Answer: {value}") for name, value in numbers),
        ("empty", prefix),
    ]


def alarm(history: Sequence[Mapping[str, Any]], fall: float) -> str | None:
    """A sentence where the reward is at its best while accuracy or the held-out term fell.

    ``history``: evaluations as fields of `Evaluation`, oldest first. ``fall``: 0 to 1.
    """
    if len(history) < 2:
        return None
    last, before = history[-1], history[:-1]
    if last["reward"] < max(row["reward"] for row in before):
        return None
    watched = {
        "held-out accuracy": [row["accuracy"]["mean"] / 100 for row in history],
        "the held-out term": [row["heldout"] for row in history],
    }
    for name, values in watched.items():
        lost = max(values[:-1]) - values[-1]
        if lost > fall:
            return f"the reward is at its best, yet {name} fell by {lost:.3f} from its best"
    return None
