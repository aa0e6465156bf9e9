"""Floor plans: one to three rooms, rectangles or L-shapes, joined by door openings.

Plan frame: metres, z up, floor at z = 0, walls along x and y. A room is its bounding
rectangle less at most one corner notch. Walls are slabs outside the room's faces, two
of which back onto each other between neighbours. The outline of a plan is that of a union of
rectangles less others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Rng = np.random.Generator
Rect = tuple[float, float, float, float]  # x0, y0, x1, y1
Vec2 = tuple[float, float]

WALL_SLAB_M = 0.06
#: Shares of living, bedroom, bathroom, kitchen, office and mixed rooms.
KINDS = ("living", "bedroom", "bathroom", "kitchen", "office", "mixed")
KIND_SHARES = (0.2, 0.22, 0.17, 0.18, 0.12, 0.11)
_SIDES = {
    "living": (3.4, 7.0),
    "bedroom": (2.9, 5.2),
    "bathroom": (2.4, 4.0),
    "kitchen": (2.7, 5.2),
    "office": (2.8, 5.5),
    "mixed": (3.2, 6.5),
}


@dataclass(frozen=True)
class Wall:
    """A wall face from ``start`` to ``end``; the room lies to its left; ``openings`` as (from, to)
    distances along it.
    """

    start: Vec2
    end: Vec2
    openings: tuple[tuple[float, float], ...] = ()

    @property
    def length_m(self) -> float:
        return abs(self.end[0] - self.start[0]) + abs(self.end[1] - self.start[1])

    @property
    def along(self) -> Vec2:
        n = self.length_m
        return ((self.end[0] - self.start[0]) / n, (self.end[1] - self.start[1]) / n)

    @property
    def normal(self) -> Vec2:
        """Into the room."""
        a = self.along
        return (-a[1], a[0])

    def point(self, distance_m: float, out_m: float = 0.0) -> Vec2:
        """A point along the face, ``out_m`` into the room."""
        a, n = self.along, self.normal
        x = self.start[0] + a[0] * distance_m + n[0] * out_m
        return (x, self.start[1] + a[1] * distance_m + n[1] * out_m)


@dataclass(frozen=True)
class RoomPlan:
    """One room: what it is for, its rectangle, the notch cut off (or None), its walls."""

    kind: str
    rect: Rect
    notch: Rect | None
    walls: tuple[Wall, ...]


@dataclass(frozen=True)
class FloorPlan:
    """All rooms; ``passages`` are the door openings' rectangles through both slabs."""

    rooms: tuple[RoomPlan, ...]
    ceiling_m: float
    passages: tuple[Rect, ...]
    passage_height_m: float

    @property
    def rects(self) -> tuple[Rect, ...]:
        return tuple(room.rect for room in self.rooms)

    @property
    def notches(self) -> tuple[Rect, ...]:
        return tuple(room.notch for room in self.rooms if room.notch is not None)


def make_floor_plan(rng: Rng) -> FloorPlan:
    """Draw a floor plan: 70 % one room, 22 % two, 8 % three."""
    u = rng.random()
    count = 1 if u < 0.70 else 2 if u < 0.92 else 3
    kinds = [str(k) for k in rng.choice(KINDS, size=count, p=KIND_SHARES)]
    w, d = _sides(rng, kinds[0])
    rects: list[Rect] = [(0.0, 0.0, w, d)]
    openings: list[list[tuple[int, float, float]]] = [[]]
    passages: list[Rect] = []
    for kind in kinds[1:]:
        _attach(rng, kind, rects, openings, passages)
    rooms = []
    for k, rect in enumerate(rects):
        notch = _notch(rng, rect) if count == 1 and rng.random() < 0.28 else None
        rooms.append(RoomPlan(kinds[k], rect, notch, _walls(rect, notch, openings[k])))
    return FloorPlan(tuple(rooms), rng.uniform(2.4, 3.0), tuple(passages), rng.uniform(1.98, 2.15))


def _sides(rng: Rng, kind: str) -> Vec2:
    low, high = _SIDES[kind]
    return (rng.uniform(low, high), rng.uniform(low, high))


def _attach(
    rng: Rng,
    kind: str,
    rects: list[Rect],
    openings: list[list[tuple[int, float, float]]],
    passages: list[Rect],
) -> None:
    """Put one more room beside the first; leaves the plan as it is if no side is free."""
    x0, y0, x1, y1 = rects[0]
    gap = 2 * WALL_SLAB_M
    for side in rng.permutation(4):
        w, d = _sides(rng, kind)
        span = (x0, x1) if side in (0, 2) else (y0, y1)
        extent = w if side in (0, 2) else d
        shift = rng.uniform(span[0] - 0.4 * extent, span[1] - 0.6 * extent)
        rect = {
            0: (shift, y0 - gap - d, shift + w, y0 - gap),
            1: (x1 + gap, shift, x1 + gap + w, shift + d),
            2: (shift, y1 + gap, shift + w, y1 + gap + d),
            3: (x0 - gap - w, shift, x0 - gap, shift + d),
        }[int(side)]
        low, high = max(shift, span[0]) + 0.25, min(shift + extent, span[1]) - 0.25
        width = rng.uniform(0.8, 1.3)
        if high - low < width or any(_overlap(rect, other, gap) for other in rects[1:]):
            continue
        a = rng.uniform(low, high - width)
        rects.append(rect)
        openings[0].append((int(side), a, a + width))
        openings.append([((int(side) + 2) % 4, a, a + width)])
        fixed = {0: y0 - gap, 1: x1, 2: y1, 3: x0 - gap}[int(side)]
        horizontal = side in (0, 2)
        passages.append(
            (a, fixed, a + width, fixed + gap) if horizontal else (fixed, a, fixed + gap, a + width)
        )
        return


