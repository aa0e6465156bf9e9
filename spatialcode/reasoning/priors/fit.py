"""Fitting priors on rooms with annotated boxes and questions with answers.

What a fit is used on must not be among its rooms; `room_group` says which scans are of one room.

The simplest fit is the answer that is right most often, whatever the question: the floor of every
benchmark.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from spatialcode.questions.names import canonical
from spatialcode.questions.parse import read_options
from spatialcode.questions.types import Question, QuestionItem
from spatialcode.reasoning.families.registry import families, family_of, parse
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.priors.guesses import Extent
from spatialcode.reasoning.priors.known import LogLinear, Place, Priors
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

#: A kind needs so many examples before its own places are used.
_MIN_PLACES = 5
_MIN_OBJECTS = 4
#: Strength of the pull of regression weights to zero, in units of standardised samples.
_RIDGE = 1.0
_SHIFTS = np.linspace(-0.6, 0.6, 61)

Asked = Sequence[tuple[QuestionItem, Question]]


def room_group(scene: str) -> str:
    """The physical room of a scan: ScanNet's ``scene0651_02`` is a scan of ``scene0651``."""
    found = re.match(r"^(scene\d{4})_\d\d$", scene)
    return found[1] if found else scene


@dataclass(frozen=True)
class Samples:
    """Answered questions of one family: ``asked``. ``codes``: the rooms as they are seen, by scene;
    ``perceived``: whether an encoder saw them, so that its habits are to be corrected.
    """

    asked: Asked
    codes: Mapping[str, SpatialCode]
    perceived: bool

    def truths(self) -> list[float]:
        """The true numbers, lengths in metres."""
        return [metres_of(item, question) for item, question in self.asked]

    def typical(self, name: str) -> dict[str, Any]:
        """The number that fits the true ones best, as that field; nothing where none is above 0."""
        # what is 0 has no logarithm, and no guess comes near it
        positive = [value for value in self.truths() if value > 0.0]
        return {name: best_value(np.log(positive))} if positive else {}

    def habit(self, features_of: Callable[[Any, float], list[float] | None]) -> LogLinear | None:
        """The true number from the one that the code gives. ``features_of``: of a question and the
        code's number, lengths in metres; None leaves the question out.
        """
        features, truths = [], []
        for item, question in self.asked:
            if item.scene not in self.codes:
                continue
            family = family_of(question)
            answer = family.solve(question, SceneIndex.of(self.codes[item.scene]))
            if answer is not None and isinstance(answer.value, float):
                row = features_of(question, answer.value / family.per_metre(question))
                if row is not None:
                    features.append(row)
                    truths.append(metres_of(item, question))
        return regression(features, truths)

    def of_extent(self) -> LogLinear | None:
        """The number from the area of the rectangle around all things of the room."""
        features, truths = [], []
        for item, question in self.asked:
            if item.scene in self.codes and self.codes[item.scene].objects:
                extent = Extent.around(SceneIndex.of(self.codes[item.scene]).corners_m)
                features.append([math.log(extent.area_m2() + 1.0)])
                truths.append(metres_of(item, question))
        return regression(features, truths)


def fit_priors(
    rooms: Mapping[str, SpatialCode],
    items: Sequence[QuestionItem],
    perceived: Mapping[str, SpatialCode] | None = None,
) -> Priors:
    """Priors from annotated rooms and answered questions of these rooms.

    ``perceived``: codes of some of the rooms as a perceiver gives them; with them, what is read
    from a code's extents, and the corrections, are fitted to that perceiver's habits.
    """
    read = [(item, parse(item.question, item.options)) for item in items if item.scene in rooms]
    # a number to be chosen among options is known by its letter only
    asked = [(i, q) for i, q in read if not (i.options and family_of(q).numeric)]
    seen = rooms if perceived is None else {s: c for s, c in perceived.items() if s in rooms}
    fitted: dict[str, Any] = {"places": _places(rooms), "answers": _usual_answers(asked)}
    for family in families():
        own = [(item, question) for item, question in asked if question.family in family.names]
        fitted |= family.fit(Samples(own, seen, perceived is not None))
    return Priors(**fitted)


def metres_of(item: QuestionItem, question: Question) -> float:
    """The true number of an answered question, lengths in metres."""
    return float(item.ground_truth) / family_of(question).per_metre(question)


def _places(rooms: Mapping[str, SpatialCode]) -> dict[str, list[Place]]:
    """Where kinds stand in the rectangle around the other things of their room."""
    places: dict[str, list[Place]] = defaultdict(list)
    for code in rooms.values():
        index = SceneIndex.of(code)
        if len(index.objects) < _MIN_OBJECTS:
            continue
        for n, item in enumerate(index.objects):
            extent = Extent.around(np.delete(index.corners_m, n, axis=0))
            at = extent.rotation @ np.array(item.center_m[:2]) - extent.center
            inside = np.clip(at, -extent.half, extent.half)
            share = inside / np.maximum(extent.half, 0.3)
            place: Place = (*share.tolist(), *(at - inside).tolist(), 1.0)
            places[canonical(item.label)].append(place)
            places[""].append(place)
    return {kind: found for kind, found in places.items() if len(found) >= _MIN_PLACES or not kind}


def _usual_answers(asked: Asked) -> dict[str, str]:
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for item, question in asked:
        right = next((o.text for o in question.options if o.letter == item.ground_truth), None)
        if right is not None:
            words[question.family][right] += 1
    return {family: counter.most_common(1)[0][0] for family, counter in words.items()}


def regression(features: list[list[float]], truths: list[float]) -> LogLinear | None:
    """Ridge regression of the truths' logarithms on the features, which are logarithms themselves,
    then shifted to where mean relative accuracy is best.

    Truths of 0 have no logarithm and are left out. None where there are fewer than two samples a
    parameter.
    """
    known = [(row, truth) for row, truth in zip(features, truths, strict=True) if truth > 0.0]
    if not known or len(known) < 2 * (len(known[0][0]) + 1):
        return None
    x, y = np.array([row for row, _ in known]), np.log([truth for _, truth in known])
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = (x - middle) / spread
    weights = np.linalg.solve(z.T @ z + _RIDGE * np.eye(z.shape[1]), z.T @ (y - y.mean())) / spread
    intercept = float(y.mean() - weights @ middle)
    shift = math.log(best_value(y - intercept - x @ weights))
    return LogLinear(intercept + shift, tuple(weights.tolist()))


def best_value(logs: Any) -> float:
    """The value whose mean relative accuracy over exp(logs) is best, smoothed over neighbours; of
    several that are as good, the middle one.
    """
    logs = np.asarray(logs, dtype=float)
    middle = float(np.median(logs))
    truths = np.exp(logs)
    scores = [
        np.mean([mean_relative_accuracy(math.exp(middle + shift), t) for t in truths])
        for shift in _SHIFTS
    ]
    smooth = np.convolve(scores, np.ones(3) / 3, "same")
    best = np.flatnonzero(smooth[1:-1] >= smooth[1:-1].max() - 1e-9)
    return math.exp(middle + float(_SHIFTS[1:-1][best[len(best) // 2]]))


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
