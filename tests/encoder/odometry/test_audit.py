from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spatialcode.encoder.odometry.audit import FollowedPair, PathAudit, audit_path
from spatialcode.errors import EncodeError
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.video.decode import decode
from spatialcode.video.sampling import ByCount

WIDTH, HEIGHT, FOCAL_PX = 320, 240, 260.0
K = np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1.0]])
DATA = Path(os.environ.get("SPATIALCODE_DATA", "/nowhere"))


def texture(seed: int, width: int, height: int) -> np.ndarray:
    """Blurred noise: every cell has a corner to follow."""
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def turning(yaws_rad: np.ndarray, tilt_rad: float = 0.0) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures of a camera that only turns, and its R_first_camera: one far, painted wall, seen
    through the homography K R K^-1 of each turn.
    """
    canvas = texture(1, 4 * WIDTH, 3 * HEIGHT)
    to_middle = np.array([[1, 0, 1.5 * WIDTH], [0, 1, HEIGHT], [0, 0, 1.0]])
    R = Rotation.from_euler("yx", np.stack([yaws_rad, tilt_rad * yaws_rad], 1)).as_matrix()
    shots = []
    for turn in R:
        canvas_from_picture = to_middle @ K @ turn @ np.linalg.inv(K)
        shots.append(
            cv2.warpPerspective(canvas, np.linalg.inv(canvas_from_picture), (WIDTH, HEIGHT))
        )
    return shots, R


def angle_rad(R_a: np.ndarray, R_b: np.ndarray) -> np.ndarray:
    return Rotation.from_matrix(np.swapaxes(R_a, 1, 2) @ R_b).magnitude()


def drifting(num: int) -> np.ndarray:
    """A path as odometry invents one: it creeps along x and rolls a little."""
    path = np.tile(np.eye(4), (num, 1, 1))
    path[:, 0, 3] = 0.05 * np.arange(num)
    path[:, 2, 3] = 1.5
    level = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])  # looks along +y, z up
    path[:, :3, :3] = level @ Rotation.from_euler("y", 0.01 * np.arange(num)[:, None]).as_matrix()
    return path


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_camera_that_stands_is_held_in_one_pose_whatever_moves_before_it(share: float) -> None:
    wall, mover = texture(2, WIDTH, HEIGHT), texture(3, 2 * WIDTH, HEIGHT)
    rng = np.random.default_rng(0)
    shots = []
    for k in range(16):
        shot = wall.astype(np.int16) + rng.integers(-3, 4, wall.shape)
        width = int(share * WIDTH)
        shot[:, 90 : 90 + width] = mover[:, 9 * k : 9 * k + width]
        shots.append(np.clip(shot, 0, 255).astype(np.uint8))
    audit = audit_path(shots, K)
    assert audit.motion == "still"
    held = audit.held(drifting(16))
    np.testing.assert_allclose(held, np.tile(held[:1], (16, 1, 1)), atol=1e-12)
    # the mean of 0, 0.01 … 0.15 rad about the vertical is level, under the first camera, along +y
    np.testing.assert_allclose(held[0, :3, 3], [0, 0, 1.5], atol=1e-9)
    np.testing.assert_allclose(held[0, :3, 2], [0, 1, 0], atol=1e-9)
    assert "stood still" in audit.warnings(held)[0]


@pytest.mark.parametrize("focal_error", [1.0, 1.2, 0.85])
def test_a_camera_that_only_turns_keeps_its_place_and_its_turns_are_measured(
    focal_error: float,
) -> None:
    shots, R = turning(np.deg2rad(1.5) * np.arange(20), tilt_rad=0.2)
    assumed = K * np.array([[focal_error, 1, 1], [1, focal_error, 1], [1, 1, 1]])
    audit = audit_path(shots, assumed, focal_is_known=focal_error == 1.0)
    assert audit.motion == "rotation"
    path = drifting(20)
    held = audit.held(path)
    assert np.ptp(held[:, :3, 3], axis=0).max() == 0
    turned = np.swapaxes(held[:1, :3, :3], 1, 2) @ held[:, :3, :3]
    wrong = np.swapaxes(path[:1, :3, :3], 1, 2) @ path[:, :3, :3]
    # The lens is found on a grid of ratios, which leaves a few per cent of the turn.
    allowed = np.deg2rad(0.3) if focal_error == 1.0 else 0.06 * np.deg2rad(28.5)
    assert angle_rad(turned, R).max() < allowed < angle_rad(wrong, R).max() / 4
    assert audit.error_px(held) < 1.0 < audit.error_px(path)
    assert "only turned" in audit.warnings(held)[0]


def test_turns_that_could_not_be_followed_are_the_paths_own() -> None:
    shots, R = turning(np.deg2rad(1.2) * np.arange(24))
    dark = [np.zeros_like(shot) if k == 7 else shot for k, shot in enumerate(shots)]
    audit = audit_path(dark, K, focal_is_known=True)
    assert audit.motion == "rotation"
    path = drifting(24)
    path[:, :3, :3] = path[0, :3, :3] @ R  # a path whose turns are right
    held = audit.held(path)
    turned = np.swapaxes(held[:1, :3, :3], 1, 2) @ held[:, :3, :3]
    assert angle_rad(turned, R).max() < np.deg2rad(0.3)


def test_a_clip_that_can_be_followed_in_its_first_part_alone_is_not_said_to_turn() -> None:
    shots, _ = turning(np.deg2rad(1.5) * np.arange(20))
    dark = [np.zeros_like(shot) if k > 12 else shot for k, shot in enumerate(shots)]
    assert audit_path(dark, K, focal_is_known=True).motion == "full"


def test_a_camera_that_walks_keeps_its_path() -> None:
    for seed in range(4):
        config = ClipConfig(num_frames=16, width_px=320, height_px=240)
        clip = make_clip(1_700_000_000 + seed, config)
        gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip.rgb]
        audit = audit_path(gray, clip.K, focal_is_known=True)
        assert audit.motion == "full"
        assert audit.held(clip.T_world_camera) is clip.T_world_camera


def _pair(second_px: list[float]) -> FollowedPair:
    first = np.tile([WIDTH / 2, HEIGHT / 2], (40, 1))
    return FollowedPair(0, 1, first, np.tile(second_px, (40, 1)).astype(float))


def test_the_error_of_a_path_is_what_one_computes_by_hand() -> None:
    # The camera goes 0.1 m to its right: epipolar lines are rows. A point two rows off its line
    # is 2 / sqrt(2) px from it to first order, however far it moved along; the picture is 320 px
    # wide, and errors are told for 640.
    audit = PathAudit("full", (_pair([WIDTH / 2 - 30, HEIGHT / 2 + 2]),), K, 320)
    path = np.tile(np.eye(4), (2, 1, 1))
    path[1, 0, 3] = 0.1
    assert audit.error_px(path) == pytest.approx(2 * 2 / np.sqrt(2))
    assert audit.trust(path) == pytest.approx(1.5 / (2 * 2 / np.sqrt(2)))
    # Without parallax a point must lie where the turn puts it: 0.05 rad to the left of the middle.
    path[1, 0, 3] = 0.0
    path[1, :3, :3] = Rotation.from_euler("y", 0.05).as_matrix()
    stayed = PathAudit("full", (_pair([WIDTH / 2, HEIGHT / 2]),), K, 320)
    assert stayed.error_px(path) == pytest.approx(2 * FOCAL_PX * np.tan(0.05))
    assert stayed.error_px(np.tile(np.eye(4), (2, 1, 1))) == pytest.approx(0.0, abs=1e-9)
    assert stayed.trust(np.tile(np.eye(4), (2, 1, 1))) == 1.0
    assert f"{2 * FOCAL_PX * np.tan(0.05):.1f} pixels" in stayed.warnings(path)[0]


def test_pictures_that_show_nothing_leave_the_path_alone_and_say_so() -> None:
    audit = audit_path([np.zeros((HEIGHT, WIDTH), np.uint8)] * 5, K)
    path = drifting(5)
    assert audit.motion == "full"
    assert audit.held(path) is path
    assert (audit.error_px(path), audit.trust(path)) == (None, 0.5)
    assert audit.warnings(path) == ("Too few points could be followed to check the camera path.",)


def test_one_frame_stands_and_none_is_an_error() -> None:
    assert audit_path([texture(1, WIDTH, HEIGHT)], K).motion == "still"
    with pytest.raises(EncodeError, match="at least one frame"):
        audit_path([], K)


@pytest.mark.skipif(not DATA.is_dir(), reason="real recordings are in SPATIALCODE_DATA")
def test_real_cameras_that_stand_are_found_and_real_walks_are_not_held() -> None:
    expected = dict.fromkeys((DATA / "real" / "still").glob("*.mp4"), "still")
    expected |= {DATA / "real" / "office_loop.mp4": "full", DATA / "videos" / "unitree.mp4": "full"}
    assert len(expected) >= 5
    for path, motion in expected.items():
        rgb = decode(path, ByCount(32), max_side_px=640).rgb
        gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
        height, width = gray[0].shape
        lens = np.array([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]])
        assert audit_path(gray, lens).motion == motion, path.name
