"""Where a thing that is missing from a code may be: many possible places, none of them random.

Places are drawn by a low-discrepancy sequence from where the thing's kind stands in other rooms,
laid into this room's rectangle in all eight ways. The rectangle is the smallest around the code's
boxes, seen from above: the room as things show it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.types import Reference
from spatialcode.reasoning.evidence import surest
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.resolve import resolve
from spatialcode.scene.boxes import Boxes, box_distance
from spatialcode.scene.index import SceneIndex

Floats = NDArray[np.float64]

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
