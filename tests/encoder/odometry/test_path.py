"""Odometry: exact where everything is known exactly, sensible where nothing is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from spatialcode.encoder.odometry.path import (
    EstimatedPath,
    chained,
    estimate_path,
    in_first_camera_world,
    levelled,
)
from spatialcode.encoder.odometry.problem import RelativeMotions, whitening
from spatialcode.errors import EncodeError
from spatialcode.evaluation.oracle import true_maps
from spatialcode.scene.frames import level_rotation
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip

#: A clip whose camera walks and turns, at the usual number of frames.
SEED = 900_000_012


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return make_clip(SEED, ClipConfig(num_frames=32))


def gray_of(clip: SyntheticClip) -> np.ndarray:
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.rgb])


def path_of(clip: SyntheticClip, frames: slice = slice(None), scale: float = 1.0) -> EstimatedPath:
    """The path from true depth, gravity and height, all lengths times ``scale``."""
    maps = true_maps(clip).maps.frames(frames)
    return estimate_path(
        gray_of(clip)[frames],
        scale * maps.depth_m,
        clip.K,
        maps.up_camera,
        scale * maps.camera_height_m,
    )


def test_true_depth_and_gravity_give_nearly_the_true_path() -> None:
    """In the median of six clips; single ones, past a bare wall, may stray farther."""
    drift, turn_error = [], []
    for seed in range(900_000_010, 900_000_016):
        clip = make_clip(seed, ClipConfig(num_frames=32))
        path, true = path_of(clip).T_world_camera, clip.T_world_camera
        walked_m = np.linalg.norm(np.diff(true[:, :3, 3], axis=0), axis=1).sum()
        drift.append(np.linalg.norm(path[:, :3, 3] - true[:, :3, 3], axis=1).max() / walked_m)
        relative = true[:, :3, :3].transpose(0, 2, 1) @ path[:, :3, :3]
        cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
        turn_error.append(np.arccos(np.clip(cosine, -1, 1)).max())
    assert np.median(drift) < 0.1
    assert np.median(turn_error) < 0.15


def test_the_world_is_the_first_cameras(clip: SyntheticClip) -> None:
    first = path_of(clip).T_world_camera[0]
    assert first[:2, 3] == pytest.approx((0, 0), abs=1e-9)
    forward = first[:3, 2]  # the camera's viewing direction in the world
    assert forward[0] == pytest.approx(0, abs=1e-9)
    assert forward[1] > 0


def test_metres_come_from_depth_and_height_alone(clip: SyntheticClip) -> None:
    one, three = path_of(clip), path_of(clip, scale=3.0)
    # priors on how people move a camera are in metres, so this is not exact
    np.testing.assert_allclose(
        three.T_world_camera[:, :3, 3], 3 * one.T_world_camera[:, :3, 3], atol=0.35
    )
    np.testing.assert_allclose(
        three.T_world_camera[:, :3, :3], one.T_world_camera[:, :3, :3], atol=0.05
    )


def test_a_camera_that_stands_still_stays(clip: SyntheticClip) -> None:
    maps = true_maps(clip).maps
    still = np.zeros(6, int)
    path = estimate_path(
        gray_of(clip)[still],
        maps.depth_m[still],
        clip.K,
        maps.up_camera[still],
        maps.camera_height_m[still],
    )
    step = np.linalg.norm(np.diff(path.T_world_camera[:, :3, 3], axis=0), axis=1)
    assert step.max() < 0.005


def test_views_of_nothing_keep_gravity_and_height() -> None:
    up = np.tile(np.array([0.0, -0.96, -0.28]), (4, 1))
    path = estimate_path(
        np.full((4, 120, 160), 128, np.uint8),
        np.full((4, 30, 40), 2.0),
        np.array([[120.0, 0, 80], [0, 120, 60], [0, 0, 1]]),
        up,
        np.full(4, 1.5),
    )
    np.testing.assert_allclose(path.T_world_camera[:, 2, :3], up, atol=0.02)
    np.testing.assert_allclose(path.T_world_camera[:, 2, 3], 1.5, atol=0.02)
    assert path.confidence < 0.2
    assert np.isfinite(path.T_world_camera).all()


@pytest.mark.parametrize("num_frames", [1, 2])
def test_short_clips_have_paths(clip: SyntheticClip, num_frames: int) -> None:
    path = path_of(clip, slice(0, num_frames))
    assert path.T_world_camera.shape == (num_frames, 4, 4)
    height = path.T_world_camera[0, 2, 3]
    assert height == pytest.approx(clip.T_world_camera[0, 2, 3], abs=0.02)


def test_motions_chain_by_hand() -> None:
    step = np.eye(4)
    step[:3, 3] = (0, 0, -0.5)  # points come half a metre nearer: the camera went forward
    poses = chained(np.stack([step, step]))
    np.testing.assert_allclose(poses[:, 2, 3], (0, 0.5, 1.0))


def test_levelling_puts_gravity_up_and_the_camera_at_its_height() -> None:
    up = np.array([[0.1, -0.9, -0.3]]) / np.linalg.norm([0.1, -0.9, -0.3])
    pose = levelled(np.eye(4)[None], up, np.array([1.7]))[0]
    np.testing.assert_allclose(pose[:3, :3], level_rotation(up[0]), atol=1e-12)
    assert pose[2, 3] == pytest.approx(1.7)


def test_any_world_becomes_the_first_cameras(clip: SyntheticClip) -> None:
    turn = np.eye(4)
    turn[:2, :2] = [[0.6, -0.8], [0.8, 0.6]]
    turn[:2, 3] = (4, -7)
    moved = turn @ clip.T_world_camera
    np.testing.assert_allclose(in_first_camera_world(moved), clip.T_world_camera, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth_m": np.zeros((2, 30, 40))}, "finite and positive"),
        ({"depth_m": np.ones((3, 30, 40))}, "one map per frame"),
        ({"up_camera": np.ones((2, 2))}, "gravity"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    values = {
        "gray": np.zeros((2, 120, 160), np.uint8),
        "depth_m": np.ones((2, 30, 40)),
        "K": np.eye(3),
        "up_camera": np.tile(np.array([0.0, -1, 0]), (2, 1)),
        "camera_height_m": np.ones(2),
    }
    with pytest.raises(EncodeError, match=message):
        estimate_path(**{**values, **change})


def test_information_just_below_positive_definite_is_usable() -> None:
    strong, weak = (
        np.diag([1e4, 1e4, 1e4, 1e4, 1e4, 1e4]),
        np.diag([1e3, 1e3, 1e3, 1e3, 1e3, -1e-4]),
    )
    pair = np.arange(2)
    motions = RelativeMotions(
        pair, pair + 1, np.tile(np.eye(4), (2, 1, 1)), np.stack([strong, weak])
    )
    factor = whitening(motions)
    product = factor.transpose(0, 2, 1) @ factor
    np.testing.assert_allclose(product[0], strong, rtol=1e-4)
    np.testing.assert_allclose(product[1][:5, :5], weak[:5, :5], rtol=1e-3, atol=1e-6)
    assert np.linalg.eigvalsh(product[1]).min() > 0