def _overlap(a: Rect, b: Rect, gap: float) -> bool:
    return a[0] < b[2] + gap and b[0] < a[2] + gap and a[1] < b[3] + gap and b[1] < a[3] + gap


def _notch(rng: Rng, rect: Rect) -> Rect | None:
    x0, y0, x1, y1 = rect
    w, d = x1 - x0, y1 - y0
    if min(w, d) < 3.2:
        return None
    a, b = rng.uniform(0.2, 0.45) * w, rng.uniform(0.2, 0.45) * d
    left, low = rng.random() < 0.5, rng.random() < 0.5
    xs = (x0, x0 + a) if left else (x1 - a, x1)
    ys = (y0, y0 + b) if low else (y1 - b, y1)
    return (xs[0], ys[0], xs[1], ys[1])


def room_polygon(rect: Rect, notch: Rect | None) -> list[Vec2]:
    """Counter-clockwise corners."""
    x0, y0, x1, y1 = rect
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if notch is None:
        return corners
    a, b, c, d = notch
    cut = {
        (x0, y0): [(a, d), (c, d), (c, b)],
        (x1, y0): [(a, b), (a, d), (c, d)],
        (x1, y1): [(c, b), (a, b), (a, d)],
        (x0, y1): [(c, d), (c, b), (a, b)],
    }
    at = (x0 if a == x0 else x1, y0 if b == y0 else y1)
    points: list[Vec2] = []
    for corner in corners:
        points.extend(cut[corner] if corner == at else [corner])
    return points


def _walls(
    rect: Rect, notch: Rect | None, openings: list[tuple[int, float, float]]
) -> tuple[Wall, ...]:
    points = room_polygon(rect, notch)
    walls = []
    for k, start in enumerate(points):
        end = points[(k + 1) % len(points)]
        holes: list[tuple[float, float]] = []
        for side, a, b in openings:
            if side != k:
                continue
            horizontal = side in (0, 2)
            origin = start[0] if horizontal else start[1]
            pair = sorted((abs(a - origin), abs(b - origin)))
            holes.append((pair[0], pair[1]))
        walls.append(Wall(start, end, tuple(sorted(holes))))
    return tuple(walls)


def plan_outline(plan: FloorPlan, rooms: list[int]) -> tuple[F64, float]:
    """Counter-clockwise outline (P,2) and area of the given rooms and the passages between them."""
    inside = [plan.rooms[k].rect for k in rooms]
    outside = [n for k in rooms if (n := plan.rooms[k].notch) is not None]
    for passage in plan.passages:
        touching = [r for r in inside if _touch(r, passage)]
        if len(touching) == 2:
            inside.append(passage)
    return outline(inside, outside)


def _touch(a: Rect, b: Rect) -> bool:
    e = 1e-6
    return a[0] <= b[2] + e and b[0] <= a[2] + e and a[1] <= b[3] + e and b[1] <= a[3] + e


def outline(inside: list[Rect], outside: list[Rect]) -> tuple[F64, float]:
    """Outline of the first rectangle's connected region; coordinates closer than 1 µm are one."""
    xs = _distinct([r[k] for r in (*inside, *outside) for k in (0, 2)])
    ys = _distinct([r[k] for r in (*inside, *outside) for k in (1, 3)])
    mx, my = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2

    def covered(rects: list[Rect]) -> NDArray[np.bool_]:
        grid = np.zeros((len(mx), len(my)), bool)
        for x0, y0, x1, y1 in rects:
            grid |= ((mx > x0) & (mx < x1))[:, None] & ((my > y0) & (my < y1))[None, :]
        return grid

    grid = covered(inside) & ~covered(outside)
    area = float((grid * np.diff(xs)[:, None] * np.diff(ys)[None, :]).sum())
    follow: dict[tuple[int, int], tuple[int, int]] = {}
    filled = {(int(i), int(j)) for i, j in np.argwhere(grid)}
    # Each side of a filled cell that borders on an empty one, walked with the inside to the left.
    for i, j in filled:
        sides = (
            ((i, j - 1), (i, j), (i + 1, j)), ((i + 1, j), (i + 1, j), (i + 1, j + 1)),
            ((i, j + 1), (i + 1, j + 1), (i, j + 1)), ((i - 1, j), (i, j + 1), (i, j)),
        )  # fmt: skip
        follow.update({a: b for neighbour, a, b in sides if neighbour not in filled})
    start = min(follow)
    loop, at = [start], follow[start]
    while at != start:
        loop.append(at)
        at = follow[at]
    points = np.array([(xs[i], ys[j]) for i, j in loop])
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    a, b = points - before, after - points
    corner = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) > 1e-9
    return points[corner], area


def _distinct(values: list[float]) -> F64:
    v = np.unique(values)
    return v[np.concatenate([[True], np.diff(v) > 1e-6])]
