"""Furnishes a floor plan with pieces: what stands against walls, hangs, stands upon other things.

Nothing intersects: every piece keeps the box of `placement`. What stands upon a top stands on its
level part, which the mesh gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from spatialcode.scene.categories import traits_of
from spatialcode.synthetic import materials
from spatialcode.synthetic.catalogue.models import FurnitureModel
from spatialcode.synthetic.furnished.pieces import FLAT_M, MADE, Piece, Stock, blanket
from spatialcode.synthetic.furnished.recipes import (
    ON_FLOORS,
    ON_TOPS,
    RECIPES,
    SURPRISES,
    TOPS,
)
from spatialcode.synthetic.layout import Interior, Rug
from spatialcode.synthetic.placement import Floor, Footprint, Placed, overlap
from spatialcode.synthetic.primitives import Color, Material
from spatialcode.synthetic.rooms import make_floor_plan

Rng = np.random.Generator
Fits = Callable[[FurnitureModel], bool]

#: Hung things by label or item: lowest and highest bottom edge over the floor, in metres.
_HUNG: dict[str, tuple[float, float]] = {
    "picture": (1.1, 1.6), "mirror": (0.7, 1.2), "clock": (1.5, 2.0),
    "radiator": (0.08, 0.15), "towel rack": (0.7, 1.2), "wall light": (1.4, 1.8),
    "range hood": (1.5, 1.8), "water heater": (1.1, 1.5),
}  # fmt: skip
#: Items whose back is to a wall, nearly always.
_AGAINST_WALL = frozenset((
    "sofa", "bed", "refrigerator", "toilet", "stove", "bathtub", "washer", "dryer", "bookshelf",
    "closet", "dresser", "cabinet", "counter", "fireplace", "piano", "sink", "dishwasher", "oven",
    "shower", "bidet", "freezer", "tv stand", "kitchen sink", "aquarium", "bench", "desk",
    "nightstand", "speaker", "crib", "box", "suitcase", "mattress", "guitar",
))  # fmt: skip


def _below(height_m: float) -> Fits:
    return lambda model: model.size_m[2] < height_m and model.elevation_m < 0.4


def _above(height_m: float) -> Fits:
    return lambda model: model.size_m[2] >= height_m and model.elevation_m < 0.3


#: Item → label of its models, and which of these it may be.
_ITEMS: dict[str, tuple[str, Fits | None]] = {
    "coffee table": ("table", _below(0.58)),
    "dining table": ("table", lambda m: 0.62 < m.size_m[2] < 1.0 and max(m.size_m) > 0.65),
    "desk": ("table", lambda m: 0.62 < m.size_m[2] < 1.9 and m.size_m[0] > 0.85),
    "armchair": ("chair", lambda m: m.size_m[0] > 0.6),
    "seat": ("chair", lambda m: m.size_m[0] < 0.62),
    "hanging cabinet": ("cabinet", lambda m: m.elevation_m > 1.0),
    "cabinet": ("cabinet", lambda m: m.elevation_m < 0.3),
    "sink": ("sink", lambda m: m.elevation_m < 0.6),
    "kitchen sink": ("sink", lambda m: m.elevation_m < 0.2 and m.size_m[2] > 0.6),
    "plant": ("plant", _above(0.4)),
    "lamp": ("lamp", _above(1.0)),
    "clock": ("clock", lambda m: m.size_m[2] > 0.12),
    "water heater": ("water heater", None),
    "range hood": ("range hood", None),
    "speaker": ("speaker", _above(0.5)),
    "box": ("box", _below(0.8)),
    "standing tv": ("tv", lambda m: m.size_m[1] > 0.12 and m.size_m[2] < 1.2),
    "hung tv": ("tv", lambda m: m.size_m[1] < 0.11 and m.size_m[2] < 1.2),
}


def furnish_with(rng: Rng, stock: Stock) -> Interior:
    """Furnished rooms of a stock's pieces. Objects have labels; decoration has none."""
    plan = make_floor_plan(rng)
    hand = _Arranging(Floor(plan, rng), stock)
    for k, room in enumerate(plan.rooms):
        hand.openings(k)
        for item, mean in RECIPES[room.kind].items():
            for _ in range(int(mean) + int(rng.random() < mean % 1.0)):
                hand.item(k, item)
        x0, y0, x1, y1 = room.rect
        fewest, most = (5, 10) if room.kind == "mixed" else (1, 5)
        for _ in range(int(rng.integers(fewest, most)) + int((x1 - x0) * (y1 - y0) / 10)):
            hand.item(k, SURPRISES[int(rng.integers(len(SURPRISES)))])
        hand.tops(k)
        hand.loose(k)
        hand.living(k)
    wet = [room.kind in ("bathroom", "kitchen") for room in plan.rooms]
    everything = (*hand.floor.placed, *hand.floor.decor)
    return Interior(
        plan=plan,
        objects=tuple(p for p in everything if p.model.label),
        decor=tuple(p for p in everything if not p.model.label),
        rugs=tuple(rug for k in range(len(plan.rooms)) for rug in _rugs(hand.floor, k)),
        floor=materials.floor(rng, wet[0]),
        walls=tuple(paint(rng, one) for one in wet),
        ceiling=Material(materials.hsv(0.1, 0.03, 0.95)),
    )


