"""A code prepared for many questions: arrays and pairwise distances, computed once."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.boxes import Boxes, box_distance
from spatialcode.scene.schema import SceneObject, SpatialCode

Floats = NDArray[np.float64]

#: Codes whose index is kept: questions come sorted by room, rarely interleaved over more.
_KEPT = 64


class SceneIndex:
    """Arrays over a code's objects, in their order. Rows are found by ``row[object_id]``."""

    def __init__(self, code: SpatialCode) -> None:
        self.code = code
        self.objects: tuple[SceneObject, ...] = code.objects
        self.row = {item.id: n for n, item in enumerate(code.objects)}
        self.boxes = Boxes.of(code.objects)

    @classmethod
    def of(cls, code: SpatialCode) -> SceneIndex:
        """The index of a code, made once while it is among the codes last asked about."""
        key = id(code)
        kept = _CACHE.get(key)
        if kept is not None:  # it holds the code alive, so the identity is still the code's
            _CACHE.move_to_end(key)
            return kept
        _CACHE[key] = index = cls(code)
        while len(_CACHE) > _KEPT:
            _CACHE.popitem(last=False)
        return index

    @cached_property
    def distances_m(self) -> Floats:
        """(N, N) smallest distances between boxes; zeros on the diagonal."""
        num = len(self.objects)
        result = np.zeros((num, num))
        rows, columns = np.triu_indices(num, 1)
        if len(rows):
            result[rows, columns] = box_distance(self.boxes[rows], self.boxes[columns])
        return result + result.T

    @cached_property
    def corners_m(self) -> Floats:
        """(N, 8, 3) corners of the boxes."""
        return self.boxes.corners()

    def distance_m(self, a_id: str, b_id: str) -> float:
        """Smallest distance between two objects' boxes, by id."""
        return float(self.distances_m[self.row[a_id], self.row[b_id]])


_CACHE: OrderedDict[int, SceneIndex] = OrderedDict()
