"""A furnished interior as a scene to draw: which mesh lies where, and whose pixels it makes."""

from __future__ import annotations

import math

import numpy as np

from spatialcode.synthetic.furnished.lights import draw_lighting
from spatialcode.synthetic.furnished.pieces import Piece
from spatialcode.synthetic.furnished.shell import build_shell
from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.placement import Placed
from spatialcode.synthetic.raster.shaders import MIRROR, OUTSIDE, PLAIN
from spatialcode.synthetic.raster.staged import Item, MirrorPlane, Staging
from spatialcode.synthetic.stage import CEILING, FLOOR, WALL
from spatialcode.synthetic.truth import CLUTTER

Rng = np.random.Generator
_ORIGIN = (0.0, 0.0, 0.0)


def stage_scene(rng: Rng, interior: Interior) -> Staging:
    """The scene of an interior whose models are pieces; ``rng`` draws looks and light."""
    shell = build_shell(rng, interior)
    items = [
        Item(shell.floor, _ORIGIN, 0.0, FLOOR),
        Item(shell.walls, _ORIGIN, 0.0, WALL),
        Item(shell.ceiling, _ORIGIN, 0.0, CEILING),
    ]
    mirrors = []
    for placed in interior.decor:
        items += _items(placed, CLUTTER)
    for k, placed in enumerate(interior.objects):
        items += _items(placed, k)
        if k in shell.behind:
            kind = OUTSIDE if placed.model.label == "window" else PLAIN
            items.append(Item(shell.behind[k], _ORIGIN, 0.0, k, kind=kind))
        if isinstance(placed.model, Piece) and placed.model.glass is not None:
            normal = (-math.sin(placed.yaw_rad), math.cos(placed.yaw_rad), 0.0)
            out = float(placed.model.glass.position[0, 1])
            x, y, z = drawn_at(placed)
            point = (x + normal[0] * out, y + normal[1] * out, z)
            mirrors.append(MirrorPlane(point, normal, k))
    return Staging(tuple(items), draw_lighting(rng, interior), tuple(mirrors))


def _items(placed: Placed, instance: int) -> list[Item]:
    piece = placed.model
    assert isinstance(piece, Piece)
    at = (drawn_at(placed), placed.yaw_rad, instance)
    out = [Item(piece.mesh, *at, piece.tint, piece.stretch)]
    if piece.glass is not None:
        out.append(Item(piece.glass, *at, kind=MIRROR))
    return out


def drawn_at(placed: Placed) -> tuple[float, float, float]:
    """Where the centre of a placed piece's mesh is."""
    x, y, z = placed.center_m
    out = placed.model.before_m if isinstance(placed.model, Piece) else 0.0
    return (x - math.sin(placed.yaw_rad) * out, y + math.cos(placed.yaw_rad) * out, z)


def moved_items(scene: Staging, objects: tuple[Placed, ...], moving: set[int]) -> tuple[Item, ...]:
    """The scene's items with those of moving objects where these are now."""
    return tuple(
        Item(item.mesh, drawn_at(objects[item.instance]), objects[item.instance].yaw_rad,
             item.instance, item.tint, item.stretch, item.kind)
        if item.instance in moving else item
        for item in scene.items
    )  # fmt: skip
