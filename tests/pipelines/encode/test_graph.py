from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.encode.graph import build, run_encode
from pipelines.encode.inputs import ListedVideo
from pipelines.encode.plan import Work
from pipelines.encode.stages import AttemptLedger
from pipelines.stored.store import ResultStore
from spatialcode.scene.table import from_row
from spatialcode.video.decode import hash_file
from tests.pipelines import stand_in
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.results import result_rows
from tests.video import builders

pytestmark = pytest.mark.usefixtures("ray_session")


def raw_rows(output: Path) -> list[dict[str, Any]]:
    """Every row of every file as it lies there, duplicates included."""
    files = sorted((output / "codes").glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []


def adds_up(report: dict[str, Any]) -> bool:
    parts = ("done", "copied", "failed", "skipped", "failed_before", "unfinished")
    failed = sum(report["failed_by_code"].values())
    return report["inputs"] == sum(report[part] for part in parts) and failed == report["failed"]


@pytest.fixture
def hostile(tmp_path: Path, clips: list[Path]) -> dict[str, set[str]]:
    """Eight bad files beside twelve good ones in ``mixed``, with the codes each may get."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for clip in clips:
        shutil.copy(clip, folder)
    long = builders.make_video(tmp_path / "long.mp4", builders.VideoRecipe(num_frames=40))
    indexed = builders.make_video(
        tmp_path / "indexed.mp4", builders.VideoRecipe(num_frames=40, faststart=True)
    )
    (folder / "empty.mp4").touch()
    builders.truncate(long, folder / "no_index.mp4", 0.6)
    builders.truncate(indexed, folder / "half.mp4", 0.5)
    builders.truncate(indexed, folder / "start.mp4", 0.01)
    builders.plant_garbage(indexed, folder / "garbage.mp4")
    builders.write_noise_audio(folder / "audio.mp4")
    (folder / "text.mp4").write_text("This is no video.\n" * 100)
    shutil.copy(clips[0], folder / "__crash__.mp4")
    with (folder / "__crash__.mp4").open("ab") as file:
        file.write(b"\0\0\0\x10free__crash__")
    return {
        "empty.mp4": {"video_empty"},
        "no_index.mp4": {"video_truncated"},
        "half.mp4": {"video_truncated"},
        "start.mp4": {"video_truncated"},
        "garbage.mp4": {"video_corrupt"},
        "audio.mp4": {"video_no_stream"},
        "text.mp4": {"video_unsupported"},
        "__crash__.mp4": {"decode_crash"},
    }


def test_eight_hostile_inputs_of_twenty_give_eight_failed_rows(
    tmp_path: Path, control: Path, hostile: dict[str, set[str]], make_config: MakeConfig
) -> None:
    folder = tmp_path / "mixed"
    hanging = folder / "__hang__.mp4"
    shutil.move(folder / "clip_11.mp4", hanging)
    hostile[hanging.name] = {"decode_timeout"}
    folder_of_twenty = sorted(folder.iterdir())
    assert len(folder_of_twenty) == 20

    report = run_encode(make_config(folder, sampling__num_frames=32))

    rows = {Path(row["uri"]).name: row for row in raw_rows(tmp_path / "out")}
    assert sorted(rows) == [path.name for path in folder_of_twenty]
    codes = {name: row["error_code"] for name, row in rows.items() if row["status"] != "ok"}
    assert {name: {code} for name, code in codes.items()} == hostile
    assert all(row["code"] is None and row["error"] for row in rows.values() if row["error_code"])
    assert rows["__crash__.mp4"]["attempts"] == 2
    assert rows["audio.mp4"]["attempts"] == 1
    assert {rows[name]["stage"] for name in hostile} == {"decode"}
    assert not report["ok"]
    assert (report["inputs"], report["done"], report["failed"]) == (20, 11, 9)
    assert {
        Path(failure["uri"]).name: {failure["error_code"]} for failure in report["failures"]
    } == hostile
    assert adds_up(report)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    _frames_belong_to_their_rows(tmp_path / "out", num_expected=11)

    again = run_encode(make_config(folder, sampling__num_frames=32, max_failed_fraction=0.5))
    assert (again["skipped"], again["failed_before"], again["done"]) == (11, 9, 0)
    assert again["ok"]
    assert adds_up(again)
    assert len(raw_rows(tmp_path / "out")) == 20


def _frames_belong_to_their_rows(output: Path, num_expected: int) -> None:
    """Clip i has 10 + i frames, numbered from 0, and all of them were taken."""
    rows = result_rows(str(output))
    assert len(rows) == num_expected
    for row in rows:
        code = from_row(row["code"])
        number = int(Path(row["uri"]).stem.split("_")[1])
        assert code.objects[0].center_m == (0.0, 9.0 + number, 10.0 + number)
        assert code.video.uri == row["uri"]
        assert code.provenance.work_key == row["work_key"]
        assert row["num_frames"] == 10 + number


def outcome(output: Path) -> dict[str, str]:
    """Name and ``ok`` or error code of every input; fails if one has two rows."""
    rows = raw_rows(output)
    names = {Path(row["input_id"]).name: row["error_code"] or row["status"] for row in rows}
    assert len(names) == len(rows)
    return names


def test_dead_encoders_changed_files_and_a_new_model(
    tmp_path: Path, control: Path, clips: list[Path], make_config: MakeConfig
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for clip in clips[:6]:
        shutil.copy(clip, folder)
    shutil.copy(clips[0], folder / "twin.mp4")
    names = [f"clip_{i:02d}.mp4" for i in range(6)]
    lines = [{"uri": str(folder / name)} for name in (*names, "twin.mp4", "clip_01.mp4")]
    lines += [{"uri": "gone.mp4"}, {"url": "typo"}]
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("\n".join(json.dumps(line) for line in lines))

    # The first encoder dies once; whoever holds clip 3 dies always.
    (control / "die-once").touch()
    (control / "poison").write_text(hash_file(clips[3]))
    report = run_encode(make_config(manifest))
    expected = dict.fromkeys((*names, "twin.mp4", "clip_01.mp4#2"), "ok")
    expected |= {"clip_03.mp4": "worker_lost", "gone.mp4": "video_not_found"}
    expected |= {"list.jsonl:10": "input"}
    assert outcome(output) == expected
    assert (report["done"], report["copied"], report["failed"]) == (5, 2, 3)
    assert adds_up(report)
    assert not (control / "die-once").exists()
    copy = next(row for row in raw_rows(output) if row["uri"].endswith("twin.mp4"))
    assert from_row(copy["code"]).video.uri == str(folder / "twin.mp4")
    assert from_row(copy["code"]).objects[0].center_m == (0.0, 9.0, 4.0)

    # A lost worker says nothing about the video: it is tried again; a changed file is new work.
    (control / "poison").unlink()
    (control / "journal").unlink()
    shutil.copy(clips[9], folder / "clip_05.mp4")
    report = run_encode(make_config(manifest))
    assert outcome(output) == expected | {"clip_03.mp4": "ok"}
    assert stand_in.journal(control) == Counter([hash_file(clips[3]), hash_file(clips[9])])
    assert (report["done"], report["skipped"], report["failed"]) == (2, 6, 2)
    assert adds_up(report)

    # A new model computes every content once more and leaves no row of the old one; a pool with
    # more work than hands grows.
    (control / "journal").unlink()
    (control / "wait-for-peer").touch()
    retrained = {
        "encoder__name": stand_in.NAME.replace("FrameReader", "Retrained"),
        "encoder__num_cpus": 0.25,
        "encoder__max_actors": 2,
        "encoder__videos_per_batch": 1,
        "decode__num_cpus": 0.5,
        "decode__videos_per_task": 1,
    }
    before = {row["work_key"] for row in raw_rows(output)} - {""}
    report = run_encode(make_config(manifest, **retrained))
    assert outcome(output) == expected | {"clip_03.mp4": "ok"}
    assert not before & {row["work_key"] for row in raw_rows(output)}
    assert stand_in.journal(control).total() == report["done"] == 6
    assert report["copied"] == 2
    assert len(stand_in.encoder_pids(control)) == 2


def test_a_run_that_ray_gives_up_ends_with_a_report(
    tmp_path: Path, control: Path, clips: list[Path], make_config: MakeConfig
) -> None:
    unloadable = stand_in.NAME.replace("FrameReader", "Unloadable")
    report = run_encode(make_config(*clips[:3], "gone.mp4", encoder__name=unloadable))
    assert not report["ok"]
    assert "no such device" in report["aborted"]
    assert (report["unfinished"], report["failed"]) == (3, 1)
    assert adds_up(report)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_stages_are_not_fused(
    tmp_path: Path, make_config: MakeConfig, ray_session: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fused, decoding would run inside the encoders, and back-pressure between them be gone."""
    config = make_config("a.mp4")
    ledger = ray_session.remote(num_cpus=0)(AttemptLedger).remote()
    works = [Work(ListedVideo("a", "a.mp4", "content"), "key")]
    build(works, config.encoder.make(), config, ResultStore(str(tmp_path)), ledger).explain()
    ray_session.kill(ledger)
    plan = capsys.readouterr().out.split("Physical")[-1]
    assert all(name in plan for name in ("decode_videos", "EncodeStage", "write_rows"))
    assert "->" not in plan.replace("+->", "")
