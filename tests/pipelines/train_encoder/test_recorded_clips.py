"""Clips from a recording written to disk in a reader's own format, outlined by a tiny teacher."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from pipelines.train_encoder.unified import recorded
from pipelines.train_encoder.unified.clips import MixedClips, RenderedClips
from pipelines.train_encoder.unified.recorded import RecordedClips, covering, usable_recordings
from spatialcode.encoder.unified.clips import collated, tracked_truth
from spatialcode.errors import InputError
from spatialcode.scene.frames import project
from tests.encoder import tiny_models
from tests.recordings.rooms import room
from tests.recordings.test_readers import sidecar


@pytest.fixture
def source(tmp_path):
    (tmp_path / "data").mkdir()
    sidecar(tmp_path / "data")
    return RecordedClips(
        "sidecar", str(tmp_path / "data"), 3, 96, 96,
        teacher=str(tiny_models.sam2_video()), cache=str(tmp_path / "cache"),
    )  # fmt: skip


def test_a_clip_is_cut_to_size_with_its_cameras_depth_and_boxes(source):
    clip = source.clip(2)
    assert clip.rgb.shape == (3, 96, 96, 3)
    assert clip.instance.shape == clip.depth_m.shape == (3, 96, 96)
    # 160 × 120 shrunk by 0.8 to 128 × 96, of which 16 columns are cut off at either side
    K = np.asarray(room().K)
    assert clip.K[0] == pytest.approx(np.array([[0.8, 0, -16], [0, 0.8, 0], [0, 0, 1]]) @ K)
    # a box's centre lies where it lies in the whole frame
    for center in clip.center_m[0]:
        own = np.linalg.inv(clip.T_world_camera[0]) @ np.append(center, 1)
        if own[2] > 0.5:
            pixel, _ = project(own[:3], clip.K[0])
            whole, _ = project(own[:3], K)
            assert pixel == pytest.approx(0.8 * whole - [16, 0])


def test_pictures_and_depth_are_cut_alike(source):
    """An edge of depth stays on its edge of colour."""
    marked = np.zeros((120, 160), np.float32)
    marked[:, 90:] = 1.0
    scale, left, top = covering((160, 120), (96, 96))
    smooth = recorded._cut(marked, scale, (left, top), (96, 96), cv2.INTER_AREA)
    sharp = recorded._cut(marked, scale, (left, top), (96, 96), cv2.INTER_NEAREST)
    # column 90 becomes 0.8 · 90 - 16 = 56
    assert sharp[0].tolist() == [0.0] * 56 + [1.0] * 40
    assert np.abs(smooth - sharp).max() < 0.51
    assert (np.round(smooth[0]) == sharp[0]).sum() >= 95


def test_outlines_are_drawn_once(source, monkeypatch):
    first = source.clip(4)

    def no_teacher(weights):
        raise AssertionError("asked again")

    monkeypatch.setattr(recorded, "_teacher", no_teacher)
    again = source.clip(4)
    assert np.array_equal(first.instance, again.instance)
    assert np.array_equal(first.rgb, again.rgb)


def test_recorded_and_rendered_clips_mix_in_one_batch(source):
    mixed = MixedClips((source, RenderedClips(3, 96, 96)), (1.0, 1.0), max_objects=4)
    batch = collated([mixed.clip(i) for i in range(4)])
    truth = tracked_truth(batch)
    assert batch.rgb.shape == (4, 3, 96, 96, 3)
    assert truth.is_present.any()


def test_a_folder_without_boxes_is_refused(tmp_path):
    sidecar(tmp_path)
    path = tmp_path / "walk.geometry.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"objects": []}))
    with pytest.raises(InputError, match="poses, intrinsics and boxes"):
        usable_recordings("sidecar", str(tmp_path))
