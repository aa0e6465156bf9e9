"""The room itself as meshes: floor, ceiling, walls with holes for doors and windows, skirting.

Walls are single faces. A hole has reveals as deep as the wall; behind a window lies the world
outside, which is drawn by the direction of sight, as far away as can be.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.catalogue.mesh import Mesh, Surface
from spatialcode.synthetic.furnished.solids import Solids
from spatialcode.synthetic.furnished.textures import pattern_texture
from spatialcode.synthetic.layout import Interior, Rug
from spatialcode.synthetic.placement import Placed
from spatialcode.synthetic.primitives import Material
from spatialcode.synthetic.rooms import WALL_SLAB_M, FloorPlan, Rect, Wall

Rng = np.random.Generator
F64 = NDArray[np.float64]

#: How far behind a wall's face the world outside is drawn, within the window's own box.
OUTSIDE_M = 0.1
_SKIRTING_M = (0.014, 0.075)


@dataclass(frozen=True)
class Hole:
    """A hole in a wall: from, to and bottom, top; ``depth_m`` of its reveals; the object in it."""

    start: float
    end: float
    low: float
    high: float
    depth_m: float
    object_index: int = -1


@dataclass(frozen=True, eq=False)
class Shell:
    """Meshes in the plan frame: floor, walls, ceiling; what lies behind each window and door, by
    object.
    """

    floor: Mesh
    walls: Mesh
    ceiling: Mesh
    behind: dict[int, Mesh]


def _surface(rng: Rng, material: Material, gloss: float = 0.0) -> tuple[Surface, float]:
    texture, length = pattern_texture(rng, material)
    return Surface((1.0, 1.0, 1.0), gloss=gloss, texture=texture), length


def build_shell(rng: Rng, interior: Interior) -> Shell:
    """All meshes of an interior; ``rng`` draws grain and gloss."""
    walls, behind = Solids(), {}
    gloss = float(rng.uniform(0.0, 0.4)) if rng.random() < 0.6 else 0.0
    skirting = Surface(tuple(rng.uniform(0.5, 0.97) * np.array([1, 0.98, 0.95])))
    for k, room in enumerate(interior.plan.rooms):
        paint, length = _surface(rng, interior.walls[k])
        for wall in room.walls:
            holes = holes_of(interior, wall, k)
            _wall(walls, wall, holes, interior.plan.ceiling_m, (paint, length))
            _skirting(walls, wall, holes, skirting)
            for hole in holes:
                _reveal(walls, wall, hole, paint)
                if hole.object_index >= 0:
                    behind[hole.object_index] = _behind(wall, hole)
    return Shell(
        floor=_floor(rng, interior, gloss),
        walls=walls.in_place(),
        ceiling=_ceiling(interior, rng),
        behind=behind,
    )


def holes_of(interior: Interior, wall: Wall, room: int) -> tuple[Hole, ...]:
    """The passages through a wall, and the doors and windows in it."""
    plan = interior.plan
    holes = [Hole(a, b, 0.0, plan.passage_height_m, WALL_SLAB_M) for a, b in wall.openings]
    for index, placed in enumerate(interior.objects):
        if placed.mount != "wall" or placed.room != room:
            continue
        if placed.model.label not in ("door", "window") or not _lies_in(placed, wall):
            continue
        at = abs(placed.center_m[0] - wall.start[0]) + abs(placed.center_m[1] - wall.start[1])
        w, _, h = placed.model.size_m
        low = placed.center_m[2] - h / 2
        holes.append(Hole(at - w / 2, at + w / 2, max(0.0, low), low + h, OUTSIDE_M, index))
    return tuple(holes)


def _lies_in(placed: Placed, wall: Wall) -> bool:
    dx, dy = placed.center_m[0] - wall.start[0], placed.center_m[1] - wall.start[1]
    along, normal = wall.along, wall.normal
    at = dx * along[0] + dy * along[1]
    front = (-np.sin(placed.yaw_rad), np.cos(placed.yaw_rad))
    faces = front[0] * normal[0] + front[1] * normal[1] > 0.99
    return faces and abs(dx * normal[0] + dy * normal[1]) < 1e-3 and 0 <= at <= wall.length_m


def _face(
    solids: Solids, wall: Wall, rect: Rect, surface: Surface, tile_m: float, *, out_m: float = 0.0
) -> None:
    """A rectangle (from, bottom, to, top) of a wall's face."""
    a, low, b, high = rect
    corners = np.array([
        (*wall.point(s, out_m), z) for s, z in ((a, low), (b, low), (b, high), (a, high))
    ])  # fmt: skip
    uv = np.array([(a, low), (b, low), (b, high), (a, high)]) / tile_m
    solids.quad(corners, (*wall.normal, 0.0), surface, uv)


