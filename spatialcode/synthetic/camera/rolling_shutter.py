"""Rolling shutter: rows are read one after the other, while the camera turns.

Only turning is modelled: a hand's turning moves a picture more than its going. The middle row is
where the pose says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def rotation_flow(K: F64, shape: tuple[int, int], rate_rad_s: F64) -> tuple[F64, F64]:
    """(H,W) x and y pixels a second that a picture moves under a turning camera.

    ``rate_rad_s`` (3,): the camera's turning in its own coordinates. Source: Longuet-Higgins and
    Prazdny, "The interpretation of a moving retinal image", 1980, rotational part.
    """
    height, width = shape
    v, u = np.mgrid[0:height, 0:width] + 0.5
    x, y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
    wx, wy, wz = rate_rad_s
    return (
        K[0, 0] * (x * y * wx - (1 + x * x) * wy + y * wz),
        K[1, 1] * ((1 + y * y) * wx - x * y * wy - x * wz),
    )


def sources(K: F64, shape: tuple[int, int], rate_rad_s: F64, readout_s: float) -> tuple[F32, F32]:
    """(H,W) x and y shift in pixels from a pixel of the read picture to where the picture of the
    middle row's moment shows the same.
    """
    late = ((np.arange(shape[0]) + 0.5) / shape[0] - 0.5)[:, None] * readout_s
    dx, dy = rotation_flow(K, shape, rate_rad_s)
    return (-dx * late).astype(np.float32), (-dy * late).astype(np.float32)


def turning(before: F64, after: F64, seconds: float) -> F64:
    """(3,) radians a second in the camera's coordinates, between two poses (4,4) to the world."""
    relative = before[:3, :3].T @ after[:3, :3]
    skew = (relative - relative.T) / 2
    axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    sine = float(np.linalg.norm(axis))
    angle = np.arctan2(sine, (np.trace(relative) - 1) / 2)
    return axis / max(sine, 1e-12) * angle / seconds
