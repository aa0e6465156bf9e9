"""Shading of traced pixels: procedural patterns, lights with falloff, soft contact shadows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.pinhole import Pinhole
from spatialcode.synthetic.primitives import CHECKER, ELLIPSOID, NOISE, PLANKS, STRIPES, TILES, WOOD
from spatialcode.synthetic.renderer import Traced
from spatialcode.synthetic.stage import FLOOR, WALL, Stage

F32 = NDArray[np.float32]


def _noise_tile() -> F32:
    rng = np.random.default_rng(7)
    tile = np.zeros((256, 256), np.float32)
    for size, weight in ((256, 0.35), (64, 0.35), (16, 0.3)):
        coarse = rng.random((size, size)).astype(np.float32)
        wrapped = np.pad(coarse, 1, mode="wrap")
        scale = 256 // size
        big = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        tile += weight * big[scale : scale + 256, scale : scale + 256]
    return tile


_NOISE = _noise_tile()


def _noise(a: F32, b: F32) -> F32:
    """Value noise in [0, 1], one unit a cell, period 256."""
    return _NOISE[b.astype(np.int32) & 255, a.astype(np.int32) & 255]


def shade(stage: Stage, view: Pinhole, traced: Traced) -> F32:
    """Linear RGB (H,W,3), unbounded above."""
    u, v = view.rays()
    eye = view.T_world_camera[:3, 3].astype(np.float32)
    r = view.T_world_camera[:3, :3].astype(np.float32)
    ids, t = traced.primitive, traced.depth_m
    x, y, z = (eye[k] + t * (r[k, 0] * u + r[k, 2] + r[k, 1] * v) for k in range(3))
    to_unit = stage.to_unit.astype(np.float32)
    center = stage.center.astype(np.float32)
    dx, dy, dz = x - center[ids, 0], y - center[ids, 1], z - center[ids, 2]
    rows = [[to_unit[ids, i, j] for j in range(3)] for i in range(3)]
    px, py, pz = (row[0] * dx + row[1] * dy + row[2] * dz for row in rows)
    side_x, side_z, nx, ny, nz = _unit_normals(stage.kind[ids], px, py, pz)
    n = [rows[0][j] * nx + rows[1][j] * ny + rows[2][j] * nz for j in range(3)]
    inverse = 1.0 / np.sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2] + 1e-12)
    n = [c * inverse for c in n]
    half = stage.half.astype(np.float32)
    hx, hy, hz = px * half[ids, 0], py * half[ids, 1], pz * half[ids, 2]
    a = np.where(side_x, hy, hx)
    b = np.where(side_z, hy, hz)
    owner = stage.owner[ids]
    mix = _pattern(stage, ids, a, b)
    emission = stage.emission[ids]
    occlusion = _occlusion(stage, owner, (x, y, z))
    light = _lighting(stage, (x, y, z), n, occlusion)
    out = np.empty((*t.shape, 3), np.float32)
    albedo = [stage.color[ids, k] * (1 - mix) + stage.color2[ids, k] * mix for k in range(3)]
    _paint_rugs(stage, owner, (x, y), albedo)
    for k in range(3):
        out[:, :, k] = albedo[k] * (light[k] + emission)
    return out


def _unit_normals(kind: NDArray[np.int64], px: F32, py: F32, pz: F32) -> tuple[F32, ...]:
    """Which face was hit, in unit space; x/z side masks first (for texture coordinates)."""
    ax, ay, az = np.abs(px), np.abs(py), np.abs(pz)
    rho = np.where(kind == 0, np.maximum(ax, ay), np.sqrt(px * px + py * py))
    side_z = az >= rho
    side_x = (ax >= ay) & ~side_z
    box = kind == 0
    nx = np.where(side_z, 0, np.where(box, np.where(side_x, px, 0), px))
    ny = np.where(side_z, 0, np.where(box, np.where(side_x, 0, py), py))
    nz = np.where(side_z, pz, 0)
    ball = kind == ELLIPSOID
    if ball.any():
        nx, ny, nz = np.where(ball, px, nx), np.where(ball, py, ny), np.where(ball, pz, nz)
    return side_x, side_z, nx, ny, nz  # type: ignore[return-value]


def _pattern(stage: Stage, ids: NDArray[np.int32], a: F32, b: F32) -> F32:
    """Share of the second colour, from coordinates in metres on the face."""
    mix = np.zeros(a.shape, np.float32)
    kinds = stage.pattern[ids]
    for kind in np.unique(stage.pattern[np.unique(ids)]):
        if kind == 0:
            continue
        m = kinds == kind
        s = stage.scale[ids[m]]
        p, q = a[m] / s + 97, b[m] / s + 97
        if kind == NOISE:
            mix[m] = _noise(p * 4, q * 4)
        elif kind == WOOD:
            mix[m] = _noise(p * 3, q * 14)
        elif kind == PLANKS:
            row = np.floor(q)
            seam = (q - row < 0.06) | ((p * 0.12 + row * 0.37) % 1.0 < 0.012)
            tone = _noise(row * 7 + np.floor(p * 0.12 + row * 0.37) * 3, row * 5)
            mix[m] = np.where(seam, 1.0, 0.6 * tone + 0.4 * _noise(p * 3, q * 9))
        elif kind == TILES:
            mix[m] = ((p % 1.0 < 0.05) | (q % 1.0 < 0.05)).astype(np.float32)
        elif kind == CHECKER:
            mix[m] = ((np.floor(p) + np.floor(q)) % 2).astype(np.float32)
        elif kind == STRIPES:
            mix[m] = (p % 1.0 < 0.5).astype(np.float32)
    return mix


def _paint_rugs(
    stage: Stage, owner: NDArray[np.int64], at: tuple[F32, F32], albedo: list[F32]
) -> None:
    for rug in stage.interior.rugs:
        c, s = np.cos(rug.yaw_rad), np.sin(rug.yaw_rad)
        dx, dy = at[0] - np.float32(rug.center_m[0]), at[1] - np.float32(rug.center_m[1])
        a, b = c * dx + s * dy, -s * dx + c * dy
        on = (owner == FLOOR) & (np.abs(a) < rug.half_m[0]) & (np.abs(b) < rug.half_m[1])
        if not on.any():
            continue
        p, q = a[on] / rug.material.scale_m + 50, b[on] / rug.material.scale_m + 50
        if rug.material.pattern == NOISE:
            mix = _noise(p * 5, q * 5)
        elif rug.material.pattern == STRIPES:
            mix = (p % 1.0 < 0.5).astype(np.float32)
        elif rug.material.pattern == CHECKER:
            mix = ((np.floor(p) + np.floor(q)) % 2).astype(np.float32)
        else:
            mix = np.zeros(p.shape, np.float32)
        for k in range(3):
            albedo[k][on] = rug.material.color[k] * (1 - mix) + rug.material.color2[k] * mix


def _occlusion(stage: Stage, owner: NDArray[np.int64], at: tuple[F32, F32, F32]) -> F32:
    """Contact shadows on the floor, darker walls near floor and ceiling, darker low furniture."""
    x, y, z = at
    m = stage.shadow
    i = ((y - np.float32(m.origin_m[1])) / m.cell_m).astype(np.int32).clip(0, m.light.shape[0] - 1)
    j = ((x - np.float32(m.origin_m[0])) / m.cell_m).astype(np.int32).clip(0, m.light.shape[1] - 1)
    low = 1.0 - 0.35 * np.exp(-np.abs(z) * np.float32(6.0))
    top = 1.0 - 0.25 * np.exp((z - np.float32(stage.interior.plan.ceiling_m)) * np.float32(4.0))
    shaded = np.where(owner == FLOOR, m.light[i, j], low)
    return np.where(owner == WALL, low * top, shaded).astype(np.float32)


def _lighting(
    stage: Stage, at: tuple[F32, F32, F32], n: list[F32], occlusion: F32
) -> tuple[F32, F32, F32]:
    """Light that falls on each pixel, by channel."""
    base = (0.32 + 0.1 * n[2] + 0.04 * n[0]) * occlusion
    total = [base.copy(), base.copy(), base.copy()]
    for light in stage.lights:
        to = [np.float32(light.position_m[k]) - at[k] for k in range(3)]
        d2 = to[0] * to[0] + to[1] * to[1] + to[2] * to[2]
        cosine = (to[0] * n[0] + to[1] * n[1] + to[2] * n[2]) / np.sqrt(d2 + 1e-4)
        received = np.maximum(cosine, 0) * (light.strength / (1.0 + 0.22 * d2)) * occlusion
        for k in range(3):
            total[k] += np.float32(light.color[k]) * received
    return total[0], total[1], total[2]
