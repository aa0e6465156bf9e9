"""Data sets of rendered rooms: what is stored is what was rendered, whatever the format."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.stored.store import ResultStore
from pipelines.synthesize.config import SynthesizeConfig
from pipelines.synthesize.graph import render_shard, run_synthesize, work_key
from spatialcode.errors import ConfigError
from spatialcode.evaluation.room_files import (
    depth_png,
    instance_png,
    render_room,
    room_key,
)
from spatialcode.recordings.registry import recordings_in
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import from_row
from spatialcode.scene.text import from_json
from spatialcode.synthetic.clips import ClipConfig, SyntheticClip, make_clip

SIZE = {"num_frames": 4, "width_px": 48, "height_px": 36}


def config_for(output: Path, **changes: Any) -> SynthesizeConfig:
    return SynthesizeConfig(output=str(output), **{**SIZE, **changes})


def read_png(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16
    return image


def read_depth_m(data: bytes) -> np.ndarray:
    """Metres of a PNG in millimetres."""
    return (read_png(data) / 1000.0).astype(np.float32)


def read_instance(data: bytes) -> np.ndarray:
    """Instances of a PNG that holds them plus three."""
    return read_png(data).astype(np.int16) - np.int16(3)


def clip_of(seed: int) -> SyntheticClip:
    return make_clip(seed, ClipConfig(4, 48, 36))


def render(seeds: list[int], config: SynthesizeConfig) -> list[dict[str, Any]]:
    """Rows of one shard, rendered in this process."""
    receipts = render_shard(pa.table({"seed": seeds}), config, ResultStore(config.output))
    assert receipts.num_rows == len(seeds)
    (part,) = (Path(config.output) / "codes").glob("*.parquet")
    return sorted(pq.read_table(part).to_pylist(), key=lambda row: row["seed"])


def assert_same_truth(code: SpatialCode, clip: SyntheticClip) -> None:
    """Equal but for the video's name, hash and length, which the clip in memory lacks."""
    assert code.objects == clip.code.objects
    assert code.cameras == clip.code.cameras
    assert code.room == clip.code.room
    assert code.video.sampled_s == clip.code.video.sampled_s


def assert_same_frames(clip: SyntheticClip, depth: list[bytes], instance: list[bytes]) -> None:
    for n in range(len(clip.depth_m)):
        assert np.abs(read_depth_m(depth[n]) - clip.depth_m[n]).max() <= 0.000501
        assert (read_instance(instance[n]) == clip.instance[n]).all()


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data), "r") as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_pngs_round_trip() -> None:
    depth = np.array([[0.0014, 1.0, 65.0, 80.0]], np.float32)
    assert read_depth_m(depth_png(depth))[0] == pytest.approx([0.001, 1.0, 65.0, 0.0])
    instance = np.array([[-3, -2, -1, 0, 300]], np.int16)
    assert (read_instance(instance_png(instance)) == instance).all()


def test_parquet_rows_hold_what_was_rendered_and_failures(tmp_path: Path) -> None:
    # Seeds are never negative; this one fails inside rendering like a bug would.
    failed, first, second = render([3, -1, 4], config_for(tmp_path, format="parquet"))
    assert (failed["status"], failed["error_code"], failed["stage"]) == (
        "failed", "internal", "render",
    )  # fmt: skip
    assert failed["video"] is None
    for row in (first, second):
        clip = clip_of(row["seed"])
        assert row["status"] == "ok"
        assert_same_truth(from_row(row), clip)
        assert_same_frames(clip, row["depth_png"], row["instance_png"])
        assert np.abs(decoded(row["video_mp4"]).astype(int) - clip.rgb).mean() < 4
        named = {i for i in row["instance_ids"] if i}
        assert named == {item.id for item in clip.code.objects}
        for label, name in zip(clip.labels, row["instance_ids"], strict=True):
            assert not name or name.startswith(label.replace(" ", "_"))


def test_mp4_files_lie_where_the_code_says_and_can_be_evaluated(tmp_path: Path) -> None:
    (row,) = render([5], config_for(tmp_path))
    clip = clip_of(5)
    assert (tmp_path / row["video"]["uri"]).is_file()
    depth = [p.read_bytes() for p in sorted((tmp_path / "depth").rglob("*.png"))]
    instance = [p.read_bytes() for p in sorted((tmp_path / "instance").rglob("*.png"))]
    assert_same_frames(clip, depth, instance)
    (recording,) = recordings_in(tmp_path)
    assert recording.frames.path == tmp_path / "videos" / "room_0000000005.mp4"
    assert_same_truth(recording.code(), clip)


