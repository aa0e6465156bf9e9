"""Surfaces of a box-shaped room, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spatialcode.encoder.geometry.grounding import ASSUMED_HEIGHT_M, depth_intrinsics, grounded
from spatialcode.encoder.geometry.planes import find_floor, find_heading, find_patches, find_up
from spatialcode.encoder.geometry.protocol import DepthNoise, WindowGeometry

K = np.array(((150.0, 0, 80), (0, 150, 60), (0, 0, 1)))
LOOKS_ALONG_Y = np.array(((1.0, 0, 0), (0, 0, 1), (0, -1, 0)))  # OpenCV camera, level, towards +y


def room_depth(R_world_camera: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Depth of a room of |x| < 2, |y| < 3, 0 < z < 2.5 from inside."""
    u, v = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    ray = np.stack((u, v, np.ones_like(u)), -1) @ np.linalg.inv(K).T @ R_world_camera.T
    low, high = np.array((-2.0, -3, 0)), np.array((2.0, 3, 2.5))
    with np.errstate(divide="ignore"):
        away = np.maximum((low - centre) / ray, (high - centre) / ray)
    return away.min(axis=-1)


def turned(yaw_deg: float, pitch_deg: float) -> np.ndarray:
    yaw = Rotation.from_euler("z", yaw_deg, degrees=True).as_matrix()
    pitch = Rotation.from_euler("x", -pitch_deg, degrees=True).as_matrix()
    return yaw @ LOOKS_ALONG_Y @ pitch


VIEWS = [(20, 25), (60, 30), (110, 20), (-50, 35)]


def room_views(num_bad: int = 0):
    R = np.stack([turned(*view) for view in VIEWS])
    T = np.tile(np.eye(4), (4, 1, 1))
    T[:, :3, :3], T[:, :3, 3] = R, (0.2, -0.5, 1.4)
    depth = np.stack([room_depth(pose[:3, :3], pose[:3, 3]) for pose in T])
    depth[:num_bad] = np.nan
    return depth, T


def test_normals_of_a_floor_and_its_points():
    R = turned(0, 90)  # straight down
    depth = np.full((1, 120, 160), 1.4)
    patches = find_patches(depth, K[None])
    np.testing.assert_allclose(
        patches.normal, np.tile((0, 0, -1), (len(patches.normal), 1)), atol=1e-6
    )
    np.testing.assert_allclose(
        patches.normal @ R.T, np.tile((0, 0, 1), (len(patches.normal), 1)), atol=1e-6
    )
    assert patches.point[:, 2] == pytest.approx(1.4)
    # the middle of the picture is seen along the axis
    middle = np.abs(patches.point[:, :2]).max(axis=1).argmin()
    assert np.abs(patches.point[middle, :2]).max() < 1.4 / 150 * 4


def test_up_heading_and_floor_of_a_room_in_a_tilted_world():
    depth, T = room_views()
    patches = find_patches(depth, np.tile(K, (4, 1, 1)))
    tilt = Rotation.from_euler("xy", (12, -9), degrees=True).as_matrix()
    up = find_up(patches, tilt @ T[:, :3, :3])
    assert np.degrees(np.arccos(np.clip(up @ tilt[:, 2], -1, 1))) < 0.5
    heading = find_heading(patches, T[:, :3, :3])
    off = np.degrees(heading) % 90
    assert min(off, 90 - off) < 0.5
    assert find_floor(patches, T) == pytest.approx(0, abs=0.01)


def test_the_size_of_maps_and_unknown_frames_do_not_matter():
    depth, T = room_views(num_bad=1)
    depth = depth.repeat(3, axis=1).repeat(2, axis=2)
    big = K.copy()
    big[0] *= 2
    big[1] *= 3
    patches = find_patches(depth, np.tile(big, (4, 1, 1)))
    assert (patches.frame > 0).all()
    assert find_floor(patches, T) == pytest.approx(0, abs=0.02)
    assert find_up(patches, T[:, :3, :3])[2] > np.cos(np.radians(0.7))


def test_a_table_is_not_the_floor():
    depth, T = room_views()
    patches = find_patches(depth, np.tile(K, (4, 1, 1)))
    # nearly half of what lies flat is lifted to table height
    z = np.einsum("qi,qi->q", T[patches.frame, 2, :3], patches.point) + 1.4
    flat = np.flatnonzero(np.abs(z) < 0.05)[::2]
    moved = patches.point.copy()
    moved[flat] *= 0.65 / 1.4  # along its ray, from 1.4 m to 0.65 m below the camera
    table = type(patches)(patches.frame, patches.normal, moved, patches.weight)
    assert find_floor(table, T) == pytest.approx(0, abs=0.02)


def test_without_surfaces_nothing_is_claimed():
    rng = np.random.default_rng(0)
    patches = find_patches(rng.uniform(0.5, 8, (2, 120, 160)), np.tile(K, (2, 1, 1)))
    T = np.tile(np.eye(4), (2, 1, 1))
    assert find_heading(patches, T[:, :3, :3]) is None
    nothing = find_patches(np.full((2, 120, 160), np.nan), np.tile(K, (2, 1, 1)))
    assert find_up(nothing, T[:, :3, :3]) is None
    assert find_floor(nothing, T) is None


def geometry(depth, T, **more) -> WindowGeometry:
    return WindowGeometry(depth, np.tile(K, (len(T), 1, 1)), T, True, DepthNoise(), **more)


def test_a_grounded_world_is_upright_on_its_floor_under_the_first_camera():
    depth, T = room_views()
    away = np.eye(4)
    away[:3, :3] = Rotation.from_rotvec((0.3, -0.2, 1.0)).as_matrix()
    away[:3, 3] = (4, 5, 6)
    found = grounded(geometry(depth, away @ T), (120, 160))
    assert found.is_grounded
    np.testing.assert_allclose(found.T_world_camera[0, :3, 3], (0, 0, 1.4), atol=0.02)
    forward = found.T_world_camera[0, :3, 2]
    assert forward[0] == pytest.approx(0, abs=1e-9)
    assert forward[1] > 0
    up = found.T_world_camera[:, 2, :3]
    assert np.degrees(np.arccos((up * T[:, 2, :3]).sum(axis=1).clip(-1, 1))).max() < 0.7
    np.testing.assert_allclose(found.up_camera, up)


def test_gravity_that_is_recorded_is_taken():
    depth, T = room_views()
    lean = Rotation.from_euler("x", 10, degrees=True).as_matrix()
    up_camera = T[:, :3, :3].transpose(0, 2, 1) @ lean[:, 2]
    found = grounded(geometry(depth, T, up_camera=up_camera), (120, 160))
    np.testing.assert_allclose(found.T_world_camera[:, 2, :3], up_camera, atol=1e-6)


def test_a_world_without_a_floor_has_the_camera_at_a_usual_height():
    depth, T = room_views(num_bad=4)
    found = grounded(geometry(depth, T), (120, 160))
    assert found.T_world_camera[0, 2, 3] == pytest.approx(ASSUMED_HEIGHT_M)
    found = grounded(geometry(depth, T, is_grounded=True), (120, 160))
    np.testing.assert_allclose(found.T_world_camera, T)


def test_intrinsics_of_depth_maps():
    found = geometry(np.ones((1, 60, 40)), np.eye(4)[None])
    # 160 x 120 frames, maps of 40 x 60: a quarter of the width, half of the height
    np.testing.assert_allclose(
        depth_intrinsics(found, (120, 160))[0], ((37.5, 0, 20), (0, 75, 30), (0, 0, 1))
    )
