"""Up and the floor from depth, against rooms whose up is known."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.recordings.ground import estimated_up, floor_height, sampled_surface
from spatialcode.synthetic.clips import ClipConfig, make_clip


@pytest.mark.parametrize("seed", [900_000_001, 900_000_002, 900_000_003])
@pytest.mark.parametrize(("noise", "allowed_deg"), [(0.0, 1.0), (0.01, 2.0)])
def test_up_and_floor_of_rendered_rooms(seed, noise, allowed_deg):
    """To one degree and 3 cm; to two where depth is 1 % off by frame and 0.2 % by pixel."""
    clip = make_clip(seed, ClipConfig(6, 160, 120))
    random = np.random.default_rng(seed)
    depth = clip.depth_m * np.exp(noise * random.standard_normal((6, 1, 1)))
    depth = depth * np.exp(0.2 * noise * random.standard_normal(depth.shape))
    points, normals = sampled_surface(list(depth), [clip.K] * 6, list(clip.T_world_camera))
    up = estimated_up(normals, np.asarray(clip.T_world_camera))
    assert np.degrees(np.arccos(np.clip(up[2], -1, 1))) < allowed_deg
    assert floor_height(points, normals, up) == pytest.approx(0.0, abs=0.03)


def test_without_depth_up_is_that_of_the_pictures():
    level = np.tile(
        np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]), (3, 1, 1)
    )
    nothing = np.zeros((0, 3))
    assert estimated_up(nothing, level).tolist() == [0, 0, 1]
    assert floor_height(nothing, nothing, np.array([0, 0, 1.0])) is None
