"""Changes of frames: properties of poses and boxes, and worked-out cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError
from spatialcode.recordings.conversion import (
    GivenBox,
    house_transform,
    inverse,
    moved_box,
    opencv_from_opengl,
    rigid,
    up_vector,
)

angles = st.tuples(*[st.floats(-np.pi, np.pi)] * 3)
points = st.tuples(*[st.floats(-5, 5)] * 3)


def pose(turn, position):
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = Rotation.from_euler("zyx", turn).as_matrix(), position
    return T


def test_opengl_looks_along_minus_z():
    T = opencv_from_opengl(np.eye(4))
    # One metre ahead and half a metre up of an OpenCV camera, in the OpenGL one's axes.
    assert (T @ [0.0, -0.5, 1.0, 1.0]).tolist() == [0.0, 0.5, -1.0, 1.0]


@pytest.mark.parametrize(("axis", "up"), [("z", [0, 0, 1]), ("y", [0, 1, 0]), ("-y", [0, -1, 0])])
def test_named_ups(axis, up):
    assert up_vector(axis).tolist() == up


@given(angles, points, angles, st.floats(-3, 3))
def test_the_house_stands_below_its_first_camera(turn, position, up_turn, floor_m):
    camera = pose(turn, position)
    up = Rotation.from_euler("zyx", up_turn).apply([0.0, 0.0, 1.0])
    T = house_transform(camera, up, floor_m)
    moved = T @ camera
    assert np.allclose(T[:3, :3] @ up, [0, 0, 1], atol=1e-9)
    assert np.allclose(moved[:3, 3], [0, 0, up @ camera[:3, 3] - floor_m], atol=1e-9)
    view = moved[:3, 2]
    if np.hypot(*view[:2]) > 1e-3:  # else it looks straight up or down
        assert abs(view[0]) < 1e-6
        assert view[1] > 0
    assert np.allclose(T @ inverse(T), np.eye(4), atol=1e-9)


@given(angles, points, st.tuples(*[st.floats(0.05, 3)] * 3), angles, points)
def test_a_moved_box_has_the_same_corners_and_stands_up(turn, center, size, move, shift):
    box = GivenBox(
        "box", np.array(center), np.array(size), Rotation.from_euler("zyx", turn).as_matrix()
    )
    T = pose(move, shift)
    c, s, R = moved_box(T, box, "here")
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    old = (box.center + signs * box.size @ box.rotation.T) @ T[:3, :3].T + T[:3, 3]
    new = c + signs * s @ R.T
    distances = np.linalg.norm(old[:, None] - new[None], axis=-1)
    assert distances.min(axis=1).max() < 1e-9
    assert np.linalg.det(R) == pytest.approx(1.0)
    assert R[2, 2] >= np.abs(R[2, :2]).max() - 1e-9


def test_a_mirrored_axis_names_the_same_box():
    _, s, R = moved_box(
        np.eye(4), GivenBox("box", np.zeros(3), np.array([1.0, 2, 3]), np.diag([1.0, -1, 1])), "x"
    )
    assert s.tolist() == [1, 2, 3]
    assert np.linalg.det(R) == pytest.approx(1.0)
    assert np.abs(R).tolist() == np.eye(3).tolist()


def test_rounding_is_removed_and_nonsense_refused():
    rough = pose((0.3, 0.2, -0.1), (1, 2, 3)).round(3)
    exact = rigid(rough, "here")
    assert np.abs(exact - rough).max() < 1e-3
    assert np.abs(exact[:3, :3] @ exact[:3, :3].T - np.eye(3)).max() < 1e-12
    for wrong in (np.eye(4) * 2, np.diag([1.0, 1, -1, 1]), np.full((4, 4), np.nan), np.eye(3)):
        with pytest.raises(FormatError, match="here: expected"):
            rigid(wrong, "here")
