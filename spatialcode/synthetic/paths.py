"""Hand-held camera paths: a person stands back, walks round the furniture and pans.

A path is a function of progress s in [0, 1], so any frame rate samples the same walk. For part of
a clip a chair, stool or bin may be pushed over the floor.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.placement import Footprint, Placed, footprint_of, overlap

Rng = np.random.Generator
F64 = NDArray[np.float64]

_CELL_M = 0.1
_WALL_CLEARANCE_M = 0.25
#: What may be pushed about, the light things first.
MOVABLE = ("chair", "stool", "trash bin", "nightstand", "table", "washer")
#: Places on its way at which a moving object must touch nothing.
_CHECKS = 24


@dataclass(frozen=True)
class FreeSpace:
    """Where a person can stand: distance to the nearest obstacle (metres) on a grid of cells."""

    origin_m: tuple[float, float]
    clearance_m: NDArray[np.float32]

    def cells(self, at_least_m: float) -> NDArray[np.int64]:
        """(n,2) row, column of cells with that much room, relaxed until some are left."""
        limit = at_least_m
        while True:
            found = np.argwhere(self.clearance_m >= limit)
            if len(found) or limit < 0.02:
                return found
            limit *= 0.75

    def position(self, cells: NDArray[np.int64]) -> F64:
        """(n,2) x, y at the cells' centres."""
        return cells[:, ::-1] * _CELL_M + np.asarray(self.origin_m)

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Nearest cell."""
        rows, columns = self.clearance_m.shape
        i = int(round((y - self.origin_m[1]) / _CELL_M))
        j = int(round((x - self.origin_m[0]) / _CELL_M))
        return min(max(i, 0), rows - 1), min(max(j, 0), columns - 1)


def free_space(interior: Interior, extra: tuple[Footprint, ...] = ()) -> FreeSpace:
    """Rasterise rooms less furniture; ``extra`` are places moving objects will pass."""
    rects = np.array(interior.plan.rects)
    x0, y0 = rects[:, :2].min(axis=0) - 0.2
    x1, y1 = rects[:, 2:].max(axis=0) + 0.2
    shape = (int((y1 - y0) / _CELL_M) + 2, int((x1 - x0) / _CELL_M) + 2)

    def cells(points: list[tuple[float, float]]) -> NDArray[np.int32]:
        # Sixteenths of a cell keep the obstacle's edge where it is.
        return np.round((np.array(points) - (x0, y0)) / _CELL_M * 16).astype(np.int32)

    def fill(points: list[tuple[float, float]], value: int) -> None:
        cv2.fillConvexPoly(free, cells(points), value, lineType=cv2.LINE_8, shift=4)

    free = np.zeros(shape, np.uint8)
    for a, b, c, d in interior.plan.rects:
        fill([(a, b), (c, b), (c, d), (a, d)], 1)
    if len(interior.plan.rooms) > 1:
        # Rounding to cells can close up the thin gap between two rooms: the wall must stay shut.
        for wall in (w for room in interior.plan.rooms for w in room.walls):
            ends = [(0.0, 0.0), (wall.length_m, 0.0)]
            fill([wall.point(t, n) for t, n in (*ends, (wall.length_m, -0.12), (0.0, -0.12))], 0)
    for a, b, c, d in interior.plan.passages:
        fill([(a, b), (c, b), (c, d), (a, d)], 1)
    for a, b, c, d in interior.plan.notches:
        fill([(a, b), (c, b), (c, d), (a, d)], 0)
    for placed in interior.objects:
        fill(footprint_of(placed).corners(), 0)
    for footprint in extra:
        fill(footprint.corners(), 0)
    distance = cv2.distanceTransform(free, cv2.DIST_L2, 5) * np.float32(_CELL_M)
    return FreeSpace((float(x0), float(y0)), distance)


@dataclass(frozen=True)
class Walk:
    """Position (n,3), heading and pitch and roll (n,) at progress (n,); read by interpolation."""

    progress: F64
    position_m: F64
    heading_rad: F64
    pitch_rad: F64
    roll_rad: F64

    def at(self, s: F64) -> F64:
        """T_plan_camera (len(s),4,4)."""
        position = np.stack([np.interp(s, self.progress, p) for p in self.position_m.T], axis=1)
        angles = [np.interp(s, self.progress, a)
                  for a in (self.heading_rad, self.pitch_rad, self.roll_rad)]  # fmt: skip
        return camera_poses(position, *angles)


def camera_poses(position: F64, heading: F64, pitch: F64, roll: F64) -> F64:
    """T (n,4,4) of OpenCV cameras; heading is counter-clockwise from +x, pitch up is positive."""
    ch, sh, cp, sp = np.cos(heading), np.sin(heading), np.cos(pitch), np.sin(pitch)
    zero = np.zeros_like(heading)
    forward = np.stack([ch * cp, sh * cp, sp], axis=1)
    right = np.stack([sh, -ch, zero], axis=1)
    down = np.cross(forward, right)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    T = np.zeros((len(heading), 4, 4))
    T[:, :3, 0] = c * right + s * down
    T[:, :3, 1] = c * down - s * right
    T[:, :3, 2] = forward
    T[:, :3, 3] = position
    T[:, 3, 3] = 1.0
    return T


def scattered_views(
    rng: Rng, interior: Interior, number: int, extra: tuple[Footprint, ...] = ()
) -> F64:
    """Independent poses T_plan_camera (number,4,4) over all rooms: the views a long walk has.

    ``extra``: further places where nobody can stand.
    """
    space = free_space(interior, extra)
    spots = space.position(space.cells(_WALL_CLEARANCE_M))
    base = rng.uniform(1.1, 1.8)
    position, heading = np.empty((number, 3)), np.empty(number)
    things = np.array([p.center_m[:2] for p in interior.objects]).reshape(-1, 2)
    for k in range(number):
        # People step back from what they film: of a few views take the one that shows most.
        trials = 4 if rng.random() < 0.75 else 1
        at = spots[rng.integers(len(spots), size=trials)] + rng.uniform(-0.04, 0.04, (trials, 2))
        turn = rng.uniform(-np.pi, np.pi, trials)
        look = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        score = [min(4.0, _view_depth(interior, p, d)) + 0.8 * _num_ahead(things, p, d)
                 for p, d in zip(at, look, strict=True)]  # fmt: skip
        best = int(np.argmax(score))
        heading[k] = turn[best]
        position[k] = (*at[best], base + rng.normal(0, 0.05))
    pitch = np.radians(rng.normal(-17, 8, number)).clip(-0.65, 0.08)
    roll = np.radians(rng.normal(0, 1.5, number)).clip(-0.07, 0.07)
    return camera_poses(position, heading, pitch, roll)


def _num_ahead(things: F64, at: F64, look: F64) -> int:
    """How many things lie within 30 degrees of a direction, 0.7 to 5 m away."""
    offset = things - at
    ahead = offset @ look
    away = np.hypot(offset[:, 0], offset[:, 1])
    return int(((ahead > 0.87 * away) & (away > 0.7) & (away < 5.0)).sum())


def _view_depth(interior: Interior, at: F64, look: F64) -> float:
    """Distance to the room's rectangle along a horizontal direction."""
    best = 0.0
    for x0, y0, x1, y1 in interior.plan.rects:
        if not (x0 <= at[0] <= x1 and y0 <= at[1] <= y1):
            continue
        tx = ((x1 if look[0] > 0 else x0) - at[0]) / look[0] if abs(look[0]) > 1e-6 else 99.0
        ty = ((y1 if look[1] > 0 else y0) - at[1]) / look[1] if abs(look[1]) > 1e-6 else 99.0
        best = max(best, min(tx, ty))
    return best


