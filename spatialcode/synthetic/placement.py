"""Placing models in a floor plan without intersections: footprints, walls, supports.

Heights matter too: a chest below a window is fine, a bookshelf in front of it is not, so
every obstacle is an upright box with its own lower and upper end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from spatialcode.synthetic.primitives import Model, Support
from spatialcode.synthetic.rooms import FloorPlan, RoomPlan, Wall

Rng = np.random.Generator

_CLEARANCE_M = 0.015


@dataclass(frozen=True)
class Placed:
    """A model with its box's centre and yaw in the plan frame; ``mount`` floor, wall or surface."""

    model: Model
    center_m: tuple[float, float, float]
    yaw_rad: float
    mount: str
    room: int


@dataclass(frozen=True)
class Footprint:
    """An upright box as an obstacle: centre, half extents, yaw, lower and upper end."""

    x: float
    y: float
    half_x: float
    half_y: float
    yaw_rad: float
    low: float
    high: float

    @classmethod
    def over(cls, rect: tuple[float, float, float, float], low: float, high: float) -> Footprint:
        """Over a rectangle (x0, y0, x1, y1) along the plan's axes."""
        a, b, c, d = rect
        return cls((a + c) / 2, (b + d) / 2, (c - a) / 2, (d - b) / 2, 0.0, low, high)

    def corners(self) -> list[tuple[float, float]]:
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        out = []
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            dx, dy = a * self.half_x, b * self.half_y
            out.append((self.x + c * dx - s * dy, self.y + s * dx + c * dy))
        return out


def footprint_of(placed: Placed, margin_m: float = 0.0) -> Footprint:
    """The placed box, grown sideways by ``margin_m``."""
    x, y, z = placed.center_m
    w, d, h = placed.model.size_m
    return Footprint(x, y, w / 2 + margin_m, d / 2 + margin_m, placed.yaw_rad, z - h / 2, z + h / 2)


def overlap(a: Footprint, b: Footprint) -> bool:
    """Whether two upright boxes share volume (separating axes of the two rectangles)."""
    if a.low >= b.high or b.low >= a.high:
        return False
    dx, dy = b.x - a.x, b.y - a.y
    reach = math.hypot(a.half_x, a.half_y) + math.hypot(b.half_x, b.half_y)
    if dx * dx + dy * dy > reach * reach:
        return False
    turn = b.yaw_rad - a.yaw_rad
    c, s = abs(math.cos(turn)), abs(math.sin(turn))
    ca, sa = math.cos(a.yaw_rad), math.sin(a.yaw_rad)
    if abs(ca * dx + sa * dy) > a.half_x + b.half_x * c + b.half_y * s:
        return False
    if abs(-sa * dx + ca * dy) > a.half_y + b.half_x * s + b.half_y * c:
        return False
    cb, sb = math.cos(b.yaw_rad), math.sin(b.yaw_rad)
    if abs(cb * dx + sb * dy) > b.half_x + a.half_x * c + a.half_y * s:
        return False
    return abs(-sb * dx + cb * dy) <= b.half_y + a.half_x * s + a.half_y * c


def facing(direction: tuple[float, float]) -> float:
    """Yaw that points a box's +y along ``direction``."""
    return math.atan2(-direction[0], direction[1])


