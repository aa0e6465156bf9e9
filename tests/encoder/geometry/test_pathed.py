"""Recorded and monocular geometry, window by window: what is given is used, the rest estimated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.geometry.cuts import find_cuts, longest_part
from spatialcode.encoder.geometry.pathed import (
    PathedGeometry,
    intrinsics_of_view,
    path_pictures,
)
from spatialcode.encoder.geometry.protocol import DepthFrames, DepthNoise
from spatialcode.encoder.geometry.registry import load_geometry
from spatialcode.encoder.geometry.settings import PathSettings
from spatialcode.encoder.protocol import ClipHeader, ClipInput, FrameGeometry, FrameRequest
from spatialcode.errors import EncodeError
from spatialcode.evaluation.metrics.poses import path_error
from spatialcode.scene.lens import Lens
from spatialcode.scene.schema import VideoInfo
from tests.encoder.geometry.clips import EXACT, clip, exact_depth, gray, noisy_depth

SEED, OTHER = 1_000_000_002, 1_000_000_003
PATH = PathSettings()


def clip_input(rgb, **known) -> ClipInput:
    height, width = rgb.shape[1:3]
    video = VideoInfo(
        uri="a.mp4", sha256="0" * 64, duration_s=len(rgb) / 10, fps=10.0, width_px=width,
        height_px=height, sampled_s=tuple(np.arange(len(rgb)) / 10),
    )  # fmt: skip
    return ClipInput(video, rgb, FrameGeometry(**known))


def through(source, given: ClipInput, size=None, overlap=0):
    session = source.session(given.header)
    request = FrameRequest(window=size, overlap=overlap)
    return [(window, session.geometry(window)) for window in given.windows(request)]


def poses(found) -> np.ndarray:
    return np.concatenate([g.T_world_camera[w.num_repeated :] for w, g in found])


def test_recorded_depth_alone_is_enough():
    rendered = clip(SEED)
    given = clip_input(rendered.rgb, K=rendered.K, depth_m=rendered.depth_m)
    ((_, found),) = through(load_geometry("recorded"), given)
    assert path_error(found.T_world_camera, rendered.T_world_camera).world_m < 0.1
    assert found.is_metric
    assert found.is_grounded
    assert found.cuts == ()
    assert 0 < found.reprojection_px < 2
    np.testing.assert_allclose(found.up_camera, found.T_world_camera[:, 2, :3])


def test_all_that_is_recorded_comes_back_as_it_is():
    rendered = clip(SEED)
    depth_m = rendered.depth_m.copy()
    depth_m[0, 0, :3] = (0, -1, np.inf)
    given = clip_input(
        rendered.rgb, K=rendered.K, depth_m=depth_m, T_world_camera=rendered.T_world_camera
    )
    windows = through(load_geometry("recorded"), given, size=10, overlap=3)
    np.testing.assert_array_equal(poses(windows), rendered.T_world_camera)
    first = windows[0][1]
    assert np.isnan(first.depth_m[0, 0, :3]).all()
    np.testing.assert_array_equal(first.K[0], rendered.K)
    assert all(g.cuts == () for _, g in windows)


def test_without_depth_recorded_geometry_refuses():
    rendered = clip(SEED)
    given = clip_input(rendered.rgb, K=rendered.K, T_world_camera=rendered.T_world_camera)
    with pytest.raises(EncodeError, match="expected depth"):
        through(load_geometry("recorded"), given)


@pytest.mark.parametrize(("size", "overlap"), [(14, 5), (10, 0), (16, 8)])
def test_windows_give_the_path_of_the_whole(size, overlap):
    rendered = clip(SEED)
    # a network's depth, as its frames disagree most
    given = clip_input(rendered.rgb, K=rendered.K)
    found = []
    for window, repeated in ((None, 0), (size, overlap)):
        source = PathedGeometry(NoisyDepth(rendered), EXACT, PATH)
        session = source.session(given.header)
        told = [
            session.geometry(w)
            for w in given.windows(FrameRequest(window=window, overlap=repeated))
        ]
        found.append(session.settled())
        assert all(g.cuts == () for g in told)
    whole, parts = (settled.T_world_camera for settled in found)
    assert len(parts) == 24
    assert np.linalg.norm((whole - parts)[:, :3, 3], axis=1).max() < 1e-6
    assert path_error(parts, rendered.T_world_camera).world_m < 0.12


def test_what_a_window_repeats_is_told_as_before():
    rendered = clip(SEED)
    given = clip_input(rendered.rgb, K=rendered.K, depth_m=rendered.depth_m)
    (_, first), (_, second) = through(load_geometry("recorded"), given, size=14, overlap=4)[:2]
    np.testing.assert_array_equal(first.T_world_camera[-4:], second.T_world_camera[:4])
    np.testing.assert_array_equal(first.depth_m[-4:], second.depth_m[:4])


def test_the_settled_path_goes_on_from_what_was_told():
    rendered = clip(SEED)
    given = clip_input(rendered.rgb, K=rendered.K, depth_m=rendered.depth_m)
    session = load_geometry("recorded").session(given.header)
    windows = list(given.windows(FrameRequest(window=14, overlap=4)))
    told = [(window, session.geometry(window)) for window in windows]
    settled = session.settled()
    assert path_error(poses(told), settled.T_world_camera).world_m < 0.1
    # no more is believed of depth than its stated error allows
    assert np.abs(settled.log_depth_scale).max() < 0.01


def test_recorded_poses_are_settled_as_they_are_told():
    rendered = clip(SEED)
    given = clip_input(
        rendered.rgb[:4], K=rendered.K, depth_m=rendered.depth_m[:4],
        T_world_camera=rendered.T_world_camera[:4],
    )  # fmt: skip
    session = load_geometry("recorded").session(given.header)
    (window,) = given.windows(FrameRequest())
    session.geometry(window)
    assert session.settled() is None


class NoisyDepth:
    """A network's depth of a clip whose frames come in order, each once or more often."""

    error = DepthNoise(0.05, 0.02, 3.0)

    def __init__(self, rendered) -> None:
        self._rgb, self._depth_m = rendered.rgb, noisy_depth(rendered)

    def depth(self, rgb, K):
        rows = [int(np.flatnonzero((self._rgb == frame).all(axis=(1, 2, 3)))[0]) for frame in rgb]
        return DepthFrames(self._depth_m[rows].astype(np.float32))


