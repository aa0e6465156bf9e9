from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from spatialcode.errors import SchemaError
from spatialcode.scene.frames import (
    canonical_quaternion,
    level_rotation,
    matrix_from_quaternion,
    pixel_centres,
    project,
    quaternion_from_matrix,
    quaternion_from_yaw,
    unproject,
    yaw_from_quaternion,
)

K = np.array([[100.0, 0.0, 80.0], [0.0, 110.0, 60.0], [0.0, 0.0, 1.0]])
parts = st.floats(-1, 1)
quaternions = st.tuples(parts, parts, parts, parts).filter(lambda q: np.linalg.norm(q) > 0.1)
coordinates = st.floats(-10, 10)
vectors = st.tuples(coordinates, coordinates, coordinates)


@given(quaternions)
@example((0, 0, 0, -1))
@example((1e-9, 1, 0, 0))
def test_matrices_of_quaternions_agree_with_scipy(q):
    matrix = matrix_from_quaternion(q)
    assert_allclose(matrix, Rotation.from_quat(np.roll(q, -1)).as_matrix(), atol=1e-12)
    cosine = quaternion_from_matrix(matrix) @ canonical_quaternion(q)
    assert abs(cosine) == pytest.approx(1.0, abs=1e-12)
    assert_allclose(matrix_from_quaternion(quaternion_from_matrix(matrix)), matrix, atol=1e-12)


def test_quaternions_have_one_sign():
    assert_allclose(canonical_quaternion([-2, 0, 0, 2]), [0.5**0.5, 0, 0, -(0.5**0.5)])
    assert canonical_quaternion([0, 0, -1, 0]).tolist() == [0, 0, 1, 0]
    with pytest.raises(SchemaError, match="non-zero"):
        canonical_quaternion([0, 0, 0, 0])
    many = quaternion_from_matrix(Rotation.random(200, rng=1).as_matrix())
    assert (many[:, 0] >= 0).all()


def test_yaw_is_counter_clockwise_seen_from_above():
    quarter = matrix_from_quaternion(quaternion_from_yaw(np.pi / 2))
    assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-15)
    assert_allclose(quaternion_from_yaw(np.pi / 2), [0.5**0.5, 0, 0, 0.5**0.5])


@given(st.floats(-3.14, 3.14), st.floats(-1.5, 1.5))
def test_yaw_comes_back_and_pitch_does_not_change_it(yaw, pitch):
    assert yaw_from_quaternion(quaternion_from_yaw(yaw)) == pytest.approx(yaw, abs=1e-12)
    about_y = [np.cos(pitch / 2), 0, np.sin(pitch / 2), 0]
    turn = matrix_from_quaternion(quaternion_from_yaw(yaw))
    tilted = quaternion_from_matrix(turn @ matrix_from_quaternion(about_y))
    assert yaw_from_quaternion(tilted) == pytest.approx(yaw, abs=1e-9)


def test_half_turn_is_plus_pi():
    assert yaw_from_quaternion([0, 0, 0, 1]) == np.pi
    assert yaw_from_quaternion([0, 0, 0, -1]) == np.pi


def test_projection_by_hand():
    pixels, depth = project([[0, 0, 2], [0.5, -1, 2], [1, 1, -1]], K)
    assert_allclose(pixels[:2], [[80, 60], [105, 5]])
    assert_allclose(depth, [2, 2, -1])
    assert_allclose(unproject([105, 5], 2.0, K), [0.5, -1, 2])
    nothing, zero = project([0.0, 0, 0], K)
    assert zero == 0
    assert not np.isfinite(nothing).any()


@given(st.floats(0, 160), st.floats(0, 120), st.floats(0.1, 50))
def test_projection_undoes_unprojection(u, v, depth):
    pixels, found = project(unproject([u, v], depth, K), K)
    assert_allclose(pixels, [u, v], atol=1e-9)
    assert found == pytest.approx(depth)


def test_pixel_centres_by_hand():
    grid = pixel_centres(4, 3)
    assert grid.shape == (3, 4, 2)
    assert grid[0, 0].tolist() == [0.5, 0.5]
    assert grid[2, 3].tolist() == [3.5, 2.5]
    assert grid[0, 3].tolist() == [3.5, 0.5]
    # A principal point in the middle of the image sees straight ahead between pixels.
    middle = unproject(pixel_centres(160, 120), np.ones((120, 160)), K).mean(axis=(0, 1))
    assert_allclose(middle, [0, 0, 1], atol=1e-12)


def test_level_frame_by_hand():
    upright = level_rotation([0, -1, 0])
    assert_allclose(upright @ [0, 0, 1], [0, 1, 0], atol=1e-15)  # forward
    assert_allclose(upright @ [1, 0, 0], [1, 0, 0], atol=1e-15)  # right
    assert_allclose(upright @ [0, 1, 0], [0, 0, -1], atol=1e-15)  # down
    # Looking 30 degrees down: up has a part against the viewing direction.
    pitched = level_rotation([0, -np.cos(np.pi / 6), -np.sin(np.pi / 6)])
    assert_allclose(pitched @ [0, 0, 1], [0, np.sqrt(3) / 2, -0.5], atol=1e-15)
    # Rolled by a right angle: the image's right is up.
    assert_allclose(level_rotation([1, 0, 0]) @ [0, 0, 1], [0, 1, 0], atol=1e-15)
    assert_allclose(level_rotation([1, 0, 0]) @ [0, 1, 0], [1, 0, 0], atol=1e-15)


@given(vectors.filter(lambda v: np.linalg.norm(v) > 1e-3))
@example((0, 0, 1))
@example((0, 0, -5))
@example((1e-9, 0, 1))
def test_level_rotation_is_a_rotation_that_sends_up_to_z(up):
    rotation = level_rotation(up)
    assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0
    assert_allclose(rotation @ up / np.linalg.norm(up), [0, 0, 1], atol=1e-9)
    forward = rotation @ [0, 0, 1]
    # A millionth off the vertical counts as vertical, and its azimuth as unknown.
    assert abs(forward[0]) <= 1e-6
    assert forward[1] >= -1e-6


def test_level_frame_of_a_camera_that_looks_straight_down_or_up():
    down = level_rotation([0, -1e-4, -1])
    assert_allclose(level_rotation([0, 0, -1]), down, atol=2e-4)
    assert_allclose(level_rotation([0, 0, -1]) @ [0, -1, 0], [0, 1, 0])
    up = level_rotation([0, -1e-4, 1])
    assert_allclose(level_rotation([0, 0, 1]), up, atol=2e-4)
    with pytest.raises(SchemaError, match="up_camera"):
        level_rotation([0, 0, 0])


def test_level_rotation_is_vectorised():
    ups = np.random.default_rng(2).normal(size=(4, 5, 3))
    assert_allclose(level_rotation(ups)[2, 3], level_rotation(ups[2, 3]))


def test_wrong_shapes_are_named():
    with pytest.raises(SchemaError, match=r"K: expected an array of shape \(\.\.\., 3, 3\), got"):
        project([0, 0, 1], np.eye(4))
    with pytest.raises(SchemaError, match="points_camera"):
        project(1.0, K)
