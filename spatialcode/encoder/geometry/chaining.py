"""Windows of one clip brought into one world by the frames that they share.

Each window has poses, and depth, of the repeated frames in its own world. A turn, a shift and,
where a window's unit is arbitrary, a scale bring it into the world of the window before: robustly
over all shared frames, where both the poses and the ratio of the depths speak. Windows that know
gravity are only turned about it, so that no tilt builds up.

Source: similarity from corresponding points, Umeyama, PAMI 1991; robust weights, depth and gravity
beside it: none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.geometry.protocol import WindowGeometry
from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.geometry.windows import rows_of
from spatialcode.errors import EncodeError
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]

_NUM_ITERATIONS = 10
#: Errors of shared frames: of their places as a share of the scene's depth, and of a frame's depth.
_PLACE_SIGMA, _DEPTH_SIGMA = 0.01, 0.03
_TURN_SIGMA_RAD = 0.01
#: Common pixels from which on the depths of two frames can be compared.
_MIN_PIXELS = 50


def depth_log_ratios(
    first_m: Float[np.ndarray, "n h w"], second_m: Float[np.ndarray, "n h w"]
) -> Float[np.ndarray, " n"]:
    """Per frame the median log of first over second depth; NaN where too little is known of both.

    Maps of different sizes are compared at the places of the smaller ones.
    """
    height, width = min(first_m.shape[1:], second_m.shape[1:])
    first, second = (_sampled(maps, height, width) for maps in (first_m, second_m))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(first / second).reshape(len(first), -1)
    ratio[~np.isfinite(ratio)] = np.nan
    enough = np.isfinite(ratio).sum(axis=1) >= min(_MIN_PIXELS, ratio.shape[1])
    out = np.full(len(ratio), np.nan)
    if enough.any():
        out[enough] = np.nanmedian(ratio[enough], axis=1)
    return out


def _sampled(maps: np.ndarray, height: int, width: int) -> Array:
    row = ((np.arange(height) + 0.5) * maps.shape[1] / height).astype(int)
    column = ((np.arange(width) + 0.5) * maps.shape[2] / width).astype(int)
    return np.asarray(maps[:, row][:, :, column], np.float64)


def align_windows(before: WindowGeometry, after: WindowGeometry) -> Similarity:
    """What brings ``after`` into the world of ``before``; both hold the shared frames alone.

    The scale is 1 where both are metric. EncodeError where no frame is shared.
    """
    num = len(before.depth_m)
    if not num or len(after.depth_m) != num:
        raise EncodeError(f"windows share {num} and {len(after.depth_m)} frames, expected the same")
    ratios = depth_log_ratios(before.depth_m, after.depth_m)
    fixed = before.is_metric and after.is_metric
    R = _turn(before, after)
    a, b = before.T_world_camera[:, :3, 3], after.T_world_camera[:, :3, 3] @ R.T
    known = np.isfinite(ratios)
    log_scale = 0.0 if fixed or not known.any() else float(np.median(ratios[known]))
    median_depth = float(np.nanmedian(before.depth_m)) if np.isfinite(before.depth_m).any() else 1.0
    sigma = _PLACE_SIGMA * max(median_depth, 1e-6)
    t = np.median(a - np.exp(log_scale) * b, axis=0)
    for _ in range(_NUM_ITERATIONS):
        scale = np.exp(log_scale)
        off = np.linalg.norm(a - scale * b - t, axis=1) / sigma
        weight = 1 / (1 + off**2)
        if not fixed:
            log_scale += _scale_step((a, b, t), scale, weight / sigma**2, ratios - log_scale)
            scale = np.exp(log_scale)
        t = weight @ (a - scale * b) / weight.sum()
    return Similarity(float(np.exp(log_scale)), R, t)


def _scale_step(
    places: tuple[Array, Array, Array], scale: float, weight: Array, off: Array
) -> float:
    """Gauss-Newton step of the log scale from places and from depth ratios that are ``off``."""
    a, b, t = places
    known = np.isfinite(off)
    depth_weight = 1 / _DEPTH_SIGMA**2 / (1 + (off[known] / _DEPTH_SIGMA) ** 2)
    # a shift goes with the scale: only places about their mean tell it
    grown = scale * (b - weight @ b / weight.sum())
    curvature = float(weight @ (grown**2).sum(axis=1) + depth_weight.sum())
    slope = float(weight @ (grown * (a - scale * b - t)).sum(axis=1) + depth_weight @ off[known])
    return slope / max(curvature, 1e-12)


def _turn(before: WindowGeometry, after: WindowGeometry) -> Array:
    """The rotation (3, 3) between the worlds by the shared frames' orientations."""
    R_before, R_after = (g.T_world_camera[:, :3, :3] for g in (before, after))
    level_before, level_after = _level(before), _level(after)
    upright = level_before is not None and level_after is not None
    if level_before is not None and level_after is not None:
        R_before, R_after = level_before @ R_before, level_after @ R_after
    each = R_before @ R_after.transpose(0, 2, 1)
    R = _mean_rotation(each, np.ones(len(each)), upright)
    for _ in range(_NUM_ITERATIONS):
        angle = np.linalg.norm(each - R, axis=(1, 2)) / np.sqrt(2) / _TURN_SIGMA_RAD
        R = _mean_rotation(each, 1 / (1 + angle**2), upright)
    if level_before is not None and level_after is not None:
        R = level_before.T @ R @ level_after
    return np.asarray(R)