class StatedDepth:
    """Depth as a network would give it, with the focal length that it states."""

    error = DepthNoise(0.05, 0.02, 3.0)

    def __init__(self, depth_m, focal_px) -> None:
        self.depth_m, self.focal_px, self.asked = depth_m, focal_px, []

    def depth(self, rgb, K):
        self.asked.append(K)
        focal = None if self.focal_px is None else np.full(len(rgb), self.focal_px)
        return DepthFrames(self.depth_m[: len(rgb)], focal)


def test_a_networks_depth_and_focal_length_are_used():
    rendered = clip(SEED)
    network = StatedDepth(noisy_depth(rendered), float(rendered.K[0, 0]))
    given = clip_input(rendered.rgb)
    ((_, found),) = through(PathedGeometry(network, EXACT, PATH), given)
    assert network.asked == [None]
    assert found.K[0, 0, 0] == rendered.K[0, 0]
    assert found.error == network.error
    assert path_error(found.T_world_camera, rendered.T_world_camera).world_m < 0.15
    # the frames' scales are made consistent
    ratio = np.log(found.depth_m / exact_depth(rendered)).reshape(24, -1)
    assert np.nanmedian(ratio, axis=1).std() < 0.02


def test_recorded_depth_is_not_asked_of_the_network():
    rendered = clip(SEED)
    network = StatedDepth(None, None)
    given = clip_input(rendered.rgb[:6], K=rendered.K, depth_m=rendered.depth_m[:6])
    ((_, found),) = through(PathedGeometry(network, EXACT, PATH), given)
    assert not network.asked
    assert found.error == EXACT


@pytest.mark.parametrize(("stated", "expected"), [(None, 251.1), (1e5, 251.1), (300.0, 300.0)])
def test_a_camera_that_nobody_films_with_is_not_believed(stated, expected):
    rendered = clip(SEED)
    network = StatedDepth(exact_depth(rendered), stated)
    source = PathedGeometry(network, EXACT, PATH)
    found = through(source, clip_input(rendered.rgb[:4]), size=2, overlap=1)
    # 320 pixels at 65 degrees: 160 / tan(32.5°) = 251.1; one camera for the whole clip
    assert [g.K[0, 0, 0] for _, g in found] == pytest.approx([expected] * len(found), abs=0.1)


def test_the_longer_side_of_portrait_video_spans_the_assumed_view():
    K = intrinsics_of_view((640, 360), 90.0)
    np.testing.assert_allclose(K, ((320, 0, 180), (0, 320, 320), (0, 0, 1)))


def test_pictures_for_a_path_are_scaled_with_their_camera():
    rgb = np.zeros((2, 480, 640, 3), np.uint8)
    K = np.array(((500.0, 0, 320), (0, 500, 240), (0, 0, 1)))
    small = path_pictures(rgb, K, 320)
    assert small.gray.shape == (2, 240, 320)
    np.testing.assert_allclose(small.K, ((250, 0, 160), (0, 250, 120), (0, 0, 1)))
    assert small.scale == 2
    assert path_pictures(rgb, K, 1000).gray.shape == (2, 480, 640)


