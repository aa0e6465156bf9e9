from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import av
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.view import main
from pipelines.stored import rows
from pipelines.stored.reading import load_code
from pipelines.stored.store import ResultStore
from spatialcode.errors import InputError, ParseError
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import from_table, to_row
from spatialcode.scene.text import render_scene, to_json
from spatialcode.video.decode import hash_file
from tests.export.codes import code, item
from tests.export.recordings import read
from tests.export.test_overlay import grey_video


def code_of(video: Path, work_key: str = "d" * 64) -> SpatialCode:
    made = code(item("table_1", "table"))
    return replace(
        made,
        video=replace(made.video, uri=str(video), sha256=hash_file(video)),
        provenance=replace(made.provenance, work_key=work_key),
    )


def stored(folder: Path, *codes: SpatialCode) -> Path:
    """An output folder of the encode job; the last input failed."""
    store = ResultStore(str(folder))
    done = [
        rows.result_row(
            {"input_id": c.video.uri, "uri": c.video.uri, "work_key": c.provenance.work_key,
             "content_id": c.video.sha256, "status": rows.OK, "attempts": 1, "num_frames": 3,
             "decode_s": 0.0},
            code=to_row(c),
        )
        for c in codes
    ]  # fmt: skip
    identity = {"input_id": "bad.mp4", "uri": "bad.mp4", "work_key": "f" * 64, "content_id": ""}
    failed = rows.result_row(identity, **rows.failure(ParseError("broken"), "decode"))
    store.write(rows.table([*done, failed], rows.RESULT))
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return grey_video(tmp_path / "living room.mp4", (0.0, 0.5, 1.0, 1.5, 2.0))


def test_page_and_overlay_are_written_and_named(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "code.json"
    path.write_text(to_json(code_of(video)))
    out = tmp_path / "new" / "view"
    assert main([f"code={path}", f"output={out}"]) == 0
    printed = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert printed == {
        "html": str(out / "living_room.html"),
        "overlay": str(out / "living_room.overlay.mp4"),
    }
    page = Path(printed["html"]).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 3  # a frame for each camera
    with av.open(printed["overlay"]) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_texts_are_written_exactly(tmp_path: Path, video: Path) -> None:
    made = code_of(video)
    path = tmp_path / "code.json"
    path.write_text(to_json(made))
    assert main([f"code={path}", f"output={tmp_path}", "formats=[json,scene,parquet]"]) == 0
    assert load_code(str(tmp_path / "living_room.json")) == made
    assert load_code(str(tmp_path / "living_room.scene.py")) == made
    assert from_table(pq.read_table(tmp_path / "living_room.parquet")) == [made]


def test_models_are_written_for_other_programs(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rerun", reason="needs the extra rerun")
    path = tmp_path / "code.json"
    path.write_text(to_json(code_of(video)))
    assert main([f"code={path}", f"output={tmp_path}", "formats=[glb,rrd]"]) == 0
    printed = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert printed == {
        "glb": str(tmp_path / "living_room.glb"),
        "rrd": str(tmp_path / "living_room.rrd"),
    }
    assert Path(printed["glb"]).read_bytes().startswith(b"glTF")
    recording = read(Path(printed["rrd"]))
    assert [t_ns for t_ns, _ in recording["/world/camera/image"]["EncodedImage:blob"]] == [
        0, 1_000_000_000, 2_000_000_000,
    ]  # fmt: skip
    assert "/world/objects/table_1" in recording


def test_a_recording_without_its_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)  # as if it were not installed
    path = tmp_path / "code.json"
    path.write_text(to_json(code(item("table_1", "table"))))
    assert main([f"code={path}", f"output={tmp_path / 'out'}", "formats=rrd"]) == 1
    assert "pip install 'spatialcode[rerun]'" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("scans/kitchen", "scans/kitchen is a capture, not a video"),
        ("scans/kitchen#codes/a.parquet:0", "codes/a.parquet:0 is a capture, not a video"),
        ("scans/walk.r3d", "walk.r3d is a capture, not a video"),
        ("scans/lost.geometry.json", "the video that .*lost.geometry.json names is not here"),
        ("s3://bucket/scans/kitchen", "s3://bucket/scans/kitchen is not on this machine"),
        ("scans/none.mp4", "none.mp4 is not here"),
    ],
)
def test_a_code_of_no_video_says_what_it_is_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], uri: str, said: str
) -> None:
    (tmp_path / "scans" / "kitchen").mkdir(parents=True)
    (tmp_path / "scans" / "walk.r3d").touch()
    (tmp_path / "scans" / "lost.geometry.json").write_text('{"video": "lost.mp4"}')
    made = code(item("table_1", "table"))
    place = uri if "://" in uri else f"{tmp_path}/{uri}"
    path = tmp_path / "code.json"
    path.write_text(to_json(replace(made, video=replace(made.video, uri=place, sha256=""))))
    assert main([f"code={path}", f"output={tmp_path / 'out'}"]) == 0
    hints = capsys.readouterr().err.splitlines()
    assert any(re.fullmatch(f"no overlay: .*{said}; give video=PATH", hint) for hint in hints)


