from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path

import av
import pyarrow.parquet as pq
import pytest

from serve.codes.renditions import Rendition, render
from spatialcode.errors import (
    DecodeCrashError,
    DecodeTimeoutError,
    InputError,
    MissingExtraError,
    SchemaError,
    VideoError,
)
from spatialcode.export.formats import FORMATS
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import from_table
from spatialcode.scene.text import from_json, parse_scene
from spatialcode.video.sandbox import SandboxLimits
from tests.export.codes import code, item
from tests.export.recordings import read
from tests.export.test_overlay import grey_video


@pytest.fixture
def made() -> SpatialCode:
    return code(item("table_1", "table"))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return grey_video(tmp_path / "room.mp4", (0.0, 0.5, 1.0, 1.5, 2.0))


def test_texts_and_tables_give_the_code_back(made: SpatialCode) -> None:
    assert from_json(render(made, "json", None).data.decode()) == made
    assert parse_scene(render(made, "scene.py", None).data.decode()) == made
    table = pq.read_table(io.BytesIO(render(made, "parquet", None).data))
    assert from_table(table) == [made]


def test_files_are_of_the_type_that_they_say(made: SpatialCode) -> None:
    glb = render(made, "glb", None)
    assert (glb.media_type, glb.suffix, glb.data[:4]) == ("model/gltf-binary", ".glb", b"glTF")
    page = render(made, "html", None)
    assert (page.media_type, page.suffix) == ("text/html; charset=utf-8", ".html")
    assert page.data[:15].lower() == b"<!doctype html>"
    assert b"data:image/jpeg" not in page.data
    assert Rendition.of("json", b"{}").media_type == "application/json"


def test_recordings_show_the_video_too(tmp_path: Path, made: SpatialCode, video: Path) -> None:
    pytest.importorskip("rerun", reason="needs the extra rerun")
    alone, shown = render(made, "rrd", None), render(made, "rrd", video)
    assert (alone.media_type, alone.data[:4]) == ("application/vnd.rerun.rrd", b"RRF2")
    pictures = []
    for made_file in (alone, shown):
        path = tmp_path / "a.rrd"
        path.write_bytes(made_file.data)
        image = read(path)["/world/camera/image"]
        pictures.append([t_ns for t_ns, _ in image.get("EncodedImage:blob", [])])
    assert pictures == [[], [0, 1_000_000_000, 2_000_000_000]]


def test_pages_show_the_video_and_overlays_are_drawn_into_it(
    made: SpatialCode, video: Path
) -> None:
    page = render(made, "html", video)
    assert page.data.count(b"data:image/jpeg;base64,") == 3  # a frame for each camera
    overlay = render(made, "mp4", video)
    assert (overlay.media_type, overlay.suffix) == ("video/mp4", ".overlay.mp4")
    with av.open(io.BytesIO(overlay.data)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 5
    assert int(frames[0].max()) - int(frames[0].min()) > 60  # lines on grey


def test_what_cannot_be_made_is_refused(made: SpatialCode, video: Path) -> None:
    with pytest.raises(InputError, match=r"format: expected one of json, scene\.py, .* got 'exe'"):
        render(made, "exe", video)
    with pytest.raises(InputError, match="mp4: the video that the code was made of is not kept"):
        render(made, "mp4", None)
    with pytest.raises(SchemaError, match="cameras: expected at least one"):
        render(code(cameras=()), "mp4", video)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind in {"html", "mp4"}])
def test_a_video_that_cannot_be_read_is_the_videos_error(
    tmp_path: Path, made: SpatialCode, kind: str
) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"\0" * 5000)
    with pytest.raises(VideoError) as caught:
        render(made, kind, junk)
    assert caught.value.code == "video_unsupported"


def test_drawing_that_takes_too_long_is_ended(made: SpatialCode, video: Path) -> None:
    with pytest.raises(DecodeTimeoutError, match=r"not drawn in 0\.01 s"):
        render(made, "mp4", video, SandboxLimits(wall_s=0.01))


def test_drawing_may_not_take_all_memory(tmp_path: Path, made: SpatialCode) -> None:
    large = grey_video(tmp_path / "large.mp4", (0.0, 0.1), size=(1280, 720))
    with pytest.raises(VideoError) as caught:
        render(made, "mp4", large, SandboxLimits(memory_bytes=30 * 2**20))
    # Where exactly it runs out decides which of them it is.
    assert caught.value.code in {"decode_memory", "decode_crash", "video_empty"}


def test_a_child_that_dies_takes_nothing_along(
    tmp_path: Path, made: SpatialCode, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies_by(command: str) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\n{command}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    dies_by("kill -SEGV $$")
    with pytest.raises(DecodeCrashError, match="drawing died of SIGSEGV"):
        render(made, "mp4", video)
    dies_by("kill -XCPU $$")
    with pytest.raises(DecodeTimeoutError, match="processor time"):
        render(made, "mp4", video)
    dies_by("echo nonsense; exit 1")
    with pytest.raises(DecodeCrashError, match="status 1"):
        render(made, "mp4", video)


def test_without_the_package_a_recording_names_the_extra(
    made: SpatialCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)  # as if it were not installed
    with pytest.raises(MissingExtraError) as caught:
        render(made, "rrd", None)
    assert (caught.value.code, caught.value.extra) == ("missing_extra", "rerun")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert json.loads(render(made, "json", None).data)["format"] == "spatialcode/1"
