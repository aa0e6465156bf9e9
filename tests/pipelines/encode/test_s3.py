from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.encode.graph import run_encode
from pipelines.encode.inputs import list_inputs
from pipelines.stored.store import ResultStore, s3_filesystem
from spatialcode.errors import InputError
from spatialcode.scene.table import from_row
from tests.pipelines.conftest import MakeConfig
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
