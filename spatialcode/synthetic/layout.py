"""What furniture a room gets, and where: recipes by kind of room, then a few surprises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spatialcode.synthetic import materials
from spatialcode.synthetic.furniture import MAKERS, appliances, storage, walls
from spatialcode.synthetic.placement import Floor, Footprint, Placed, overlap
from spatialcode.synthetic.primitives import Material
from spatialcode.synthetic.rooms import FloorPlan, make_floor_plan

Rng = np.random.Generator

#: Mean number of each category by kind of room; a fraction is a probability.
RECIPES: dict[str, tuple[tuple[str, float], ...]] = {
    "living": (
        ("sofa", 1.3), ("coffee", 0.7), ("tv", 0.9), ("bookshelf", 0.8), ("lamp", 0.9),
        ("dining", 0.35), ("chair", 0.6), ("stool", 0.5), ("trash bin", 0.3), ("nightstand", 0.15),
    ),
    "bedroom": (
        ("bed", 1.3), ("desk", 0.35), ("bookshelf", 0.45), ("lamp", 0.35), ("tv", 0.4),
        ("chair", 0.25), ("trash bin", 0.35), ("stool", 0.3), ("sofa", 0.1),
    ),
    "bathroom": (
        ("bathtub", 0.95), ("toilet", 1.0), ("washer", 0.6), ("stool", 0.4), ("trash bin", 0.7),
        ("lamp", 0.15),
    ),
    "kitchen": (
        ("refrigerator", 1.0), ("stove", 1.05), ("washer", 0.55), ("dining", 0.85), ("stool", 0.7),
        ("trash bin", 0.7), ("bookshelf", 0.1), ("lamp", 0.1), ("tv", 0.1),
    ),
    "office": (
        ("desk", 1.6), ("bookshelf", 1.1), ("trash bin", 0.8), ("lamp", 0.5), ("sofa", 0.2),
        ("tv", 0.35), ("chair", 0.4), ("stool", 0.3), ("refrigerator", 0.12),
    ),
    "mixed": (("bed", 0.3), ("sofa", 0.3), ("dining", 0.3)),
}  # fmt: skip

#: How often a surprise is of each category: rarer ones more often.
SURPRISES = {
    "chair": 1.2, "table": 0.6, "sofa": 1.5, "bed": 1.7, "tv": 1.4, "stool": 0.8,
    "trash bin": 0.7, "refrigerator": 1.9, "toilet": 1.9, "stove": 1.8, "bathtub": 1.7,
    "washer": 1.7, "lamp": 0.8, "bookshelf": 1.0, "nightstand": 1.5,
}  # fmt: skip

_WALL_ALIGNED = frozenset((
    "sofa", "bed", "refrigerator", "toilet", "stove", "bathtub", "washer", "bookshelf",
    "nightstand",
))  # fmt: skip


@dataclass(frozen=True)
class Rug:
    """A carpet: a rectangle on the floor."""

    center_m: tuple[float, float]
    half_m: tuple[float, float]
    yaw_rad: float
    material: Material


@dataclass(frozen=True)
class Interior:
    """A furnished floor plan in the plan frame: objects, flat decoration, rugs, surfaces' looks."""

    plan: FloorPlan
    objects: tuple[Placed, ...]
    decor: tuple[Placed, ...]
    rugs: tuple[Rug, ...]
    floor: Material
    walls: tuple[Material, ...]
    ceiling: Material


def furnish(rng: Rng) -> Interior:
    """A furnished set of rooms, drawn from ``rng``."""
    plan = make_floor_plan(rng)
    floor = Floor(plan, rng)
    for k, room in enumerate(plan.rooms):
        _openings(floor, k)
        for item, mean in RECIPES[room.kind]:
            for _ in range(_count(rng, mean)):
                _item(floor, k, item)
        low, high = (5, 9) if room.kind == "mixed" else (2, 5)
        names, weights = list(SURPRISES), np.array(list(SURPRISES.values()))
        x0, y0, x1, y1 = room.rect
        number = int(rng.integers(low, high)) + int((x1 - x0) * (y1 - y0) / 9.0)
        for name in rng.choice(names, size=number, p=weights / weights.sum()):
            _item(floor, k, str(name))
        for _ in range(int(rng.integers(0, 4))):
            model = walls.picture(rng)
            floor.on_wall(k, model, rng.uniform(1.1, 1.6), decor=True)
    wet = [r.kind in ("bathroom", "kitchen") for r in plan.rooms]
    ceiling = Material(materials.hsv(0.1, rng.uniform(0, 0.05), rng.uniform(0.85, 0.98)))
    paints = tuple(materials.wall(rng, w) for w in wet)
    rugs = tuple(r for k in range(len(plan.rooms)) for r in _rugs(floor, k))
    look = materials.floor(rng, wet[0])
    return Interior(plan, tuple(floor.placed), tuple(floor.decor), rugs, look, paints, ceiling)