def paint(rng: Rng, wet: bool) -> Material:
    """A wall's look: mostly near white, cream or grey, at times a colour, wallpaper or tiles."""
    wall = materials.wall(rng, wet)
    if rng.random() < 0.25:
        return wall
    keep = rng.uniform(0.05, 0.45)
    warm = np.array([1.0, 0.985, 0.95]) * rng.uniform(0.9, 1.25)

    def muted(color: Color) -> Color:
        grey = float(np.mean(color)) * warm
        r, g, b = np.clip(keep * np.asarray(color) + (1 - keep) * grey, 0.0, 0.95)
        return (float(r), float(g), float(b))

    return replace(wall, color=muted(wall.color), color2=muted(wall.color2))


@dataclass
class _Arranging:
    """The moves by which one set of rooms is furnished."""

    floor: Floor
    stock: Stock

    @property
    def rng(self) -> Rng:
        return self.floor.rng

    def piece(self, item: str) -> Piece | None:
        """A piece for an item."""
        if item == "blanket":
            return blanket(self.rng)
        label, fits = _ITEMS.get(item, (item, None))
        return self.stock.draw(self.rng, label, fits)

    def item(self, room: int, item: str) -> None:
        """One item where it belongs, with its company; nothing where there is no room."""
        if item == "tv":
            self._television(room)
        elif item == "desk":
            self._desk(room)
        elif item == "dining":
            self._dining(room)
        elif item == "ceiling light" or item == "ceiling fan":
            self._from_ceiling(room, item)
        elif item == "radiator" and self.rng.random() < 0.3:
            self._stand(room, item)
        elif item in _HUNG or item == "hanging cabinet":
            self._hang(room, item)
        else:
            placed = self._stand(room, item)
            if placed is not None and placed.model.label == "bed":
                self._dress_bed(placed)
            if placed is not None and placed.model.label == "sofa":
                self._cushions(placed)

    def openings(self, room: int) -> None:
        """Doors and windows; windows only where there is an outside."""
        rng = self.rng
        kind = self.floor.plan.rooms[room].kind
        if not self.floor.plan.passages or rng.random() < 0.5:
            door = self.stock.draw(rng, "door", lambda m: 1.8 < m.size_m[2] < 2.25)
            if door is not None:
                self.floor.on_wall(room, door.set_in(), 0.0, reserve_m=0.7)
        for _ in range(1 if kind == "bathroom" else int(rng.integers(1, 4))):
            self._window(room)

    def _window(self, room: int) -> None:
        rng = self.rng
        top = self.floor.plan.ceiling_m - 0.08
        window = self.stock.draw(rng, "window", lambda m: m.size_m[2] * 1.07 < top)
        if window is None:
            return
        height = window.size_m[2]
        sill = 0.03 if height > 1.8 else rng.uniform(0.7, max(0.75, min(1.1, top - height)))
        placed = self.floor.on_wall(room, window.set_in(), min(sill, top - height))
        if placed is None:
            return
        if self._inner(placed, room):
            self.floor.placed.remove(placed)
        elif rng.random() < 0.55:
            self._curtains(placed)

    def _inner(self, placed: Placed, room: int) -> bool:
        """Whether another room lies behind a thing on a wall."""
        x = placed.center_m[0] + math.sin(placed.yaw_rad) * 0.6
        y = placed.center_m[1] - math.cos(placed.yaw_rad) * 0.6
        return any(
            a <= x <= c and b <= y <= d
            for k, (a, b, c, d) in enumerate(self.floor.plan.rects) if k != room
        )  # fmt: skip

    def _curtains(self, window: Placed) -> None:
        """A curtain at one or both sides of a window, or a blind before it."""
        rng = self.rng
        curtain = self.stock.draw(rng, "curtain")
        if curtain is None:
            return
        w, h = window.model.size_m[0], window.model.size_m[2]
        high = min(window.center_m[2] + h / 2 + 0.12, self.floor.plan.ceiling_m - 0.02)
        low = 0.03 if rng.random() < 0.6 else max(0.05, window.center_m[2] - h / 2 - 0.1)
        for side in (-1, 1) if rng.random() < 0.7 else (1,):
            wide = rng.uniform(0.25, 0.55) * min(w, 1.4)
            made = _stretched(curtain, (wide, rng.uniform(0.08, 0.14), high - low))
            along = side * (w / 2 - wide * rng.uniform(-0.3, 0.35))
            self._before_wall(window, made, along, (low + high) / 2)

    def _before_wall(self, window: Placed, piece: Piece, along: float, z: float) -> None:
        """A piece before the wall beside a window, if nothing but the window is there."""
        c, s = math.cos(window.yaw_rad), math.sin(window.yaw_rad)
        out = piece.size_m[1] / 2 + 0.1
        x = window.center_m[0] + c * along - s * out
        y = window.center_m[1] + s * along + c * out
        w, d, h = piece.size_m
        box = Footprint(x, y, w / 2, d / 2, window.yaw_rad, z - h / 2, z + h / 2)
        own = next((o for o in self.floor.obstacles if _holds(o, window)), None)
        if self.floor.fits(window.room, box, skip=own):
            self.floor.put(Placed(piece, (x, y, z), window.yaw_rad, "wall", window.room))

    def _stand(self, room: int, item: str) -> Placed | None:
        piece = self.piece(item)
        if piece is None or piece.size_m[2] > self.floor.plan.ceiling_m - 0.1:
            return None
        low = 0.0 if piece.source is None else piece.source.elevation_m
        if low > 0.3 and piece.label == "sink":
            return self.floor.on_wall(room, piece, low, reserve_m=0.9,
                                      before_m=piece.size_m[1] / 2 + 0.01)  # fmt: skip
        wall = self.rng.random() < (0.95 if item in _AGAINST_WALL else 0.4)
        return (self.floor.against_wall if wall else self.floor.standing)(room, piece)

    def _hang(self, room: int, item: str) -> Placed | None:
        piece = MADE[item](self.rng) if item == "picture" else self.piece(item)
        if piece is None:
            return None
        low, high = (1.35, 1.6) if item == "hanging cabinet" else _HUNG[item]
        flat = traits_of(piece.label).is_on_wall and piece.size_m[1] <= FLAT_M
        before = 0.0 if flat else piece.size_m[1] / 2 + 0.005
        piece = piece.flat() if flat else piece
        high = min(high, self.floor.plan.ceiling_m - piece.size_m[2] - 0.05)
        bottom = self.rng.uniform(min(low, high), high)
        if bottom < 0.03:
            return None
        return self.floor.on_wall(room, piece, bottom, before_m=before)

    def _from_ceiling(self, room: int, item: str) -> None:
        piece = self.piece(item)
        if piece is None or piece.size_m[2] > 0.95:
            return
        x0, y0, x1, y1 = self.floor.plan.rooms[room].rect
        x = (x0 + x1) / 2 + self.rng.uniform(-0.1, 0.1) * (x1 - x0)
        y = (y0 + y1) / 2 + self.rng.uniform(-0.1, 0.1) * (y1 - y0)
        z = self.floor.plan.ceiling_m - piece.size_m[2] / 2
        w, d, h = piece.size_m
        box = Footprint(x, y, w / 2, d / 2, 0.0, z - h / 2 - 0.02, z + h / 2)
        if self.floor.fits(room, box):
            self.floor.put(Placed(piece, (x, y, z), 0.0, "ceiling", room))

    def _television(self, room: int) -> None:
        if self.rng.random() < 0.4:
            piece = self.piece("hung tv")
            if piece is not None:
                self.floor.on_wall(room, piece.flat(), self.rng.uniform(0.8, 1.2))
            return
        stand = self._stand(room, "tv stand")
        piece = self.piece("standing tv")
        if stand is not None and piece is not None and stand.model.supports:
            self.floor.upon(stand, stand.model.supports[0], piece, self.rng.normal(0, 0.05))

    def _desk(self, room: int) -> None:
        rng = self.rng
        desk = self._stand(room, "desk")
        if desk is None:
            return
        if rng.random() < 0.9:
            self._seat(desk, (rng.uniform(-0.2, 0.2), 1.0), "seat")
        for item, share in (("monitor", 0.55), ("keyboard", 0.5), ("laptop", 0.25)):
            piece = self.piece(item)
            if rng.random() < share and piece is not None and desk.model.supports:
                self.floor.upon(desk, desk.model.supports[0], piece, rng.normal(0, 0.15))
        tower = self.piece("computer tower")
        if rng.random() < 0.4 and tower is not None:
            side = (desk.model.size_m[0] / 2 + 0.16) * (1 if rng.random() < 0.5 else -1)
            self.floor.beside(desk, tower, (side, 0.0), 0.0)

    def _dining(self, room: int) -> None:
        rng = self.rng
        table = self.piece("dining table")
        placed = None if table is None else self.floor.standing(room, table)
        if placed is None:
            return
        sides = [(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)]
        kind = "seat" if rng.random() < 0.9 else "stool"
        chair = self.piece(kind)
        for k in rng.permutation(4)[: int(rng.integers(2, 5))]:
            self._seat(placed, sides[int(k)], kind, chair)

    def _seat(
        self, table: Placed, side: tuple[float, float], item: str, chair: Piece | None = None
    ) -> None:
        """A chair at a side of a table, facing it."""
        rng = self.rng
        piece = chair or self.piece(item)
        if piece is None:
            return
        w, d, _ = table.model.size_m
        for _ in range(4):
            gap = rng.uniform(0.02, 0.3) + piece.size_m[1] / 2
            if abs(side[1]) == 1.0:
                offset = (side[0] * w, side[1] * (d / 2 + gap))
                turn = math.pi if side[1] > 0 else 0.0
            else:
                offset = (side[0] * (w / 2 + gap), 0.0)
                turn = math.pi / 2 if side[0] > 0 else -math.pi / 2
            if self.floor.beside(table, piece, offset, turn + rng.normal(0, 0.15)) is not None:
                return

    def _dress_bed(self, bed: Placed) -> None:
        rng = self.rng
        if bed.model.supports:
            for _ in range(1 if bed.model.size_m[0] < 1.3 else int(rng.integers(1, 4))):
                pillow = self.piece("pillow")
                if pillow is not None:
                    self.floor.upon(bed, bed.model.supports[0], pillow, rng.normal(0, 0.15))
        for side in (-1, 1):
            stand = self.piece("nightstand")
            if rng.random() < 0.7 and stand is not None:
                w, d, _ = bed.model.size_m
                x = side * (w / 2 + stand.size_m[0] / 2 + rng.uniform(0.03, 0.12))
                self.floor.beside(bed, stand, (x, -(d - stand.size_m[1]) / 2), 0.0)

    def _cushions(self, sofa: Placed) -> None:
        for _ in range(int(self.rng.integers(0, 4))):
            cushion = self.piece("pillow")
            if cushion is not None and sofa.model.supports:
                turn = self.rng.normal(0, 0.4)
                self.floor.upon(sofa, sofa.model.supports[0], cushion, turn)

    def tops(self, room: int) -> None:
        """Small things on whatever has a level top in a room."""
        rng = self.rng
        for placed in [p for p in self.floor.placed if p.room == room and p.model.supports]:
            what = TOPS.get(placed.model.label)
            if what is None or placed.mount != "floor":
                continue
            if what == "table" and placed.model.size_m[2] > 0.62 and rng.random() < 0.4:
                what = "desk"
            area = placed.model.supports[0].size_m[0] * placed.model.supports[0].size_m[1]
            most = 1.0 if what == "soft" else min(6.0, 1.5 + 5 * area)
            for _ in range(int(rng.uniform(0, most) + 0.4)):
                choices = ON_TOPS[what]
                self._put_upon(placed, choices[int(rng.integers(len(choices)))])

    def _put_upon(self, placed: Placed, item: str) -> None:
        piece = self._small(item)
        if piece is None:
            return
        turn = self.rng.normal(0, 0.35) if self.rng.random() < 0.6 else self.rng.uniform(-3.1, 3.1)
        self.floor.upon(placed, placed.model.supports[0], piece, turn)

    def _small(self, item: str) -> Piece | None:
        """A piece small enough to stand on furniture."""
        if item == "blanket":
            return blanket(self.rng)
        if item in ("book", "pillow", "microwave", "printer"):
            return self.stock.draw(self.rng, item)
        label = "picture" if item == "picture frame" else item
        limit = {"lamp": 0.75, "plant": 0.5, "oven": 0.45}.get(item, 0.45)
        return self.stock.draw(
            self.rng, label,
            lambda m: m.size_m[2] < limit and max(m.size_m[:2]) < 0.6 and m.elevation_m < 0.5,
        )  # fmt: skip

    def loose(self, room: int) -> None:
        """Things that lie about on the floor."""
        for _ in range(int(self.rng.integers(0, 5))):
            item = ON_FLOORS[int(self.rng.integers(len(ON_FLOORS)))]
            piece = self._small(item) if item in ("litter", "bottle", "book") else self.piece(item)
            if piece is not None and max(piece.size_m) < 1.0:
                self.floor.standing(room, piece, tries=8)

    def living(self, room: int) -> None:
        """People and pets, now and then: they have no label."""
        for role, share in (("person", 0.35), ("person", 0.12), ("pet", 0.22)):
            piece = self.stock.draw(self.rng, role)
            if self.rng.random() < share and piece is not None:
                self.floor.standing(room, piece)


