"""Oriented boxes: corners, volume, exact distance, exact overlap, for many pairs at once.

A box is its centre (metres), its full extents along its own axes (metres) and its rotation
(quaternion w, x, y, z). "Exact" means up to float64 rounding: no sampling, no iteration that
stops early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatialcode.errors import SchemaError
from spatialcode.scene.frames import canonical_quaternion, matrix_from_quaternion
from spatialcode.scene.pairs import (
    CORNER_SIGNS,
    Floats,
    Pairs,
    common_volume,
    common_volume_upright,
    overlapping,
    separation,
)

#: Pairs worked on together: enough to hide numpy's call overhead, few enough to stay in cache.
_CHUNK = 2048


class BoxLike(Protocol):
    """Anything with a box's three fields: ``SceneObject`` has them."""

    @property
    def center_m(self) -> tuple[float, float, float]: ...
    @property
    def size_m(self) -> tuple[float, float, float]: ...
    @property
    def quaternion_wxyz(self) -> tuple[float, float, float, float]: ...


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes as arrays: ``center`` (N, 3), ``size`` (N, 3) >= 0, ``quaternion`` (N, 4).

    Quaternions are normalised. ``rotation`` (N, 3, 3) is derived: its columns are the box axes
    in the frame of ``center``. SchemaError if a shape or a value does not fit.
    """

    center: Floats
    size: Floats
    quaternion: Floats
    rotation: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        center = _rows("center", self.center, 3)
        size = _rows("size", self.size, 3)
        quaternion = canonical_quaternion(_rows("quaternion", self.quaternion, 4))
        for name, array in (("size", size), ("quaternion", quaternion)):
            if len(array) != len(center):
                raise SchemaError(name, f"{len(center)} rows, as center has", len(array))
        if (size < 0.0).any():
            raise SchemaError("size", "extents >= 0", float(size.min()))
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "quaternion", quaternion)
        object.__setattr__(self, "rotation", matrix_from_quaternion(quaternion))

    @classmethod
    def of(cls, items: Iterable[BoxLike]) -> Boxes:
        """The boxes of scene objects, in their order."""
        listed = list(items)
        return cls(
            np.array([item.center_m for item in listed], dtype=np.float64).reshape(-1, 3),
            np.array([item.size_m for item in listed], dtype=np.float64).reshape(-1, 3),
            np.array([item.quaternion_wxyz for item in listed], np.float64).reshape(-1, 4),
        )

    def __len__(self) -> int:
        return len(self.center)

    def __getitem__(self, index: ArrayLike | slice) -> Boxes:
        """The boxes at an index, slice, mask or array of indices (repeats allowed)."""
        chosen = index if isinstance(index, slice) else np.atleast_1d(np.asarray(index))
        return Boxes(self.center[chosen], self.size[chosen], self.quaternion[chosen])

    def corners(self) -> Floats:
        """(N, 8, 3), in the order of ``CORNER_SIGNS``."""
        return corners(self.center, self.size, self.quaternion)

    def upright(self) -> NDArray[np.bool_]:
        """(N,): turned about z only."""
        return (self.quaternion[:, 1] == 0.0) & (self.quaternion[:, 2] == 0.0)


def corners(center: ArrayLike, size: ArrayLike, quaternion: ArrayLike) -> Floats:
    """Corners (..., 8, 3) of boxes (..., 3), (..., 3), (..., 4), in ``CORNER_SIGNS`` order."""
    offsets = CORNER_SIGNS * (0.5 * np.asarray(size, np.float64)[..., None, :])
    rotation = matrix_from_quaternion(quaternion)
    turned = offsets @ np.swapaxes(rotation, -1, -2)
    return turned + np.asarray(center, np.float64)[..., None, :]


def volume(boxes: Boxes) -> Floats:
    """(N,) cubic metres."""
    return np.prod(boxes.size, axis=1)


def box_distance(a: Boxes, b: Boxes) -> Floats:
    """Smallest distance (N,) in metres between solids; 0 if they touch or overlap.

    Row n of ``a`` against row n of ``b``; a single box stands for any number.
    """
    return _by_chunks(_distance, *_paired(a, b))


def intersection_volume(a: Boxes, b: Boxes) -> Floats:
    """Common volume (N,) in cubic metres. Pairs as in ``box_distance``."""
    return _by_chunks(_intersection, *_paired(a, b))


def iou(a: Boxes, b: Boxes) -> Floats:
    """Intersection over union (N,) in [0, 1]; 0 where both have no volume."""
    a, b = _paired(a, b)
    return _ratio(intersection_volume(a, b), volume(a), volume(b))


def iou_matrix(a: Boxes, b: Boxes) -> Floats:
    """IoU of every box of ``a`` with every one of ``b``: (len(a), len(b)).

    Only pairs whose bounding boxes overlap are clipped.
    """
    low_a, high_a = _bounds(a)
    low_b, high_b = _bounds(b)
    near = np.ones((len(a), len(b)), dtype=bool)
    for axis in range(3):
        near &= low_a[:, None, axis] < high_b[None, :, axis]
        near &= low_b[None, :, axis] < high_a[:, None, axis]
    rows, columns = np.nonzero(near)
    result = np.zeros((len(a), len(b)))
    if len(rows):
        result[rows, columns] = iou(a[rows], b[columns])
    return result


def _bounds(boxes: Boxes) -> tuple[Floats, Floats]:
    reach = np.einsum("nij,nj->ni", np.abs(boxes.rotation), 0.5 * boxes.size)
    return boxes.center - reach, boxes.center + reach


def _ratio(common: Floats, volume_a: Floats, volume_b: Floats) -> Floats:
    union = volume_a + volume_b - common
    return np.clip(common / np.where(union > 0.0, union, 1.0), 0.0, 1.0)


def _paired(a: Boxes, b: Boxes) -> tuple[Boxes, Boxes]:
    if len(a) == len(b):
        return a, b
    if len(a) == 1:
        return a[np.zeros(len(b), dtype=np.intp)], b
    if len(b) == 1:
        return a, b[np.zeros(len(a), dtype=np.intp)]
    raise SchemaError("b", f"{len(a)} boxes, as a has, or one", len(b))


def _by_chunks(function: Callable[[Boxes, Boxes], Floats], a: Boxes, b: Boxes) -> Floats:
    parts = [slice(i, i + _CHUNK) for i in range(0, len(a), _CHUNK)]
    return np.concatenate([np.zeros(0), *(function(a[part], b[part]) for part in parts)])


def _pairs(a: Boxes, b: Boxes) -> Pairs:
    to_a = np.swapaxes(a.rotation, 1, 2)
    offset = np.einsum("nij,nj->ni", to_a, b.center - a.center)
    return Pairs(0.5 * a.size, 0.5 * b.size, to_a @ b.rotation, offset)


def _distance(a: Boxes, b: Boxes) -> Floats:
    return separation(_pairs(a, b))


def _intersection(a: Boxes, b: Boxes) -> Floats:
    pairs = _pairs(a, b)
    # Ten times quicker to test than to clip, and disjoint boxes get exactly zero.
    common = overlapping(pairs)
    upright = a.upright() & b.upright()
    result = np.zeros(len(a))
    for function, chosen in (
        (common_volume, common & ~upright),
        (common_volume_upright, common & upright),
    ):
        if chosen.any():
            result[chosen] = function(pairs.take(chosen))
    return np.minimum(result, np.minimum(volume(a), volume(b)))


def _rows(name: str, value: ArrayLike, width: int) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != width:
        raise SchemaError(name, f"an array of shape (N, {width})", array.shape)
    if not np.isfinite(array).all():
        raise SchemaError(name, "finite numbers", float(array[~np.isfinite(array)][0]))
    return array