def _level(geometry: WindowGeometry) -> Array | None:
    """What turns a window's world upright, by the gravity its frames know."""
    if geometry.up_camera is None:
        return None
    up = np.median(
        np.einsum("nij,nj->ni", geometry.T_world_camera[:, :3, :3], geometry.up_camera), axis=0
    )
    return level_rotation(up)


def _mean_rotation(R: Array, weight: Array, about_z: bool) -> Array:
    """The rotation nearest to weighted ones (Frobenius), or the nearest about z."""
    total = np.einsum("n,nij->ij", weight, R)
    if about_z:
        yaw = np.arctan2(total[1, 0] - total[0, 1], total[0, 0] + total[1, 1])
        c, s = np.cos(yaw), np.sin(yaw)
        return np.array(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
    u, _, v = np.linalg.svd(total)
    return np.asarray(u @ np.diag((1, 1, np.linalg.det(u @ v))) @ v)


class WindowChain:
    """Windows of one clip in time order, each put into the world of the first."""

    def __init__(self) -> None:
        self._last: WindowGeometry | None = None

    def add(self, geometry: WindowGeometry, num_repeated: int) -> WindowGeometry:
        """A window in the chain's world, with the chain's unit. Its first ``num_repeated`` frames
        are the last ones of the window before; a window that shares none after the first is told
        as a cut at its first row, and goes on in its own world.
        """
        if self._last is None or not num_repeated:
            placed = geometry
            if self._last is not None:
                placed = replace(geometry, cuts=(0, *(c for c in geometry.cuts if c)))
        else:
            placed = self._joined(geometry, num_repeated)
        self._last = placed
        return placed

    def _joined(self, geometry: WindowGeometry, num_repeated: int) -> WindowGeometry:
        assert self._last is not None
        # a cut inside the overlap leaves only what lies behind it to join by
        first = max([c for c in geometry.cuts if c < num_repeated], default=0)
        shared = num_repeated - first
        before = rows_of(self._last, slice(len(self._last.depth_m) - shared, None))
        similarity = align_windows(before, rows_of(geometry, slice(first, num_repeated)))
        last = min([c for c in geometry.cuts if c >= num_repeated], default=len(geometry.depth_m))
        T, depth = geometry.T_world_camera.copy(), geometry.depth_m.copy()
        rows = slice(first, last)
        T[rows] = similarity.poses(T[rows])
        depth[rows] *= similarity.scale
        # what lies behind another cut keeps the window's own unit
        whole = last == len(geometry.depth_m)
        is_metric = self._last.is_metric and (geometry.is_metric or whole)
        return replace(geometry, T_world_camera=T, depth_m=depth, is_metric=is_metric)
