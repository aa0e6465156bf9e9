"""Answers where a thing is missing from the code: priors, and geometry over where it might be.

A missing thing is given many possible places, from where its kind stands in other rooms, laid into
this room's rectangle in all eight ways. Each choice is then as probable as the share of these
places that lead to it. Nothing is random: places are drawn by a low-discrepancy sequence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.names import canonical
from spatialcode.questions.types import (
    DIRECTION_WORDS,
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    ObjectSize,
    Question,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning.evidence import Answer, Evidence
from spatialcode.reasoning.priors.chances import (
    bearings_deg,
    order_chances,
    relation_chances,
    route_chances,
)
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.priors.places import NUM_DRAWS, Places
from spatialcode.reasoning.priors.room_extent import Extent
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.statements import Assumed
from spatialcode.reasoning.stating import letter_of
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import BACK_DEG

Floats = NDArray[np.float64]

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
    if isinstance(question, RoutePlanning) and extent is not None and index is not None:
        chances = route_chances(question, Places(index, extent, priors))
        return _likeliest(question, chances) or _usual(question, priors)
    if isinstance(question, Configuration) and extent is not None and index is not None:
        chances = relation_chances(question, Places(index, extent, priors))
        return _likeliest(question, chances) or _usual(question, priors)
    if isinstance(question, AppearanceOrder) and index is not None:
        return _likeliest(question, order_chances(question, index)) or _usual(question, priors)
    return _usual(question, priors)


def _likeliest(question: Question, chances: Mapping[str, float]) -> Answer | None:
    """The likeliest of the options, or of all words where there are none; None of nothing."""
    ranked = sorted(chances.items(), key=lambda pair: -pair[1])
    for words, chance in ranked:
        letter = letter_of(question.options, words)
        if chance > 0.0 and (letter is not None or not question.options):
            return _choice(words, letter, question.family, chance)
    return None


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
    bearing = bearings_deg(facing - observer, target - observer)
    words = np.where(bearing > 0.0, "left", "right")
    if question.level == "medium":
        words = np.where(np.abs(bearing) >= BACK_DEG, "back", words)
    elif question.level == "hard":
        words = np.char.add(np.where(np.abs(bearing) < 90.0, "front-", "back-"), words)
    names, counts = np.unique(words, return_counts=True)
    ranked = sorted(zip(counts.tolist(), names.tolist(), strict=True), key=lambda p: (-p[0], p[1]))
    what = f"direction of {question.target.noun}"
    for count, word in ranked:
        letter = letter_of(question.options, word)
        if letter is not None or not question.options:
            return _choice(word, letter, what, count / NUM_DRAWS)
    return _usual(question, places.priors)


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
