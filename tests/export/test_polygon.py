from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from spatialcode.export.polygon import triangulate


def area(polygon: list[tuple[float, float]]) -> float:
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


def test_an_l_shape_is_tiled_without_its_notch() -> None:
    l_shape = [(0.0, 0.0), (4.0, 0.0), (4.0, 1.0), (1.0, 1.0), (1.0, 3.0), (0.0, 3.0)]
    triangles = triangulate(l_shape)
    assert len(triangles) == 4
    # The convex hull would cover 9 m², the shape itself 4 + 2 = 6 m².
    assert sum(area([l_shape[i] for i in triangle]) for triangle in triangles) == 6.0
    centres = [[sum(l_shape[i][k] for i in t) / 3 for k in (0, 1)] for t in triangles]
    assert not any(x > 1 and y > 1 for x, y in centres)


@given(
    st.lists(st.floats(0.3, 5.0), min_size=3, max_size=12),
    st.booleans(),
)
def test_any_star_shaped_outline_is_tiled_exactly(radii: list[float], clockwise: bool) -> None:
    turns = [2 * math.pi * n / len(radii) for n in range(len(radii))]
    outline = [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, turns, strict=True)]
    if clockwise:
        outline.reverse()
    tiled = sum(area([outline[i] for i in triangle]) for triangle in triangulate(outline))
    assert math.isclose(tiled, area(outline), rel_tol=1e-9)


def test_corners_on_one_line_are_dropped() -> None:
    outline = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)]
    triangles = triangulate(outline)
    assert sum(area([outline[i] for i in triangle]) for triangle in triangles) == 4.0
