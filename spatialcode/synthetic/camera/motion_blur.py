"""Motion blur: the picture moves while the shutter is open."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

#: Shorter streaks than this cannot be seen.
_LEAST_PX = 0.6


def blurred(linear: F32, shift_px: tuple[float, float]) -> F32:
    """(H,W,3) averaged along a straight way of ``shift_px`` (x, y) about each pixel."""
    length = float(np.hypot(*shift_px))
    if length < _LEAST_PX:
        return linear
    return np.asarray(cv2.filter2D(linear, -1, streak(shift_px)), np.float32)


def streak(shift_px: tuple[float, float]) -> F32:
    """The kernel of a straight way, of sum 1."""
    reach = int(np.ceil(max(abs(shift_px[0]), abs(shift_px[1])) / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for s in np.linspace(-0.5, 0.5, 8 * reach + 1):
        x, y = reach + s * shift_px[0], reach + s * shift_px[1]
        i, j = int(np.floor(y)), int(np.floor(x))
        p, q = y - i, x - j
        for di, dj, share in ((0, 0, (1 - p) * (1 - q)), (0, 1, (1 - p) * q),
                              (1, 0, p * (1 - q)), (1, 1, p * q)):  # fmt: skip
            kernel[min(i + di, 2 * reach), min(j + dj, 2 * reach)] += share
    return kernel / kernel.sum()