def test_full_rate_video_holds_the_truth_frames(tmp_path: Path) -> None:
    room = render_room(6, config_for(tmp_path, rate_hz=4.0).film)
    frames = decoded(room.video_mp4)
    assert len(frames) == room.code.video.duration_s * 4
    assert len(room.code.cameras) == len(room.depth_png) == 4
    # The walk is that of 32 frames: the same rooms, and the first frame is the same view.
    clip = make_clip(6, ClipConfig(32, 48, 36))
    assert room.code.cameras[0].T_world_camera == clip.code.cameras[0].T_world_camera
    assert np.abs(read_depth_m(room.depth_png[0]) - clip.depth_m[0]).max() <= 0.000501
    assert np.abs(read_depth_m(room.depth_png[-1]) - clip.depth_m[-1]).max() <= 0.000501


def test_every_setting_that_shows_changes_the_key(tmp_path: Path) -> None:
    base = config_for(tmp_path)
    same = config_for(tmp_path / "elsewhere", num_rooms=7, rooms_per_shard=3, num_cpus=2.0)
    assert work_key(1, base) == work_key(1, same)
    others = [
        config_for(tmp_path, num_frames=5),
        config_for(tmp_path, width_px=50),
        config_for(tmp_path, rate_hz=5.0),
        config_for(tmp_path, moving_share=1.0),
        config_for(tmp_path, format="parquet"),
    ]
    keys = {work_key(1, config) for config in (base, *others)} | {work_key(2, base)}
    assert len(keys) == 7


def test_settings_are_checked(tmp_path: Path) -> None:
    for changes, message in (
        ({"format": "zip"}, "format: expected one of mp4, webdataset, parquet"),
        ({"width_px": 33}, "width_px"),
        ({"num_rooms": 0}, "num_rooms"),
        ({"output": "s3://bucket/rooms"}, "output"),
    ):
        with pytest.raises(ConfigError, match=message):
            config_for(**{"output": tmp_path, **changes})


def test_a_run_on_ray_adds_up_and_a_second_one_adds_what_is_missing(
    tmp_path: Path, ray_session: Any
) -> None:
    changes = {"format": "webdataset", "seed": 1_000_000_000, "rooms_per_shard": 2}
    report = run_synthesize(config_for(tmp_path, num_rooms=3, **changes))
    assert report["ok"]
    assert (report["inputs"], report["done"], report["failed"]) == (3, 3, 0)
    assert report["frames"] == 12
    assert json.loads((tmp_path / "report.json").read_text())["done"] == 3
    again = run_synthesize(config_for(tmp_path, num_rooms=4, **changes))
    assert (again["inputs"], again["done"], again["skipped"]) == (4, 1, 3)
    parts = [pq.read_table(p) for p in (tmp_path / "codes").glob("*.parquet")]
    table_rows = pa.concat_tables(parts).to_pylist()
    assert sorted(row["seed"] for row in table_rows) == [1_000_000_000 + k for k in range(4)]
    for row in table_rows:
        clip = clip_of(row["seed"])
        sample = read_sample(tmp_path / row["shard"], row["input_id"])
        document = json.loads(sample["json"])
        assert document["instance_ids"] == row["instance_ids"]
        code = from_json(json.dumps(document["code"]))
        assert code == from_row(row)
        assert_same_truth(code, clip)
        depth = [sample[f"depth.{n:04d}.png"] for n in range(4)]
        instance = [sample[f"instance.{n:04d}.png"] for n in range(4)]
        assert_same_frames(clip, depth, instance)


def test_a_room_that_fails_is_a_row_and_the_report_names_it(
    tmp_path: Path, ray_session: Any
) -> None:
    config = config_for(tmp_path, num_rooms=3, rooms_per_shard=2)
    object.__setattr__(config, "seed", -1)  # no setting allows it: it fails as a bug would
    report = run_synthesize(config)
    parts = ("done", "failed", "skipped", "unfinished")
    assert [report[part] for part in parts] == [2, 1, 0, 0]
    assert not report["ok"]
    assert report["failed_by_code"] == {"internal": 1}
    (failure,) = report["failures"]
    assert failure["uri"] == room_key(-1)
    assert "ValueError" in failure["error"]
    again = run_synthesize(config)  # which tries it again, as it may have been the machine
    assert [again[part] for part in parts] == [0, 1, 2, 0]


def read_sample(shard: Path, key: str) -> dict[str, bytes]:
    """One sample of a WebDataset shard: members whose names agree up to the first dot."""
    found: dict[str, bytes] = {}
    with tarfile.open(shard) as tar:
        for entry in tar:
            name, _, extension = entry.name.partition(".")
            if name == key:
                file = tar.extractfile(entry)
                assert file is not None
                found[extension] = file.read()
    return found
