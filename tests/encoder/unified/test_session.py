"""A clip's way through the encoder with a network that says the truth: what is left to go wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spatialcode.encoder.parsing.keyframes import KeyFrameSettings
from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.encoder.protocol import ClipInput, FrameRequest, encode_windows
from spatialcode.encoder.unified.merging import MergeSettings
from spatialcode.encoder.unified.session import (
    EncoderParts,
    LoadedUnified,
    UnifiedLimits,
    unit_of,
)
from spatialcode.errors import EncodeError
from spatialcode.scene.frames import quaternion_from_matrix, yaw_from_quaternion
from spatialcode.scene.schema import VideoInfo
from spatialcode.workkey import EncoderIdentity
from tests.encoder.unified.parts import STEP_M, FilledBoxes, TwoBoxes, WallAhead

CENTERS = np.array([[1.0, 4.0, 0.5], [-1.5, 3.0, 1.0]])
YAWS, SIZE = (0.5, -1.2), np.array([0.5, 0.6, 0.9])
#: The camera's axes in the world: x to the right, y down, z along the world's y.
AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
IDENTITY = EncoderIdentity("unified", "0" * 64, "1" * 64)
EVERY = KeyFrameSettings(every=1, at_least=1, new_area=None)


class Truthful(nn.Module):
    """Says where the two boxes are in the frame whose number the first pixel tells."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, rgb, K, masks):
        num_frames, num_masks = masks.shape[1:3]
        center = np.zeros((num_frames, num_masks, 3))
        wxyz = np.tile([1.0, 0, 0, 0], (num_frames, num_masks, 1))
        for i, number in enumerate(rgb[0, :, 0, 0, 0].tolist()):
            origin = np.array([STEP_M * number, 0.0, 1.5])
            for j in range(min(2, num_masks)):
                center[i, j] = AXES.T @ (CENTERS[j] - origin)
                c, s = math.cos(YAWS[j]), math.sin(YAWS[j])
                turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
                wxyz[i, j] = quaternion_from_matrix(AXES.T @ turned)
        shape = (1, num_frames, num_masks)
        flat = {"depth_m": 2.0, "depth_confidence": 1.0, "ray_confidence": 1.0}
        return {
            "presence_logit": torch.full(shape, 5.0),
            "score_logit": torch.full(shape, 3.0),
            "center_m": torch.from_numpy(center)[None],
            "log_size": torch.from_numpy(np.tile(np.log(SIZE), (*shape, 1))),
            "quaternion_wxyz": torch.from_numpy(wxyz)[None],
            "center_log_scale": torch.full((*shape, 3), -3.0),
            "size_log_scale": torch.full((*shape, 3), -3.0),
            "ray_wxyz": torch.zeros(*shape, 4),
            "ray": torch.zeros(1, num_frames, 4, 4, 6),
            **{name: torch.full((1, num_frames, 4, 4), value) for name, value in flat.items()},
        }


def loaded(network: nn.Module | None = None, **changes) -> LoadedUnified:
    parts = {"detector": TwoBoxes(), "masks": FilledBoxes(), "geometry": WallAhead()}
    limits = UnifiedLimits(("chair", "sofa"), EVERY, 8, MergeSettings())
    request = changes.pop("frames", FrameRequest(window=3, overlap=1))
    parts = EncoderParts(**{**parts, **changes})
    return LoadedUnified(network or Truthful(), parts, limits, IDENTITY, request)


def clip(num_frames: int = 7) -> ClipInput:
    rgb = np.zeros((num_frames, 48, 64, 3), np.uint8)
    rgb[:, 0, 0, 0] = np.arange(num_frames)
    times = tuple(0.5 * np.arange(num_frames))
    return ClipInput(VideoInfo("clip.mp4", "", 9.0, 2.0, 64, 48, times), rgb, work_key="a" * 64)


