from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.encode.graph import plan_run, run_encode
from pipelines.encode.inputs import Captures, list_inputs
from pipelines.encode.stages import AttemptLedger
from pipelines.encode.streams import StreamStage
from pipelines.stored import rows
from pipelines.stored.store import ResultStore, s3_filesystem
from spatialcode.errors import InputError
from spatialcode.scene.table import from_row
from tests.pipelines.conftest import MakeConfig
from tests.pipelines.encode.test_streams import MAKERS
from tests.pipelines.results import result_rows

pytest.importorskip("moto.server", reason="the S3 stand-in (moto server) is not installed")


@pytest.fixture
def bucket(s3_endpoint: str, clips: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket ``videos`` with two clips and a text beside them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    fs = s3_filesystem(s3_endpoint)
    fs.mkdir("videos")
    for i in (0, 1):
        fs.put_file(str(clips[i]), f"videos/in/{clips[i].name}")
    fs.pipe_file("videos/in/notes.txt", b"hello")
    yield fs
    fs.rm("videos", recursive=True)


def test_listing(bucket: Any, s3_endpoint: str) -> None:
    sources = list_inputs(["s3://videos/in/"], s3_endpoint)
    assert [source.uri for source in sources] == [f"s3://videos/in/clip_0{i}.mp4" for i in (0, 1)]
    assert all(source.content_id.startswith("s3:") for source in sources)
    assert len({source.content_id for source in sources}) == 2
    assert list_inputs(["s3://videos/in/*_01.mp4"], s3_endpoint)[0].uri == sources[1].uri
    assert list_inputs(["s3://videos/in/notes.txt"], s3_endpoint)[0].num_bytes == 5
    (missing,) = list_inputs(["s3://videos/in/gone.mp4"], s3_endpoint)
    assert missing.error is not None
    assert missing.error.code == "video_not_found"
    for nothing in ("s3://videos/empty/", "s3://nowhere/in/", "s3://videos/*.avi"):
        with pytest.raises(InputError):
            list_inputs([nothing], s3_endpoint)


def test_encoding_from_and_to_s3(
    bucket: Any, s3_endpoint: str, make_config: MakeConfig, ray_session: Any, control: Path
) -> None:
    names = ["clip_00.mp4", "s3://videos/in/clip_01.mp4", "gone.mp4", "notes.txt"]
    lines = "\n".join(json.dumps({"uri": name}) for name in names)
    bucket.pipe_file("videos/in/list.jsonl", lines.encode())
    config = make_config(
        "s3://videos/in/list.jsonl", output="s3://videos/out", s3_endpoint_url=s3_endpoint
    )

    report = run_encode(config)

    assert report["done"] == 2
    assert report["failed_by_code"] == {"video_not_found": 1, "video_unsupported": 1}
    assert json.loads(bucket.cat_file("videos/out/report.json")) == report
    table = result_rows("s3://videos/out", s3_endpoint)
    assert [row["uri"] for row in table] == [f"s3://videos/in/clip_0{i}.mp4" for i in (0, 1)]
    assert [from_row(row["code"]).objects[0].center_m[1] for row in table] == [9.0, 10.0]
    assert len(ResultStore("s3://videos/out", s3_endpoint).rows()) == 4

    # Unchanged: nothing to do. Other bytes under the same name: new work, and no old row left.
    assert run_encode(config)["skipped"] == 2
    bucket.pipe_file("videos/in/clip_00.mp4", bucket.cat_file("videos/in/clip_01.mp4"))
    report = run_encode(config)
    assert (report["copied"], report["skipped"]) == (1, 1)
    table = result_rows("s3://videos/out", s3_endpoint)
    assert [from_row(row["code"]).objects[0].center_m[1] for row in table] == [10.0, 10.0]
    assert [from_row(row["code"]).video.uri for row in table] == [row["uri"] for row in table]


ECHO = "tests.pipelines.encode.window_encoders:Echo"
#: Of each kind: a folder, a file of a folder, a part of a folder, a table in a file, shared files.
CAPTURES = ("posed-images", "record3d", "codes", "sun-rgbd", "hypersim", "sidecar")


@pytest.fixture
def scans(bucket: Any, tmp_path: Path) -> Path:
    """Captures in a local folder, and the same in the bucket under ``scans/``."""
    root = tmp_path / "scans"
    for name in CAPTURES:
        folder = root / f"some {name}"  # a folder named codes says that what it lies in is one
        folder.mkdir(parents=True)
        MAKERS[name](folder)
    (root / "plain").mkdir()
    shutil.copy(root / "some sidecar" / "walk.mp4", root / "plain" / "alone.mp4")
    (root / "notes").mkdir()
    (root / "notes" / "x.txt").write_text("nothing")
    for path in sorted(root.rglob("*")):
        if path.is_file():
            bucket.put_file(str(path), f"videos/{path.relative_to(tmp_path)}")
    return root


def names_of(listed: list[Any], root: str) -> list[tuple[str, str, bool]]:
    return [(one.uri.removeprefix(root), one.reader, bool(one.error)) for one in listed]


def test_captures_in_s3_are_listed_as_those_of_a_folder(
    scans: Path, s3_endpoint: str, bucket: Any
) -> None:
    local = list_inputs([str(scans)], s3_endpoint, Captures("auto"))
    there = list_inputs(["s3://videos/scans/"], s3_endpoint, Captures("auto"))
    assert names_of(there, "s3://videos/scans") == names_of(local, str(scans))
    assert {one.reader for one in there} == {*CAPTURES, ""}
    failed = [str(one.error) for one in there if one.error]
    assert failed == [
        "s3://videos/scans/notes: no reader recognises it; docs/recordings.md has the layouts"
    ]
    ids = [one.place.content_id() for one in there if one.reader]
    assert len(set(ids)) == len(ids)
    bucket.copy("videos/scans", "videos/moved", recursive=True)
    moved = list_inputs(["s3://videos/moved"], s3_endpoint, Captures("auto"))
    assert [one.place.content_id() for one in moved if one.reader] == ids
    name = "videos/moved/some posed-images/K.txt"
    bucket.pipe_file(name, b"1" * bucket.size(name))
    changed = list_inputs(["s3://videos/moved"], s3_endpoint, Captures("auto"))
    fresh = {one.place.content_id() for one in changed if one.reader} - set(ids)
    assert len(fresh) == 1
    named = list_inputs(["s3://videos/scans"], s3_endpoint, Captures("record3d"))
    assert [one.reader for one in named if one.error is None] == ["record3d"]
    for pattern, said in (
        ("s3://videos/nothing/", "no folder of captures there"),
        ("s3://videos/scans/notes", "s3://videos/scans/notes: no reader recognises it"),
        ("s3://videos/scans/*", "named by a prefix"),
    ):
        with pytest.raises(InputError, match=said):
            list_inputs([pattern], s3_endpoint, Captures("auto"))


def test_captures_in_s3_give_the_codes_of_those_in_a_folder(
    scans: Path, s3_endpoint: str, make_config: MakeConfig, ray_session: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    ledger = ray_session.remote(num_cpus=0)(AttemptLedger).remote()
    found: dict[str, list[Any]] = {}
    for place in (str(scans), "s3://videos/scans"):
        config = make_config(place, encoder__name=ECHO, reader="auto", s3_endpoint_url=s3_endpoint)
        plan = plan_run(config, ResultStore(config.output), config.encoder.make())
        table = rows.table([work.row() for work in plan.compute], rows.PLANNED)
        results = StreamStage(config, ledger, config.encoder.make())(table).to_pylist()
        assert [row["error"] for row in results] == [None] * len(results)
        found[place] = [from_row(row["code"]) for row in results]
        assert [code.video.uri for code in found[place]] == [row["uri"] for row in results]
    local, there = found.values()
    assert len(local) == len(there) == len(CAPTURES) + 2  # one holds two; and the plain video
    for one, other in zip(local, there, strict=True):
        assert one.cameras == other.cameras
        assert one.warnings == other.warnings  # mean depths
        assert one.provenance.software == other.provenance.software  # the hash of all pixels
    assert list(spool.iterdir()) == [], "what was copied is gone"
    ray_session.kill(ledger)


def test_a_capture_in_s3_that_is_too_large_or_gone_is_a_failed_row(
    scans: Path, bucket: Any, s3_endpoint: str, make_config: MakeConfig, ray_session: Any,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "spool").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spool"))
    ledger = ray_session.remote(num_cpus=0)(AttemptLedger).remote()
    place = "s3://videos/scans/some posed-images"
    config = make_config(
        place, encoder__name=ECHO, reader="auto", s3_endpoint_url=s3_endpoint,
        decode__max_capture_bytes=1000,
    )  # fmt: skip
    plan = plan_run(config, ResultStore(config.output), config.encoder.make())
    table = rows.table([work.row() for work in plan.compute], rows.PLANNED)
    (row,) = StreamStage(config, ledger, config.encoder.make())(table).to_pylist()
    assert (row["error_code"], row["stage"]) == ("input", "read")
    assert "expected at most decode.max_capture_bytes=1000" in row["error"]
    assert list((tmp_path / "spool").iterdir()) == []
    bucket.rm("videos/scans/some posed-images/poses.txt")
    config = make_config(place, encoder__name=ECHO, s3_endpoint_url=s3_endpoint, reader="auto")
    (row,) = StreamStage(config, ledger, config.encoder.make())(table).to_pylist()
    assert (row["error_code"], row["stage"]) == ("input", "read")
    assert "poses.txt: no such file" in row["error"]
    ray_session.kill(ledger)
