"""A code prepared for many questions: arrays and pairwise distances, computed once."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.boxes import Boxes, box_distance, iou, volume
from spatialcode.scene.schema import SceneObject, SpatialCode

Floats = NDArray[np.float64]

#: Codes whose index is kept: questions come sorted by room, rarely interleaved over more.
_KEPT = 64
#: Two boxes that share so much of their common volume stand for one thing, if their kinds agree:
#: the usual border at which a found box is said to be the true one.
TWIN_IOU = 0.5


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
        with _LOCK:  # a service asks from several threads
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

    @cached_property
    def twins(self) -> dict[str, frozenset[str]]:
        """Ids of the objects that overlap an object by an IoU of `TWIN_IOU` or more, by its id.

        Objects without any are left out. Labels are not compared: which of them name one kind of
        thing is not known here.
        """
        rows, columns = np.triu_indices(len(self.objects), 1)
        volumes, reach = volume(self.boxes), np.linalg.norm(self.boxes.size, axis=1) / 2
        # Half of both is common, so each holds the other's centre, and one is at most twice as big.
        apart = np.linalg.norm(self.boxes.center[rows] - self.boxes.center[columns], axis=1)
        least = np.minimum(volumes[rows], volumes[columns])
        near = apart <= np.minimum(reach[rows], reach[columns])
        near &= least >= TWIN_IOU * np.maximum(volumes[rows], volumes[columns])
        rows, columns = rows[near], columns[near]
        found: dict[str, set[str]] = {}
        if len(rows):
            same = iou(self.boxes[rows], self.boxes[columns]) >= TWIN_IOU
            for a, b in zip(rows[same], columns[same], strict=True):
                one, other = self.objects[a].id, self.objects[b].id
                found.setdefault(one, set()).add(other)
                found.setdefault(other, set()).add(one)
        return {name: frozenset(others) for name, others in found.items()}

    def found(self, object_id: str) -> SceneObject | None:
        """The object with that id, else the first with it in other capitals; None: there is none.

        A question may be all in capitals, and its words are read in small letters.
        """
        if object_id in self.row:
            return self.objects[self.row[object_id]]
        folded = object_id.casefold()
        return next((item for item in self.objects if item.id.casefold() == folded), None)

    def distance_m(self, a_id: str, b_id: str) -> float:
        """Smallest distance between two objects' boxes, by id."""
        return float(self.distances_m[self.row[a_id], self.row[b_id]])


_CACHE: OrderedDict[int, SceneIndex] = OrderedDict()
_LOCK = Lock()
