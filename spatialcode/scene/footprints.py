"""Boxes seen from above: the upright prism around each, common area, gap in the plane.

A footprint is the rectangle, turned as the box is, that holds the box seen from above: the box's
own where it is upright. It turns with the room, unlike world-aligned bounds. Plain Python: one
pair at a time, a hundred times quicker than numpy on four points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from spatialcode.scene.boxes import Boxes
from spatialcode.scene.frames import (
    matrix_from_quaternion,
    quaternion_from_yaw,
    yaw_from_quaternion,
)
from spatialcode.scene.schema import SceneObject

XY = tuple[float, float]


@dataclass(frozen=True)
class Prism:
    """An upright prism: corners counter-clockwise (world x, y), bottom and top (world z)."""

    corners_xy: tuple[XY, ...]
    bottom_m: float
    top_m: float
    area_m2: float

    @property
    def height_m(self) -> float:
        return self.top_m - self.bottom_m

    @property
    def volume_m3(self) -> float:
        return self.area_m2 * self.height_m


@lru_cache(maxsize=4096)
def standing(item: SceneObject) -> Prism:
    """The prism on an object's footprint, from its lowest to its highest point."""
    box = Boxes.of([item])
    # x, y of the world turned into the footprint's frame and back
    turn = matrix_from_quaternion(quaternion_from_yaw(yaw_from_quaternion(box.quaternion)))[0]
    corners = box.corners()[0] @ turn
    (left, near, bottom), (right, far, top) = corners.min(axis=0), corners.max(axis=0)
    flat = [(left, near), (right, near), (right, far), (left, far)]
    world = tuple(
        (float(turn[0, 0] * x + turn[0, 1] * y), float(turn[1, 0] * x + turn[1, 1] * y))
        for x, y in flat
    )
    return Prism(world, float(bottom), float(top), float((right - left) * (far - near)))


def common_area_m2(a: Prism, b: Prism) -> float:
    """Area of the footprints' intersection; Sutherland and Hodgman, CACM 17 (1974)."""
    inside = list(a.corners_xy)
    for (px, py), (qx, qy) in _edges(b.corners_xy):
        left = [(qx - px) * (y - py) - (qy - py) * (x - px) for x, y in inside]
        kept: list[XY] = []
        for n, (x, y) in enumerate(inside):
            before, here = left[n - 1], left[n]
            if (before > 0.0) != (here > 0.0):
                share = before / (before - here)
                bx, by = inside[n - 1]
                kept.append((bx + share * (x - bx), by + share * (y - by)))
            if here > 0.0:
                kept.append((x, y))
        inside = kept
    doubled = math.fsum(px * qy - py * qx for (px, py), (qx, qy) in _edges(inside))
    return min(max(0.5 * doubled, 0.0), a.area_m2, b.area_m2)


def gap_between_m(a: Prism, b: Prism) -> float:
    """Smallest distance in the plane between footprints that do not overlap."""
    pairs = ((a.corners_xy, b.corners_xy), (b.corners_xy, a.corners_xy))
    return min(
        _to_segment(point, edge) for points, other in pairs for point in points
        for edge in _edges(other)
    )  # fmt: skip


def _edges(corners: list[XY] | tuple[XY, ...]) -> list[tuple[XY, XY]]:
    return list(zip(corners, [*corners[1:], *corners[:1]], strict=True))


def _to_segment(point: XY, edge: tuple[XY, XY]) -> float:
    (px, py), (qx, qy) = edge
    dx, dy = qx - px, qy - py
    length2 = dx * dx + dy * dy
    along = ((point[0] - px) * dx + (point[1] - py) * dy) / length2 if length2 > 0.0 else 0.0
    along = min(max(along, 0.0), 1.0)
    return math.hypot(point[0] - px - along * dx, point[1] - py - along * dy)
