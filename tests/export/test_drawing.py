from __future__ import annotations

import json
import math
from importlib import resources

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.export.drawing import (
    EDGES,
    FRONT_EDGES,
    FRUSTUM_EDGES,
    TRIANGLES,
    box_points,
    frustum_points,
    has_front,
    label_rgb,
    triangulate,
)
from spatialcode.scene.categories import LABELS
from spatialcode.scene.pairs import CORNER_SIGNS

SIZE_M = np.array([2.0, 3.0, 5.0])
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
QUARTER_LEFT = np.array([math.cos(math.pi / 4), 0.0, 0.0, math.sin(math.pi / 4)])


def test_the_twelve_edges_have_the_boxs_lengths() -> None:
    points = box_points(np.zeros(3), SIZE_M, UPRIGHT, front=False)
    lengths = sorted(float(np.linalg.norm(points[a] - points[b])) for a, b in EDGES)
    assert lengths == [2.0] * 4 + [3.0] * 4 + [5.0] * 4


def test_the_twelve_triangles_cover_the_surface_once() -> None:
    points = box_points(np.zeros(3), SIZE_M, UPRIGHT, front=False)
    covered = {}
    for a, b, c in TRIANGLES:
        normal = np.cross(points[b] - points[a], points[c] - points[a]) / 2
        axis = int(np.argmax(np.abs(normal)))
        side = CORNER_SIGNS[a, axis]
        covered[axis, side] = covered.get((axis, side), 0.0) + float(np.linalg.norm(normal))
    faces = {0: 15.0, 1: 10.0, 2: 6.0}
    assert covered == {(axis, side): faces[axis] for axis in faces for side in (-1, 1)}
    assert len(set(TRIANGLES)) == 12


def test_the_front_arrow_leaves_the_plus_y_face() -> None:
    # Turned a quarter to the left, +y of the box points along world -x. The arrow is
    # 0.2 + 0.2 * 2 = 0.6 m long and starts half of 3 m from the centre.
    center = np.array([10.0, 20.0, 1.0])
    points = box_points(center, SIZE_M, QUARTER_LEFT, front=True)
    start, tip = points[FRONT_EDGES[0][0]], points[FRONT_EDGES[0][1]]
    np.testing.assert_allclose(start, [8.5, 20.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(tip, [7.9, 20.0, 1.0], atol=1e-12)
    barbs = [points[b] for a, b in FRONT_EDGES[1:] if a == FRONT_EDGES[0][1]]
    assert all(barb[0] > tip[0] for barb in barbs)
    assert len(barbs) == 2


def test_one_box_at_many_poses_is_many_boxes() -> None:
    centers = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    quaternions = np.stack([UPRIGHT, QUARTER_LEFT])
    both = box_points(centers, SIZE_M, quaternions, front=True)
    for n in range(2):
        alone = box_points(centers[n], SIZE_M, quaternions[n], front=True)
        np.testing.assert_allclose(both[n], alone, atol=1e-12)


def test_only_categories_with_a_front_have_one() -> None:
    assert has_front("chair")
    assert not has_front("table")
    assert not has_front("unheard of")


def test_a_frustum_stands_where_its_camera_does_and_opens_along_its_view() -> None:
    # Camera at (1, 2, 3), looking along world +y: x right, y down is world -z.
    T = np.array([[1.0, 0, 0, 1], [0, 0, 1, 2], [0, -1, 0, 3], [0, 0, 0, 1]])
    K = np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]])
    points = frustum_points(T, K, (160, 120), 0.5)
    np.testing.assert_allclose(points[0], [1, 2, 3])
    # Left upper corner: (0 - 80) / 100 * 0.5 = -0.4 to the side, 0.3 up, 0.5 ahead.
    np.testing.assert_allclose(points[1], [0.6, 2.5, 3.3])
    np.testing.assert_allclose(points[3], [1.4, 2.5, 2.7])
    # The mark of up is above the image's upper edge.
    assert points[5][2] > points[1][2]
    assert len(FRUSTUM_EDGES) == 10


def test_triangles_turn_counter_clockwise_seen_from_outside() -> None:
    points = box_points(np.zeros(3), SIZE_M, UPRIGHT, front=False)
    for a, b, c in TRIANGLES:
        normal = np.cross(points[b] - points[a], points[c] - points[a])
        assert normal @ points[a] > 0


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


def test_every_category_has_its_own_colour_and_strangers_a_stable_one() -> None:
    assert len({label_rgb(label) for label in LABELS}) == len(LABELS)
    assert label_rgb("grand piano") == label_rgb("grand piano") != label_rgb("harp")


def test_the_palette_names_every_category_and_no_other() -> None:
    folder = resources.files("spatialcode") / "assets" / "viewer"
    palette = json.loads((folder / "palette.json").read_text(encoding="utf-8"))
    assert list(palette["labels"]) == list(LABELS)
