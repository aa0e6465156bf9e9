"""A rendered room as the truth behind fixtures, in a world that is turned and moved on purpose."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from spatialcode.scene.boxes import corners
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.synthetic.clips import ClipConfig, make_clip

WIDTH, HEIGHT, NUM_FRAMES = 160, 120, 5
#: From a world with z up to one whose up is the named axis, written out by hand.
FROM_Z_UP = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),  # z becomes y, y becomes -z
    "-y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),  # z becomes -y, y becomes z
}
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@cache
def room():
    """The clip; its world is this project's: floor at 0, first camera above the origin."""
    return make_clip(900_000_007, ClipConfig(NUM_FRAMES, WIDTH, HEIGHT, 0.0))


def set_world(up: str = "z", yaw_rad: float = 0.7, floor_m: float = 0.4):
    """T_set_ours (4, 4): turned about up, moved, and its up the named axis."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    T = np.eye(4)
    T[:3, :3] = FROM_Z_UP[up] @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    T[:3, 3] = FROM_Z_UP[up] @ np.array([1.5, -2.0, floor_m])
    return T


def poses_in(T_set_ours):
    return T_set_ours @ np.asarray(room().T_world_camera, np.float64)


def boxes_in(T_set_ours):
    """Label, centre, size, rotation of every static box, in the set's world."""
    found = []
    for item in room().code.objects:
        if item.motion == "moving":
            continue
        R = T_set_ours[:3, :3] @ matrix_from_quaternion(item.quaternion_wxyz)
        c = T_set_ours[:3, :3] @ np.array(item.center_m) + T_set_ours[:3, 3]
        found.append((item.label, c, np.array(item.size_m), R))
    return found


def own_corners(center, size, rotation):
    """(8, 3): corners by their signs, without the project's box code."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return center + (signs * size / 2) @ np.asarray(rotation).T


def opencv_pixels(points, T_world_camera, K):
    """Pixels (P, 2) by the textbook: world to camera, divide, K; points behind give NaN."""
    local = (points - T_world_camera[:3, 3]) @ T_world_camera[:3, :3]
    z = np.where(local[:, 2] > 0.05, local[:, 2], np.nan)
    u = K[0, 0] * local[:, 0] / z + K[0, 2]
    v = K[1, 1] * local[:, 1] / z + K[1, 2]
    return np.stack([u, v], axis=-1)


def same_points(found, expected, tolerance_px):
    """Every expected pixel has a found one beside it; NaN stands for behind the camera."""
    found = found[~np.isnan(found).any(axis=1)]
    expected = expected[~np.isnan(expected).any(axis=1)]
    assert len(found) == len(expected)
    for point in expected:
        assert np.abs(found - point).max(axis=1).min() < tolerance_px


def assert_boxes_survive(recording, own_pixels, tolerance_px=0.02):
    """``own_pixels(n, k)``: pixels (8, 2) of box n's corners in frame k by the set's convention."""
    assert len(recording.objects) == len(boxes_in(np.eye(4))) >= 3
    num_seen = 0
    for n, item in enumerate(recording.objects):
        points = corners(item.center_m, item.size_m, item.quaternion_wxyz)
        for k in range(recording.num_frames):
            T, K = recording.cameras.T_world_camera[k], recording.cameras.K[k]
            expected = own_pixels(n, k)
            same_points(opencv_pixels(points, T, K), expected, tolerance_px)
            num_seen += bool(np.isfinite(expected).all())
    assert num_seen >= 3


def assert_same_world(recording, floor_m=1e-5, angle_rad=1e-5):
    """The reader has found back this project's world: poses are those of the clip."""
    truth = np.asarray(room().T_world_camera, np.float64)
    found = recording.cameras.T_world_camera
    assert np.abs(found[:, :3, 3] - truth[:, :3, 3]).max() < floor_m
    assert np.abs(found[:, :3, :3] - truth[:, :3, :3]).max() < angle_rad


def assert_same_depth(recording, step_m=0.0011):
    depth = recording.frames.depth_m(range(recording.num_frames))
    truth = room().depth_m
    assert depth.shape == truth.shape
    assert np.nanmax(np.abs(depth - truth)) < step_m
    assert np.isnan(depth).mean() < 0.05


def assert_same_pictures(recording, difference=0):
    clip = recording.clip([1, 3])
    assert clip.rgb.shape == (2, HEIGHT, WIDTH, 3)
    worst = np.abs(clip.rgb.astype(int) - room().rgb[[1, 3]].astype(int)).mean()
    assert worst <= difference


def write_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def units(depth_m, per_m=1000.0, none_at=0):
    raw = np.round(depth_m * per_m)
    return np.where((raw > 0) & (raw < 65536), raw, none_at).astype(np.uint16)


def integer_centres(K):
    """K with whole numbers as pixel centres, from ours with centres at +0.5."""
    moved = np.array(K, np.float64)
    moved[:2, 2] -= 0.5
    return moved
