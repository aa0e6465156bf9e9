from __future__ import annotations

import numpy as np

from spatialcode.encoder.geometry.frame_scales import frame_log_scales
from spatialcode.synthetic.clips import ClipConfig, make_clip


def test_scales_that_frames_disagree_by_are_found_up_to_their_mean() -> None:
    clip = make_clip(1_600_000_003, ClipConfig(num_frames=24, width_px=160, height_px=120))
    true = np.random.default_rng(0).normal(0, 0.05, 24)
    depth = (clip.depth_m * np.exp(true)[:, None, None]).astype(np.float32)
    K = np.tile(clip.K, (24, 1, 1))
    found = frame_log_scales(depth, K, clip.T_world_camera, 0.05, np.zeros(0))
    off = (found - true) - (found - true).mean()
    assert np.abs(off).max() < 0.01
    assert abs((found - true).mean()) < 2 * 0.05 / np.sqrt(24)  # no more is known of the mean
    # Frames whose scale is known keep it, and carry the others along.
    known = frame_log_scales(depth, K, clip.T_world_camera, 0.05, true[:6])
    np.testing.assert_allclose(known, true, atol=0.01)


def test_frames_that_share_nothing_keep_their_scale() -> None:
    nothing = np.full((3, 60, 80), np.nan, np.float32)
    K = np.tile(np.diag([60.0, 60.0, 1.0]), (3, 1, 1))
    found = frame_log_scales(nothing, K, np.tile(np.eye(4), (3, 1, 1)), 0.05, np.zeros(0))
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_a_camera_that_came_nearer_predicts_a_difference_of_lengths() -> None:
    # a wall 3 m ahead, then 1 m: depth that is 6 % too large predicts 3 e^0.06 - 2 = 1.186 m
    true = np.array([0.06, -0.02])
    depth = np.stack([np.full((60, 80), wall_m, np.float32) for wall_m in (3.0, 1.0)])
    depth *= np.exp(true)[:, None, None].astype(np.float32)
    K = np.tile(np.array([[70.0, 0, 40], [0, 70, 30], [0, 0, 1]]), (2, 1, 1))
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, 2, 3] = 2.0
    found = frame_log_scales(depth, K, poses, 0.05, true[:1])
    np.testing.assert_allclose(found, true, atol=1e-3)
    # from either belief about the first the parallax tells both: 3 e^(s - s_0) - 2 must be 1
    found = frame_log_scales(depth, K, poses, 0.2, np.zeros(0))
    np.testing.assert_allclose(found[1] + np.log(3 * np.exp(0.06 - found[0]) - 2), -0.02, atol=5e-3)


def test_pairs_that_see_different_surfaces_do_not_carry_scales_off() -> None:
    """A camera walks along a room and turns: frames far apart share little, and half of that is
    hidden behind furniture for one of them."""
    clip = make_clip(3_006, ClipConfig(num_frames=64, width_px=160, height_px=120))
    true = np.random.default_rng(1).normal(0, 0.05, 64)
    depth = (clip.depth_m * np.exp(true)[:, None, None]).astype(np.float32)
    K = np.tile(clip.K, (64, 1, 1))
    found = frame_log_scales(depth, K, clip.T_world_camera, 0.05, np.zeros(0))
    off = (found - true) - (found - true).mean()
    assert np.abs(off).max() < 0.02