def walk(rng: Rng, interior: Interior, space: FreeSpace, share: float = 1.0) -> Walk:
    """A walk with a pan. ``share`` shortens it, for clips of few frames that must still overlap."""
    turn = np.radians(rng.uniform(200, 290)) * (1 if rng.random() < 0.5 else -1) * share
    start = rng.uniform(-np.pi, np.pi)
    route = _route(rng, interior, space, start, turn)
    limit = rng.uniform(5.0, 6.6) * share
    dense = _resample(route, 240, limit)
    s = np.linspace(0, 1, 240)
    ease = s + 0.35 * np.sin(2 * np.pi * s) / (2 * np.pi)
    wobble = sum(np.radians(rng.uniform(0.5, 2.0)) * np.sin(2 * np.pi * (k * s + rng.random()))
                 for k in (2, 3, 5))  # fmt: skip
    step = 2 * np.pi * rng.uniform(5, 9) * s
    base = rng.uniform(1.15, 1.75)
    z = base + 0.05 * np.sin(2 * np.pi * (s + rng.random())) + 0.012 * np.sin(2 * step)
    position = np.column_stack([dense, z])
    heading = start + turn * ease + wobble
    pitch = np.radians(rng.uniform(-20, -9) + 6 * np.sin(2 * np.pi * (1.5 * s + rng.random())))
    pitch = pitch + np.radians(0.6) * np.sin(step)
    roll = np.radians(rng.normal(0, 0.8) + 1.2 * np.sin(step / 2 + rng.uniform(0, 6)))
    return Walk(s, position, heading, pitch, roll)


