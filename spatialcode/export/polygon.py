"""Triangles of a floor polygon, which plotly does not make of a non-convex outline."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]


def triangulate(polygon: Sequence[Point]) -> list[tuple[int, int, int]]:
    """Index triples that tile a simple polygon, by ear clipping.

    ``polygon``: corners in order, either way round, not repeated at the end. The result is
    n - 2 triples for n corners; fewer where corners lie on one line, or where the outline
    crosses itself (then what could be clipped until no ear was left).
    """
    doubled_area = sum(
        ax * by - bx * ay
        for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    )
    left = list(range(len(polygon)))
    if doubled_area < 0:
        left.reverse()
    triangles = []
    while len(left) >= 3:
        ears = (i for i in range(len(left)) if _is_ear(polygon, left, i))
        flats = (i for i in range(len(left)) if _turn_at(polygon, left, i) == 0)
        ear = next(ears, None)
        cut = next(flats, None) if ear is None else ear
        if cut is None:
            break
        if ear is not None:
            triangles.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        left.pop(cut)
    return triangles


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the signed area of a, b, c: positive for a left turn."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _turn_at(polygon: Sequence[Point], left: Sequence[int], i: int) -> float:
    before, here, after = left[i - 1], left[i], left[(i + 1) % len(left)]
    return _turn(polygon[before], polygon[here], polygon[after])


def _is_ear(polygon: Sequence[Point], left: Sequence[int], i: int) -> bool:
    """Whether the i-th remaining corner is convex and its triangle holds no other corner."""
    if _turn_at(polygon, left, i) <= 0:
        return False
    triangle = [polygon[j] for j in (left[i - 1], left[i], left[(i + 1) % len(left)])]
    others = (polygon[j] for j in left if polygon[j] not in triangle)
    return not any(_inside(point, triangle) for point in others)


def _inside(point: Point, triangle: Sequence[Point]) -> bool:
    a, b, c = triangle
    return min(_turn(a, b, point), _turn(b, c, point), _turn(c, a, point)) >= 0
