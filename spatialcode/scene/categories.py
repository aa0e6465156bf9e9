"""The categories that the small encoder knows, and what geometry each one implies.

All labels are VSI-Bench's own. Which way a category faces and which turns about the
vertical leave it unchanged decide what an orientation error means, so both the
training targets and the metrics read them from here.

The symmetries: ``full`` is the whole turn only, ``half`` also 180°, ``quarter`` also 90° with the x
and y extents exchanged, ``round`` every turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatialcode.errors import SchemaError

Mount = Literal["floor", "wall", "surface"]
YawSymmetry = Literal["full", "half", "quarter", "round"]

#: Wall-mounted things are rectangles on a wall. Their boxes get this thickness (metres),
#: centred on the wall's face, so that overlap is defined and degrades smoothly.
WALL_BOX_THICKNESS_M = 0.20


@dataclass(frozen=True)
class Category:
    """One object category.

    ``mount``: what usually carries it. ``has_front``: its box's +y is its front.
    ``yaw_symmetry``: turns about +z that leave the *box* convention unchanged: ``full``
    none (it has a front), ``half`` 180°, ``quarter`` 90° with x and y exchanged,
    ``round`` any.
    """

    label: str
    mount: Mount
    has_front: bool
    yaw_symmetry: YawSymmetry


CATEGORIES: tuple[Category, ...] = (
    Category("chair", "floor", True, "full"),
    Category("table", "floor", False, "half"),
    Category("sofa", "floor", True, "full"),
    Category("bed", "floor", True, "full"),
    Category("tv", "wall", True, "full"),
    Category("door", "wall", True, "full"),
    Category("window", "wall", True, "full"),
    Category("stool", "floor", False, "round"),
    Category("trash bin", "floor", False, "round"),
    Category("pillow", "surface", False, "half"),
    Category("refrigerator", "floor", True, "full"),
    Category("toilet", "floor", True, "full"),
    Category("stove", "floor", True, "full"),
    Category("bathtub", "floor", False, "half"),
    Category("washer", "floor", True, "full"),
    Category("lamp", "floor", False, "round"),
    Category("bookshelf", "floor", True, "full"),
    Category("nightstand", "floor", True, "full"),
)

LABELS: tuple[str, ...] = tuple(category.label for category in CATEGORIES)
LABEL_INDEX: dict[str, int] = {label: i for i, label in enumerate(LABELS)}

#: Dense class channels after the object categories.
STRUCTURE_LABELS: tuple[str, ...] = ("floor", "wall", "ceiling")


_PERIOD_RAD: dict[str, float] = {
    "full": 2.0 * np.pi,
    "half": np.pi,
    "quarter": np.pi / 2.0,
    "round": 0.0,
}

Symmetries = YawSymmetry | Sequence[YawSymmetry]


def wrap_yaw(yaw_rad: ArrayLike, period_rad: ArrayLike = 2.0 * np.pi) -> NDArray[np.float64]:
    """The equal angle in (-period/2, period/2]; 0 where the period is 0. Broadcasts."""
    yaw, period = np.broadcast_arrays(np.asarray(yaw_rad, float), np.asarray(period_rad, float))
    safe = np.where(period > 0.0, period, 1.0)
    return np.where(period > 0.0, yaw - safe * np.ceil(yaw / safe - 0.5), 0.0) + 0.0


def yaw_error(
    predicted_rad: ArrayLike, true_rad: ArrayLike, symmetry: Symmetries
) -> NDArray[np.float64]:
    """Smallest absolute turn between two yaws, in [0, period/2] radians. Broadcasts.

    ``symmetry``: one name, or one per element of the last axis.
    """
    difference = np.asarray(predicted_rad, float) - np.asarray(true_rad, float)
    return np.abs(wrap_yaw(difference, _periods(symmetry)))


def canonical_yaw(
    yaw_rad: ArrayLike, size_m: ArrayLike, symmetry: Symmetries
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The one (yaw, size) that stands for all equal boxes: (...) and (..., 3).

    Yaw lies in (-period/2, period/2]; ``quarter`` exchanges the x and y extents at odd
    quarter-turns; ``round`` has yaw 0 and keeps its extents.
    """
    yaw, size = np.asarray(yaw_rad, float), np.asarray(size_m, float)
    period = _periods(symmetry)
    wrapped = wrap_yaw(yaw, period)
    turns = np.rint((yaw - wrapped) / (np.pi / 2.0)).astype(np.int64)
    exchange = (turns % 2 == 1) & np.isclose(period, _PERIOD_RAD["quarter"])
    return wrapped, np.where(exchange[..., None], size[..., [1, 0, 2]], size)


def _periods(symmetry: Symmetries) -> NDArray[np.float64]:
    names = [symmetry] if isinstance(symmetry, str) else list(symmetry)
    for name in names:
        if name not in _PERIOD_RAD:
            raise SchemaError("symmetry", "one of " + ", ".join(_PERIOD_RAD), name)
    periods = np.array([_PERIOD_RAD[name] for name in names])
    return periods[0] if isinstance(symmetry, str) else periods