def _wall(
    solids: Solids, wall: Wall, holes: Iterable[Hole], height: float, paint: tuple[Surface, float]
) -> None:
    """The face but for its holes: the cells of the grid that all edges make."""
    holes = tuple(holes)
    xs = sorted({0.0, wall.length_m, *(x for h in holes for x in (h.start, h.end))})
    zs = sorted({0.0, height, *(z for h in holes for z in (h.low, h.high))})
    for (a, b), (low, high) in itertools.product(itertools.pairwise(xs), itertools.pairwise(zs)):
        x, z = (a + b) / 2, (low + high) / 2
        if not any(h.start < x < h.end and h.low < z < h.high for h in holes):
            _face(solids, wall, (a, low, b, high), *paint)


def _skirting(solids: Solids, wall: Wall, holes: Iterable[Hole], surface: Surface) -> None:
    depth, height = _SKIRTING_M
    cuts = sorted((h.start, h.end) for h in holes if h.low < height)
    start = 0.0
    for a, b in (*cuts, (wall.length_m, wall.length_m)):
        if a - start > 0.05:
            _face(solids, wall, (start, 0.0, a, height), surface, 1.0, out_m=depth)
            top = np.array([(*wall.point(s, o), height) for s, o in
                            ((start, 0.0), (a, 0.0), (a, depth), (start, depth))])  # fmt: skip
            solids.quad(top, (0.0, 0.0, 1.0), surface)
        start = max(start, b)


def _reveal(solids: Solids, wall: Wall, hole: Hole, surface: Surface) -> None:
    """The four sides of a hole, going back into the wall."""
    a, b, low, high, back = hole.start, hole.end, hole.low, hole.high, -hole.depth_m
    along, across = (*wall.along, 0.0), (-wall.along[0], -wall.along[1], 0.0)
    sides = (
        ((a, low), (a, high), along), ((b, low), (b, high), across),
        ((a, high), (b, high), (0.0, 0.0, -1.0)), ((a, low), (b, low), (0.0, 0.0, 1.0)),
    )  # fmt: skip
    for (s, z), (t, y), normal in sides:
        corners = np.array([(*wall.point(s), z), (*wall.point(t), y),
                            (*wall.point(t, back), y), (*wall.point(s, back), z)])  # fmt: skip
        solids.quad(corners, normal, surface)


def _behind(wall: Wall, hole: Hole) -> Mesh:
    """What closes a hole: drawn as the world outside behind a window, as darkness behind a door."""
    solids = Solids()
    rect = (hole.start, hole.low, hole.end, hole.high)
    _face(solids, wall, rect, Surface((0.12, 0.11, 0.1)), 1.0, out_m=-hole.depth_m)
    return solids.in_place()


def _floor(rng: Rng, interior: Interior, gloss: float) -> Mesh:
    solids = Solids()
    surface, length = _surface(rng, interior.floor, gloss)
    for rect in (*_room_rects(interior.plan), *interior.plan.passages):
        _level(solids, rect, 0.0, surface, length)
    for k, rug in enumerate(interior.rugs):
        _rug(rng, solids, rug, 0.004 + 0.001 * k)
    return solids.in_place()


def _room_rects(plan: FloorPlan) -> list[Rect]:
    """Rectangles that cover the rooms, notches left out."""
    out: list[Rect] = []
    for room in plan.rooms:
        x0, y0, x1, y1 = room.rect
        if room.notch is None:
            out.append(room.rect)
            continue
        a, b, c, d = room.notch
        xs, ys = sorted({x0, a, c, x1}), sorted({y0, b, d, y1})
        for (p, q), (r, s) in itertools.product(itertools.pairwise(xs), itertools.pairwise(ys)):
            if not (a < (p + q) / 2 < c and b < (r + s) / 2 < d):
                out.append((p, r, q, s))
    return out


def _level(solids: Solids, rect: Rect, z: float, surface: Surface, tile_m: float) -> None:
    a, b, c, d = rect
    flat = np.array([(a, b), (c, b), (c, d), (a, d)])
    up = 1.0 if z < 1.0 else -1.0
    solids.quad(np.column_stack([flat, np.full(4, z)]), (0.0, 0.0, up), surface, flat / tile_m)


def _rug(rng: Rng, solids: Solids, rug: Rug, z: float) -> None:
    surface, length = _surface(rng, rug.material)
    c, s = np.cos(rug.yaw_rad), np.sin(rug.yaw_rad)
    local = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.asarray(rug.half_m)
    flat = local @ np.array([[c, s], [-s, c]]) + np.asarray(rug.center_m)
    corners = np.column_stack([flat, np.full(4, z)])
    solids.quad(corners, (0.0, 0.0, 1.0), surface, local / length)


def _ceiling(interior: Interior, rng: Rng) -> Mesh:
    solids = Solids()
    r, g, b = (float(v) for v in rng.uniform(0.88, 0.97) * np.array([1.0, 0.99, 0.97]))
    height = interior.plan.ceiling_m
    for rect in _room_rects(interior.plan):
        _level(solids, rect, height, Surface((r, g, b)), 1.0)
    for rect in interior.plan.passages:
        _level(solids, rect, interior.plan.passage_height_m, Surface((r, g, b)), 1.0)
    return solids.in_place()
