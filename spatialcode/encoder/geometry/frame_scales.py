"""One scale for the depth of all frames of a window.

A network scales each frame's depth a little differently. Where two frames see the same surface, the
ratio of what one shows to what the other predicts for it tells how their scales differ; all those
ratios together, and the belief that no frame is far off, give each frame's own.

The prediction depends on the scale too: a camera that has come nearer to a wall predicts its depth
as a difference of two lengths of which the scale changes only one. Ratios are therefore linearised
about the scales found so far, and taken anew.

Source: none; Gauss-Newton steps with iteratively reweighted least squares (Holland & Welsch 1977).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
#: Ratios further off than this show another surface: in the first round, when scales may be wrong,
#: and in the second.
_MAX_LOG_RATIOS = (0.3, 0.15)
#: Standard deviation of a pair's ratio, beside which the prior on scales stands, and how many of
#: its points count as independent of each other.
_PAIR_SIGMA, _INDEPENDENT = 0.01, 1 / 20
#: Rounds of weighing pairs by how well they agree with the others.
_WEIGHINGS = 4
#: Points nearer than this before a camera are not compared (metres).
_NEAREST_M = 0.2


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
    views = _Views.of(depth_m, K, T_world_camera)
    scales = np.zeros(len(depth_m))
    scales[: len(known)] = known
    for max_log_ratio in _MAX_LOG_RATIOS:
        pairs = _Pairs.of(views, scales, max_log_ratio)
        scales = scales + _steps(pairs, scales, sigma, known)
    return scales


@dataclass(frozen=True, eq=False)
class _Views:
    """The frames, and some points of each: ``points_m`` (n, 3, P) in its camera, NaN where its
    depth is unknown.
    """

    depth_m: Float[np.ndarray, "n h w"]
    K: Float[np.ndarray, "n 3 3"]
    T_world_camera: Float[np.ndarray, "n 4 4"]
    points_m: Float[np.ndarray, "n 3 p"]

    @classmethod
    def of(cls, depth_m: np.ndarray, K: Array, T_world_camera: Array) -> _Views:
        height, width = depth_m.shape[1:]
        step = max(1, round(_GRID * width / 160))
        row, column = np.mgrid[step // 2 : height : step, step // 2 : width : step].reshape(2, -1)
        z = depth_m[:, row, column]
        z = np.where(z > 0, z, np.nan)
        pixels = np.stack((column + 0.5, row + 0.5, np.ones(len(row))))
        rays = (np.linalg.inv(K) @ pixels).astype(np.float32)
        return cls(depth_m, K, T_world_camera, rays * z[:, None])


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Frames that see the same surfaces: ``first``, ``second`` (p,); ``ratio`` (p,): the log of the
    depth that the second shows over that which the first predicts for it; ``lever`` (p,): by how
    much the log of the prediction grows with the log scale of the first; ``sigma`` (p,) of the
    ratios.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    ratio: Array
    lever: Array
    sigma: Array

    @classmethod
    def of(cls, views: _Views, scales: Array, max_log_ratio: float) -> _Pairs:
        """What all pairs of frames say, seen at the scales found so far."""
        found = [row for step in _STEPS for row in _compared(views, scales, step, max_log_ratio)]
        table = np.array(found).reshape(-1, 5).T
        return cls(table[0].astype(np.int64), table[1].astype(np.int64), *table[2:])


def _compared(
    views: _Views, scales: Array, step: int, max_log_ratio: float
) -> Iterator[tuple[int, int, float, float, float]]:
    """First and second frame, ratio, lever and sigma of each pair so many frames apart."""
    num, height, width = views.depth_m.shape
    if step >= num:
        return
    first, second = np.arange(num - step), np.arange(step, num)
    T = np.linalg.inv(views.T_world_camera[second]) @ views.T_world_camera[first]
    project = views.K[second] @ T[:, :3]
    shrink = np.exp(-scales)[first, None, None]
    turned = (project[:, :, :3] * shrink).astype(np.float32) @ views.points_m[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = turned + project[:, :, 3:].astype(np.float32)
        z = np.where(seen[:, 2] > _NEAREST_M, seen[:, 2], np.nan)
        column, row = seen[:, 0] / z, seen[:, 1] / z
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column, row = (np.where(inside, axis, 0).astype(np.int64) for axis in (column, row))
        shown = views.depth_m[second[:, None], row, column]
        ratio = np.where(inside, np.log(shown / z) - scales[second, None], np.nan)
        ratio = np.where(np.abs(ratio) < max_log_ratio, ratio, np.nan)
        lever = turned[:, 2] / z
    for a, b, ratios, levers in zip(first, second, ratio, lever, strict=True):
        same = np.isfinite(ratios)
        if same.sum() < _MIN_POINTS:
            continue
        middle = float(np.median(ratios[same]))
        spread = 1.48 * float(np.median(np.abs(ratios[same] - middle)))
        sigma = np.hypot(_PAIR_SIGMA, spread / np.sqrt(same.sum() * _INDEPENDENT))
        yield int(a), int(b), middle, float(np.median(levers[same])), float(sigma)


def _steps(pairs: _Pairs, scales: Array, sigma: float, known: Array) -> Array:
    """By how much each frame's log scale must change. Pairs that agree with no other lose weight,
    as Cauchy's distribution has it.
    """
    num = len(scales)
    prior_weight = np.full(num, 1 / max(sigma, 1e-6))
    prior_weight[: len(known)] = 10 / _PAIR_SIGMA
    wanted = np.zeros(num)
    wanted[: len(known)] = known
    rows = np.arange(len(pairs.ratio))
    system = np.zeros((len(rows), num))
    system[rows, pairs.second] = 1
    system[rows, pairs.first] = -pairs.lever
    weight = 1 / pairs.sigma
    for _ in range(_WEIGHINGS):
        left = np.concatenate((system * weight[:, None], np.diag(prior_weight)))
        right = np.concatenate((pairs.ratio * weight, (wanted - scales) * prior_weight))
        steps = np.linalg.solve(left.T @ left, left.T @ right)
        off = (system @ steps - pairs.ratio) / pairs.sigma
        weight = 1 / (pairs.sigma * np.sqrt(1 + off**2))
    return np.asarray(steps)