def _stretched(piece: Piece, size_m: tuple[float, float, float]) -> Piece:
    """A piece drawn at another size, whatever its proportions; without its tops."""
    x, y, z = (a / b * s for a, b, s in zip(size_m, piece.size_m, piece.stretch, strict=True))
    return Piece(
        piece.label, (), size_m, mesh=piece.mesh, source=piece.source, stretch=(x, y, z),
        tint=piece.tint,
    )  # fmt: skip


def _holds(box: Footprint, placed: Placed) -> bool:
    """Whether an obstacle is the space that `Floor.on_wall` keeps before a thing on a wall."""
    x, y, z = placed.center_m
    near = math.hypot(box.x - x, box.y - y) < 0.2
    return near and abs((box.low + box.high) / 2 - z) < 1e-6 and abs(
        box.half_x - placed.model.size_m[0] / 2) < 1e-6  # fmt: skip


def _rugs(floor: Floor, room: int) -> list[Rug]:
    rng = floor.rng
    if rng.random() > 0.5:
        return []
    x0, y0, x1, y1 = floor.plan.rooms[room].rect
    half = (rng.uniform(0.4, 0.3 * (x1 - x0)), rng.uniform(0.4, 0.3 * (y1 - y0)))
    yaw = 0.0 if rng.random() < 0.7 else rng.uniform(-0.6, 0.6)
    reach = math.hypot(*half) + 0.05 if yaw else max(half) + 0.05
    if x1 - x0 < 2 * reach or y1 - y0 < 2 * reach:
        return []
    x, y = rng.uniform(x0 + reach, x1 - reach), rng.uniform(y0 + reach, y1 - reach)
    box = Footprint(x, y, half[0], half[1], yaw, 0.0, 0.01)
    if any(overlap(box, Footprint.over(notch, 0.0, 1.0)) for notch in floor.plan.notches):
        return []
    return [Rug((x, y), half, yaw, materials.rug(rng))]