def _count(rng: Rng, mean: float) -> int:
    return int(mean) + int(rng.random() < mean % 1.0)


def _openings(floor: Floor, room: int) -> None:
    rng = floor.rng
    kind = floor.plan.rooms[room].kind
    if not floor.plan.passages or rng.random() < 0.5:
        for _ in range(1 if rng.random() < 0.75 else 2):
            floor.on_wall(room, walls.door(rng), 0.0, reserve_m=0.8)
    for _ in range(_count(rng, 0.55 if kind == "bathroom" else 1.0)):
        model = walls.window(rng)
        sill = rng.uniform(0.55, 1.1)
        placed = floor.on_wall(room, model, sill)
        if placed is not None and rng.random() < 0.35:
            _curtains(floor, placed)


def _curtains(floor: Floor, window: Placed) -> None:
    rng = floor.rng
    x, y, z = window.center_m
    w, _, h = window.model.size_m
    c, s = math.cos(window.yaw_rad), math.sin(window.yaw_rad)
    low = z - h / 2 - rng.uniform(0.05, 0.4)
    height = min(h + 0.8, floor.plan.ceiling_m - 0.05 - low)
    model = walls.curtain(rng, height)
    for side in (-1, 1):
        along = side * (w / 2 + model.size_m[0] / 2 + 0.01)
        out = model.size_m[1] / 2 + 0.005
        center = (x + c * along - s * out, y + s * along + c * out, low + height / 2)
        box = Footprint(
            center[0], center[1], model.size_m[0] / 2, 0.03, window.yaw_rad, low, low + height
        )
        if floor.fits(window.room, box):
            floor.decor.append(Placed(model, center, window.yaw_rad, "wall", window.room))
            floor.obstacles.append(box)


def _item(floor: Floor, room: int, item: str) -> None:
    rng = floor.rng
    if item == "tv":
        _television(floor, room)
    elif item == "desk":
        _desk(floor, room)
    elif item in ("coffee", "dining", "table"):
        _table(floor, room, item)
    elif item == "lamp":
        _lamp(floor, room)
    else:
        model = MAKERS[item](rng)
        aligned = 0.95 if item in _WALL_ALIGNED else 0.45
        put = floor.against_wall if rng.random() < aligned else floor.standing
        placed = put(room, model)
        if placed is not None and item == "bed":
            _dress_bed(floor, placed)
        if placed is not None and item == "sofa":
            _cushions(floor, placed, int(rng.integers(0, 4)))


def _television(floor: Floor, room: int) -> None:
    rng = floor.rng
    if rng.random() < 0.6:
        floor.on_wall(room, walls.tv(rng), rng.uniform(0.8, 1.3))
        return
    stand = floor.against_wall(room, storage.tv_bench(rng))
    if stand is not None:
        model = walls.standing_tv(rng)
        floor.upon(stand, stand.model.supports[0], model, rng.normal(0, 0.05))


def _desk(floor: Floor, room: int) -> None:
    rng = floor.rng
    placed = floor.against_wall(room, storage.desk(rng))
    if placed is None:
        return
    if rng.random() < 0.85:
        _seat(floor, placed, (rng.uniform(-0.25, 0.25), 1.0), "chair")
    if rng.random() < 0.3:
        model = walls.standing_tv(rng) if rng.random() < 0.5 else appliances.table_lamp(rng)
        floor.upon(placed, placed.model.supports[0], model, rng.normal(0, 0.15))


