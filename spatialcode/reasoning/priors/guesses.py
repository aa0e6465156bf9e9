"""Answers where a thing is missing from the code: priors, and geometry over where it might be.

A missing thing is given many possible places, from where its kind stands in other rooms, laid into
this room's rectangle in all eight ways: the smallest rectangle around the code's boxes, seen from
above. Each choice is then as probable as the share of these places that lead to it. Nothing is
random: places are drawn by a low-discrepancy sequence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spatialcode.questions.types import Question, Reference
from spatialcode.reasoning.evidence import Answer, Evidence, letter_of, surest
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.naming import Floats
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.statements import Assumed
from spatialcode.scene.boxes import Boxes, box_distance
from spatialcode.scene.index import SceneIndex

NUM_DRAWS = 400
#: Steps of the sequence for the first, second, … missing thing: square roots, so that none repeats.
_STEPS = tuple(math.sqrt(prime) % 1.0 for prime in (2, 3, 5, 7, 11, 13))


_NUM_TURNS = 45
_ANGLES = np.linspace(0.0, np.pi / 2, _NUM_TURNS, endpoint=False)
_TURNS = np.stack(
    [
        np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1),
        np.stack([-np.sin(_ANGLES), np.cos(_ANGLES)], 1),
    ],
    axis=1,
)


@dataclass(frozen=True, eq=False)
class Extent:
    """``rotation`` (2, 2) turns world x, y to the rectangle's sides; ``center`` (2,) and ``half``
    (2,) are along these, in metres.
    """

    rotation: Floats
    center: Floats
    half: Floats

    @classmethod
    def around(cls, corners_m: Floats) -> Extent:
        """Around corners (..., 3) of at least one box; sides found to 2 degrees."""
        points = corners_m.reshape(-1, 3)[:, :2] @ np.swapaxes(_TURNS, 1, 2)
        low, high = points.min(axis=1), points.max(axis=1)
        best = int((high - low).prod(axis=1).argmin())
        return cls(_TURNS[best], (low[best] + high[best]) / 2, (high[best] - low[best]) / 2)

    def area_m2(self) -> float:
        """Area of the rectangle."""
        return float(4.0 * self.half.prod())


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
                self._drawn[key] = np.tile(spot, (NUM_DRAWS, 1))
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
        at = (np.arange(1, NUM_DRAWS + 1) * step % 1.0) * cumulative[-1]
        chosen = np.concatenate(spots)[np.searchsorted(cumulative, at)]
        return (chosen + self.extent.center) @ self.extent.rotation

    def distances(self, a: Reference, b: Reference) -> Floats:
        """(draws,) smallest distances between two things, metres."""
        known_a, known_b = resolve(a, self.index), resolve(b, self.index)
        pairs = [(x.id, y.id) for x in known_a for y in known_b if x.id != y.id]
        if pairs:
            return np.full(NUM_DRAWS, min(self.index.distance_m(*pair) for pair in pairs))
        if not known_a and not known_b:
            return np.linalg.norm(self.of(a) - self.of(b), axis=1)
        # where both words mean the only thing there, it is the first, and the second is missing
        known, missing = (known_a, b) if known_a else (known_b, a)
        spots = self._missing(missing.noun) if known_a and known_b else self.of(missing)
        best = np.full(NUM_DRAWS, np.inf)
        for item in known:
            points = np.column_stack([spots, np.full(NUM_DRAWS, item.center_m[2])])
            tiny = np.full((NUM_DRAWS, 3), 0.05)
            upright = np.tile([1.0, 0.0, 0.0, 0.0], (NUM_DRAWS, 1))
            best = np.minimum(best, box_distance(Boxes(points, tiny, upright), Boxes.of([item])))
        half = 0.25 * self.priors.longest_m(missing.noun)
        return np.maximum(best - half, 0.1)


_CHANCE_CONFIDENCE = 0.2


@dataclass(frozen=True)
class Sight:
    """What a guess is based on. ``index`` is None where no code is given."""

    index: SceneIndex | None
    priors: Priors

    @cached_property
    def extent(self) -> Extent | None:
        """The rectangle around all things; None where there are none."""
        seen = self.index is not None and self.index.objects
        return Extent.around(self.index.corners_m) if self.index is not None and seen else None

    @cached_property
    def places(self) -> Places | None:
        """Where things may be; None where the code has none."""
        if self.index is None or self.extent is None:
            return None
        return Places(self.index, self.extent, self.priors)

    def likeliest(self, question: Question, chances: Mapping[str, float]) -> Answer:
        """The likeliest of the options, or of all words where there are none; else the usual."""
        ranked = sorted(chances.items(), key=lambda pair: -pair[1])
        for words, chance in ranked:
            letter = letter_of(question.options, words)
            if chance > 0.0 and (letter is not None or not question.options):
                return assumed_choice(words, letter, question.family, chance)
        return self.usual(question)

    def usual(self, question: Question) -> Answer:
        """What is right most often in this family, else the first option."""
        words = self.priors.answers.get(question.family, "")
        letter = letter_of(question.options, words) if words else None
        if letter is None and question.options:
            words, letter = question.options[0].text, question.options[0].letter
        elif letter is None:
            words = family_of(question).any_words(question)
        return assumed_choice(words, letter, question.family, _CHANCE_CONFIDENCE)


def guess(question: Question, index: SceneIndex | None, priors: Priors) -> Answer:
    """An ungrounded answer; with ``index`` None from priors alone."""
    return family_of(question).guess(question, Sight(index, priors))


def corrected(question: Question, answer: Answer, priors: Priors) -> Answer:
    """A grounded number, corrected for the habits of the encoder; other answers as they are."""
    if not isinstance(answer.value, float):
        return answer
    value = family_of(question).corrected(question, answer.value, priors)
    if value == answer.value:
        return answer
    note = Assumed("answer after correction", f"{value:.2f} {answer.unit}".strip())
    evidence = Evidence(answer.evidence.object_ids, (*answer.evidence.statements, note))
    return Answer(value, answer.option, evidence, answer.grounded, answer.confidence, answer.unit)


def assumed_number(value: float, unit: str, what: str) -> Answer:
    """A number in ``unit`` that no code holds."""
    assumed = Assumed(what, f"{value:.2f} {unit}".strip())
    return Answer(value, None, Evidence((), (assumed,)), False, _CHANCE_CONFIDENCE, unit)


def assumed_choice(words: str, letter: str | None, what: str, share: float) -> Answer:
    """A choice that no code decides; ``share``: how probable it is, 0 to 1."""
    return Answer(words, letter, Evidence((), (Assumed(what, words),)), False, float(share))
