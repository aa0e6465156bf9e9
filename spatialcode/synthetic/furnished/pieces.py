"""Pieces that rooms are furnished with: models of the catalogues, and what these lack.

Pillows, mirrors, pictures, monitors, keyboards, computers, dishwashers, microwaves, printers,
counters, books and blankets are made here, another one each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from spatialcode.scene.categories import WALL_BOX_THICKNESS_M
from spatialcode.synthetic import materials
from spatialcode.synthetic.catalogue.mesh import Mesh, Surface
from spatialcode.synthetic.catalogue.models import FurnitureModel
from spatialcode.synthetic.catalogue.prepared import prepared
from spatialcode.synthetic.furnished import textures
from spatialcode.synthetic.furnished.solids import Solids
from spatialcode.synthetic.primitives import Model, Support, Vec3

Rng = np.random.Generator

#: A thing on a wall that is deeper than this keeps its own box.
FLAT_M = WALL_BOX_THICKNESS_M / 2 + 0.02


@dataclass(frozen=True)
class Piece(Model):
    """A model with a mesh, drawn about the centre of its box. ``label`` is empty for clutter.

    ``source``: where it comes from, None for what is made here. ``glass``: a mirror's pane.
    ``stretch`` and ``tint``: how the mesh is drawn. ``before_m``: how far before the box's centre
    the mesh's is, along the front.
    """

    mesh: Mesh = field(kw_only=True)
    source: FurnitureModel | None = field(default=None, kw_only=True)
    glass: Mesh | None = field(default=None, kw_only=True)
    stretch: Vec3 = field(default=(1.0, 1.0, 1.0), kw_only=True)
    tint: Vec3 = field(default=(1.0, 1.0, 1.0), kw_only=True)
    before_m: float = field(default=0.0, kw_only=True)

    def flat(self) -> Piece:
        """The same piece with the box of a rectangle on a wall, its back against the wall."""
        w, d, h = self.size_m
        return replace(self, size_m=(w, WALL_BOX_THICKNESS_M, h), before_m=d / 2 + 0.002)

    def set_in(self) -> Piece:
        """The same piece with the box of a rectangle on a wall, set in a hole of the wall; frames
        deeper than that box are made flatter.
        """
        w, d, h = self.size_m
        x, y, z = self.stretch
        flatter = min(1.0, WALL_BOX_THICKNESS_M / d)
        return replace(self, size_m=(w, WALL_BOX_THICKNESS_M, h), stretch=(x, y * flatter, z))


def piece_of(model: FurnitureModel, rng: Rng) -> Piece:
    """A catalogue's model, a little larger or smaller and of another shade each time."""
    mesh = prepared(model)
    scale = float(rng.uniform(0.94, 1.07))
    tint = (1.0, 1.0, 1.0)
    if rng.random() < 0.5 and model.role != "person":
        base = rng.uniform(0.55, 1.0)
        r, g, b = np.clip(base * rng.uniform(0.85, 1.15, 3), 0.2, 1.0)
        tint = (float(r), float(g), float(b))
    w, d, h = (side * scale for side in model.size_m)
    return Piece(
        model.label or "", (), (w, d, h), scaled_supports(mesh, scale),
        mesh=mesh, source=model, stretch=(scale, scale, scale), tint=tint,
    )  # fmt: skip


def scaled_supports(mesh: Mesh, scale: float) -> tuple[Support, ...]:
    """A mesh's supports at another size."""
    return tuple(
        Support(
            (s.center_m[0] * scale, s.center_m[1] * scale, s.center_m[2] * scale),
            (s.size_m[0] * scale, s.size_m[1] * scale),
        )
        for s in mesh.supports
    )


def _plain(rng: Rng, low: float, high: float, gloss: float = 0.1) -> Surface:
    value = rng.uniform(low, high)
    r, g, b = textures.shown(materials.hsv(rng.random(), rng.uniform(0, 0.08), value))
    return Surface((r, g, b), gloss=gloss)


def _piece(label: str, solids: Solids, top: bool = False) -> Piece:
    mesh, size = solids.mesh(top)
    return Piece(label, (), size, mesh.supports, mesh=mesh)


def pillow(rng: Rng) -> Piece:
    """A pillow, a bolster or a cushion, lying."""
    solids, wide = Solids(), rng.uniform(0.38, 0.72)
    deep = wide if rng.random() < 0.4 else rng.uniform(0.32, 0.5)
    solids.cushion((wide, deep, rng.uniform(0.1, 0.2)), textures.cloth(rng))
    return _piece("pillow", solids)


def mirror(rng: Rng) -> Piece:
    """A framed or bare mirror to hang on a wall; its pane is drawn as one."""
    w, h = rng.uniform(0.4, 1.1), rng.uniform(0.5, 1.6)
    frame = 0.0 if rng.random() < 0.3 else rng.uniform(0.02, 0.07)
    solids, wood = Solids(), textures.wooden(rng)
    solids.box((0, 0, 0), (w, 0.03, h), wood)
    pane = Solids()
    x, z = w / 2 - frame, h / 2 - frame
    corners = np.array([[x, 0.017, -z], [-x, 0.017, -z], [-x, 0.017, z], [x, 0.017, z]])
    pane.quad(corners, (0.0, 1.0, 0.0), Surface((0.8, 0.8, 0.8)))
    return replace(_piece("mirror", solids), glass=pane.in_place())


