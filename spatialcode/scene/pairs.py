"""Pairs of boxes, each pair in the frame of its first box; how a box's corners are numbered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Signs of the corners along the box's axes: the bottom ring counter-clockwise, then the top.
CORNER_SIGNS = np.array(
    [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1],
     [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], dtype=np.float64
)  # fmt: skip
#: Corners of each face, counter-clockwise seen from outside: -z, +z, -y, +x, +y, -x.
FACES = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
#: Corner pairs of the twelve edges.
EDGES = np.array(
    [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]]
)
#: The box axis that each edge runs along.
EDGE_AXIS = np.array([0, 1, 0, 1, 0, 1, 0, 1, 2, 2, 2, 2])


class Pairs(NamedTuple):
    """N pairs of boxes a, b in the frame of a: its centre is the origin, its axes are x, y, z.

    ``half_a``, ``half_b`` (N, 3): half extents. ``rotation`` (N, 3, 3), ``offset`` (N, 3): axes of
    b (as columns) and its centre.
    """

    half_a: Floats
    half_b: Floats
    rotation: Floats
    offset: Floats

    def take(self, chosen: NDArray[np.bool_]) -> Pairs:
        """The pairs where the mask is set."""
        return Pairs(*(values[chosen] for values in self))

    def axes_b(self) -> Floats:
        """Axes of b as rows (N, 3, 3)."""
        return np.swapaxes(self.rotation, 1, 2)

    def corners_a(self) -> Floats:
        """(N, 8, 3)."""
        return CORNER_SIGNS * self.half_a[:, None]

    def corners_b(self) -> Floats:
        """(N, 8, 3)."""
        return (CORNER_SIGNS * self.half_b[:, None]) @ self.axes_b() + self.offset[:, None]
