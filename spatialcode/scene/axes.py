"""Which way is up in boxes that others publish, and which of their three extents is which.

Detection answers only where the data leave no doubt; a FormatError asks for a statement elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError

Floats = NDArray[np.float64]
Axis = Literal["x", "y", "z"]
#: Index among the three published numbers of the box's x, y and z extent.
AxisOrder = tuple[int, int, int]

AXES: tuple[Axis, ...] = get_args(Axis)
#: Heights (metres) of things whose height varies little: they tell which extent is vertical.
_HEIGHTS_M = {
    "door": 2.0, "chair": 0.9, "table": 0.75, "refrigerator": 1.7, "sofa": 0.85, "window": 1.2,
    "bed": 0.9, "nightstand": 0.6, "trash bin": 0.4, "toilet": 0.75, "bookshelf": 1.7,
}  # fmt: skip
#: How much better (median absolute log error) the best reading must be than the next.
_CLEAR_LOG = 0.1
#: How much straighter (mean tilt) boxes must stand along the best axis than along the next.
_CLEAR_DEG = 2.0
_MIN_KNOWN = 5


@dataclass(frozen=True)
class DetectedAxes:
    """What was detected: ``order``, ``up``; how clear the order was, and from how many boxes."""

    order: AxisOrder
    up: Axis
    lead: float
    num_boxes: int


def detect_up(rotations: Floats) -> Axis:
    """The world axis along which boxes stand: most things have one axis upright.

    ``rotations`` (N, 3, 3), the columns the box axes in the published world. FormatError for
    fewer than five boxes, and where all of them are parallel to more than one world axis.
    """
    if len(rotations) < _MIN_KNOWN:
        raise FormatError(f"up: expected {_MIN_KNOWN} boxes to detect it from, got {len(rotations)}"
                          "; state it")  # fmt: skip
    straight = np.clip(np.abs(rotations).max(axis=2), 0.0, 1.0)
    tilts_deg = np.degrees(np.arccos(straight)).mean(axis=0)
    best, second, _ = np.argsort(tilts_deg)
    if tilts_deg[second] - tilts_deg[best] < _CLEAR_DEG:
        raise FormatError(f"up: boxes stand along no axis clearly (mean tilts {tilts_deg.round(1)} "
                          "degrees from x, y, z); state it")  # fmt: skip
    return AXES[best]


def detect_order(
    labels: Sequence[str], extents_m: Floats, rotations: Floats, up: Axis
) -> DetectedAxes:
    """Which published extent is which, from the heights of things of known height.

    ``extents_m`` (N, 3) as published. Only the vertical one shows; the other two are taken to
    keep their cyclic order: with the second one vertical, (a, b, c) are read as (c, a, b).
    FormatError where fewer than five things are known or two readings fit.
    """
    known = np.array([label in _HEIGHTS_M for label in labels], dtype=bool)
    if known.sum() < _MIN_KNOWN:
        raise FormatError(f"axis order: expected {_MIN_KNOWN} things of known height, got "
                          f"{known.sum()}; state it")  # fmt: skip
    heights = np.log([_HEIGHTS_M[label] for label in labels if label in _HEIGHTS_M])
    upright = np.abs(rotations[known, AXES.index(up)]).argmax(axis=1)
    rows = np.arange(len(upright))
    logs = np.log(np.maximum(extents_m[known], 0.01))
    # shifted by k, box axis i has the extent published at i + k
    errors = [
        float(np.median(np.abs(logs[rows, (upright + k) % 3] - heights))) for k in range(3)
    ]  # fmt: skip
    best, second, _ = np.argsort(errors)
    lead = errors[second] - errors[best]
    if lead < _CLEAR_LOG:
        raise FormatError("axis order: no extent is clearly the vertical one (errors "
                          f"{np.round(errors, 2)}); state it")  # fmt: skip
    shift = int(best)
    return DetectedAxes((shift, (shift + 1) % 3, (shift + 2) % 3), up, lead, len(upright))


def to_z_up(vectors: Floats, up: Axis) -> Floats:
    """World vectors (..., 3) in a world whose z is up: a cyclic change of axes, so a rotation."""
    # (y, z, x) puts x last, (z, x, y) puts y last
    return vectors[..., {"x": [1, 2, 0], "y": [2, 0, 1], "z": [0, 1, 2]}[up]]


def standing_axes(axes: Floats, size: Floats) -> tuple[Floats, Floats]:
    """The same box with its axes renamed, so that its z is the one nearest to world z, and up.

    ``axes`` (3, 3) unit axes as rows, ``size`` (3,). The other two keep their cyclic order.
    """
    vertical = int(np.abs(axes[:, 2]).argmax())
    order = [(vertical + 1) % 3, (vertical + 2) % 3, vertical]
    axes, size = axes[order], size[order]
    if axes[2, 2] < 0.0:  # turned about its x, a box is the same box
        axes = axes * np.array([[1.0], [-1.0], [-1.0]])
    if np.linalg.det(axes) < 0.0:  # a box is its own mirror image
        axes = axes * np.array([[-1.0], [1.0], [1.0]])
    return axes, size
