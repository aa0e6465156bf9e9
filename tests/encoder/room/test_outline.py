"""Hand-made layouts of rectangles: doors, holes, corners that touch."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.room.estimate import outline, room_of
from spatialcode.encoder.room.layout import Layout, LayoutConfig

CONFIG = LayoutConfig(door_m=1.5, min_door_wall_m=0.5)


def layout(inside: list[list[int]], wall_x: np.ndarray | None = None) -> Layout:
    """Rectangles of 3 m by 3 m; ``inside`` [i][j] by x and y; no wall unless given."""
    cells = np.array(inside, bool)
    i, j = cells.shape
    return Layout(
        x_m=3.0 * np.arange(i + 1),
        y_m=3.0 * np.arange(j + 1),
        inside=cells,
        wall_x=np.zeros((i + 1, j)) if wall_x is None else wall_x,
        wall_y=np.zeros((i, j + 1)),
    )


@pytest.mark.parametrize(
    ("wall", "both"),
    [(0.0, True), (0.1, True), (0.7, False), (0.4, True)],
    ids=["one room", "a stub of wall", "a door of 0.9 m", "an opening of 1.8 m"],
)
def test_a_door_parts_rooms_unless_the_camera_went_through(wall, both):
    walls = np.array([[1.0], [wall], [1.0]])
    two = layout([[1], [1]], walls)
    here, there = [1.0, 1.5], [5.0, 1.5]
    assert room_of(two, np.array([here]), CONFIG).tolist() == [[True], [both]]
    assert room_of(two, np.array([here, there]), CONFIG).tolist() == [[True], [True]]
    assert room_of(two, np.array([there]), CONFIG).tolist() == [[both], [True]]


def test_a_second_door_of_the_same_wall_does_not_open_the_first():
    walls = np.array([[1.0, 1.0], [0.8, 0.8], [1.0, 1.0]])
    four = layout([[1, 1], [1, 1]], walls)
    # 2 x 0.6 m of gap in 6 m of wall
    chosen = room_of(four, np.array([[1.0, 1.0]]), CONFIG)
    assert chosen.tolist() == [[True, True], [False, False]]


def test_of_separate_regions_the_one_with_most_cameras_counts():
    apart = layout([[1], [0], [1]])
    cameras = np.array([[1.0, 1.0], [7.0, 1.0], [8.0, 1.0]])
    assert room_of(apart, cameras, CONFIG)[:, 0].tolist() == [False, False, True]


def test_cameras_outside_every_rectangle_leave_the_largest_region():
    apart = layout([[1], [0], [1], [1]])
    nowhere = np.array([[-50.0, 1.0]])
    assert room_of(apart, nowhere, CONFIG)[:, 0].tolist() == [False, False, True, True]


def test_holes_are_filled():
    ring = layout([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    assert room_of(ring, np.array([[1.0, 1.0]]), CONFIG).all()


def test_corners_that_touch_become_one_region_with_a_simple_outline():
    touching = layout([[1, 1, 0], [1, 0, 1], [1, 1, 1]])
    chosen = room_of(touching, np.array([[1.0, 1.0]]), CONFIG)
    polygon, area_m2 = outline(chosen, touching.x_m, touching.y_m)
    assert len({tuple(p) for p in polygon.tolist()}) == len(polygon)
    assert area_m2 == pytest.approx(9.0 * chosen.sum())
    assert chosen[touching.inside].all()


def test_outline_of_an_l_runs_counter_clockwise_through_its_six_corners():
    x, y = np.array([0.0, 2.0, 5.0]), np.array([0.0, 1.0, 4.0])
    inside = np.array([[True, True], [True, False]])
    polygon, area_m2 = outline(inside, x, y)
    expected = [(0, 0), (5, 0), (5, 1), (2, 1), (2, 4), (0, 4)]
    start = polygon.tolist().index([0.0, 0.0])
    assert np.roll(polygon, -start, axis=0).tolist() == [list(map(float, p)) for p in expected]
    assert area_m2 == pytest.approx(5 * 1 + 2 * 3)
