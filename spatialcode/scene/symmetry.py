"""What an orientation error means, given the turns about +z that leave a box as it is.

The symmetries are those of ``scene/categories.py``: ``full`` only the whole turn, ``half`` also
180°, ``quarter`` also 90° with the x and y extents exchanged, ``round`` every turn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatialcode.errors import SchemaError
from spatialcode.scene.categories import YawSymmetry

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