def test_a_code_of_a_sidecar_is_drawn_into_the_video_that_it_names(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = tmp_path / "walk.geometry.json"
    sidecar.write_text(json.dumps({"video": str(video)}))
    made = code(item("table_1", "table"))
    path = tmp_path / "code.json"
    path.write_text(to_json(replace(made, video=replace(made.video, uri=str(sidecar), sha256=""))))
    assert main([f"code={path}", f"output={tmp_path / 'out'}"]) == 0
    assert "overlay: " in capsys.readouterr().out


def test_without_the_video_there_is_a_page_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "code.json"
    path.write_text(to_json(code(item("table_1", "table"))))
    assert main([f"code={path}", f"output={tmp_path}"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"html: {tmp_path / 'a.html'}\n"
    assert "no overlay: rooms/a.mp4 is not here; give video=PATH" in captured.err
    # Asked for by name, the overlay is an error.
    assert main([f"code={path}", f"output={tmp_path}", "formats=overlay"]) == 1
    assert "overlay: expected the video" in capsys.readouterr().err


def test_boxes_are_never_drawn_into_another_video(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "code.json"
    path.write_text(to_json(code_of(video)))
    other = grey_video(tmp_path / "other.mp4", (0.0, 0.1))
    assert main([f"code={path}", f"output={tmp_path}", f"video={other}"]) == 1
    assert "which the code was made of" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
    assert main([f"code={path}", f"output={tmp_path}", f"video={tmp_path / 'none.mp4'}"]) == 1


def test_scores_and_sizes_reach_the_overlay(tmp_path: Path, video: Path) -> None:
    path = tmp_path / "code.json"
    path.write_text(to_json(code_of(video)))
    arguments = [f"code={path}", f"output={tmp_path}", "formats=overlay"]
    assert main([*arguments, "min_score=0.95", "max_side_px=80"]) == 0
    with av.open(str(tmp_path / "living_room.overlay.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert frames[0].shape == (60, 80, 3)
    assert int(frames[0].max()) - int(frames[0].min()) < 12  # nothing is as sure as that


def test_one_result_is_found_by_key_name_or_alone(tmp_path: Path, video: Path) -> None:
    second = grey_video(tmp_path / "second.mp4", (0.0, 0.1, 0.2))
    a, b = code_of(video, "ab" * 32), code_of(second, "ac" * 32)
    folder = stored(tmp_path / "out", a, b)
    (file,) = (folder / "codes").glob("*.parquet")
    for reference in (
        f"{folder}#second.mp4", f"{folder}/codes#second.mp4", f"{folder}#{second}",
        f"{file}#acac", f"{file}#{'ac' * 32}",
    ):  # fmt: skip
        assert load_code(reference) == b
    alone = stored(tmp_path / "alone", a)
    assert load_code(str(alone)) == a


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "has 2 codes; name one of"),
        ("#a", "has 2 codes for 'a'; name one of"),
        ("#nothing", "has no code for 'nothing'; name one of"),
        ("#bad.mp4", "bad.mp4 failed: broken"),
    ],
)
def test_what_is_not_one_result_is_refused_with_the_choice(
    tmp_path: Path, video: Path, key: str, message: str
) -> None:
    second = grey_video(tmp_path / "second.mp4", (0.0, 0.1, 0.2))
    folder = stored(tmp_path / "out", code_of(video, "ab" * 32), code_of(second, "ac" * 32))
    with pytest.raises(InputError) as caught:
        load_code(f"{folder}{key}")
    assert message in str(caught.value)
    if "name one of" in message:
        assert f"{folder}#abababababababab  {video}" in str(caught.value)


def test_files_that_hold_no_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_code(str(tmp_path / "none.json"))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ParseError):
        load_code(str(broken))
    junk = tmp_path / "junk.parquet"
    junk.write_bytes(b"junk")
    with pytest.raises(InputError, match="holds no results"):
        load_code(str(junk))
    scene = tmp_path / "a.py"
    scene.write_text(render_scene(code()))
    assert load_code(str(scene)) == code()


def test_events_are_logged(tmp_path: Path) -> None:
    path, log = tmp_path / "code.json", tmp_path / "log.jsonl"
    path.write_text(to_json(code()))
    assert main([f"code={path}", f"output={tmp_path}", f"log={log}"]) == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "written", "end"]
    assert events[1]["path"] == str(tmp_path / "a.html")


def test_a_table_without_the_columns_of_results_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"uri": ["a.mp4"]}), other)
    with pytest.raises(InputError, match="holds no results"):
        load_code(str(other))


def test_every_format_is_named_by_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "json, scene, parquet, html, overlay, rrd (extra rerun), glb; empty: html" in printed


def test_an_unknown_format_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"code={tmp_path}", "formats=[html,obj]"]) == 2
    assert "formats: expected some of json, scene, parquet, html, overlay, rrd, glb, got 'obj'" in (
        capsys.readouterr().err
    )
