"""Reading the predicted depth grid at pixels, with the doubt that depth edges add."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sample_log_depth(
    log_depth: Array, frame: NDArray[np.int64], pixel_px: Array, stride_px: float
) -> tuple[Array, Array]:
    """Log depth (P,) bilinearly at pixels (P,2) of frames (P,), and its spread (P,) there.

    ``log_depth`` (N,h,w) holds cells of ``stride_px`` pixels. The spread is half the range of
    the four cells around: on a depth edge the interpolated value belongs to neither side.
    """
    _, h, w = log_depth.shape
    at = pixel_px / stride_px - 0.5
    column = np.clip(at[:, 0], 0, w - 1)
    row = np.clip(at[:, 1], 0, h - 1)
    c0 = np.minimum(column.astype(int), max(w - 2, 0))
    r0 = np.minimum(row.astype(int), max(h - 2, 0))
    c1, r1 = np.minimum(c0 + 1, w - 1), np.minimum(r0 + 1, h - 1)
    a, b = column - c0, row - r0
    corner = np.stack([log_depth[frame, r, c] for r in (r0, r1) for c in (c0, c1)])
    weight = np.stack([(1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a])
    return (weight * corner).sum(0), np.ptp(corner, axis=0) / 2
