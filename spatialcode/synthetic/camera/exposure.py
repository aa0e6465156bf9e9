"""Exposure: how much of the light a camera lets in, and its slow way to the right amount."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

#: Luminance of linear RGB. Source: ITU-R BT.709.
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
#: Lights brighter than this many times the median count as no brighter.
_HIGHLIGHT = 6.0


def metered(linear: F32, aim: float) -> float:
    """Gain that brings the mean luminance of (H,W,3) to ``aim``; bright windows count little."""
    light = linear[::2, ::2] @ LUMINANCE
    capped = np.minimum(light, _HIGHLIGHT * float(np.median(light)) + 1e-4)
    return aim / max(1e-4, float(capped.mean()))


def adapted(gain: float | None, wanted: float, rate: float) -> float:
    """The next frame's gain: ``rate`` of the way from the last one to the wanted one, in stops."""
    return wanted if gain is None else float(gain * (wanted / gain) ** rate)
