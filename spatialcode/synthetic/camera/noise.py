"""Noise of a sensor: of the light itself, and of reading it out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def noisy(linear: F32, photons: float, read: float, rng: np.random.Generator) -> F32:
    """(H,W,3) with noise of variance light / ``photons`` + ``read``²; none for 0 photons.

    ``photons``: how many a white pixel collects. Source: Foi et al., "Practical
    Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008, eq. 3.
    """
    if photons <= 0:
        return linear
    grain = np.empty(linear.shape, np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(grain, np.zeros(3), np.ones(3))
    spread = np.sqrt(np.maximum(linear, 0) / photons + read * read)
    return np.asarray(linear + grain * spread, np.float32)
