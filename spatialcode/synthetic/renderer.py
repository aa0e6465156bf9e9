"""Analytic ray casting of a stage: depth, instance and primitive per pixel, then shading once.

A pixel's ray is affine in its normalised coordinates (u, v), and so is the ray seen from
any primitive's unit shape. Each primitive is traced only in its rectangle on the screen,
x, y and z kept as separate planes. Ray parameters are z-depths because rays have z = 1 in
the camera frame. Not modelled: shadows between objects, reflections, transparency.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.pinhole import Pinhole
from spatialcode.synthetic.primitives import BOX, ELLIPSOID
from spatialcode.synthetic.stage import Stage

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

NEAR_M = 0.05
#: Objects are measured beyond the frame on a window of this many frames to each side …
_MARGIN_FRAMES = 1.0
#: … at this spacing in pixels of a 160 px wide frame.
_COARSE_PX = 4

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_EDGES = np.array(
    [[a, b] for a in range(8) for b in range(a) if (a ^ b).bit_count() == 1], np.int64
)


@dataclass(frozen=True)
class Traced:
    """What every pixel sees: ``depth_m`` (H,W) z-depth, ``primitive`` (H,W) row of the stage,
    ``visibility`` (M,): visible share of each object's projected area, 0 where unseen.
    """

    depth_m: F32
    primitive: NDArray[np.int32]
    visibility: F32


def trace(stage: Stage, view: Pinhole, num_objects: int) -> Traced:
    """Cast one ray through every pixel's centre."""
    u, v = view.rays()
    caster = _Caster(stage, view)
    shape = (view.height_px, view.width_px)
    depth = np.full(shape, np.inf, np.float32)
    primitive = np.full(shape, -1, np.int32)
    alone = np.zeros(num_objects)
    covered = np.zeros(shape, bool)
    rects = caster.rectangles(u, v)
    owners = stage.owner.tolist()
    order = [i for i in range(len(owners)) if rects[i] is not None]
    previous = -9
    touched: list[tuple[slice, slice]] = []
    with np.errstate(all="ignore"):
        for i in order:
            rows, columns = rects[i]  # type: ignore[misc]
            owner = owners[i]
            if owner != previous:
                _close(covered, touched, alone, previous)
                previous, touched = owner, []
            near = caster.cast(i, u[:, columns], v[rows])
            z = depth[rows, columns]
            closer = near < z
            if owner >= 0:
                covered[rows, columns] |= near < np.inf
                touched.append((rows, columns))
            np.copyto(z, near, where=closer)
            np.copyto(primitive[rows, columns], i, where=closer)
        _close(covered, touched, alone, previous)
    if (primitive < 0).any():
        # A ray through the seam of two wall slabs: give it its neighbour.
        primitive, depth = _mend(primitive, depth)
    seen = np.bincount(stage.owner[primitive.ravel()].clip(-1) + 1, minlength=num_objects + 1)[1:]
    whole = _whole_areas(caster, view, alone, owners)
    visibility = np.where(seen > 0, seen / np.maximum(np.maximum(whole, alone), 1.0), 0.0)
    return Traced(depth, primitive, visibility.clip(0, 1).astype(np.float32))


def _close(
    covered: NDArray[np.bool_], touched: list[tuple[slice, slice]], alone: F64, owner: int
) -> None:
    """Count the finished object's own pixels and clear its mask."""
    if not touched:
        return
    top, bottom = min(r.start for r, _ in touched), max(r.stop for r, _ in touched)
    left, right = min(c.start for _, c in touched), max(c.stop for _, c in touched)
    window = covered[top:bottom, left:right]
    alone[owner] = np.count_nonzero(window)
    window[...] = False


def _mend(primitive: NDArray[np.int32], depth: F32) -> tuple[NDArray[np.int32], F32]:
    missed = primitive < 0
    assert missed.mean() < 0.01, "rays leave the rooms"
    flat, z = primitive.ravel(), depth.ravel()
    good = np.flatnonzero(flat >= 0)
    bad = np.flatnonzero(flat < 0)
    source = good[np.searchsorted(good, bad).clip(0, len(good) - 1)]
    flat[bad], z[bad] = flat[source], z[source]
    return primitive, depth


def _whole_areas(caster: _Caster, view: Pinhole, alone: F64, owners: list[int]) -> F64:
    """Projected area in pixels of every object, past the frame's edge too (on a coarse grid)."""
    step = _COARSE_PX * view.width_px / 160.0
    u, v = view.rays(step, _MARGIN_FRAMES)
    cut: dict[int, list[int]] = {}
    for i in np.flatnonzero(caster.leaves_frame(*view.rays())).tolist():
        owner = owners[i]
        if owner >= 0 and alone[owner] > 0:
            cut[owner] = []
    whole = alone.copy()
    if not cut:
        return whole
    for i, owner in enumerate(owners):
        if owner in cut:
            cut[owner].append(i)
    rects = caster.rectangles(u, v)
    covered = np.zeros((v.shape[0], u.shape[1]), bool)
    with np.errstate(all="ignore"):
        for owner, parts in cut.items():
            touched = []
            for i in parts:
                if rects[i] is None:
                    continue
                rows, columns = rects[i]  # type: ignore[misc]
                covered[rows, columns] |= caster.cast(i, u[:, columns], v[rows]) < np.inf
                touched.append((rows, columns))
            if touched:  # else too thin for the coarse grid: its own pixels are the best guess
                _close(covered, touched, whole, owner)
                whole[owner] *= step * step
    return whole