def _table(floor: Floor, room: int, item: str) -> None:
    rng = floor.rng
    if item == "coffee":
        sofas = [p for p in floor.placed if p.model.label == "sofa" and p.room == room]
        size = (rng.uniform(0.6, 1.25), rng.uniform(0.45, 0.7), rng.uniform(0.35, 0.5))
        model = storage.legged_table(rng, size)
        if sofas:
            reach = (sofas[0].model.size_m[1] + model.size_m[1]) / 2 + rng.uniform(0.25, 0.6)
            floor.beside(sofas[0], model, (rng.uniform(-0.3, 0.3), reach), rng.normal(0, 0.04))
        else:
            floor.standing(room, model)
        return
    model = storage.table(rng)
    against = rng.random() < (0.3 if item == "dining" else 0.6)
    placed = (floor.against_wall if against else floor.standing)(room, model)
    if placed is None or model.size_m[2] < 0.6:
        return
    sides = [(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)]
    wanted = int(rng.integers(2, 5)) if item == "dining" else int(rng.integers(0, 3))
    seat = "chair" if rng.random() < 0.88 else "stool"
    for k in rng.permutation(4)[:wanted]:
        _seat(floor, placed, sides[int(k)], seat)


def _seat(floor: Floor, table: Placed, side: tuple[float, float], label: str) -> None:
    """A chair at one side of a table, facing it."""
    rng = floor.rng
    model = MAKERS[label](rng)
    w, d, _ = table.model.size_m
    gap = rng.uniform(0.03, 0.3) + model.size_m[1] / 2
    if abs(side[1]) == 1.0:
        offset = (side[0] * w, side[1] * (d / 2 + gap))
        turn = math.pi if side[1] > 0 else 0.0
    else:
        offset = (side[0] * (w / 2 + gap), 0.0)
        turn = math.pi / 2 if side[0] > 0 else -math.pi / 2
    for _ in range(3):
        if floor.beside(table, model, offset, turn + rng.normal(0, 0.15)) is not None:
            return


def _lamp(floor: Floor, room: int) -> None:
    rng = floor.rng
    tops = [
        p for p in floor.placed
        if p.room == room and p.model.supports and p.model.label in ("nightstand", "table")
    ]  # fmt: skip
    if tops and rng.random() < 0.45:
        top = tops[int(rng.integers(len(tops)))]
        turn = rng.uniform(-math.pi, math.pi)
        floor.upon(top, top.model.supports[0], appliances.table_lamp(rng), turn)
        return
    put = floor.against_wall if rng.random() < 0.7 else floor.standing
    put(room, appliances.lamp(rng))


def _dress_bed(floor: Floor, bed: Placed) -> None:
    rng = floor.rng
    w, d, _ = bed.model.size_m
    support = bed.model.supports[0]
    for _ in range(1 if w < 1.3 else int(rng.integers(1, 4))):
        floor.upon(bed, support, storage.pillow(rng), rng.normal(0, 0.12))
    for side in (-1, 1):
        if rng.random() > 0.75:
            continue
        model = storage.nightstand(rng)
        offset = (side * (w / 2 + model.size_m[0] / 2 + rng.uniform(0.03, 0.15)),
                  -(d - model.size_m[1]) / 2)  # fmt: skip
        stand = floor.beside(bed, model, offset, 0.0)
        if stand is not None and rng.random() < 0.5:
            turn = rng.uniform(-math.pi, math.pi)
            floor.upon(stand, model.supports[0], appliances.table_lamp(rng), turn)


def _cushions(floor: Floor, sofa: Placed, number: int) -> None:
    for _ in range(number):
        turn = floor.rng.normal(0, 0.3)
        floor.upon(sofa, sofa.model.supports[0], storage.pillow(floor.rng), turn)


def _rugs(floor: Floor, room: int) -> list[Rug]:
    rng = floor.rng
    if rng.random() > 0.4:
        return []
    x0, y0, x1, y1 = floor.plan.rooms[room].rect
    half = (rng.uniform(0.4, 0.3 * (x1 - x0)), rng.uniform(0.4, 0.3 * (y1 - y0)))
    yaw = 0.0 if rng.random() < 0.7 else rng.uniform(-0.6, 0.6)
    x, y = rng.uniform(x0 + 1.0, x1 - 1.0), rng.uniform(y0 + 1.0, y1 - 1.0)
    box = Footprint(x, y, half[0], half[1], yaw, 0.0, 0.01)
    if any(overlap(box, Footprint.over(notch, 0.0, 1.0)) for notch in floor.plan.notches):
        return []
    return [Rug((x, y), half, yaw, materials.rug(rng))]
