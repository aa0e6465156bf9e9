"""The answer that is right most often, whatever the question: the floor of every benchmark."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from spatialcode.questions.parse import read_options
from spatialcode.questions.types import QuestionItem

Answer = TypeVar("Answer", float, str)


@dataclass(frozen=True)
class MostFrequent:
    """By question type: the most frequent number, and the most frequent right words and letters."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    letters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, items: Iterable[QuestionItem]) -> MostFrequent:
        """Counted over answered questions; of equally frequent answers the first in order wins."""
        numbers: dict[str, Counter[float]] = defaultdict(Counter)
        words: dict[str, Counter[str]] = defaultdict(Counter)
        letters: dict[str, Counter[str]] = defaultdict(Counter)
        for item in items:
            if not item.options:
                numbers[item.question_type][float(item.ground_truth)] += 1
                continue
            letters[item.question_type][item.ground_truth] += 1
            for option in read_options(item.options):
                if option.letter == item.ground_truth:
                    words[item.question_type][option.text] += 1
        return cls(
            {kind: _first(counter) for kind, counter in numbers.items()},
            {kind: _first(counter) for kind, counter in words.items()},
            {kind: _first(counter) for kind, counter in letters.items()},
        )

    def answer(self, item: QuestionItem) -> tuple[str | None, float]:
        """(letter, 0) or (None, number): the frequent words where they are offered, else the
        frequent letter; the first option or 0 where nothing was counted.
        """
        kind = item.question_type
        if not item.options:
            return None, self.numbers.get(kind, 0.0)
        options = read_options(item.options)
        offered = [option.letter for option in options if option.text == self.words.get(kind)]
        known = [option.letter for option in options if option.letter == self.letters.get(kind)]
        return (offered or known or [options[0].letter])[0], 0.0


def _first(counter: Counter[Answer]) -> Answer:
    return min(counter, key=lambda value: (-counter[value], value))