def _route(rng: Rng, interior: Interior, space: FreeSpace, start: float, turn: float) -> F64:
    """Way points opposite to the view, joined by ways through free space."""
    cells = space.cells(_WALL_CLEARANCE_M)
    spots = space.position(cells)
    order = list(range(len(interior.plan.rects)))
    stops = []
    for k, share in enumerate(np.linspace(0, 1, 6)):
        room = order[0] if k < 4 or len(order) == 1 else order[1]
        x0, y0, x1, y1 = interior.plan.rects[room]
        angle = start + turn * share
        back = 0.36 * min(x1 - x0, y1 - y0) * rng.uniform(0.5, 1.2)
        wish = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) - back * np.array(
            [np.cos(angle), np.sin(angle)]
        )
        stops.append(cells[np.argmin(((spots - wish) ** 2).sum(axis=1))])
    cost = 1.0 + 3.0 * np.exp(-space.clearance_m / 0.15)
    cost[space.clearance_m < 0.12] = np.inf
    path = [stops[0]]
    for a, b in itertools.pairwise(stops):
        leg = _shortest(cost, tuple(a), tuple(b))
        if leg is None:
            break
        path.extend(np.array(c) for c in leg[1:])
    points = space.position(np.array(path))
    if len(points) < 2:
        points = np.repeat(points, 2, axis=0) + np.array([[0.0, 0.0], [0.01, 0.01]])
    return _smooth(points, space)


