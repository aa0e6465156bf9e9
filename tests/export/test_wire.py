from __future__ import annotations

import math

import numpy as np

from spatialcode.export.wire import (
    CORNER_SIDES,
    EDGES,
    FRONT_EDGES,
    FRUSTUM_EDGES,
    TRIANGLES,
    box_points,
    frustum_points,
    has_front,
)

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
        side = CORNER_SIDES[a, axis]
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
