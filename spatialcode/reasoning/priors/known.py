"""What is known of rooms and questions before a code is looked at.

Plain numbers, fitted by `fit` on other rooms than those that are asked about. The default priors
are fitted on nothing: they guess typical values for homes, and correct nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from spatialcode.errors import FormatError, InputError
from spatialcode.files import write_json
from spatialcode.questions.names import canonical

FORMAT = "spatialcode-priors/1"
_REGRESSIONS = ("area_of_extent", "distance_of_extent", "size_of_size", "distance_of_distance")

#: Where a thing's centre is in a room: share of the half extents (-1 to 1), and metres beyond them,
#: along the room's two sides; and how much this sample counts.
Place = tuple[float, float, float, float, float]


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
    rooms. ``answers``: the most frequent option words by family. ``turns``: how often a route's
    turn is "first left", … "later back": routes that people take seldom turn back on the way.
    ``typical_…``: longest extent, floor area, distance of two things and count of a kind, where
    nothing closer is known.

    Regressions, None where not fitted: ``area_of_extent`` (room area from the area of the rectangle
    around all things), ``distance_of_extent`` (for a missing thing). Corrections of a perceiver's
    habits, None where its codes are taken as they are: ``size_of_size`` (its log size, log prior),
    ``distance_of_distance`` (log of its distance + 0.5 m); ``least_count``: the smallest count that
    is ever asked for.
    """

    size_m: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[str, Sequence[Place]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    turns: Mapping[str, float] = field(default_factory=dict)
    typical_size_m: float = 0.8
    typical_area_m2: float = 20.0
    typical_distance_m: float = 2.0
    typical_count: int = 2
    least_count: int = 0
    area_of_extent: LogLinear | None = None
    distance_of_extent: LogLinear | None = None
    size_of_size: LogLinear | None = None
    distance_of_distance: LogLinear | None = None

    def longest_m(self, noun: str) -> float:
        """Typical longest extent of a kind."""
        return self.size_m.get(canonical(noun), self.typical_size_m)

    def turn_rate(self, turn: str, first: bool) -> float:
        """How often a turn at the start, or later, is this one; a third where nothing is fitted."""
        return self.turns.get(f"{'first' if first else 'later'} {turn}", 1.0 / 3.0)

    def places_of(self, noun: str) -> Sequence[Place]:
        """Where things of that kind stand; those of all kinds where it was seen too rarely."""
        return (
            self.places.get(canonical(noun)) or self.places.get("") or ((0.0, 0.0, 0.0, 0.0, 1.0),)
        )


def thinned(priors: Priors, max_places: int) -> Priors:
    """The same with at most so many places of each kind, taken evenly, coordinates in cm."""
    places = {}
    for kind, found in priors.places.items():
        step = max(1.0, len(found) / max_places)
        kept = [found[int(n * step)] for n in range(min(max_places, len(found)))]
        places[kind] = [_rounded(place) for place in kept]
    return replace(priors, places=places)


def _rounded(place: Place) -> Place:
    a, b, c, d, weight = (round(value, 2) for value in place)
    return a, b, c, d, weight


def write_priors(priors: Priors, path: str | Path, about: Mapping[str, object]) -> None:
    """Write priors as JSON; ``about`` says what they were fitted on, and how."""
    document = {"format": FORMAT, "about": dict(about), "priors": asdict(priors)}
    write_json(path, document, indent=None, allow_nan=False)


def read_priors(path: str | Path) -> Priors:
    """The inverse of `write_priors`. InputError where there is no file, FormatError for another."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"priors: cannot read {path}: {error}") from error
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise FormatError(f"{path}: format: expected {FORMAT!r}, got {document['format']!r}")
        values = dict(document["priors"])
        for name in _REGRESSIONS:
            if values[name] is not None:
                weights = tuple(values[name]["weights"])
                values[name] = LogLinear(values[name]["intercept"], weights)
        places = values["places"].items()
        values["places"] = {kind: [tuple(place) for place in found] for kind, found in places}
        return Priors(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: expected priors as {FORMAT}; {error!r}") from error
