from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.encoder import inputs_of
from spatialcode.encoder.maps import at_cells
from spatialcode.errors import InputError
from spatialcode.evaluation.encoder_report import aggregate
from spatialcode.evaluation.room import RoomOptions, evaluate_recorded
from spatialcode.evaluation.room_files import depth_png
from spatialcode.recordings.readers.code_folder import CodeFolder, recorded_depth
from spatialcode.recordings.registry import recordings_in
from spatialcode.scene.table import to_table
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.videos import write_clip
from tests.pipelines.truth_encoders import Knowing


@pytest.fixture(scope="module")
def clip():
    return make_clip(900_000_001, ClipConfig(num_frames=6))


@pytest.fixture(scope="module")
def folder(clip, tmp_path_factory):
    root = tmp_path_factory.mktemp("recorded")
    (root / "videos").mkdir()
    (root / "codes").mkdir()
    code = write_clip(clip, root / "videos" / "room.mp4")
    pq.write_table(to_table([code]), root / "codes" / "0.parquet")
    (root / "depth" / "room").mkdir(parents=True)
    for n, depth in enumerate(clip.depth_m):
        (root / "depth" / "room" / f"{n:04d}.png").write_bytes(depth_png(depth))
    return root


class Looking(Knowing):
    """Checks that it is shown the frames of the clip, in order, with the right camera."""

    def prepare(self, clip):
        shown = clip.rgb.astype(int)
        for n, frame in enumerate(shown):
            distances = np.abs(self.clip.rgb.astype(int) - frame).mean(axis=(1, 2, 3))
            assert distances.argmin() == n
        assert pytest.approx(self.clip.K, abs=1e-4) == clip.geometry.K
        return super().prepare(clip)


def test_a_recorded_clip_is_evaluated_on_the_frames_of_its_cameras(clip, folder):
    [recording] = recordings_in(folder)
    result = evaluate_recorded(recording, Looking(clip), RoomOptions())
    report = aggregate([result])
    assert report["given_poses"]["class_aware"]["f1"]["0.50"] == 1.0
    assert report["given_poses"]["counts"]["0.25"]["true"] == len(recording.code().objects) >= 3
    assert report["predicted_poses"]["room"]["area_error_mean"] == pytest.approx(0.0, abs=1e-6)
    # Maps hold exact depth at cell centres, the recording millimetres at the pixel beside it.
    assert report["depth_abs_rel"] < 0.02
    assert report["given_poses"]["depth"]["num_cells"] == 6 * 30 * 40
    assert report["ladder"] == {}


def test_recordings_are_rows_with_their_codes(folder):
    [row] = inputs_of(EvaluateConfig(report="unused", clips=str(folder), num_rooms=5))
    assert row["name"] == "room.mp4"
    recording = pickle.loads(row["recording"])
    assert recording.frames.path == folder / "videos" / "room.mp4"
    assert len(recording.code().cameras) == len(recording.frames.depth_m(range(6))) == 6


def test_rooms_that_could_not_be_recorded_are_passed_over(clip, folder, tmp_path):
    table = pq.read_table(folder / "codes" / "0.parquet")
    failed = pa.table({field.name: pa.nulls(1, field.type) for field in table.schema})
    both = pa.concat_tables([table, failed])
    both = both.append_column("status", pa.array(["ok", "failed"]))
    pq.write_table(both, tmp_path / "codes.parquet")
    (tmp_path / "room.mp4").write_bytes((folder / "videos" / "room.mp4").read_bytes())
    [recording] = recordings_in(tmp_path)
    assert recording.name == recording.frames.path.name == "room.mp4"
    result = evaluate_recorded(recording, Knowing(clip), RoomOptions())
    assert aggregate([result])["depth_abs_rel"] is None


def test_missing_depth_maps_are_an_error(folder):
    [recording] = recordings_in(folder)
    with pytest.raises(InputError, match="6 depth maps for 7 frames"):
        recorded_depth(recording.frames.path, 7)


def test_values_at_cells():
    picture = np.arange(8 * 12).reshape(1, 8, 12).astype(float)
    # Cells of 4 x 4 pixels: their centres touch pixel 2 of each.
    assert at_cells(picture, (2, 3))[0].tolist() == [[26, 30, 34], [74, 78, 82]]
    assert np.array_equal(at_cells(picture, (8, 12)), picture)


def test_missing_videos_and_empty_folders_are_errors(clip, tmp_path):
    with pytest.raises(InputError, match="no Parquet file"):
        recordings_in(tmp_path, CodeFolder.name)
    pq.write_table(to_table([clip.code]), tmp_path / "codes.parquet")
    with pytest.raises(InputError, match="expected one"):
        recordings_in(tmp_path)
