"""Paths of our own against the renderer's truth, no gravity given."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.geometry.path import running, surfaces
from spatialcode.encoder.geometry.path.frames import PathInput, frames_of
from spatialcode.encoder.geometry.path.running import RunningPath
from spatialcode.errors import EncodeError
from spatialcode.evaluation.metrics.poses import path_error
from tests.encoder.geometry.clips import (
    NETWORK,
    clip,
    exact_depth,
    noisy_depth,
    own_path,
    path_input,
)

SEED = 1_000_000_002


def error(found, truth):
    return path_error(found.T_world_camera, truth)


def test_a_path_from_exact_depth():
    rendered = clip(SEED)
    found = own_path(path_input(rendered, exact_depth(rendered)))
    missed = error(found, rendered.T_world_camera)
    assert missed.length_m > 2
    assert missed.world_m < 0.08
    assert np.degrees(missed.rotation_rad) < 2
    assert np.degrees(missed.gravity_rad) < 0.8
    assert missed.height_m < 0.03
    assert found.reprojection_px < 1.5


def test_a_path_from_a_networks_depth_finds_each_frames_scale():
    rendered = clip(SEED)
    depth_m = noisy_depth(rendered)
    found = own_path(path_input(rendered, depth_m, NETWORK))
    missed = error(found, rendered.T_world_camera)
    assert missed.world_m < 0.12
    assert np.degrees(missed.gravity_rad) < 1
    true = exact_depth(rendered)
    log_scale = np.array([np.nanmedian(np.log(t / d)) for t, d in zip(true, depth_m, strict=True)])
    left = (found.log_depth_scale - log_scale).std()
    assert left < 0.4 * log_scale.std()


def test_unknown_depth_is_left_out_and_not_believed():
    rendered = clip(SEED)
    depth_m = exact_depth(rendered)
    whole = error(own_path(path_input(rendered, depth_m)), rendered.T_world_camera)
    holes = depth_m.copy()
    holes[:, :80] = np.nan
    holes[5] = np.nan  # a whole frame
    found = own_path(path_input(rendered, holes))
    # a frame without depth is seen from both sides
    assert found.num_joined[5:7].min() > 5
    some = error(found, rendered.T_world_camera)
    assert some.world_m < whole.world_m + 0.08


def test_nothing_known_gives_a_path_without_trust():
    rendered = clip(SEED)
    found = own_path(path_input(rendered, np.full((24, 30, 40), np.nan)))
    assert np.isfinite(found.T_world_camera).all()
    assert found.num_joined.max() == 0
    assert found.reprojection_px is None
    # no floor is seen: it is assumed below the first camera
    assert found.T_world_camera[0, 2, 3] == pytest.approx(1.5)


def test_a_single_frame_stands_upright_on_its_floor():
    rendered = clip(SEED)
    first = path_input(rendered, exact_depth(rendered))
    found = own_path(PathInput(first.gray[:1], first.depth_m[:1], first.K[:1], first.error))
    assert path_error(found.T_world_camera, rendered.T_world_camera[:1]).height_m < 0.05
    up = np.degrees(np.arccos(found.T_world_camera[0, 2, :3] @ rendered.T_world_camera[0, 2, :3]))
    assert up < 2


def test_portrait_video():
    rendered = clip(SEED)
    given = path_input(rendered, exact_depth(rendered))
    # the middle third of the picture's width, a portrait view of the same walk
    columns = slice(80, 240)
    K = given.K.copy()
    K[:, 0, 2] -= 80
    portrait = PathInput(
        given.gray[:, :, columns], given.depth_m[:, :, columns], K, given.error
    )  # fmt: skip
    missed = error(own_path(portrait), rendered.T_world_camera)
    assert missed.world_m < 0.15


def test_a_maps_own_resolution_does_not_matter():
    rendered = clip(SEED)
    depth_m = exact_depth(rendered)
    # every second pixel along x and every third along y: maps of another aspect
    coarse = depth_m[:, 1::3, ::2]
    missed = error(own_path(path_input(rendered, coarse)), rendered.T_world_camera)
    assert missed.world_m < 0.15


def test_given_gravity_is_used():
    rendered = clip(SEED)
    up = rendered.T_world_camera[:, 2, :3].copy()
    tilt = np.radians(8)
    turn = np.array(((1, 0, 0), (0, np.cos(tilt), -np.sin(tilt)), (0, np.sin(tilt), np.cos(tilt))))
    given = path_input(rendered, exact_depth(rendered), up_camera=up @ turn.T)
    found = own_path(given)
    off = np.degrees(error(found, rendered.T_world_camera).gravity_rad)
    assert off == pytest.approx(8, abs=1.5)


def test_what_moves_can_be_left_out():
    rendered = clip(1_000_000_005)
    given = path_input(rendered, exact_depth(rendered))
    # something textured that stays in one place of the picture while the camera walks
    pictures = given.gray.copy()
    texture = np.random.default_rng(0).integers(0, 255, (15, 10), dtype=np.uint8)
    pictures[:, 60:180, 40:120] = np.kron(texture, np.ones((8, 8), np.uint8))
    ignored = np.zeros(pictures.shape, bool)
    ignored[:, 56:184, 36:124] = True
    found = own_path(replace(given, gray=pictures, ignored=ignored))
    points = np.concatenate(
        [frame.points_px for frame in frames_of(replace(given, gray=pictures, ignored=ignored))]
    )
    assert not ((points > (40, 60)) & (points < (120, 180))).all(axis=1).any()
    believed = own_path(replace(given, gray=pictures))
    left_out, taken_in = (error(path, rendered.T_world_camera) for path in (found, believed))
    assert np.degrees(left_out.rotation_rad) < 3
    assert left_out.rotation_rad < 0.5 * taken_in.rotation_rad
    assert left_out.world_m < 0.5 * taken_in.world_m


def test_frames_turned_in_one_place_stay_there():
    rendered = clip(SEED)
    # one frame seen by cameras that turn about its centre: a homography of the picture
    import cv2

    K = rendered.K
    pictures, depths, poses = [], [], []
    base = path_input(rendered, exact_depth(rendered)).gray[0]
    # depth of a wall right ahead, turned along with the view
    for yaw in np.radians(np.arange(0, 12, 1.5)):
        c, s = np.cos(yaw), np.sin(yaw)
        R = np.array(((c, 0, s), (0, 1, 0), (-s, 0, c)))  # camera to first camera
        H = K @ R.T @ np.linalg.inv(K)
        pictures.append(cv2.warpPerspective(base, H, (320, 240), borderMode=cv2.BORDER_REFLECT))
        pixel = np.stack(np.meshgrid(np.arange(320) + 0.5, np.arange(240) + 0.5), -1)
        ray = np.concatenate([pixel, np.ones((240, 320, 1))], -1) @ np.linalg.inv(K).T
        depths.append(3.0 / (ray @ R.T)[..., 2])
        T = np.eye(4)
        T[:3, :3] = R
        poses.append(T)
    num = len(pictures)
    found = own_path(
        PathInput(np.stack(pictures), np.stack(depths), np.tile(K, (num, 1, 1)), NETWORK)
    )
    moved = np.linalg.norm(found.T_world_camera[:, :3, 3] - found.T_world_camera[0, :3, 3], axis=1)
    assert moved.max() < 0.03
    turned = found.T_world_camera[0, :3, :3].T @ found.T_world_camera[-1, :3, :3]
    true = poses[0][:3, :3].T @ poses[-1][:3, :3]
    assert np.degrees(np.arccos(np.clip((np.trace(turned.T @ true) - 1) / 2, -1, 1))) < 0.3


def test_inputs_that_do_not_fit_are_refused():
    rendered = clip(SEED)
    given = path_input(rendered, exact_depth(rendered))
    with pytest.raises(EncodeError, match="depth map a frame"):
        replace(given, depth_m=given.depth_m[:3])
    with pytest.raises(EncodeError, match=r"\(24, 3, 3\)"):
        replace(given, K=given.K[:3])


def test_a_long_clip_leaves_little_behind(monkeypatch):
    monkeypatch.setattr(running, "_MAX_LANDMARKS", 6)
    monkeypatch.setattr(surfaces, "_MAX_FRAMES", 16)
    rendered = clip(SEED)
    there = path_input(rendered, exact_depth(rendered))
    # there and back again and again, eight frames at a time
    walk = np.resize(np.r_[0:24, 22:0:-1], 96).reshape(-1, 8)
    path, sizes = RunningPath(), []
    for rows in walk:
        path.add(PathInput(there.gray[rows], there.depth_m[rows], there.K[rows], there.error))
        sizes.append(len(pickle.dumps(path)))
    # pictures and surfaces of few frames are kept; of each other frame less than a small picture
    assert (sizes[-1] - sizes[5]) / (8 * 6) < 6_000
    told, settled = path.settled()
    assert len(told.centre) == len(settled.centre) == 96
    # the second walk there lies on the first one
    assert np.linalg.norm(settled.centre[:24] - settled.centre[46:70], axis=1).max() < 0.1


def test_a_path_of_no_frame_is_not_settled():
    with pytest.raises(EncodeError, match="at least one frame"):
        RunningPath().settled()
