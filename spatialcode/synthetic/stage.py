"""A furnished plan as flat arrays the renderer can trace: one row per primitive.

Rows are grouped by owner: structure first (floor -1, wall -2, ceiling -3), then object 0, 1, …
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.placement import Placed, footprint_of
from spatialcode.synthetic.primitives import BOX, Material, Primitive, Vec3, turn_z
from spatialcode.synthetic.rooms import WALL_SLAB_M, Wall

FLOOR, WALL, CEILING = -1, -2, -3
F32 = NDArray[np.float32]

_SHADOW_CELL_M = 0.05
_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Light:
    """A point light: where, how strong, and its colour."""

    position_m: Vec3
    strength: float
    color: tuple[float, float, float]


@dataclass(frozen=True)
class ShadowMap:
    """Share of light that reaches the floor (rows along y, columns along x)."""

    origin_m: tuple[float, float]
    cell_m: float
    light: F32


@dataclass
class Stage:
    """Everything the renderer reads. ``to_unit`` (P,3,3) maps world offsets from ``center`` (P,3)
    to each primitive's unit shape; ``local_center``/``local_axes`` are in the owner's frame.
    """

    kind: NDArray[np.int64]
    owner: NDArray[np.int64]
    local_center: NDArray[np.float64]
    local_axes: NDArray[np.float64]
    half: NDArray[np.float64]
    center: NDArray[np.float64]
    to_unit: NDArray[np.float64]
    color: F32
    color2: F32
    pattern: NDArray[np.int64]
    scale: F32
    emission: F32
    lights: tuple[Light, ...]
    interior: Interior
    shadow: ShadowMap

    def pose(self, index: int, center_m: Vec3, yaw_rad: float) -> None:
        """Move all primitives of object ``index``."""
        rows = np.flatnonzero(self.owner == index)
        turn = np.array(turn_z(yaw_rad))
        self.center[rows] = self.local_center[rows] @ turn.T + np.array(center_m)
        axes = turn @ self.local_axes[rows]
        self.to_unit[rows] = axes.transpose(0, 2, 1) / self.half[rows][:, :, None]


def build_stage(rng: np.random.Generator, interior: Interior) -> Stage:
    """Flatten an interior; ``rng`` draws the light."""
    entries: list[tuple[Primitive, int, Vec3, float]] = []
    entries.extend((p, FLOOR if k == 0 else CEILING, (0.0, 0.0, 0.0), 0.0)
                   for k, p in enumerate(_floor_and_ceiling(interior)))  # fmt: skip
    for k, room in enumerate(interior.plan.rooms):
        for wall in room.walls:
            slabs = _wall_slabs(interior, wall, interior.walls[k])
            entries.extend((part, WALL, (0.0, 0.0, 0.0), 0.0) for part in slabs)
    for placed in interior.decor:
        entries.extend((p, WALL, placed.center_m, placed.yaw_rad) for p in placed.model.primitives)
    for k, placed in enumerate(interior.objects):
        entries.extend((p, k, placed.center_m, placed.yaw_rad) for p in placed.model.primitives)
    parts = [e[0] for e in entries]
    local_center = np.array([p.center_m for p in parts])
    local_axes = np.array([p.rotation or _IDENTITY for p in parts])
    half = np.array([p.half_m for p in parts])
    yaw = np.array([e[3] for e in entries])
    turn = np.zeros((len(parts), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(yaw)
    turn[:, 1, 0] = np.sin(yaw)
    turn[:, 0, 1] = -turn[:, 1, 0]
    turn[:, 2, 2] = 1.0
    center = (turn @ local_center[:, :, None])[:, :, 0] + np.array([e[2] for e in entries])
    axes = turn @ local_axes
    looks = [p.material for p in parts]
    return Stage(
        kind=np.array([p.kind for p in parts]),
        owner=np.array([e[1] for e in entries]),
        local_center=local_center,
        local_axes=local_axes,
        half=half,
        center=center,
        to_unit=axes.transpose(0, 2, 1) / half[:, :, None],
        color=np.array([m.color for m in looks], np.float32),
        color2=np.array([m.color2 for m in looks], np.float32),
        pattern=np.array([m.pattern for m in looks]),
        scale=np.array([m.scale_m for m in looks], np.float32),
        emission=np.array([m.emission for m in looks], np.float32),
        lights=_lights(rng, interior),
        interior=interior,
        shadow=shadow_map(interior, interior.objects),
    )


def _extent(interior: Interior) -> tuple[float, float, float, float]:
    rects = np.array(interior.plan.rects)
    x0, y0 = rects[:, :2].min(axis=0) - 0.3
    x1, y1 = rects[:, 2:].max(axis=0) + 0.3
    return float(x0), float(y0), float(x1), float(y1)


def _floor_and_ceiling(interior: Interior) -> list[Primitive]:
    x0, y0, x1, y1 = _extent(interior)
    out = []
    for z, material in (
        (-0.05, interior.floor),
        (interior.plan.ceiling_m + 0.05, interior.ceiling),
    ):
        center = ((x0 + x1) / 2, (y0 + y1) / 2, z)
        out.append(Primitive(BOX, center, ((x1 - x0) / 2, (y1 - y0) / 2, 0.05), material))
    return out


def _wall_slabs(interior: Interior, wall: Wall, paint: Material) -> list[Primitive]:
    """The wall's pieces between its openings, and the lintels above them."""
    plan, t = interior.plan, WALL_SLAB_M
    edges = [0.0, *(e for opening in wall.openings for e in opening), wall.length_m]
    pieces = []
    for k in range(len(edges) - 1):
        low = plan.passage_height_m if k % 2 else 0.0
        pieces.append((edges[k], edges[k + 1], low))
    out = []
    for a, b, low in pieces:
        grow_a = t if a == 0.0 and not _reflex(interior, wall.start) else 0.0
        grow_b = t if b == wall.length_m and not _reflex(interior, wall.end) else 0.0
        x, y = wall.point((a - grow_a + b + grow_b) / 2, -t / 2)
        height = plan.ceiling_m - low
        half = ((b - a + grow_a + grow_b) / 2, t / 2, height / 2)
        along = wall.along
        if along[0] == 0.0:
            half = (half[1], half[0], half[2])
        out.append(Primitive(BOX, (x, y, low + height / 2), half, paint))
    return out


