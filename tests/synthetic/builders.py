"""Geometry that several tests of clips share, written without the code under test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.truth import SyntheticClip

F64 = NDArray[np.float64]


def world_points(clip: SyntheticClip, n: int) -> F64:
    """(H,W,3) world coordinates of every pixel of frame n, from depth, K and pose."""
    height, width = clip.depth_m[n].shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(clip.K).T
    camera = rays * clip.depth_m[n][:, :, None]
    return camera @ clip.T_world_camera[n, :3, :3].T + clip.T_world_camera[n, :3, 3]


def in_box_frame(clip: SyntheticClip, n: int, m: int, points: F64) -> F64:
    """Points (k,3) relative to object m's box in frame n, in the box's axes."""
    c, s = np.cos(clip.yaw_rad[n, m]), np.sin(clip.yaw_rad[n, m])
    return (points - clip.center_m[n, m]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def outside_m(clip: SyntheticClip) -> float:
    """How far any object pixel of any frame lies outside its object's box (negative: inside)."""
    worst = -np.inf
    for n in range(len(clip.depth_m)):
        points = world_points(clip, n)
        for m in np.unique(clip.instance[n]):
            if m < 0:
                continue
            local = in_box_frame(clip, n, int(m), points[clip.instance[n] == m])
            worst = max(worst, float((np.abs(local) - clip.size_m[m] / 2).max()))
    return worst
