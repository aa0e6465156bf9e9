"""From light to 8 bits: a film-like curve, gamma, and the sharpening that phones add."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

#: Values of light in the table, and the brightest that it holds.
_STEPS, _BRIGHTEST = 4096, 8.0


def curve(light: F32, gamma: float, contrast: float) -> F32:
    """Linear light to [0, 1]: a shoulder for highlights, then gamma, then an S of ``contrast``."""
    # the shoulder of Hable's curve, simplified so that 1 becomes 0.8
    shoulder = light * (1 + light / 16) / (1 + light * 0.33)
    shown = np.clip(shoulder, 0, 1) ** (1 / gamma)
    s = shown * shown * (3 - 2 * shown)
    return np.asarray(shown * (1 - contrast) + s * contrast, np.float32)


def toned(linear: F32, gamma: float, contrast: float) -> U8:
    """(H,W,3) 8-bit picture of linear light; a table is many times faster than powers."""
    table = curve(np.linspace(0, _BRIGHTEST, _STEPS, dtype=np.float32), gamma, contrast)
    index = np.clip(linear * ((_STEPS - 1) / _BRIGHTEST), 0, _STEPS - 1).astype(np.uint16)
    return (table * 255 + 0.5).astype(np.uint8)[index]


def sharpened(image: U8, amount: float) -> U8:
    """(H,W,3) with edges overdrawn by ``amount``."""
    if amount <= 0:
        return image
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)
