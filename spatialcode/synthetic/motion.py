"""Moving objects: a chair, stool or bin that is pushed over the floor for part of a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.placement import Footprint, Placed, footprint_of, overlap

Rng = np.random.Generator
MOVABLE = ("chair", "stool", "trash bin", "nightstand", "table", "washer")

_CHECKS = 24


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


def plan_motions(rng: Rng, interior: Interior) -> tuple[Motion, ...]:
    """One or two motions that touch nothing on the way (fewer where there is no room)."""
    carried = [p for p in interior.objects if p.mount == "surface"]
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
            if _clear(interior, motion, swept(interior, tuple(motions))):
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
    for a, b, c, d in interior.plan.notches:
        half = ((c - a) / 2, (d - b) / 2)
        obstacles.append(Footprint((a + c) / 2, (b + d) / 2, *half, 0.0, -1.0, 9.0))
    for s in np.linspace(motion.start, motion.end, _CHECKS):
        box = footprint_of(motion.place(placed, float(s)), 0.03)
        if not all(x0 < x < x1 and y0 < y < y1 for x, y in box.corners()):
            return False
        if any(overlap(box, other) for other in obstacles):
            return False
    return True
