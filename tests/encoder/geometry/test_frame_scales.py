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
