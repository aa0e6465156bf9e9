"""A reader of a made-up data set, defined here alone, through `jobs.evaluate clips=DIR`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from jobs.evaluate import main
from spatialcode.encoder.protocol import FrameRequest
from spatialcode.errors import ConfigError, InputError
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.readers.code_folder import video_frames
from spatialcode.recordings.recording import Recording
from spatialcode.recordings.registry import READERS, recording_reader, recordings_in
from spatialcode.scene.text import from_json, to_json
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.videos import write_clip
from spatialcode.workkey import EncoderIdentity
from tests.pipelines.truth_encoders import Knowing, NoSettings

SEED, NUM_FRAMES = 900_000_001, 6


@dataclass(frozen=True)
class DiaryDepth:
    path: Path

    def depth_m(self, rows):
        return np.load(self.path)[list(rows)]


class DiaryReader:
    """``index.txt`` names the days; each has a folder of film, truth and depth."""

    name = "diary"
    layout = "index.txt, DAY/film.mp4, DAY/truth.json, DAY/depth.npy"

    def recognises(self, folder):
        return (folder / "index.txt").is_file()

    def places(self, folder):
        return [CapturePlace(folder / day) for day in (folder / "index.txt").read_text().split()]

    def read(self, place):
        day = place.path
        code = from_json((day / "truth.json").read_text())
        frames = video_frames(day / "film.mp4", code, DiaryDepth(day / "depth.npy"))
        return Recording.of_code(day.name, code, frames)


def made_clip():
    return make_clip(SEED, ClipConfig(num_frames=NUM_FRAMES))


class Seer:
    """An encoder that knows the truth of the one clip."""

    settings = NoSettings
    identity = EncoderIdentity("seer", "0" * 64, "0" * 64)
    frames = FrameRequest()

    def __init__(self, name, settings):
        pass

    def load(self, device):
        return Knowing(made_clip())


@pytest.fixture(autouse=True)
def registered():
    recording_reader(DiaryReader)
    yield
    READERS.pop("diary", None)


@pytest.fixture
def diary(tmp_path):
    folder = tmp_path / "diary"
    (folder / "monday").mkdir(parents=True)
    clip = made_clip()
    code = write_clip(clip, folder / "monday" / "film.mp4")
    (folder / "monday" / "truth.json").write_text(to_json(code))
    np.save(folder / "monday" / "depth.npy", clip.depth_m)
    (folder / "index.txt").write_text("monday\n")
    return folder


def evaluate(clips: Path, report: Path, *more: str) -> int:
    return main([
        f"clips={clips}", f"report={report}", "benchmark=encoder", "num_workers=0",
        f"encoder={__name__}:Seer", *more,
    ])  # fmt: skip


@pytest.mark.parametrize("more", [(), ("clips_format=diary",)])
def test_its_folders_are_evaluated(diary, tmp_path, more):
    assert evaluate(diary, tmp_path / "report", *more) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["num_rooms"], report["num_failed"]) == (1, 0)
    assert report["given_poses"]["class_aware"]["f1"]["0.50"] == 1.0
    assert report["num_frames"] == NUM_FRAMES
    assert 0.0 < report["depth_abs_rel"] < 0.02, "depth comes from the reader"
    rows = [json.loads(line) for line in (tmp_path / "report" / "rooms.jsonl").open()]
    assert [row["name"] for row in rows] == ["monday"]


def test_a_folder_that_no_reader_recognises_is_an_error_that_says_where_they_are_listed(
    tmp_path, capsys
):
    (tmp_path / "notes.txt").write_text("nothing of use")
    with pytest.raises(InputError, match=r"recognises it; docs/recordings\.md has the layouts$"):
        recordings_in(tmp_path)
    assert {"codes", "diary"} <= set(READERS)
    assert evaluate(tmp_path, tmp_path / "report") == 1
    assert "no reader recognises" in capsys.readouterr().err


def test_a_wrong_format_is_a_wrong_setting(diary, tmp_path, capsys):
    assert evaluate(diary, tmp_path / "report", "clips_format=dairy") == 2
    assert (
        "clips_format: expected one of: 7-scenes, arkitscenes, ca-1m, codes, diary, "
        in capsys.readouterr().err
    )


def test_a_folder_that_several_recognise_asks_for_the_format(diary):
    (diary / "also.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match="recognised by codes, diary"):
        recordings_in(diary)
    assert [one.name for one in recordings_in(diary, "diary")] == ["monday"]


def test_an_empty_data_set_and_a_code_without_cameras_are_errors(diary):
    code = from_json((diary / "monday" / "truth.json").read_text())
    blind = to_json(replace(code, cameras=()))
    (diary / "monday" / "truth.json").write_text(blind)
    with pytest.raises(InputError, match="monday: the true code of a recording needs cameras"):
        recordings_in(diary)
    (diary / "index.txt").write_text("")
    with pytest.raises(InputError, match="holds no recording that diary can read"):
        recordings_in(diary)


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="'diary' already"):
        recording_reader(DiaryReader)
