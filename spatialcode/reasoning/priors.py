"""What is known of rooms and questions before a code is looked at.

Plain numbers, fitted by `fit` on rooms that are not those being answered about. Default-made
priors know nothing of any room: they guess the middle of what people live in, and correct nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spatialcode.questions.names import canonical

#: Where a thing's centre is in a room: share of the half extents (-1 to 1), and metres beyond them,
#: along the room's two sides; and how much this sample counts.
Place = tuple[float, float, float, float, float]

#: Longest extent of an unknown thing, floor area, distance of two things: where nothing is fitted.
_ANY_SIZE_M, _ANY_AREA_M2, _ANY_DISTANCE_M = 0.8, 20.0, 2.0


@dataclass(frozen=True)
class LogLinear:
    """log(value) = intercept + weights · features; features are logarithms themselves."""

    intercept: float
    weights: tuple[float, ...] = ()

    def value(self, *features: float) -> float:
        """The predicted value, always positive."""
        terms = zip(self.weights, features, strict=True)
        return math.exp(self.intercept + sum(weight * feature for weight, feature in terms))


@dataclass(frozen=True)
class Priors:
    """``size_m``: typical longest extent by canonical kind. ``places``: where kinds stand in their
    rooms. ``answers``: the most frequent option words by family.

    Regressions, None where not fitted: ``area_of_extent`` (room area from the area of the
    rectangle around all
    things), ``distance_of_extent`` (for a missing thing). Corrections of a perceiver's habits, None
    where its codes are taken as they are: ``size_of_size`` (its log size, log prior),
    ``distance_of_distance``
    (log of its distance + 0.5 m); ``least_count``: the smallest count that is ever asked for.
    """

    size_m: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[str, Sequence[Place]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    typical_size_m: float = _ANY_SIZE_M
    typical_area_m2: float = _ANY_AREA_M2
    typical_distance_m: float = _ANY_DISTANCE_M
    typical_count: int = 2
    least_count: int = 0
    area_of_extent: LogLinear | None = None
    distance_of_extent: LogLinear | None = None
    size_of_size: LogLinear | None = None
    distance_of_distance: LogLinear | None = None

    def longest_m(self, noun: str) -> float:
        """Typical longest extent of a kind."""
        return self.size_m.get(canonical(noun), self.typical_size_m)

    def places_of(self, noun: str) -> Sequence[Place]:
        """Where things of that kind stand; those of all kinds where it was seen too rarely."""
        return (
            self.places.get(canonical(noun)) or self.places.get("") or ((0.0, 0.0, 0.0, 0.0, 1.0),)
        )