def picture(rng: Rng) -> Piece:
    """A framed picture or a bare poster."""
    w, h = rng.uniform(0.25, 1.1), rng.uniform(0.25, 0.9)
    solids = Solids()
    frame = 0.004 if rng.random() < 0.3 else rng.uniform(0.015, 0.05)
    solids.box((0, 0, 0), (w, 0.025, h), textures.wooden(rng))
    x, z = w / 2 - frame, h / 2 - frame
    corners = np.array([[x, 0.014, -z], [-x, 0.014, -z], [-x, 0.014, z], [x, 0.014, z]])
    corners[:, 2] += h / 2
    solids.quad(corners, (0.0, 1.0, 0.0), textures.artwork(rng))
    return _piece("picture", solids)


def monitor(rng: Rng) -> Piece:
    """A computer's screen on a foot."""
    w, h = rng.uniform(0.42, 0.75), rng.uniform(0.26, 0.4)
    case, foot = _plain(rng, 0.03, 0.2), rng.uniform(0.08, 0.16)
    solids = Solids()
    solids.box((0, 0, 0), (0.26, 0.18, 0.012), case)
    solids.box((0, -0.03, 0), (0.05, 0.03, foot + 0.1), case)
    solids.box((0, 0, foot), (w, 0.035, h), case)
    x, low, high = w / 2 - 0.012, foot + 0.015, foot + h - 0.012
    corners = np.array([[x, 0.019, low], [-x, 0.019, low], [-x, 0.019, high], [x, 0.019, high]])
    solids.quad(corners, (0.0, 1.0, 0.0), textures.screen(rng))
    return _piece("monitor", solids)


def keyboard(rng: Rng) -> Piece:
    """A computer's keyboard with its rows of keys."""
    solids, w = Solids(), rng.uniform(0.3, 0.46)
    case, keys = _plain(rng, 0.05, 0.9), _plain(rng, 0.1, 0.95)
    solids.box((0, 0, 0), (w, 0.14, 0.016), case)
    for row in range(5):
        for column in range(12):
            x = (column + 0.5) / 12 * (w - 0.02) - (w - 0.02) / 2
            solids.box((x, 0.05 - row * 0.025, 0.016), (w / 14, 0.02, 0.006), keys)
    return _piece("keyboard", solids)


def computer_tower(rng: Rng) -> Piece:
    """A computer's case."""
    solids, case = Solids(), _plain(rng, 0.04, 0.7)
    w, d, h = rng.uniform(0.16, 0.22), rng.uniform(0.38, 0.5), rng.uniform(0.36, 0.5)
    solids.box((0, 0, 0), (w, d, h), case)
    front, dark = d / 2 + 0.002, _plain(rng, 0.02, 0.15)
    for z in (0.8, 0.68):
        solids.box((0, front, h * z), (w * 0.8, 0.006, 0.04), dark)
    solids.box((0, front, h * 0.15), (w * 0.7, 0.006, h * 0.3), dark)
    return _piece("computer tower", solids, top=True)


def dishwasher(rng: Rng) -> Piece:
    """A dishwasher as it stands between kitchen cabinets."""
    solids, case = Solids(), _plain(rng, 0.75, 0.97, 0.2)
    if rng.random() < 0.4:
        case = _plain(rng, 0.4, 0.6, 0.4)
    w, h = (0.6 if rng.random() < 0.7 else 0.45), rng.uniform(0.82, 0.88)
    solids.box((0, -0.02, 0.1), (w, 0.56, h - 0.1), case)
    solids.box((0, -0.04, 0), (w, 0.5, 0.1), _plain(rng, 0.05, 0.2))
    solids.box((0, 0.27, h - 0.13), (w, 0.02, 0.12), _plain(rng, 0.1, 0.9, 0.3))
    solids.box((0, 0.27, 0.11), (w * 0.98, 0.02, h - 0.26), case)
    solids.box((0, 0.295, h - 0.19), (w * 0.7, 0.025, 0.025), _plain(rng, 0.5, 0.7, 0.5))
    return _piece("dishwasher", solids, top=True)


def microwave(rng: Rng) -> Piece:
    """A microwave oven: a dark door beside its buttons."""
    solids, case = Solids(), _plain(rng, 0.05, 0.95, 0.2)
    w, d, h = rng.uniform(0.44, 0.54), rng.uniform(0.32, 0.4), rng.uniform(0.25, 0.32)
    solids.box((0, 0, 0), (w, d, h), case)
    front = d / 2 + 0.004
    solids.box(
        (w * 0.13, front, h * 0.1),
        (w * 0.66, 0.012, h * 0.8),
        Surface((0.05, 0.05, 0.06), gloss=0.5),
    )
    solids.box(
        (-w * 0.22, front + 0.012, h * 0.15), (0.02, 0.03, h * 0.7), _plain(rng, 0.4, 0.8, 0.5)
    )
    for row in range(4):
        solids.box(
            (-w * 0.37, front, h * (0.15 + 0.16 * row)),
            (w * 0.14, 0.01, 0.02),
            _plain(rng, 0.2, 0.8),
        )
    return _piece("microwave", solids, top=True)