@dataclass
class Floor:
    """The rooms being filled: what stands where, and the moves that add to it."""

    plan: FloorPlan
    rng: Rng
    placed: list[Placed] = field(default_factory=list)
    decor: list[Placed] = field(default_factory=list)
    obstacles: list[Footprint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.obstacles += [Footprint.over(notch, -1.0, 9.0) for notch in self.plan.notches]
        for a, b, c, d in self.plan.passages:
            grow_x, grow_y = (0.05, 0.65) if c - a > d - b else (0.65, 0.05)
            half = ((c - a) / 2 + grow_x, (d - b) / 2 + grow_y)
            self.obstacles.append(Footprint((a + c) / 2, (b + d) / 2, *half, 0.0, 0.0, 2.2))

    def fits(self, room: int, box: Footprint, skip: Footprint | None = None) -> bool:
        """Inside the room's faces and clear of every obstacle but ``skip``."""
        x0, y0, x1, y1 = self.plan.rooms[room].rect
        for x, y in box.corners():
            if not (x0 + 0.01 <= x <= x1 - 0.01 and y0 + 0.01 <= y <= y1 - 0.01):
                return False
        return not any(overlap(box, other) for other in self.obstacles if other is not skip)

    def put(self, placed: Placed) -> Placed:
        """Add an object that has been found to fit."""
        self.placed.append(placed)
        self.obstacles.append(footprint_of(placed))
        return placed

    def wall_point(self, room: RoomPlan, width: float) -> tuple[Wall, float] | None:
        """A random stretch of wall ``width`` long that meets no opening: wall and its middle."""
        walls = [w for w in room.walls if w.length_m > width + 0.04]
        if not walls:
            return None
        lengths = np.array([w.length_m for w in walls])
        u = self.rng.random() * lengths.sum()
        wall = walls[int(np.searchsorted(lengths.cumsum(), u).clip(0, len(walls) - 1))]
        half = width / 2 + 0.02
        at = float(self.rng.uniform(half, wall.length_m - half))
        if self.rng.random() < 0.2:
            at = half if self.rng.random() < 0.5 else wall.length_m - half
        if any(a - half < at < b + half for a, b in wall.openings):
            return None
        return wall, at

    def against_wall(self, room: int, model: Model, tries: int = 25) -> Placed | None:
        """Back to a wall, front into the room."""
        w, d, h = model.size_m
        for _ in range(tries):
            found = self.wall_point(self.plan.rooms[room], w)
            if found is None:
                continue
            wall, at = found
            out = d / 2 + self.rng.uniform(0.02, 0.08)
            x, y = wall.point(at, out)
            candidate = Placed(model, (x, y, h / 2), facing(wall.normal), "floor", room)
            if self.fits(room, footprint_of(candidate, _CLEARANCE_M)):
                return self.put(candidate)
        return None

    def standing(self, room: int, model: Model, tries: int = 25) -> Placed | None:
        """Anywhere on the floor; three in ten at any angle, the rest near a right angle."""
        x0, y0, x1, y1 = self.plan.rooms[room].rect
        for _ in range(tries):
            yaw = float(self.rng.integers(4) * math.pi / 2 + self.rng.normal(0, 0.05))
            if self.rng.random() < 0.3:
                yaw = self.rng.uniform(-math.pi, math.pi)
            x, y = self.rng.uniform(x0 + 0.2, x1 - 0.2), self.rng.uniform(y0 + 0.2, y1 - 0.2)
            candidate = Placed(model, (x, y, model.size_m[2] / 2), yaw, "floor", room)
            if self.fits(room, footprint_of(candidate, _CLEARANCE_M)):
                return self.put(candidate)
        return None

    def beside(
        self, anchor: Placed, model: Model, offset: tuple[float, float], turn: float
    ) -> Placed | None:
        """At ``offset`` in the anchor's frame, turned by ``turn``; None if it clashes."""
        c, s = math.cos(anchor.yaw_rad), math.sin(anchor.yaw_rad)
        x = anchor.center_m[0] + c * offset[0] - s * offset[1]
        y = anchor.center_m[1] + s * offset[0] + c * offset[1]
        center = (x, y, model.size_m[2] / 2)
        candidate = Placed(model, center, anchor.yaw_rad + turn, "floor", anchor.room)
        if not self.fits(anchor.room, footprint_of(candidate, _CLEARANCE_M)):
            return None
        return self.put(candidate)

    def upon(self, anchor: Placed, support: Support, model: Model, turn: float) -> Placed | None:
        """On one of the anchor's supports, clear of what already stands there."""
        c, s = math.cos(anchor.yaw_rad), math.sin(anchor.yaw_rad)
        w, d, h = model.size_m
        base = next(o for o in self.obstacles if (o.x, o.y) == anchor.center_m[:2])
        for _ in range(8):
            ct, st = abs(math.cos(turn)), abs(math.sin(turn))
            room_x = max(0.0, (support.size_m[0] - w * ct - d * st) / 2)
            room_y = max(0.0, (support.size_m[1] - w * st - d * ct) / 2)
            lx = support.center_m[0] + self.rng.uniform(-room_x, room_x)
            ly = support.center_m[1] + self.rng.uniform(-room_y, room_y)
            x = anchor.center_m[0] + c * lx - s * ly
            y = anchor.center_m[1] + s * lx + c * ly
            z = anchor.center_m[2] + support.center_m[2] + h / 2 + 0.001
            candidate = Placed(model, (x, y, z), anchor.yaw_rad + turn, "surface", anchor.room)
            if self.fits(anchor.room, footprint_of(candidate, 0.005), skip=base):
                return self.put(candidate)
        return None

    def on_wall(
        self,
        room: int,
        model: Model,
        bottom_m: float,
        *,
        reserve_m: float = 0.0,
        decor: bool = False,
        before_m: float | None = None,
    ) -> Placed | None:
        """Flat on a wall, bottom edge at a height; ``reserve_m`` keeps the floor before it free.

        ``before_m``: how far before the wall's face the box's centre is; None: on the face, and
        half a thickness before it for decoration.
        """
        w, _, h = model.size_m
        if bottom_m + h > self.plan.ceiling_m - 0.03:
            return None
        for _ in range(20):
            found = self.wall_point(self.plan.rooms[room], w + 0.1)
            if found is None:
                continue
            wall, at = found
            out = before_m if before_m is not None else model.size_m[1] / 2 if decor else 0.0
            depth = max(reserve_m, 0.25, 2 * out)
            mid = wall.point(at, depth / 2 + 0.012)
            yaw = facing(wall.normal)
            space = Footprint(*mid, w / 2, depth / 2, yaw, bottom_m, bottom_m + h)
            if not self.fits(room, space):
                continue
            placed = Placed(model, (*wall.point(at, out), bottom_m + h / 2), yaw, "wall", room)
            (self.decor if decor else self.placed).append(placed)
            self.obstacles.append(space)
            return placed
        return None
