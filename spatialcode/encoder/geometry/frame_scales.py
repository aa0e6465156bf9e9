"""One scale for the depth of all frames of a window.

A network scales each frame's depth a little differently. Where two frames see the same surface, the
ratio of what one shows to what the other predicts for it tells how their scales differ; all those
ratios together, and the belief that no frame is far off, give each frame's own.

Source: none.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Frames between those that are compared.
_STEPS = (1, 2, 4, 8, 16)
#: Pixels between those that are compared, along each axis of a picture 160 pixels wide.
_GRID = 4
#: Pairs with fewer common points are left out.
_MIN_POINTS = 80
#: Ratios further off than this show another surface.
_MAX_LOG_RATIO = 0.3
#: Standard deviation of a pair's ratio, beside which the prior on scales stands.
_PAIR_SIGMA = 0.01


def frame_log_scales(
    depth_m: Float[np.ndarray, "n h w"],
    K: Float[np.ndarray, "n 3 3"],
    T_world_camera: Float[np.ndarray, "n 4 4"],
    sigma: float,
    known: Float[np.ndarray, " k"],
) -> Float[np.ndarray, " n"]:
    """The log of each frame's scale: depth divided by its exponential agrees between frames.

    ``K`` belongs to the depth maps. ``sigma``: standard deviation of the log scales, as the
    source of depth states it. ``known``: log scales of the first k frames, found before;
    empty where none is.
    """
    num = len(depth_m)
    rows = [_pair(depth_m, K, T_world_camera, a, a + step)
            for a in range(num) for step in _STEPS if a + step < num]  # fmt: skip
    pairs = [row for row in rows if row is not None]
    num_known = len(known)
    system = np.zeros((len(pairs) + num, num))
    right = np.zeros(len(system))
    for k, (a, b, ratio) in enumerate(pairs):
        system[k, [b, a]] = 1 / _PAIR_SIGMA, -1 / _PAIR_SIGMA
        right[k] = ratio / _PAIR_SIGMA
    weight = np.full(num, 1 / max(sigma, 1e-6))
    weight[:num_known] = 10 / _PAIR_SIGMA
    right[len(pairs) : len(pairs) + num_known] = weight[:num_known] * known
    system[len(pairs) :] = np.diag(weight)
    return np.asarray(np.linalg.lstsq(system, right, rcond=None)[0])


def _pair(
    depth_m: np.ndarray, K: Array, T_world_camera: Array, a: int, b: int
) -> tuple[int, int, float] | None:
    """Two frames and the median log ratio of the second's scale to the first's."""
    height, width = depth_m.shape[1:]
    step = max(1, round(_GRID * width / 160))
    row, column = np.mgrid[step // 2 : height : step, step // 2 : width : step].reshape(2, -1)
    z = depth_m[a, row, column].astype(np.float64)
    with np.errstate(invalid="ignore"):
        known = z > 0
    row, column, z = row[known], column[known], z[known]
    pixel = np.stack((column + 0.5, row + 0.5, np.ones_like(z)))
    camera = (np.linalg.inv(K[a]) @ pixel) * z
    T = np.linalg.inv(T_world_camera[b]) @ T_world_camera[a]
    seen = K[b] @ (T[:3, :3] @ camera + T[:3, 3:])
    ahead = seen[2] > 0.2
    u = np.floor(seen[0, ahead] / seen[2, ahead]).astype(int)
    v = np.floor(seen[1, ahead] / seen[2, ahead]).astype(int)
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    found = depth_m[b, v[inside], u[inside]]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(found / seen[2, ahead][inside])
    ratio = ratio[np.isfinite(ratio) & (np.abs(ratio) < _MAX_LOG_RATIO)]
    return (a, b, float(np.median(ratio))) if len(ratio) >= _MIN_POINTS else None