def assert_true(code) -> None:
    assert [item.id for item in code.objects] == ["chair_1", "sofa_1"]
    for item, center, yaw in zip(code.objects, CENTERS, YAWS, strict=True):
        assert item.center_m == pytest.approx(tuple(center), abs=1e-5)
        assert item.size_m == pytest.approx(tuple(SIZE), abs=1e-5)
        assert yaw_from_quaternion(np.array(item.quaternion_wxyz)) == pytest.approx(yaw, abs=1e-5)
        assert item.motion == "static"


def test_boxes_come_into_the_world_where_they_are():
    encoder = loaded()
    code = encode_windows(encoder, clip(), encoder.frames)
    assert_true(code)
    assert [item.num_observations for item in code.objects] == [7, 7]
    assert code.provenance.work_key == "a" * 64


def test_one_window_and_many_give_the_same_code():
    codes = []
    for frames in (FrameRequest(), FrameRequest(window=3, overlap=1), FrameRequest(window=1)):
        encoder = loaded(frames=frames)
        codes.append(encode_windows(encoder, clip(), frames))
    assert codes[0] == codes[1] == codes[2]


def test_a_world_of_another_unit_is_brought_to_metres():
    # the source's lengths are a quarter of a metre; the network sees the wall at two metres
    code = encode_windows(loaded(geometry=WallAhead(0.25)), clip(), FrameRequest(window=3))
    assert_true(code)
    assert code.cameras[-1].T_world_camera[0][3] == pytest.approx(6 * STEP_M)
    # windows agree on the unit; how good the path is, nothing tells
    assert code.scale.confidence == pytest.approx(0.5)


class Told(WallAhead):
    """The wall ahead, with what a path audit says of it."""

    def __init__(self, **said) -> None:
        super().__init__()
        self.said = said

    def geometry(self, window):
        return replace(super().geometry(window), **self.said)

    def settled(self) -> None:
        return None


def test_a_path_that_misses_the_pictures_or_stands_is_warned_of():
    # 0.2 pixels of a frame 64 wide are 2 of a picture 640 wide; 1.5 are as good as can be told
    fair = encode_windows(loaded(geometry=Told(reprojection_px=0.2)), clip(), FrameRequest())
    assert not any("camera" in text for text in fair.warnings)
    assert fair.scale.confidence == pytest.approx(0.8 * 1.5 / 2)
    told = Told(reprojection_px=0.6, motion="still")
    still, rough, *_ = encode_windows(loaded(geometry=told), clip(), FrameRequest()).warnings
    assert "stood still" in still
    assert "6.0 pixels" in rough


