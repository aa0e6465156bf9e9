"""The smallest rectangle around a code's boxes, seen from above: the room as things show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
