"""The prompted encoder where the camera's path is its own: windows, and people in the picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from spatialcode.encoder.protocol import FrameGeometry, FrameRequest, encode_windows
from spatialcode.evaluation.metrics.poses import path_error
from spatialcode.evaluation.oracle_parts import OracleOptions, oracle_encoder
from spatialcode.evaluation.room import clip_of
from spatialcode.scene.schema import SpatialCode
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import SyntheticClip

OWN = OracleOptions(("masks", "depth"), is_noisy=True)


@cache
def clip() -> SyntheticClip:
    return make_clip(1_600_000_000, ClipConfig(num_frames=24, width_px=240, height_px=180))


def encoded(clip: SyntheticClip, options: OracleOptions, request: FrameRequest) -> SpatialCode:
    frames = clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K))
    return encode_windows(oracle_encoder(clip, options), frames, request)


def poses(code: SpatialCode) -> np.ndarray:
    return np.array([camera.T_world_camera for camera in code.cameras])


def walked_along(clip: SyntheticClip, word: str) -> SyntheticClip:
    """The clip with somebody in front of the camera who goes where it goes."""
    rows, columns = slice(20, 160), slice(30, 130)
    texture = np.random.default_rng(0).integers(0, 255, (14, 10, 3), dtype=np.uint8)
    rgb, depth_m, instance = clip.rgb.copy(), clip.depth_m.copy(), clip.instance.copy()
    rgb[:, rows, columns] = np.kron(texture, np.ones((10, 10, 1), np.uint8))
    depth_m[:, rows, columns] = 0.8
    instance[:, rows, columns] = len(clip.labels)
    labels = (*clip.labels, word)
    return replace(clip, rgb=rgb, depth_m=depth_m, instance=instance, labels=labels)


@pytest.mark.parametrize(("window", "overlap"), [(9, 4), (8, 0)])
def test_one_window_gives_what_many_give_with_a_path_of_its_own(window: int, overlap: int) -> None:
    one = encoded(clip(), OWN, FrameRequest(window=None))
    many = encoded(clip(), OWN, FrameRequest(window=window, overlap=overlap))
    apart_m = np.linalg.norm((poses(one) - poses(many))[:, :3, 3], axis=1)
    assert apart_m.max() < 0.01
    assert path_error(poses(many), clip().T_world_camera).world_m < 0.15
    # things are where they are by the settled path, whichever window saw them
    centers = {item.id: np.array(item.center_m) for item in many.objects}
    off_m = [np.linalg.norm(centers[item.id] - item.center_m)
             for item in one.objects if item.id in centers]  # fmt: skip
    assert len(off_m) >= 0.8 * len(one.objects)
    assert np.median(off_m) < 0.05


def test_who_walks_along_does_not_hold_the_path() -> None:
    options = replace(OWN, is_noisy=False)
    request = FrameRequest(window=None)
    person, statue = (
        path_error(
            poses(encoded(walked_along(clip(), word), options, request)), clip().T_world_camera
        )
        for word in ("person", "statue")
    )
    assert person.rigid_m < 0.1
    assert np.degrees(person.rotation_rad) < 3
    assert statue.rotation_rad > 3 * person.rotation_rad
    assert statue.rigid_m > 3 * person.rigid_m
