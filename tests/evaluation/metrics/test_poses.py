from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.evaluation.metrics.poses import (
    align_rigid,
    depth_error,
    fitted_depth,
    inside_polygon,
    path_error,
    path_fit,
    polygon_iou,
    rotation_angle,
    still_error,
    vector_angle,
)


def turn_z(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def turn_x(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def path(positions, rotations=None):
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 3] = positions
    if rotations is not None:
        poses[:, :3, :3] = rotations
    return poses


LINE = [[0.0, 0.0, 1.5], [0.0, 1.0, 1.5], [0.0, 2.0, 1.5]]


def test_a_right_path_has_no_error():
    error = path_error(path(LINE), path(LINE))
    assert error.length_m == 2.0
    for name in ("world_m", "first_frame_m", "rigid_m", "rotation_rad", "step_m", "gravity_rad"):
        assert getattr(error, name) == pytest.approx(0.0, abs=1e-9)


def test_a_shifted_path_is_wrong_in_the_world_only():
    error = path_error(path(np.array(LINE) + np.array([0.3, 0.0, 0.4])), path(LINE))
    assert error.world_m == pytest.approx(0.5)
    assert error.first_frame_m == pytest.approx(0.0, abs=1e-12)
    assert error.rigid_m == pytest.approx(0.0, abs=1e-12)
    assert error.height_m == pytest.approx(0.4)


def test_scale_is_an_error_in_every_frame_of_reference():
    stretched = path([[0, 0, 1.5], [0, 1.5, 1.5], [0, 3.0, 1.5]])
    error = path_error(stretched, path(LINE))
    assert error.world_m == pytest.approx(np.sqrt((0.5**2 + 1.0**2) / 3))
    assert error.first_frame_m == pytest.approx(error.world_m)
    assert error.rigid_m == pytest.approx(np.sqrt((0.5**2 + 0.5**2) / 3))
    assert error.step_m == pytest.approx(0.5)


def test_a_path_turned_about_the_vertical_keeps_gravity():
    turn = turn_z(0.2)
    turned = path(np.array(LINE) @ turn.T, np.tile(turn, (3, 1, 1)))
    error = path_error(turned, path(LINE))
    assert error.gravity_rad == pytest.approx(0.0, abs=1e-9)
    assert error.rotation_rad == pytest.approx(0.0, abs=1e-9)
    assert error.first_frame_m == pytest.approx(0.0, abs=1e-9)
    assert error.world_m == pytest.approx(
        2 * np.sin(0.1) * np.sqrt((1 + 4) / 3)
    )  # chords of 0.2 rad at 1 m and 2 m


def test_a_pitch_error_is_a_gravity_error():
    tilted = path(LINE, np.tile(turn_x(0.05), (3, 1, 1)))
    error = path_error(tilted, path(LINE))
    assert error.gravity_rad == pytest.approx(0.05)
    assert error.world_m == 0.0


def test_drift_that_grows_shows_in_steps_and_rotation():
    rotations = np.stack([turn_z(0.1 * i) for i in range(3)])
    error = path_error(path(LINE, rotations), path(LINE))
    assert error.step_rad == pytest.approx(0.1)
    assert error.rotation_rad == pytest.approx(0.1)  # mean of 0, 0.1, 0.2


def test_one_frame_and_wrong_shapes():
    assert path_error(path(LINE[:1]), path(LINE[:1])).step_m == 0.0
    with pytest.raises(ValueError, match="paths"):
        path_error(path(LINE), path(LINE[:2]))


@given(st.integers(0, 2**32 - 1))
def test_rigid_alignment_undoes_a_rigid_motion_and_never_mirrors(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(6, 3))
    rotation = turn_z(rng.uniform(-3, 3)) @ turn_x(rng.uniform(-3, 3))
    moved = points @ rotation.T + rng.normal(size=3)
    assert align_rigid(points, moved) == pytest.approx(moved, abs=1e-9)
    # A mirrored cloud cannot be reached by a rotation: handedness must survive.
    mirrored = points * [1, 1, -1]
    aligned = align_rigid(points, mirrored)
    before = np.linalg.det(points[1:4] - points[0])
    after = np.linalg.det(aligned[1:4] - aligned[0])
    assert after == pytest.approx(before)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 2.0, np.pi])
def test_angles_are_exact_at_both_ends(angle):
    assert rotation_angle(np.eye(3), turn_x(angle)) == pytest.approx(angle, rel=1e-6, abs=1e-15)
    direction = np.array([np.cos(angle), np.sin(angle), 0.0])
    measured = vector_angle(np.array([1.0, 0.0, 0.0]), direction)
    assert measured == pytest.approx(angle, rel=1e-6, abs=1e-15)