def test_a_cut_is_found_and_each_part_has_a_world_of_its_own():
    first, second = clip(SEED), clip(OTHER)
    rgb = np.concatenate([first.rgb[:12], second.rgb[:14]])
    assert find_cuts(list(gray(rgb))) == (12,)
    depth_m = np.concatenate([first.depth_m[:12], second.depth_m[:14]])
    given = clip_input(rgb, K=first.K, depth_m=depth_m)
    ((_, found),) = through(load_geometry("recorded"), given)
    assert found.cuts == (12,)
    for rows, rendered in ((slice(0, 12), first), (slice(12, 26), second)):
        missed = path_error(
            found.T_world_camera[rows], rendered.T_world_camera[: rows.stop - rows.start]
        )
        assert missed.world_m < 0.25
    assert longest_part(26, found.cuts) == slice(12, 26)


def test_no_cut_is_seen_within_a_walk():
    for seed in (SEED, OTHER):
        assert find_cuts(list(gray(clip(seed).rgb))) == ()
    nothing = [np.full((48, 64), 7, np.uint8)] * 3
    assert find_cuts(nothing) == ()
    assert longest_part(3, ()) == slice(0, 3)


def test_a_camera_that_stands_gives_one_pose():
    rendered = clip(SEED)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 2, (12, 240, 320, 3))
    rgb = np.clip(rendered.rgb[:1] + noise, 0, 255).astype(np.uint8)
    depth = np.repeat(exact_depth(rendered)[:1], 12, axis=0)
    network = StatedDepth(depth * np.exp(rng.normal(0, 0.05, (12, 1, 1))), None)
    ((_, found),) = through(
        PathedGeometry(network, EXACT, PATH), clip_input(rgb, K=rendered.K)
    )  # fmt: skip
    moved = np.linalg.norm(found.T_world_camera[:, :3, 3] - found.T_world_camera[0, :3, 3], axis=1)
    assert moved.max() < 1e-9  # no drift at all: one pose is held
    turned = found.T_world_camera[0, :3, :3].T @ found.T_world_camera[:, :3, :3]
    angle = np.degrees(np.arccos(np.clip((np.trace(turned, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert angle.max() < 0.5


def test_sessions_of_one_source_do_not_know_each_other():
    rendered, other = clip(SEED), clip(OTHER)
    source = load_geometry("recorded")
    alone = poses(through(source, clip_input(other.rgb[:8], K=other.K, depth_m=other.depth_m[:8])))
    sessions = [source.session(ClipHeader(clip_input(r.rgb[:1]).video)) for r in (rendered, other)]
    found = []
    for session, r in zip(sessions, (rendered, other), strict=True):
        given = clip_input(r.rgb[:8], K=r.K, depth_m=r.depth_m[:8])
        (window,) = given.windows(FrameRequest())
        found.append(session.geometry(window))
    np.testing.assert_array_equal(found[1].T_world_camera, alone)


def test_recorded_gravity_alone_is_used():
    rendered = clip(SEED)
    up = rendered.T_world_camera[:, 2, :3].copy()
    lean = np.array(((1, 0, 0), (0, np.cos(0.1), -np.sin(0.1)), (0, np.sin(0.1), np.cos(0.1))))
    leaning = (rendered.T_world_camera[:, :3, :3].transpose(0, 2, 1) @ lean[:, 2]).copy()
    given = clip_input(rendered.rgb, K=rendered.K, depth_m=rendered.depth_m, up_camera=leaning)
    ((_, found),) = through(load_geometry("recorded"), given)
    off = np.degrees(np.arccos(np.clip((found.up_camera * up).sum(axis=1), -1, 1)))
    assert np.median(off) == pytest.approx(np.degrees(0.1), abs=1)
    given = replace(given, geometry=replace(given.geometry, up_camera=up))
    ((_, found),) = through(load_geometry("recorded"), given)
    assert path_error(found.T_world_camera, rendered.T_world_camera).gravity_rad < 0.01


def test_the_lens_of_a_videos_file_goes_before_the_networks():
    rendered = clip(SEED)
    lens = Lens(0.7, "quicktime", 0.08)
    network = StatedDepth(exact_depth(rendered), 300.0)
    source = PathedGeometry(network, EXACT, PATH)
    ((_, found),) = through(source, clip_input(rendered.rgb[:4], lens=lens))
    expected = ((224, 0, 160), (0, 224, 120), (0, 0, 1))  # 0.7 of 320 pixels
    np.testing.assert_allclose(found.K[0], expected)
    np.testing.assert_allclose(network.asked[0], expected)
