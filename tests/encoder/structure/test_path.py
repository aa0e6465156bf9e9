"""From a structure of any unit and turn to metres in an upright world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from spatialcode.encoder.odometry.path import in_first_camera_world
from spatialcode.encoder.structure.path import PredictedCamera, log_unit_m, path_of, poses_at
from spatialcode.encoder.structure.structure import Structure, StructureError
from tests.encoder.structure.rooms import looking, walked
from tests.encoder.structure.test_structure import small


def of_a_walk(num: int = 12) -> Structure:
    """A structure in metres of a true walk, with twenty points that all cameras see."""
    T = walked(num)
    points = np.random.default_rng(0).uniform((1, -1, 0), (3, 2, 2), (20, 3))
    return Structure(
        times_s=0.25 * np.arange(num),
        T_world_camera=T,
        registered=1.0,
        K=np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]]),
        size_px=(160, 120),
        radial=0.0,
        focal_confidence=1.0,
        points=points,
        point_error_px=np.zeros(20),
        track_point=np.tile(np.arange(20), num),
        track_frame=np.repeat(np.arange(num), 20),
        track_px=np.tile([[80.0, 60.0]], (20 * num, 1)),
        error_px=0.1,
        parallax_deg=10.0,
        mapper="global",
    )


def moved(structure: Structure, scale: float, turn: Rotation, shift: np.ndarray) -> Structure:
    """The same in another unit, turned and elsewhere."""
    T = structure.T_world_camera.copy()
    T[:, :3, :3] = turn.as_matrix() @ T[:, :3, :3]
    T[:, :3, 3] = scale * turn.apply(T[:, :3, 3]) + shift
    points = scale * turn.apply(structure.points) + shift
    return replace(structure, T_world_camera=T, points=points)


def seen_of(structure: Structure) -> PredictedCamera:
    """What a network would say that is right of each frame in the median."""
    T = structure.T_world_camera
    depth = structure.seen_depth().reshape(len(T), -1)
    flat = np.median(depth, axis=1)[:, None, None] * np.ones((1, 3, 4))
    return PredictedCamera(np.log(flat), T[:, 2, :3], T[:, 2, 3])


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.05, 20),
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.tuples(*[st.floats(-50, 50)] * 3),
)
def test_any_unit_turn_and_place_gives_the_true_path(
    scale: float, turn: tuple[float, ...], shift: tuple[float, ...]
) -> None:
    true = of_a_walk()
    seen = seen_of(true)
    other = moved(true, scale, Rotation.from_rotvec(turn), np.array(shift))
    found = path_of(other, true.times_s, seen, true.T_world_camera)
    expected = in_first_camera_world(true.T_world_camera)
    # depth above or below the median within a frame differs: the median over a frame is not exact
    steps = [np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1) for T in (found, expected)]
    np.testing.assert_allclose(steps[0], steps[1], rtol=0.02)
    np.testing.assert_allclose(found[:, :3, :3], expected[:, :3, :3], atol=1e-6)


def test_the_unit_is_the_median_over_frames_of_each_frame_s_ratio() -> None:
    true = of_a_walk(3)
    half = moved(true, 0.5, Rotation.identity(), np.zeros(3))
    log_depth = seen_of(true).log_depth
    log_depth[0] += 5.0  # one frame is far off
    exact = [np.median(np.median(np.log(d)) - np.log(d)) for d in true.seen_depth().reshape(3, -1)]
    expected = np.median(np.array(exact) + np.log(2) + (5, 0, 0))
    assert log_unit_m(half, true.times_s, log_depth) == pytest.approx(expected, abs=0.02)


def test_frames_at_other_times_say_nothing_of_the_unit() -> None:
    true = of_a_walk(4)
    with pytest.raises(StructureError, match="no frame of which depth is known"):
        log_unit_m(true, true.times_s + 0.1, seen_of(true).log_depth)
    # seen in two frames of three, by five points
    with pytest.raises(StructureError, match="no frame"):
        log_unit_m(small(), small().times_s, np.zeros((3, 3, 4)))


def test_a_frame_between_placed_ones_is_interpolated() -> None:
    T = np.tile(np.eye(4), (3, 1, 1))
    T[:, 0, 3] = 0, 2, 4
    found = poses_at(np.arange(3.0), T, np.array([0, 0.5, 2]), np.tile(np.eye(4), (3, 1, 1)))
    np.testing.assert_allclose(found[:, 0, 3], [0, 1, 4], atol=1e-12)


def test_beyond_what_is_placed_the_other_path_moves_on() -> None:
    placed = np.stack([looking(np.array([x, 0.0, 1.0]), np.pi / 2) for x in (0, 1, 2)])
    other = np.stack([looking(np.array([0, y, 1.0]), 0.0) for y in (0.0, 1.0, 2.0, 2.5, 4.0)])
    found = poses_at(np.arange(3.0), placed, np.arange(5.0), other)
    # the other path's "to the left of where it looks" is -x where this one looks along +y
    np.testing.assert_allclose(found[:, 0, 3], [0, 1, 2, 1.5, 0], atol=1e-9)
    np.testing.assert_allclose(found[3, :3, :3], placed[0, :3, :3], atol=1e-9)


def test_a_wide_gap_is_not_interpolated() -> None:
    T = np.tile(np.eye(4), (5, 1, 1))
    T[:, 0, 3] = 0, 1, 2, 3, 100
    still = np.tile(np.eye(4), (2, 1, 1))
    found = poses_at(np.array([0.0, 1, 2, 3, 10]), T, np.array([3.0, 5.0]), still)
    np.testing.assert_allclose(found[:, 0, 3], [3, 3])


def test_a_structure_of_other_times_places_nothing() -> None:
    one = np.eye(4)[None]
    with pytest.raises(StructureError, match="none of the frames"):
        poses_at(np.array([5.0]), one, np.array([0.0]), one)
