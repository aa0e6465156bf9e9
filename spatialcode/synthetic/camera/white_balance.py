"""White balance: a camera's guess at the colour of the light, and what it gets wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def grey_world_gains(linear: F32, strength: float) -> F32:
    """(3,) gains that bring the mean colour of (H,W,3) ``strength`` of the way to grey.

    Source: Buchsbaum, "A spatial processor model for object colour perception", 1980.
    """
    mean = np.asarray(np.minimum(linear[::2, ::2], 4.0).mean(axis=(0, 1)), np.float32)
    gains = (mean[1] / np.maximum(mean, 1e-5)) ** np.float32(strength)
    return np.asarray(np.clip(gains, 0.4, 2.5), np.float32)


def balanced(linear: F32, gains: F32) -> F32:
    """(H,W,3) with each channel multiplied by its gain."""
    return np.asarray(linear * gains, np.float32)
