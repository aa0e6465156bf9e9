"""Up and the floor of a capture whose world knows neither, from its recorded depth.

Rooms are mostly level planes and upright walls. Up is the direction that normals of surfaces lie
along or across, searched near the mean of the pictures' up; the floor is the lowest height at which
many level points lie. Source: none. It fails where the camera saw neither floor nor table, or was
held on its side all the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.frames import pixel_centres, unproject

Array = NDArray[np.float64]

#: How far up may be from the first guess, then from one step to the next (radians).
_SEARCH_RAD = (0.8, 0.35, 0.15, 0.1)
_MAX_DEPTH_M = 6.0
_STEPS_ACROSS = 80  # of points that make a normal: wide apart, or a sensor's noise tilts it
_BIN_M, _FLOOR_SHARE = 0.04, 0.25
_MIN_POINTS = 200


def surface(depth_m: NDArray[np.floating], K: Array, T_world_camera: Array) -> tuple[Array, Array]:
    """Points (P, 3) and unit normals (P, 3) in the world of one frame's z-depth (h, w).

    ``K`` (3, 3) in pixels of the depth map; depth is 0 or not finite where it is not known.
    """
    height, width = depth_m.shape
    known = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.nan)
    known = np.where(known < _MAX_DEPTH_M, known, np.nan)
    stride = max(1, width // (2 * _STEPS_ACROSS))
    points = unproject(pixel_centres(width, height), known, K)[::stride, ::stride]
    across, down = points[:-2, 2:] - points[:-2, :-2], points[2:, :-2] - points[:-2, :-2]
    normals = np.cross(across, down)
    length = np.linalg.norm(normals, axis=-1)
    sound = np.isfinite(length) & (length > 0)
    # Neighbours on both sides of an edge in depth make no surface.
    reach = np.maximum(np.linalg.norm(across, axis=-1), np.linalg.norm(down, axis=-1))
    sound &= reach < 0.1 * points[:-2, :-2, 2]
    normals = normals[sound] / length[sound][:, None]
    rotation, position = T_world_camera[:3, :3], T_world_camera[:3, 3]
    return points[:-2, :-2][sound] @ rotation.T + position, normals @ rotation.T


def estimated_up(normals: Array, T_world_camera: Array) -> Array:
    """Up (3,) in the world from normals (P, 3) and the poses (N, 4, 4) of all frames."""
    up = -T_world_camera[:, :3, 1].mean(axis=0)
    up = up / np.linalg.norm(up)
    for angle in _SEARCH_RAD:
        along = normals @ up
        level = normals[np.abs(along) > np.cos(angle)]
        upright = normals[np.abs(along) < np.sin(angle)]
        if len(level) + len(upright) < _MIN_POINTS:
            break
        # Largest where level normals lie along it and upright ones across it.
        scatter = level.T @ level - upright.T @ upright
        values, vectors = np.linalg.eigh(scatter)
        best = vectors[:, np.argmax(values)]
        up = best if best @ up > 0 else -best
    return up


def floor_height(points: Array, normals: Array, up: Array) -> float | None:
    """Height of the floor along ``up`` in metres: the lowest with many level points.

    None where hardly any level surface was seen.
    """
    level = points[np.abs(normals @ up) > np.cos(0.3)] @ up
    if len(level) < _MIN_POINTS:
        return None
    low, high = np.quantile(level, [0.001, 0.999])
    edges = np.arange(low, high + 2 * _BIN_M, _BIN_M)
    counts, edges = np.histogram(level, edges)
    many = int(np.argmax(counts >= _FLOOR_SHARE * counts.max()))
    inside = level[(level >= edges[many] - _BIN_M) & (level <= edges[many + 1] + _BIN_M)]
    return float(np.median(inside))


def sampled_surface(
    depths_m: Sequence[NDArray[np.floating]], Ks: Sequence[Array], poses: Sequence[Array]
) -> tuple[Array, Array]:
    """Points and normals of several frames together; see `surface`."""
    parts = [surface(depth, K, T) for depth, K, T in zip(depths_m, Ks, poses, strict=True)]
    empty = np.zeros((0, 3))
    points = np.concatenate([empty, *(part[0] for part in parts)])
    return points, np.concatenate([empty, *(part[1] for part in parts)])