def _shortest(cost: F64, a: tuple[int, ...], b: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """Dijkstra over the eight neighbours; None if there is no way."""
    start, goal = (int(a[0]), int(a[1])), (int(b[0]), int(b[1]))
    best, parent = {start: 0.0}, {start: start}
    queue = [(0.0, start)]
    rows, columns = cost.shape
    table = cost.tolist()
    while queue:
        so_far, at = heapq.heappop(queue)
        if at == goal:
            way = [at]
            while way[-1] != start:
                way.append(parent[way[-1]])
            return way[::-1]
        if so_far > best[at]:
            continue
        for di, dj, length in _NEIGHBOURS:
            i, j = at[0] + di, at[1] + dj
            if not (0 <= i < rows and 0 <= j < columns):
                continue
            total = so_far + length * table[i][j]
            if total < best.get((i, j), np.inf):
                best[(i, j)] = total
                parent[(i, j)] = at
                heapq.heappush(queue, (total, (i, j)))
    return None


_NEIGHBOURS = [(i, j, float(np.hypot(i, j))) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def _smooth(points: F64, space: FreeSpace) -> F64:
    """Round the corners as far as clearance allows."""
    dense = _resample(points, 240, np.inf)
    for sigma in (16, 9, 5, 2):
        pad = 4 * sigma
        wide = np.pad(dense, ((pad, pad), (0, 0)), mode="edge")
        kernel = np.exp(-0.5 * (np.arange(-pad, pad + 1) / sigma) ** 2)
        kernel /= kernel.sum()
        soft = np.stack([np.convolve(c, kernel, mode="valid") for c in wide.T], axis=1)
        if min(space.clearance_m[space.cell(x, y)] for x, y in soft[::4]) >= 0.12:
            return soft
    return dense


def _resample(points: F64, number: int, limit_m: float) -> F64:
    """Evenly by length, cut off after ``limit_m``."""
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, min(gone[-1], limit_m), number)
    return np.stack([np.interp(at, gone, c) for c in points.T], axis=1)


@dataclass(frozen=True)
class Motion:
    """Object ``index`` goes from its place by ``shift_m`` and turns by ``turn_rad`` while progress
    passes from ``start`` to ``end``, bowing out sideways by ``bow_m``.
    """

    index: int
    start: float
    end: float
    shift_m: tuple[float, float]
    bow_m: float
    turn_rad: float

    def place(self, placed: Placed, s: float) -> Placed:
        """The object at progress s."""
        u = min(1.0, max(0.0, (s - self.start) / (self.end - self.start)))
        u = u * u * (3 - 2 * u)
        length = math.hypot(*self.shift_m)
        side = self.bow_m * math.sin(math.pi * u)
        x, y, z = placed.center_m
        x += self.shift_m[0] * u - self.shift_m[1] / length * side
        y += self.shift_m[1] * u + self.shift_m[0] / length * side
        return replace(placed, center_m=(x, y, z), yaw_rad=placed.yaw_rad + self.turn_rad * u)


def plan_motions(
    rng: Rng, interior: Interior, extra: tuple[Footprint, ...] = ()
) -> tuple[Motion, ...]:
    """One or two motions that touch nothing on the way (fewer where there is no room).

    ``extra``: obstacles besides the interior's objects.
    """
    carried = [p for p in (*interior.objects, *interior.decor) if p.mount == "surface"]
    loose = [
        k for k, p in enumerate(interior.objects)
        if p.mount == "floor" and p.model.label in MOVABLE and p.room == 0
        and not any(_carries(p, other) for other in carried)
    ]  # fmt: skip
    # Light things move more often than heavy ones.
    loose.sort(key=lambda k: (interior.objects[k].model.label in MOVABLE[3:]) + rng.random())
    wanted = 1 if rng.random() < 0.7 else 2
    motions: list[Motion] = []
    for k in loose:
        if len(motions) == wanted:
            break
        for trial in range(60):
            motion = _draw(rng, k, 2.0 - 1.3 * trial / 60)
            if _clear(interior, motion, (*swept(interior, tuple(motions)), *extra)):
                motions.append(motion)
                break
    return tuple(motions)


def swept(interior: Interior, motions: tuple[Motion, ...]) -> tuple[Footprint, ...]:
    """Everywhere that moving objects will be."""
    return tuple(
        footprint_of(motion.place(interior.objects[motion.index], float(s)))
        for motion in motions
        for s in np.linspace(motion.start, motion.end, _CHECKS)
    )


def _carries(lower: Placed, upper: Placed) -> bool:
    dx, dy = upper.center_m[0] - lower.center_m[0], upper.center_m[1] - lower.center_m[1]
    return math.hypot(dx, dy) < max(lower.model.size_m[:2])


def _draw(rng: Rng, index: int, longest_m: float) -> Motion:
    angle, length = rng.uniform(-math.pi, math.pi), rng.uniform(0.4, longest_m)
    start = rng.uniform(0.0, 0.45)
    return Motion(
        index=index,
        start=start,
        end=min(1.0, start + rng.uniform(0.3, 0.7)),
        shift_m=(length * math.cos(angle), length * math.sin(angle)),
        bow_m=rng.uniform(-0.2, 0.2) * length,
        turn_rad=rng.normal(0, 0.6),
    )


def _clear(interior: Interior, motion: Motion, others: tuple[Footprint, ...]) -> bool:
    placed = interior.objects[motion.index]
    x0, y0, x1, y1 = interior.plan.rooms[placed.room].rect
    obstacles = [footprint_of(p) for k, p in enumerate(interior.objects) if k != motion.index]
    obstacles.extend(others)
    obstacles.extend(Footprint.over(notch, -1.0, 9.0) for notch in interior.plan.notches)
    for s in np.linspace(motion.start, motion.end, _CHECKS):
        box = footprint_of(motion.place(placed, float(s)), 0.03)
        if not all(x0 < x < x1 and y0 < y < y1 for x, y in box.corners()):
            return False
        if any(overlap(box, other) for other in obstacles):
            return False
    return True