def test_depth_error_by_hand():
    truth = np.array([[[1.0, 2.0], [4.0, np.inf]]])
    predicted = np.array([[[1.1, 2.0], [2.0, 7.0]]])
    error = depth_error(predicted, truth)
    assert error.abs_rel == pytest.approx((0.1 + 0.0 + 0.5) / 3)
    assert error.abs_rel_median == pytest.approx(0.1)
    assert error.delta_125 == pytest.approx(2 / 3)
    assert error.num_cells == 3
    # Too deep by a quarter is outside, as is too shallow by a fifth.
    ones = np.ones((1, 1, 1))
    assert depth_error(1.25 * ones, ones).delta_125 == 0.0
    assert depth_error(0.8 * ones, ones).delta_125 == 0.0
    assert depth_error(1.249 * ones, ones).delta_125 == 1.0


def test_depth_without_truth_is_refused():
    with pytest.raises(ValueError, match="at least one cell"):
        depth_error(np.ones((1, 1, 1)), np.zeros((1, 1, 1)))
    with pytest.raises(ValueError, match="shape"):
        depth_error(np.ones((1, 1, 2)), np.ones((1, 1, 1)))


SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
L_SHAPE = np.array([[0, 0], [4, 0], [4, 1], [1, 1], [1, 3], [0, 3]], dtype=float)


def test_polygons_by_hand():
    points = np.array([[0.5, 2.5], [2.0, 2.0], [3.5, 0.5], [-0.5, 0.5]])
    assert inside_polygon(points, L_SHAPE).tolist() == [True, False, True, False]
    assert polygon_iou(SQUARE, SQUARE + np.array([1.0, 0.0])) == pytest.approx(2 / 6, abs=1e-9)
    assert polygon_iou(SQUARE, SQUARE) == 1.0
    assert polygon_iou(SQUARE, SQUARE + np.array([5.0, 0.0])) == 0.0


def test_a_path_twice_too_long_has_a_scale_ratio_of_two_and_no_error_after_similarity():
    truth = path(np.array([[0.0, 0, 1.5], [1, 0, 1.5], [1, 1, 1.5]]))
    own = truth.copy()
    own[:, :3, 3] = 2 * truth[:, :3, 3] @ turn_z(0.7).T + (3, 4, 5)
    fit = path_fit(own, truth)
    assert fit.scale_ratio == pytest.approx(2.0)
    assert fit.similarity_m == pytest.approx(0.0, abs=1e-9)


def test_a_path_that_stays_where_it_should_move_has_ratio_0_and_the_truths_own_spread():
    truth = path(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]))
    fit = path_fit(path(np.ones((3, 3))), truth)
    assert fit.scale_ratio == 0.0
    assert fit.similarity_m == pytest.approx(np.sqrt(2 / 3))


@pytest.mark.parametrize(
    "centres",
    [
        [[0.0, 0, 0], [0.1, 0, 0], [0.19, 0, 0]],  # shorter than 20 cm
        [[0.0, 0, 0], [0.1, 0, 0], [0.0, 0, 0], [0.1, 0, 0], [0, 0, 0]],  # to and fro
        [[0.0, 0, 0], [5.0, 0, 0]],  # two cameras fit any scale
    ],
)
def test_a_true_path_that_is_too_short_has_no_scale(centres):
    truth = path(np.array(centres))
    assert path_fit(truth, truth) is None


def test_a_standing_camera_is_judged_by_its_farthest_frame():
    poses = path(np.array([[1.0, 0, 0], [1, 0.3, 0.4], [1, 0, 0.1]]))
    poses[2, :3, :3] = turn_z(np.radians(3.0))
    error = still_error(poses)
    assert error.m == pytest.approx(0.5)
    assert error.deg == pytest.approx(3.0)


def test_scale_and_shift_are_fitted_frame_by_frame_and_unknown_depth_is_left_out():
    truth = np.array([[[1.0, 2, 4]], [[3.0, np.nan, 5]]])
    own = np.array([[[2.5, 4.5, 8.5]], [[1.0, 77.0, 2.0]]])  # 2 d + 0.5; d / 2 - 0.5
    fitted = fitted_depth(own, truth)
    assert fitted[0] == pytest.approx(truth[0])
    assert fitted[1, 0, [0, 2]] == pytest.approx([3.0, 5.0])
    assert depth_error(fitted, truth).abs_rel == pytest.approx(0.0, abs=1e-9)


def test_a_fit_makes_relative_errors_small_and_not_absolute_ones():
    # A constant fits 1 and 10: least squares of relative errors gives sum(1/t) / sum(1/t^2).
    fitted = fitted_depth(np.ones((1, 1, 2)), np.array([[[1.0, 10.0]]]))
    assert fitted == pytest.approx(1.1 / 1.01)


def test_cells_without_predicted_depth_are_not_counted():
    error = depth_error(np.array([[[1.0, np.nan]]]), np.array([[[2.0, 2.0]]]))
    assert (error.abs_rel, error.num_cells) == (0.5, 1)