def printer(rng: Rng) -> Piece:
    """A desk printer: body, lid, tray with paper."""
    solids, case = Solids(), _plain(rng, 0.1, 0.95)
    w, d, h = rng.uniform(0.38, 0.5), rng.uniform(0.3, 0.4), rng.uniform(0.16, 0.28)
    solids.box((0, 0, 0), (w, d, h), case)
    solids.box((0, -0.02, h), (w * 0.96, d * 0.85, 0.03), _plain(rng, 0.1, 0.6))
    solids.box((0, d / 2 + 0.05, h * 0.2), (w * 0.6, 0.12, 0.01), case)
    solids.box((0, d / 2 + 0.03, h * 0.2 + 0.01), (w * 0.5, 0.1, 0.006), _plain(rng, 0.92, 0.98))
    return _piece("printer", solids)


def counter(rng: Rng) -> Piece:
    """A stretch of kitchen: doors and drawers under one worktop."""
    solids, front = Solids(), textures.wooden(rng)
    number = int(rng.integers(2, 5))
    w, h = 0.6 * number, rng.uniform(0.86, 0.93)
    solids.box((0, -0.03, 0), (w, 0.5, 0.1), _plain(rng, 0.05, 0.3))
    solids.box((0, -0.01, 0.1), (w, 0.56, h - 0.14), front)
    top = textures.pattern_texture(rng, materials.floor(rng, True))[0]
    stone = Surface((1.0, 1.0, 1.0), gloss=0.3, texture=top)
    solids.box((0, 0.0, h - 0.04), (w, 0.62, 0.04), stone, 1.3)
    metal = _plain(rng, 0.4, 0.8, 0.6)
    for k in range(number):
        x = (k + 0.5) * 0.6 - w / 2
        rows = (0.13, 0.4, 0.62) if rng.random() < 0.4 else (0.13,)
        ends = (*rows[1:], h - 0.06)
        for low, high in zip(rows, ends, strict=True):
            solids.box((x, 0.275, low), (0.58, 0.02, high - low - 0.015), front)
            solids.box((x, 0.295, high - 0.07), (0.14, 0.02, 0.015), metal)
    return _piece("counter", solids, top=True)


def book(rng: Rng) -> Piece:
    """One to four books, lying on each other."""
    solids, z = Solids(), 0.0
    for _ in range(int(rng.integers(1, 5))):
        w, d, t = rng.uniform(0.12, 0.2), rng.uniform(0.18, 0.28), rng.uniform(0.012, 0.045)
        cover = Surface(
            textures.shown(
                materials.hsv(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.2, 0.9))
            )
        )
        x, y = rng.normal(0, 0.008, 2)
        solids.box((x, y, z), (w, d, 0.003), cover)
        solids.box((x, y, z + 0.003), (w - 0.008, d - 0.008, t - 0.006), Surface((0.9, 0.87, 0.8)))
        solids.box((x, y, z + t - 0.003), (w, d, 0.003), cover)
        solids.box((x - w / 2, y, z), (0.004, d, t), cover)
        z += t
    return _piece("book", solids)


def blanket(rng: Rng) -> Piece:
    """A folded blanket or towel: clutter of cloth."""
    solids, surface, z = Solids(), textures.cloth(rng), 0.0
    w, d = rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.5)
    for _ in range(int(rng.integers(2, 5))):
        solids.box((rng.normal(0, 0.006), rng.normal(0, 0.006), z), (w, d, 0.02), surface)
        z += 0.02
    return _piece("", solids)


#: What is made here, by label.
MADE: dict[str, Callable[[Rng], Piece]] = {
    "pillow": pillow, "mirror": mirror, "picture": picture, "monitor": monitor,
    "keyboard": keyboard, "computer tower": computer_tower, "dishwasher": dishwasher,
    "microwave": microwave, "printer": printer, "counter": counter, "book": book,
}  # fmt: skip
#: Share of a kind that is made here where the catalogues have models of it too.
_MADE_SHARE = 0.6


@dataclass(frozen=True)
class Stock:
    """The pieces that a room may hold: models by label or role, and what is made here."""

    models: dict[str, list[FurnitureModel]]

    def has(self, key: str) -> bool:
        return key in MADE or bool(self.models.get(key))

    def draw(
        self, rng: Rng, key: str, fits: Callable[[FurnitureModel], bool] | None = None
    ) -> Piece | None:
        """A piece of a label or role; None where there is none that ``fits``."""
        found = [m for m in self.models.get(key, []) if fits is None or fits(m)]
        if key in MADE and fits is None and (not found or rng.random() < _MADE_SHARE):
            return MADE[key](rng)
        if not found:
            return None
        return piece_of(found[int(rng.integers(len(found)))], rng)
