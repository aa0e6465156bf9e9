"""Fitting priors on rooms with annotated boxes and questions with answers.

What a fit is used on must not be among its rooms; `room_group` says which scans are of one room.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spatialcode.questions.names import canonical
from spatialcode.questions.parse import parse
from spatialcode.questions.types import (
    NUMERIC_FAMILIES,
    TURNS,
    AbsoluteDistance,
    Blank,
    ObjectSize,
    Question,
    QuestionItem,
    RoutePlanning,
)
from spatialcode.reasoning import grounded
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.priors.guesses import DISTANCE_OFFSET_M
from spatialcode.reasoning.priors.known import LogLinear, Place, Priors
from spatialcode.reasoning.priors.room_extent import Extent
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

#: A kind needs so many examples before its own places are used.
_MIN_PLACES = 5
_MIN_OBJECTS = 4
#: Strength of the pull of regression weights to zero, in units of standardised samples.
_RIDGE = 1.0
_PER_METRE = {"m": 1.0, "cm": 100.0}
_SHIFTS = np.linspace(-0.6, 0.6, 61)


def room_group(scene: str) -> str:
    """The physical room of a scan: ScanNet's ``scene0651_02`` is a scan of ``scene0651``."""
    found = re.match(r"^(scene\d{4})_\d\d$", scene)
    return found[1] if found else scene


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
    asked = [(i, q) for i, q in read if not (i.options and q.family in NUMERIC_FAMILIES)]
    truth = {family: _truths(asked, family) for family in NUMERIC_FAMILIES}
    seen = rooms if perceived is None else {s: c for s, c in perceived.items() if s in rooms}
    sizes = _sizes(asked)
    fitted: dict[str, Any] = {
        "size_m": sizes,
        "places": _places(rooms),
        "answers": _usual_answers(asked),
        "turns": _turn_rates(asked),
        "area_of_extent": _of_extent(asked, seen, "room_size_estimation"),
        "distance_of_extent": _of_extent(asked, seen, "object_abs_distance"),
    }
    for name, family in (
        ("typical_size_m", "object_size_estimation"),
        ("typical_area_m2", "room_size_estimation"),
        ("typical_distance_m", "object_abs_distance"),
        ("typical_count", "object_counting"),
    ):
        # what is 0 has no logarithm, and no guess comes near it
        positive = [value for value in truth[family] if value > 0.0]
        if positive:
            fitted[name] = _best(np.log(positive))
    if "typical_count" in fitted:
        fitted["typical_count"] = round(fitted["typical_count"])
    if perceived is not None:
        fitted["least_count"] = int(min(truth["object_counting"], default=0))
        fitted["size_of_size"] = _size_correction(asked, seen, sizes)
        fitted["distance_of_distance"] = _distance_correction(asked, seen)
    return Priors(**fitted)


Asked = Sequence[tuple[QuestionItem, Question]]


def _truths(asked: Asked, family: str) -> list[float]:
    return [_metres(item, question) for item, question in asked if question.family == family]


def _metres(item: QuestionItem, question: Question) -> float:
    """The true number, lengths in metres."""
    unit = question.unit if isinstance(question, ObjectSize | AbsoluteDistance) else ""
    return float(item.ground_truth) / _PER_METRE.get(unit, 1.0)


def _sizes(asked: Asked) -> dict[str, float]:
    """Typical longest extent by kind, in metres, drawn toward that of all kinds."""
    logs = defaultdict(list)
    for item, question in asked:
        if isinstance(question, ObjectSize) and _metres(item, question) > 0.0:
            logs[canonical(question.target.noun)].append(math.log(_metres(item, question)))
    everything = [value for values in logs.values() for value in values]
    if not everything:
        return {}
    middle = float(np.mean(everything))
    return {kind: math.exp((sum(v) + middle) / (len(v) + 1)) for kind, v in logs.items()}


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


def _turn_rates(asked: Asked) -> dict[str, float]:
    """Rates of turns at the start of routes and on the way; each counted once more than seen."""
    seen: Counter[str] = Counter()
    for item, question in asked:
        if not isinstance(question, RoutePlanning):
            continue
        words = next((o.text for o in question.options if o.letter == item.ground_truth), "")
        for n, turn in enumerate(re.findall("|".join(TURNS), words.lower())):
            first = n == 0 and isinstance(question.steps[0], Blank)
            seen[f"{'first' if first else 'later'} {turn}"] += 1
    rates: dict[str, float] = {}
    for place in ("first", "later") if seen else ():
        total = sum(seen[f"{place} {turn}"] + 1 for turn in TURNS)
        rates |= {f"{place} {turn}": (seen[f"{place} {turn}"] + 1) / total for turn in TURNS}
    return rates


def _of_extent(asked: Asked, codes: Mapping[str, SpatialCode], family: str) -> LogLinear | None:
    features, truths = [], []
    for item, question in asked:
        if question.family == family and item.scene in codes and codes[item.scene].objects:
            extent = Extent.around(SceneIndex.of(codes[item.scene]).corners_m)
            features.append([math.log(extent.area_m2() + 1.0)])
            truths.append(_metres(item, question))
    return _regress(features, truths)


def _size_correction(
    asked: Asked, codes: Mapping[str, SpatialCode], sizes: Mapping[str, float]
) -> LogLinear | None:
    features, truths = [], []
    for item, question in asked:
        if isinstance(question, ObjectSize) and item.scene in codes:
            answer = grounded.object_size(question, SceneIndex.of(codes[item.scene]))
            prior = sizes.get(canonical(question.target.noun))
            if answer is not None and isinstance(answer.value, float) and prior is not None:
                scale = _PER_METRE[question.unit]
                features.append([math.log(answer.value / scale), math.log(prior)])
                truths.append(_metres(item, question))
    return _regress(features, truths)


def _distance_correction(asked: Asked, codes: Mapping[str, SpatialCode]) -> LogLinear | None:
    features, truths = [], []
    for item, question in asked:
        if isinstance(question, AbsoluteDistance) and item.scene in codes:
            answer = grounded.absolute_distance(question, SceneIndex.of(codes[item.scene]))
            if answer is not None and isinstance(answer.value, float):
                scale = _PER_METRE[question.unit]
                features.append([math.log(answer.value / scale + DISTANCE_OFFSET_M)])
                truths.append(_metres(item, question))
    return _regress(features, truths)


def _regress(features: list[list[float]], truths: list[float]) -> LogLinear | None:
    """Ridge regression in logarithms, then shifted to where mean relative accuracy is best.

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
    shift = math.log(_best(y - intercept - x @ weights))
    return LogLinear(intercept + shift, tuple(weights.tolist()))


def _best(logs: Any) -> float:
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
