"""Outline and area of a union of axis-aligned rectangles less others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.rooms import FloorPlan, Rect

F64 = NDArray[np.float64]


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