class _Caster:
    """Rays of one view in every primitive's unit space: direction = M (u, v, 1), origin o."""

    def __init__(self, stage: Stage, view: Pinhole) -> None:
        rotation, eye = view.T_world_camera[:3, :3], view.T_world_camera[:3, 3]
        self.kind = stage.kind.tolist()
        self.M = (stage.to_unit @ rotation).astype(np.float32)
        offset = eye - stage.center
        self.o = (stage.to_unit @ offset[:, :, None])[:, :, 0].astype(np.float32)
        axes = np.linalg.inv(stage.to_unit)
        corners = np.einsum("pij,cj->pci", axes, _CORNERS) + stage.center[:, None]
        local = (corners - eye) @ rotation
        z = local[:, :, 2]
        a, b = local[:, _EDGES[:, 0]], local[:, _EDGES[:, 1]]
        za, zb = a[:, :, 2], b[:, :, 2]
        crosses = (za > NEAR_M) != (zb > NEAR_M)
        share = np.where(crosses, (NEAR_M - za) / np.where(crosses, zb - za, 1.0), 0.0)
        cut = a + share[:, :, None] * (b - a)
        points = np.concatenate([local, cut], axis=1)
        valid = np.concatenate([z > NEAR_M, crosses], axis=1)
        depth = np.where(valid, points[:, :, 2], 1.0).clip(NEAR_M)
        x, y = points[:, :, 0] / depth, points[:, :, 1] / depth
        self.low_u = np.where(valid, x, np.inf).min(axis=1)
        self.high_u = np.where(valid, x, -np.inf).max(axis=1)
        self.low_v = np.where(valid, y, np.inf).min(axis=1)
        self.high_v = np.where(valid, y, -np.inf).max(axis=1)

    def leaves_frame(self, u: F32, v: F32) -> NDArray[np.bool_]:
        """(P,) whether a primitive's rectangle crosses the border of the pixels u, v."""
        return (
            (self.low_u < u[0, 0]) | (self.high_u > u[0, -1])
            | (self.low_v < v[0, 0]) | (self.high_v > v[-1, 0])
        )  # fmt: skip

    def rectangles(self, u: F32, v: F32) -> list[tuple[slice, slice] | None]:
        """Rows and columns each primitive can cover, None where it covers none."""
        left = np.searchsorted(u[0], self.low_u - 1e-6)
        right = np.searchsorted(u[0], self.high_u + 1e-6)
        top = np.searchsorted(v[:, 0], self.low_v - 1e-6)
        bottom = np.searchsorted(v[:, 0], self.high_v + 1e-6)
        return [
            (slice(t, b), slice(x, y)) if b > t and y > x else None
            for t, b, x, y in zip(
                top.tolist(), bottom.tolist(), left.tolist(), right.tolist(), strict=True
            )
        ]

    def cast(self, i: int, u: F32, v: F32) -> F32:
        """z-depth of the nearest hit (h,w), inf where the ray misses."""
        m, o = self.M[i], self.o[i]
        dx = (m[0, 0] * u + m[0, 2]) + m[0, 1] * v
        dy = (m[1, 0] * u + m[1, 2]) + m[1, 1] * v
        dz = (m[2, 0] * u + m[2, 2]) + m[2, 1] * v
        ox, oy, oz = o[0], o[1], o[2]
        kind = self.kind[i]
        if kind == BOX:
            near, far = _slab(ox, dx)
            low, high = _slab(oy, dy)
            np.maximum(near, low, out=near)
            np.minimum(far, high, out=far)
            low, high = _slab(oz, dz)
            np.maximum(near, low, out=near)
            np.minimum(far, high, out=far)
        else:
            a, b = dx * dx, ox * dx
            a += dy * dy
            b += oy * dy
            c = ox * ox + oy * oy - np.float32(1.0)
            if kind == ELLIPSOID:
                a += dz * dz
                b += oz * dz
                c += oz * oz
            root = np.sqrt(b * b - a * c)
            near, far = (-b - root) / a, (root - b) / a
            if kind != ELLIPSOID:
                low, high = _slab(oz, dz)
                # fmax/fmin would hide the NaN of a ray that misses the round side.
                near, far = np.maximum(near, low), np.minimum(far, high)
        hit = (near < far) & (near > NEAR_M)
        return np.where(hit, near, np.float32(np.inf))


def _slab(o: np.float32, d: F32) -> tuple[F32, F32]:
    first = (np.float32(-1.0) - o) / d
    second = (np.float32(1.0) - o) / d
    return np.minimum(first, second), np.maximum(first, second)
