"""Choosing among the questions that a room allows, and among the places of the right option, so
that answers come out even.

Within a room the least used answer is asked for next; of equally used ones, one at random. Where
the answers of a family are given (left or right, yes or no), a strict balance asks only as far as
every answer is possible: then no answer is likelier than another, in one room or over many, and a
question's words give nothing away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.types import Question

Rng = np.random.Generator
Rows = NDArray[np.intp]

LETTERS = "ABCDEFGH"
#: Reasons why a question that was wanted is not there.
TOO_FEW = "too few things"
AMBIGUOUS = "ambiguous"
NO_FURTHER = "no further question"
ONE_SIDED = "not every answer possible"
UNREADABLE = "unreadable name"


@dataclass(frozen=True)
class Draft:
    """A question to be put into words.

    ``template``: which of the family's `templates`. ``slots``: what its sentences leave open.
    ``meant``: the typed question, from its text and options. ``truth``: a number as text; for a
    choice None, and ``choices`` begin with the right one. ``listed``: the options are also named in
    the sentence.
    """

    template: str
    slots: Mapping[str, str]
    meant: Callable[..., Question]
    truth: str | None = None
    choices: tuple[str, ...] = ()
    listed: bool = False


@dataclass
class Pool:
    """All questions of one family that a room allows.

    ``cells``: rows of candidates (N, k) by group and answer. ``draft``: a candidate as a draft.
    ``words``: the answers, where they are given. ``reason``: why there are no (more) candidates.
    ``weights``: how often a group is wanted, 1 where not named.
    """

    cells: dict[tuple[str, str], Rows]
    draft: Callable[[Sequence[int], str, str, Rng], Draft]
    words: tuple[str, ...] = ()
    reason: str = TOO_FEW
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells = {key: rows for key, rows in self.cells.items() if len(rows)}

    def take(self, key: tuple[str, str], rng: Rng) -> list[int]:
        """A random candidate of a cell, which is taken out of it."""
        rows = self.cells[key]
        n = int(rng.integers(len(rows)))
        chosen: list[int] = rows[n].tolist()
        left = rows.copy() if not rows.flags.writeable else rows
        left[n] = left[-1]
        if len(left) > 1:
            self.cells[key] = left[:-1]
        else:
            del self.cells[key]
        return chosen


@dataclass
class Balance:
    """What has been asked in a room, of one family."""

    strict: bool
    groups: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)

    def choose(self, pool: Pool, rng: Rng) -> tuple[str, str] | str:
        """Group and answer to ask for next, or the reason why there is none."""
        answers: dict[str, list[str]] = {}
        for group, answer in pool.cells:
            answers.setdefault(group, []).append(answer)
        if not answers:
            return NO_FURTHER if self.groups else pool.reason
        if self.strict and pool.words:
            answers = {g: list(pool.words) for g, found in answers.items()
                       if len(found) == len(pool.words)}  # fmt: skip
            if not answers:
                return NO_FURTHER if self.groups else ONE_SIDED
        lots = rng.random(len(answers))
        group = min(
            zip(answers, lots, strict=True),
            key=lambda one: (self.groups[one[0]] + one[1]) / pool.weights.get(one[0], 1.0),
        )[0]
        return group, least_used(self.answers, sorted(answers[group]), rng)

    def count(self, group: str, answer: str) -> None:
        """Note that a question was asked."""
        self.groups[group] += 1
        self.answers[answer] += 1


def least_used(used: Counter[str], among: Sequence[str], rng: Rng) -> str:
    """The one used least; of equally used ones, one at random."""
    order = rng.permutation(len(among))
    return min((among[n] for n in order), key=lambda one: used[one])


def drawn(among: Sequence[str], rng: Rng) -> str:
    """One of them at random, all equally likely."""
    return among[int(rng.integers(len(among)))]


def arrange(choices: Sequence[str], used: Counter[str], rng: Rng) -> tuple[tuple[str, ...], str]:
    """Options with letters, in random order, but the right one (the first choice) gets the letter
    that was right least often; and that letter.
    """
    letters = LETTERS[: len(choices)]
    right = least_used(used, letters, rng)
    wrong = [choices[1:][n] for n in rng.permutation(len(choices) - 1)]
    wrong.insert(letters.index(right), choices[0])
    return tuple(f"{letter}. {text}" for letter, text in zip(letters, wrong, strict=True)), right


def by_word(rows: Rows, words: Any, kept: Any, group: str = "") -> dict[tuple[str, str], Rows]:
    """Cells of candidates (N, k) with an answer each (N,), where ``kept`` (N,)."""
    return {(group, str(word)): rows[kept & (words == word)] for word in np.unique(words[kept])}