def _reflex(interior: Interior, corner: tuple[float, float]) -> bool:
    """Whether a corner is the inner one of an L: no corner of any room's rectangle or its sides."""
    for room in interior.plan.rooms:
        if room.notch is None:
            continue
        x0, y0, x1, y1 = room.rect
        if x0 < corner[0] < x1 and y0 < corner[1] < y1:
            return True
    return False


def _lights(rng: np.random.Generator, interior: Interior) -> tuple[Light, ...]:
    lights = []
    for x0, y0, x1, y1 in interior.plan.rects:
        x = (x0 + x1) / 2 + rng.uniform(-0.25, 0.25) * (x1 - x0)
        y = (y0 + y1) / 2 + rng.uniform(-0.25, 0.25) * (y1 - y0)
        warm = rng.uniform(0.7, 1.0)
        z = interior.plan.ceiling_m - rng.uniform(0.1, 0.5)
        lights.append(Light((x, y, z), rng.uniform(0.3, 1.3), (1.0, 0.5 + warm / 2, warm)))
    windows = [p for p in interior.objects if p.model.label == "window"]
    for p in windows[:2]:
        n = (-np.sin(p.yaw_rad), np.cos(p.yaw_rad))
        at = (p.center_m[0] + 0.3 * n[0], p.center_m[1] + 0.3 * n[1], p.center_m[2])
        lights.append(Light(at, rng.uniform(0.2, 1.2), (0.9, 0.95, 1.0)))  # type: ignore[arg-type]
    return tuple(lights[:4])


def shadow_map(interior: Interior, objects: tuple[Placed, ...]) -> ShadowMap:
    """Soft darkening of the floor under and beside furniture and along walls.

    Not light transport: footprints blurred at two widths, which is what contact shadows look like.
    """
    x0, y0, x1, y1 = _extent(interior)
    shape = (int((y1 - y0) / _SHADOW_CELL_M) + 1, int((x1 - x0) / _SHADOW_CELL_M) + 1)

    def cells(points: list[tuple[float, float]]) -> NDArray[np.int32]:
        return np.round((np.array(points) - (x0, y0)) / _SHADOW_CELL_M).astype(np.int32)

    covered = np.full(shape, 0.55, np.float32)
    for a, b, c, d in (*interior.plan.rects, *interior.plan.passages):
        cv2.fillConvexPoly(covered, cells([(a, b), (c, b), (c, d), (a, d)]), 0.0)
    for a, b, c, d in interior.plan.notches:
        cv2.fillConvexPoly(covered, cells([(a, b), (c, b), (c, d), (a, d)]), 0.55)
    for placed in objects:
        if placed.mount == "floor":
            cv2.fillConvexPoly(covered, cells(footprint_of(placed).corners()), 1.0)
    near = cv2.GaussianBlur(covered, (0, 0), 1.5)
    far = cv2.GaussianBlur(covered, (0, 0), 6.0)
    light = (1.0 - 0.45 * near - 0.25 * far).astype(np.float32)
    return ShadowMap((x0, y0), _SHADOW_CELL_M, light)
