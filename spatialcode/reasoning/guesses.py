"""Answers where a thing is missing from the code: priors, and geometry over where it might be.

A missing thing is given many possible places, from where its kind stands in other rooms, laid into
this room's rectangle in all eight ways. Each choice is then as probable as the share of these
places that lead to it. Nothing is random: places are drawn by a low-discrepancy sequence.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.names import canonical
from spatialcode.questions.types import (
    DIRECTION_WORDS,
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Counting,
    ObjectSize,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning.evidence import Answer, Evidence
from spatialcode.reasoning.priors import Priors
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.room_extent import Extent
from spatialcode.reasoning.statements import Assumed
from spatialcode.reasoning.stating import letter_of, surest
from spatialcode.scene.boxes import Boxes, box_distance
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import BACK_DEG

Floats = NDArray[np.float64]

_NUM_DRAWS = 400
#: Steps of the sequence for the first, second, … missing thing: square roots, so that none repeats.
_STEPS = tuple(math.sqrt(prime) % 1.0 for prime in (2, 3, 5, 7, 11, 13))
_CHANCE_CONFIDENCE = 0.2
#: What is added to a distance before its logarithm: touching things are 0 apart.
DISTANCE_OFFSET_M = 0.5


def guess(question: Question, index: SceneIndex | None, priors: Priors) -> Answer:
    """An ungrounded answer; ``index`` None: of one who has seen nothing."""
    extent = None
    if index is not None and index.objects:
        extent = Extent.around(index.corners_m)
    if isinstance(question, Counting):
        return _number(float(priors.typical_count), "", f"count({question.target.noun})")
    if isinstance(question, ObjectSize):
        metres = priors.longest_m(question.target.noun)
        value = metres * (100.0 if question.unit == "cm" else 1.0)
        return _number(value, question.unit, f"longest({question.target.noun})")
    if isinstance(question, RoomSize):
        area = priors.typical_area_m2
        if extent is not None and priors.area_of_extent is not None:
            area = priors.area_of_extent.value(math.log(extent.area_m2() + 1.0))
        elif extent is not None and extent.area_m2() > 1.0:
            area = extent.area_m2()
        return _number(area, "m2", "area(room)")
    if isinstance(question, AbsoluteDistance):
        metres = priors.typical_distance_m
        if extent is not None and priors.distance_of_extent is not None:
            metres = priors.distance_of_extent.value(math.log(extent.area_m2() + 1.0))
        value = metres * (100.0 if question.unit == "cm" else 1.0)
        return _number(value, question.unit, f"distance({question.a.noun}, {question.b.noun})")
    if isinstance(question, RelativeDistance) and extent is not None and index is not None:
        return _closest(question, Places(index, extent, priors))
    if isinstance(question, RelativeDirection) and extent is not None and index is not None:
        return _direction(question, Places(index, extent, priors))
    return _usual(question, priors)


class Places:
    """Where things may be: (draws, 2) world x, y, metres; all the same where a thing is known."""

    def __init__(self, index: SceneIndex, extent: Extent, priors: Priors) -> None:
        self.index, self.extent, self.priors = index, extent, priors
        self._drawn: dict[object, Floats] = {}

    def of(self, reference: Reference) -> Floats:
        """The places of what a reference names."""
        # one thing has one place, also where its phrases differ
        key = (reference.noun, reference.selector, reference.object_id)
        if key not in self._drawn:
            found = resolve(reference, self.index)
            if found:
                spot = surest(found).center_m[:2]
                self._drawn[key] = np.tile(spot, (_NUM_DRAWS, 1))
            else:
                self._drawn[key] = self._missing(reference.noun)
        return self._drawn[key]

    def _missing(self, noun: str) -> Floats:
        table = np.array(self.priors.places_of(noun))
        half, spots, weights = self.extent.half, [], []
        for share, beyond in ((table[:, :2], table[:, 2:4]), (table[:, 1::-1], table[:, 3:1:-1])):
            for sign in ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)):
                spots.append((share * half + beyond) * sign)
                weights.append(table[:, 4])
        cumulative = np.cumsum(np.concatenate(weights))
        step = _STEPS[len(self._drawn) % len(_STEPS)]
        at = (np.arange(1, _NUM_DRAWS + 1) * step % 1.0) * cumulative[-1]
        chosen = np.concatenate(spots)[np.searchsorted(cumulative, at)]
        return (chosen + self.extent.center) @ self.extent.rotation

    def distances(self, a: Reference, b: Reference) -> Floats:
        """(draws,) smallest distances between two things, metres."""
        known_a, known_b = resolve(a, self.index), resolve(b, self.index)
        pairs = [(x.id, y.id) for x in known_a for y in known_b if x.id != y.id]
        if pairs:
            return np.full(_NUM_DRAWS, min(self.index.distance_m(*pair) for pair in pairs))
        if not known_a and not known_b:
            return np.linalg.norm(self.of(a) - self.of(b), axis=1)
        # where both words mean the only thing there, it is the first, and the second is missing
        known, missing = (known_a, b) if known_a else (known_b, a)
        spots = self._missing(missing.noun) if known_a and known_b else self.of(missing)
        best = np.full(_NUM_DRAWS, np.inf)
        for item in known:
            points = np.column_stack([spots, np.full(_NUM_DRAWS, item.center_m[2])])
            tiny = np.full((_NUM_DRAWS, 3), 0.05)
            upright = np.tile([1.0, 0.0, 0.0, 0.0], (_NUM_DRAWS, 1))
            best = np.minimum(best, box_distance(Boxes(points, tiny, upright), Boxes.of([item])))
        half = 0.25 * self.priors.longest_m(missing.noun)
        return np.maximum(best - half, 0.1)


def _closest(question: RelativeDistance, places: Places) -> Answer:
    sign = 1.0 if question.extreme == "closest" else -1.0
    away = np.array([places.distances(question.anchor, one) for one in question.candidates])
    votes = np.bincount((sign * away).argmin(axis=0), minlength=len(away)) / away.shape[1]
    best = int(votes.argmax())
    letter = question.options[best].letter if question.options else None
    phrase = question.candidates[best].phrase
    return _choice(phrase, letter, f"{question.extreme} to {question.anchor.noun}", votes[best])


def _direction(question: RelativeDirection, places: Places) -> Answer:
    refs = (question.observer, question.facing, question.target)
    if all(resolve(reference, places.index) for reference in refs):
        return _usual(question, places.priors)  # all known, but two of them in one place
    observer, facing, target = (places.of(reference) for reference in refs)
    u, v = facing - observer, target - observer
    bearing = np.degrees(np.arctan2(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(axis=1)))
    words = np.where(bearing > 0.0, "left", "right")
    if question.level == "medium":
        words = np.where(np.abs(bearing) >= BACK_DEG, "back", words)
    elif question.level == "hard":
        words = np.char.add(np.where(np.abs(bearing) < 90.0, "front-", "back-"), words)
    names, counts = np.unique(words, return_counts=True)
    ranked = sorted(zip(counts.tolist(), names.tolist(), strict=True), key=lambda p: (-p[0], p[1]))
    count, word = ranked[0]
    letter = letter_of(question.options, word)
    what = f"direction of {question.target.noun}"
    return _choice(word, letter, what, count / _NUM_DRAWS)


def _usual(question: Question, priors: Priors) -> Answer:
    """What is right most often in this family, else the first option."""
    words = priors.answers.get(question.family, "")
    letter = letter_of(question.options, words) if words else None
    if letter is None and question.options:
        words, letter = question.options[0].text, question.options[0].letter
    elif letter is None:
        words = _any_words(question)
    return _choice(words, letter, question.family, _CHANCE_CONFIDENCE)


def _any_words(question: Question) -> str:
    """An answer in the words of the question, where there are no options."""
    if isinstance(question, AppearanceOrder):
        return ", ".join(one.phrase for one in question.candidates)
    if isinstance(question, RelativeDistance):
        return question.candidates[0].phrase
    if isinstance(question, RelativeDirection):
        return DIRECTION_WORDS[question.level][0]
    if isinstance(question, RoutePlanning):
        return ", ".join("Turn Left" for step in question.steps if isinstance(step, Blank))
    return "no"


def corrected(question: Question, answer: Answer, priors: Priors) -> Answer:
    """A grounded number without the habits of who made the code; other answers as they are."""
    if not isinstance(answer.value, float):
        return answer
    value, scale = answer.value, 100.0 if answer.unit == "cm" else 1.0
    if isinstance(question, Counting):
        value = max(value, float(priors.least_count))
    elif isinstance(question, ObjectSize) and priors.size_of_size is not None:
        prior = priors.longest_m(canonical(question.target.noun))
        value = scale * priors.size_of_size.value(math.log(value / scale), math.log(prior))
    elif isinstance(question, AbsoluteDistance) and priors.distance_of_distance is not None:
        feature = math.log(value / scale + DISTANCE_OFFSET_M)
        value = scale * priors.distance_of_distance.value(feature)
    if value == answer.value:
        return answer
    note = Assumed("answer after correction", f"{value:.2f} {answer.unit}".strip())
    evidence = Evidence(answer.evidence.object_ids, (*answer.evidence.statements, note))
    return Answer(value, answer.option, evidence, answer.grounded, answer.confidence, answer.unit)


def _number(value: float, unit: str, what: str) -> Answer:
    assumed = Assumed(what, f"{value:.2f} {unit}".strip())
    return Answer(value, None, Evidence((), (assumed,)), False, _CHANCE_CONFIDENCE, unit)


def _choice(words: str, letter: str | None, what: str, share: float) -> Answer:
    return Answer(words, letter, Evidence((), (Assumed(what, words),)), False, float(share))
