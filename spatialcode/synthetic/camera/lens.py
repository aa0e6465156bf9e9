"""The lens: what is left of its distortion, darker corners, softness."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def sources(K: F64, shape: tuple[int, int], k1: float) -> tuple[F32, F32]:
    """(H,W) x and y shift in pixels from a pixel of the distorted picture to where the pinhole's
    shows the same: along the radius, by ``k1`` r² of it, r in focal lengths.

    Source: Brown, "Close-range camera calibration", 1971, first radial term.
    """
    height, width = shape
    v, u = np.mgrid[0:height, 0:width] + 0.5
    x, y = (u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1]
    bend = k1 * (x * x + y * y)
    return (K[0, 0] * x * bend).astype(np.float32), (K[1, 1] * y * bend).astype(np.float32)


def bent(image: NDArray, shift: tuple[F32, F32], smooth: bool) -> NDArray:
    """A picture (H,W) or (H,W,3) read at every pixel plus its shift; ``smooth`` mixes neighbours.

    Beyond its edge its outermost pixels go on.
    """
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    how = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.remap(
        image, columns + shift[0], rows + shift[1], how, borderMode=cv2.BORDER_REPLICATE
    )


def vignetted(linear: F32, strength: float) -> F32:
    """(H,W,3) darker towards the corners, by ``strength`` there."""
    height, width = linear.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    return np.asarray(linear * (1.0 - strength * (x * x + y * y) / 2)[..., None], np.float32)


def softened(linear: F32, sigma_px: float) -> F32:
    """(H,W,3) out of focus by a Gaussian of ``sigma_px``; as it is for 0."""
    if sigma_px <= 0:
        return linear
    return np.asarray(cv2.GaussianBlur(linear, (0, 0), sigma_px), np.float32)