class InAMirror:
    """The boxes of every frame, and a mirror around the second of them that hangs before it."""

    edge_sigma_px = 0.0

    def session(self):
        self.part = FilledBoxes().session()
        return self

    def masks(self, window, detections):
        found = self.part.masks(window, detections)
        for row, frame in found.items():
            mirror = np.zeros_like(frame.masks[:1])
            mirror[:, :, window.rgb.shape[2] // 2 :] = True
            names = (*frame.labels, "mirror")
            scores, tracks = np.append(frame.scores, 0.9), np.append(frame.tracks, 9)
            masks = np.concatenate([frame.masks, mirror])
            found[row] = FrameMasks(masks, names, scores, tracks)
        return found


def test_what_a_mirror_shows_gets_no_box_and_mirrors_are_asked_for():
    asked = []

    class Noted(TwoBoxes):
        def detect(self, window, rows, labels):
            asked.append(labels)
            return super().detect(window, rows, labels)

    encoder = loaded(masks=InAMirror(), detector=Noted())
    code = encode_windows(encoder, clip(), encoder.frames)
    assert [item.id for item in code.objects] == ["chair_1"]
    assert set(asked) == {("chair", "sofa", "mirror")}


def test_the_unit_is_the_median_ratio_of_what_both_know():
    other = np.array([[[4.0, 8.0], [np.nan, 0.0]]], np.float32)
    assert unit_of(np.full((1, 2, 2), 2.0, np.float32), other) == [0.375]
    assert unit_of(np.full((1, 2, 2), 2.0, np.float32), np.full((1, 2, 2), np.nan)) == []


class Cut(WallAhead):
    """Goes on somewhere else at the fifth frame."""

    def settled(self) -> None:
        return None

    def geometry(self, window):
        rows = tuple(row for row in range(len(window.rgb)) if window.start + row == 4)
        return replace(super().geometry(window), cuts=rows)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_cut_splits_objects_and_is_warned_of(size):
    frames = FrameRequest(window=size, overlap=1)
    code = encode_windows(loaded(geometry=Cut()), clip(), frames)
    assert code.warnings == (
        "the video is cut at 2.00 s: what follows stands in a world of its own",
        "The room is not told: too little of its walls was seen.",
    )
    chairs = [item for item in code.objects if item.label == "chair"]
    assert [(c.first_seen_s, c.last_seen_s) for c in chairs] == [(0.0, 1.5), (2.0, 3.0)]


class Corner(WallAhead):
    """The inside of a box of 6 m by 5 m, its floor 1.5 m down, looked at all around."""

    def geometry(self, window):
        said = super().geometry(window)
        turn = (window.start + np.arange(len(window.rgb))) * 2 * np.pi / 12
        pose = said.T_world_camera.copy()
        c, s = np.cos(turn), np.sin(turn)
        about_z = np.zeros((len(turn), 3, 3))
        about_z[:, 0, 0], about_z[:, 0, 1], about_z[:, 1, 0], about_z[:, 1, 1] = c, -s, s, c
        about_z[:, 2, 2] = 1
        pose[:, :3, :3], pose[:, :2, 3] = about_z @ AXES, 0
        height, width = window.rgb.shape[1:3]
        v, u = np.mgrid[:height, :width] + 0.5
        rays = np.stack(((u - width / 2) / width, (v - height / 2) / width, np.ones_like(u)), -1)
        sight = np.einsum("nij,hwj->nhwi", pose[:, :3, :3], rays)
        half, middle = np.array([3.0, 2.5, 1.3]), np.array([0, 0, -0.2])
        with np.errstate(divide="ignore"):
            depth = ((np.sign(sight) * half + middle) / sight).min(axis=-1)
        return replace(said, T_world_camera=pose, depth_m=depth.astype(np.float32))


def test_floor_and_walls_make_the_room_of_a_code():
    encoder = loaded(geometry=Corner(), detector=TwoBoxes(0))
    code = encode_windows(encoder, clip(12), encoder.frames)
    assert code.warnings == ()
    assert code.room.area_m2 == pytest.approx(30.0, rel=0.03)
    assert code.room.floor_z_m == pytest.approx(0.0, abs=0.03)


def test_a_world_without_a_unit_has_no_room():
    code = encode_windows(loaded(geometry=Corner(0.25)), clip(12), FrameRequest(window=3))
    assert code.room is None
    assert "The room is not told: up or the unit of depth is not known." in code.warnings


class NotFinite(Truthful):
    """Loses the first box."""

    def forward(self, rgb, K, masks):
        said = super().forward(rgb, K, masks)
        said["center_m"][..., 0, :] = math.nan
        return said


def test_numbers_that_are_not_finite_are_no_boxes():
    code = encode_windows(loaded(NotFinite()), clip(), FrameRequest(window=3))
    assert [item.id for item in code.objects] == ["sofa_1"]


def test_a_clip_without_frames_fails_as_data_and_disturbs_no_other():
    none = replace(clip(0), video=replace(clip().video, sampled_s=()))
    first, second = loaded().encode_batch([none, clip()])
    assert isinstance(first, EncodeError)
    assert_true(second)
    with pytest.raises(EncodeError, match="at least one frame"):
        loaded().session(clip().header).finish()


def test_progress_is_told():
    told: list[float] = []
    loaded().encode_batch([clip(2), clip(2)], told.append)
    assert told == [0.5, 1.0]
