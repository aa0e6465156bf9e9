"""Clips: exact truth, determinism, overlap, moving objects, and what the pictures go through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.synthetic.clips import ClipConfig, make_clip, make_training_frames
from spatialcode.synthetic.imaging import Sensor, expose, jpeg, through_codec
from spatialcode.synthetic.truth import SyntheticClip, pixel_counts, seen, spatial_code
from tests.synthetic.builders import outside_m, world_points

SMALL = ClipConfig(num_frames=32, width_px=80, height_px=60, moving_share=1.0)
MOVING_SEED = 5_001


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return make_clip(MOVING_SEED, SMALL)


def test_every_object_pixel_lies_in_its_box(clip: SyntheticClip) -> None:
    assert clip.moving.any()
    assert outside_m(clip) < 0.002


@pytest.mark.parametrize("seed", range(20, 24))
def test_training_frames_are_exact_too(seed: int) -> None:
    frames = make_training_frames(seed, 3)
    assert frames.rgb.shape == (3, 120, 160, 3)
    assert outside_m(frames) < 0.002


def test_structure_pixels_lie_on_floor_ceiling_and_walls(clip: SyntheticClip) -> None:
    for n in (0, 15, 31):
        z = world_points(clip, n)[:, :, 2]
        assert np.abs(z[clip.instance[n] == -1]).max(initial=0.0) < 1e-3
        assert np.abs(z[clip.instance[n] == -3] - clip.ceiling_z_m).max(initial=0.0) < 1e-3
    assert set(np.unique(clip.instance[clip.instance < 0])) <= {-1, -2, -3}


def test_world_starts_under_the_first_camera(clip: SyntheticClip) -> None:
    T = clip.T_world_camera[0]
    assert T[:2, 3] == pytest.approx([0, 0], abs=1e-9)
    assert 1.0 < T[2, 3] < 2.0
    assert T[0, 2] == pytest.approx(0.0, abs=1e-9)
    assert T[1, 2] > 0.5
    rotations = clip.T_world_camera[:, :3, :3]
    gram = rotations @ rotations.transpose(0, 2, 1)
    assert gram == pytest.approx(np.broadcast_to(np.eye(3), gram.shape), abs=1e-9)
    assert np.linalg.det(rotations) == pytest.approx(np.ones(32))
    # Camera y points down: upright to within the few degrees of a hand and the pitch.
    assert (rotations[:, 2, 1] < -0.7).all()


def test_neighbouring_frames_overlap(clip: SyntheticClip) -> None:
    forward = clip.T_world_camera[:, :3, 2]
    turn = np.degrees(np.arccos((forward[1:] * forward[:-1]).sum(axis=1).clip(-1, 1)))
    step = np.linalg.norm(np.diff(clip.T_world_camera[:, :3, 3], axis=0), axis=1)
    assert turn.max() < 16.0
    assert step.max() < 0.26
    assert turn.sum() > 120.0


def test_short_clips_turn_no_faster() -> None:
    short = make_clip(3, ClipConfig(num_frames=8, width_px=32, height_px=24))
    forward = short.T_world_camera[:, :3, 2]
    turn = np.degrees(np.arccos((forward[1:] * forward[:-1]).sum(axis=1).clip(-1, 1)))
    assert turn.max() < 20.0


def test_same_seed_same_clip(clip: SyntheticClip) -> None:
    again = make_clip(MOVING_SEED, SMALL)
    assert (again.rgb == clip.rgb).all()
    assert (again.depth_m == clip.depth_m).all()
    assert (again.center_m == clip.center_m).all()
    assert again.code == clip.code
    one, two = make_training_frames(5, 2), make_training_frames(5, 2)
    assert (one.rgb == two.rgb).all()


def test_other_seed_other_clip() -> None:
    one, two = make_training_frames(5, 1), make_training_frames(6, 1)
    assert one.labels != two.labels or (one.size_m != two.size_m).any()


def test_size_of_picture_does_not_change_the_room() -> None:
    low = make_clip(8, ClipConfig(4, 32, 24))
    high = make_clip(8, ClipConfig(4, 64, 48))
    assert low.labels == high.labels
    assert low.center_m == pytest.approx(high.center_m)
    assert low.T_world_camera == pytest.approx(high.T_world_camera)
    assert high.K[:2] == pytest.approx(2 * low.K[:2])


def test_only_moving_objects_move(clip: SyntheticClip) -> None:
    way = np.linalg.norm(clip.center_m - clip.center_m[:1], axis=2).max(axis=0)
    assert way[~clip.moving].max() == 0.0
    assert (way[clip.moving] > 0.1).all()
    assert (np.ptp(clip.center_m[:, :, 2], axis=0) < 1e-9).all()


def test_seen_needs_pixels_and_visibility(clip: SyntheticClip) -> None:
    counts, visible = pixel_counts(clip), seen(clip)
    assert counts.sum() == (clip.instance >= 0).sum()
    # 50 px of 160 x 120 are 12.5 of 80 x 60.
    assert (counts[visible] >= 13).all()
    assert (clip.visibility[visible] >= 0.25).all()
    assert ((counts == 0) == (clip.visibility == 0)).all()


def test_code_holds_what_is_seen_and_no_more(clip: SyntheticClip) -> None:
    visible = seen(clip)
    code = clip.code
    assert len(code.objects) == visible.any(axis=0).sum()
    assert len(code.cameras) == 32
    firsts = [item.first_seen_s for item in code.objects]
    assert firsts == sorted(firsts)
    for item in code.objects:
        stem, number = item.id.rsplit("_", 1)
        assert stem == item.label.replace(" ", "_")
        earlier = [o for o in code.objects[: code.objects.index(item)] if o.label == item.label]
        assert int(number) == len(earlier) + 1
    assert code.room is not None
    assert code.room.area_m2 == pytest.approx(clip.room_area_m2)


def test_code_of_a_hand_made_clip() -> None:
    clip = hand_made()
    code = spatial_code(clip)
    assert [item.id for item in code.objects] == ["stool_1", "chair_1"]
    stool, chair = code.objects
    # The stool shows at 0 s and 2 s, and moved 1 m in between.
    assert (stool.first_seen_s, stool.last_seen_s, stool.num_observations) == (0.0, 2.0, 2)
    assert stool.motion == "moving"
    assert stool.center_m == (1.0, 3.0, 0.25)
    assert [p.center_m[0] for p in stool.track] == [0.0, 1.0]
    assert stool.visibility == pytest.approx(0.75)
    # The chair moves only while nobody sees it: static, where it was seen.
    assert (chair.motion, chair.first_seen_s, chair.last_seen_s) == ("static", 1.0, 1.0)
    assert chair.center_m == (0.0, 2.0, 0.5)
    assert chair.quaternion_wxyz == pytest.approx((np.sqrt(0.5), 0, 0, np.sqrt(0.5)))
    assert code.cameras[0].fx_px == 80.0
    assert code.video.duration_s == 3.0


def hand_made() -> SyntheticClip:
    """Three frames of 160 x 120: a stool (0), a chair (1), and a table (2) seen too little."""
    instance = np.full((3, 120, 160), -1, np.int16)
    instance[0, :10, :10] = 0
    instance[2, :10, :10] = 0
    instance[1, 50:60, :10] = 1
    instance[0, 100, :49] = 2
    visibility = np.zeros((3, 3), np.float32)
    visibility[[0, 2], 0] = (0.5, 0.75)
    visibility[1, 1], visibility[0, 2] = 0.3, 0.9
    center = np.zeros((3, 3, 3))
    center[:, 0] = [(0, 3, 0.25), (0.5, 3, 0.25), (1, 3, 0.25)]
    center[:, 1] = [(5, 2, 0.5), (0, 2, 0.5), (9, 2, 0.5)]
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    return SyntheticClip(
        seed=1, rgb=np.zeros((3, 120, 160, 3), np.uint8),
        depth_m=np.ones((3, 120, 160), np.float32),
        instance=instance, K=np.array([[80.0, 0, 80], [0, 80, 60], [0, 0, 1]]),
        T_world_camera=np.repeat(pose[None], 3, axis=0), times_s=np.arange(3.0),
        labels=("stool", "chair", "table"), center_m=center, size_m=np.full((3, 3), 0.5),
        yaw_rad=np.full((3, 3), np.pi / 2), moving=np.array([True, True, False]),
        visibility=visibility, room_polygon_m=np.array([(0.0, 0), (4, 0), (4, 4), (0, 4)]),
        room_area_m2=16.0, ceiling_z_m=2.5,
    )  # fmt: skip


def test_too_little_to_see_is_left_out() -> None:
    clip = hand_made()
    assert seen(clip).tolist() == [[True, False, False], [False, True, False], [True, False, False]]
    dim = replace(clip, visibility=clip.visibility * np.float32(0.3))
    assert not seen(dim).any()
    assert spatial_code(dim).objects == ()


def test_config_refuses_what_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="num_frames"):
        ClipConfig(num_frames=0)
    with pytest.raises(ValueError, match="even sizes"):
        ClipConfig(width_px=161)


def test_compression_is_real_but_mild(clip: SyntheticClip) -> None:
    good = through_codec(clip.rgb, 15.0, 15).astype(float)
    poor = through_codec(clip.rgb, 15.0, 40).astype(float)
    error_good, error_poor = np.abs(good - clip.rgb).mean(), np.abs(poor - clip.rgb).mean()
    assert 0 < error_good < 4 < 2 * error_good + error_poor
    assert error_poor > error_good
    assert np.abs(jpeg(clip.rgb[0], 95).astype(float) - clip.rgb[0]).mean() < 6


def test_exposure_meets_its_aim_and_noise_reaches_all_channels() -> None:
    sensor = Sensor(0.3, (1.0, 1.0, 1.0), 2.2, 0.02, 0.0, 0.0)
    grey = np.full((60, 80, 3), 0.01, np.float32)
    picture = expose(grey, sensor, np.random.default_rng(0)).astype(float)
    x = 0.3 / (1 + 0.35 * 0.3**2)
    assert picture.mean() == pytest.approx(255 * x ** (1 / 2.2), abs=1.0)
    spread = picture.std(axis=(0, 1))
    assert spread == pytest.approx(np.full(3, 0.02 * 255), rel=0.1)


def test_the_codec_gives_the_same_pictures_every_time() -> None:
    first = make_clip(900_000_003, ClipConfig(num_frames=12))
    for _ in range(4):
        again = make_clip(900_000_003, ClipConfig(num_frames=12))
        np.testing.assert_array_equal(again.rgb, first.rgb)
