from __future__ import annotations

import math

import numpy as np
import pytest

from spatialcode.errors import SchemaError
from spatialcode.scene.motion import CameraMotion, object_poses
from spatialcode.scene.schema import Camera, TrackPoint
from tests.export.codes import UPRIGHT, camera, code, item, moving_stool


def test_a_camera_between_two_times_is_between_two_poses() -> None:
    path = CameraMotion.of(code())
    transforms, K = path.at(np.array([0.0, 0.5, 1.5, 9.0]))
    np.testing.assert_allclose(transforms[:, 0, 3], [0.0, 0.25, 0.75, 1.0])
    np.testing.assert_allclose(transforms[:, 2, 3], 1.5)
    np.testing.assert_array_equal(K[1], [[100, 0, 80], [0, 100, 60], [0, 0, 1]])


def test_rotation_is_slerped_not_averaged() -> None:
    def turned(t_s: float, angle: float) -> Camera:
        c, s = math.cos(angle), math.sin(angle)
        rows = ((c, -s, 0.0, 0.0), (s, c, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        return Camera(t_s, rows, 100.0, 100.0, 80.0, 60.0)

    path = CameraMotion.of(code(cameras=(turned(0.0, 0.0), turned(3.0, math.pi / 2))))
    transforms, _ = path.at(np.array([1.0]))
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    np.testing.assert_allclose(transforms[0, :2, :2], [[c, -s], [s, c]], atol=1e-6)


def test_frames_that_share_a_time_and_single_cameras_are_no_trouble() -> None:
    path = CameraMotion.of(code(cameras=(camera(0.0, 1.0), camera(0.0, 2.0), camera(1.0, 3.0))))
    transforms, _ = path.at(np.array([0.0, 0.5]))
    np.testing.assert_allclose(transforms[:, 0, 3], [1.0, 2.0])
    alone, _ = CameraMotion.of(code(cameras=(camera(1.0, 7.0),))).at(np.array([0.0, 5.0]))
    np.testing.assert_allclose(alone[:, 0, 3], 7.0)


def test_a_code_without_cameras_says_so() -> None:
    with pytest.raises(SchemaError, match="cameras: expected at least one"):
        CameraMotion.of(code(cameras=()))


def test_a_moving_object_follows_its_track_and_is_held_outside_it() -> None:
    centers, _ = object_poses(moving_stool(), np.array([0.0, 0.25, 2.0, 5.0]))
    np.testing.assert_allclose(centers[:, 0], [-1.0, -0.75, 1.0, 1.0])


def test_a_track_turns_the_short_way_round() -> None:
    # 170° to -170° is 20° through the back; halfway is 180°, w = cos(90°) = 0.
    def point(t_s: float, yaw_deg: float) -> TrackPoint:
        half = math.radians(yaw_deg) / 2
        return TrackPoint(t_s, (0.0, 0.0, 0.0), (math.cos(half), 0.0, 0.0, math.sin(half)))

    swinging = item("chair_1", "chair", motion="moving", track=(point(0, 170), point(1, -170)))
    _, quaternions = object_poses(swinging, np.array([0.5]))
    np.testing.assert_allclose(np.abs(quaternions[0]), [0, 0, 0, 1], atol=1e-6)


def test_a_static_object_stays_whatever_its_track_says() -> None:
    track = (TrackPoint(0.0, (9.0, 9.0, 9.0), UPRIGHT),)
    centers, quaternions = object_poses(item("chair_1", "chair", track=track), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(centers, [(0.0, 4.0, 1.5)] * 2)
    np.testing.assert_array_equal(quaternions, [UPRIGHT] * 2)
