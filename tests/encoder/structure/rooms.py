"""A room whose walls are covered with noise, and cameras in it that are known exactly."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.structure.frames import DenseFrames

Array = NDArray[np.float64]

WIDTH_PX, HEIGHT_PX = 320, 240
K = np.array([[260.0, 0, WIDTH_PX / 2], [0, 260.0, HEIGHT_PX / 2], [0, 0, 1]])
_LOW_M, _HIGH_M = np.array([-3.0, -2.0, 0.0]), np.array([3.0, 2.0, 2.6])
_TEXELS_A_METRE = 64.0


@lru_cache(maxsize=1)
def _textures() -> list[NDArray[np.float32]]:
    """One for each of the six sides: noise of several sizes."""
    rng = np.random.default_rng(7)
    made = []
    for _ in range(6):
        texture = np.zeros((512, 512), np.float32)
        for sigma in (1.2, 2.5, 6.0):
            noise = cv2.GaussianBlur(rng.normal(size=(512, 512)).astype(np.float32), (0, 0), sigma)
            texture += noise / noise.std()
        made.append(np.clip(128 + 40 * texture, 0, 255).astype(np.float32))
    return made


def picture(T_world_camera: Array, K: Array = K) -> NDArray[np.uint8]:
    """(240, 320) what a camera in the room sees: each ray meets the nearest wall in front of it."""
    column, row = np.meshgrid(np.arange(WIDTH_PX) + 0.5, np.arange(HEIGHT_PX) + 0.5)
    rays = np.stack((column, row, np.ones_like(row)), -1) @ np.linalg.inv(K).T
    rays = rays @ T_world_camera[:3, :3].T
    origin = T_world_camera[:3, 3]
    out = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    nearest = np.full((HEIGHT_PX, WIDTH_PX), np.inf)
    for side in range(6):
        axis, bound = side % 3, (_LOW_M if side < 3 else _HIGH_M)[side % 3]
        with np.errstate(divide="ignore"):
            distance = (bound - origin[axis]) / rays[..., axis]
        hit = (distance > 0) & (distance < nearest)
        point = origin + rays * np.where(hit, distance, 0.0)[..., None]
        u, v = (np.float32(point[..., k] * _TEXELS_A_METRE + 256) for k in range(3) if k != axis)
        seen = cv2.remap(_textures()[side], u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        out, nearest = np.where(hit, seen, out), np.where(hit, distance, nearest)
    return out.astype(np.uint8)


def looking(position_m: Array, yaw_rad: float, pitch_rad: float = 0.0) -> Array:
    """T_world_camera of a camera that looks along +x, turned about z, then tipped down."""
    c, s = np.cos(yaw_rad), np.sin(yaw_rad)
    cp, sp = np.cos(pitch_rad), np.sin(pitch_rad)
    forward = np.array([c * cp, s * cp, -sp])
    right = np.array([s, -c, 0.0])
    T = np.eye(4)
    T[:3, :3] = np.stack((right, np.cross(forward, right), forward), axis=1)
    T[:3, 3] = position_m
    return T


def walked(num: int = 12) -> Array:
    """(N, 4, 4) a walk of two metres that bends, rises a little, and looks around."""
    t = np.linspace(0, 1, num)
    positions = np.stack((-2 + 1.2 * t, -1 + 1.6 * t, 1.4 + 0.2 * np.sin(4 * t)), axis=1)
    return np.stack(
        [looking(p, 0.5 - 0.7 * k, 0.1 + 0.1 * k) for p, k in zip(positions, t, strict=True)]
    )


def turned(num: int = 12) -> Array:
    """(N, 4, 4) a camera that only turns."""
    return np.stack([looking(np.array([-1, 0, 1.4]), 0.04 * k, 0.1) for k in range(num)])


def frames_of(T_world_camera: Array) -> DenseFrames:
    """The pictures of cameras, a quarter of a second apart."""
    gray = np.stack([picture(T) for T in T_world_camera])
    return DenseFrames(gray, 0.25 * np.arange(len(gray)))


def similarity_error(estimated: Array, true: Array) -> float:
    """Root mean square distance of places (N, 3) once one path is laid upon the other, scaled.

    Umeyama, PAMI 1991.
    """
    a, b = estimated - estimated.mean(0), true - true.mean(0)
    U, S, Vt = np.linalg.svd(a.T @ b)
    sign = np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))])
    scale = np.trace(np.diag(S) @ sign) / (a**2).sum()
    return float(np.sqrt(((scale * a @ U @ sign @ Vt - b) ** 2).sum(1).mean()))
