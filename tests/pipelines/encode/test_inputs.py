from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.encode.inputs import Captures, list_inputs
from spatialcode.errors import ConfigError, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos and a text beside them, one more below."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.MP4", "a.mov", "notes.txt", "deep/er/c.webm"):
        (tmp_path / name).write_bytes(b"x" * len(name))
    return tmp_path


def uris(*patterns: object) -> list[str]:
    return [source.uri for source in list_inputs([str(pattern) for pattern in patterns])]


def test_a_folder_gives_its_videos_at_every_depth_sorted(folder: Path) -> None:
    assert uris(folder) == [str(folder / name) for name in ("a.mov", "b.MP4", "deep/er/c.webm")]


def test_a_file_named_outright_is_taken_whatever_its_suffix(folder: Path) -> None:
    assert uris(folder / "notes.txt") == [str(folder / "notes.txt")]


def test_a_glob_takes_files_only(folder: Path) -> None:
    assert uris(f"{folder}/*") == [str(folder / name) for name in ("a.mov", "b.MP4", "notes.txt")]
    assert uris(f"{folder}/**/*.webm") == [str(folder / "deep/er/c.webm")]


def test_names_with_glob_characters_are_files_first(tmp_path: Path) -> None:
    odd = tmp_path / "a[1]*.mp4"
    odd.write_bytes(b"x")
    assert uris(odd) == [str(odd)]


def test_relative_paths_become_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert uris("a.mov") == [str(folder / "a.mov")]


def test_repetitions_get_ids_of_their_own(folder: Path) -> None:
    sources = list_inputs([str(folder / "a.mov"), str(folder), str(folder / "a.mov")])
    path = str(folder / "a.mov")
    assert [s.input_id for s in sources if s.uri == path] == [path, path + "#2", path + "#3"]
    assert len({source.input_id for source in sources}) == len(sources) == 5


def test_a_missing_video_is_one_failed_source(folder: Path) -> None:
    good, bad = list_inputs([str(folder / "a.mov"), str(folder / "gone.mp4")])
    assert good.error is None
    assert bad.error is not None
    assert bad.error.code == "video_not_found"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("nowhere", "no such file or folder"),
        ("*.avi", "no videos there"),
        ("empty", "no videos there"),
        ("list.jsonl", "cannot be read"),
        ("ftp://host/a.mp4", "only local paths and s3://"),
        ("empty.jsonl", "has no rows"),
        ("other.parquet", "no column 'uri'"),
        ("broken.parquet", "cannot be read"),
    ],
)
def test_a_listing_that_cannot_be_made_raises(tmp_path: Path, pattern: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "other.parquet")
    absolute = pattern if "://" in pattern else str(tmp_path / pattern)
    with pytest.raises(InputError, match=message):
        list_inputs([absolute])


def test_a_json_manifest_keeps_a_row_for_every_line(folder: Path) -> None:
    lines = [
        json.dumps({"uri": "a.mov", "other": 1}),
        json.dumps({"uri": str(folder / "b.MP4")}),
        "",
        "not json",
        json.dumps({"url": "a.mov"}),
        json.dumps({"uri": 7}),
        json.dumps({"uri": "gone.mp4"}),
        json.dumps({"uri": "deep"}),
        json.dumps({"uri": "https://example.com/a.mp4"}),
        json.dumps(["a.mov"]),
    ]
    manifest = folder / "list.jsonl"
    manifest.write_text("\n".join(lines))
    sources = list_inputs([str(manifest)])
    codes = [source.error.code if source.error else "" for source in sources]
    assert codes == ["", "", *["input"] * 3, "video_not_found", *["input"] * 3]
    assert [source.uri for source in sources[:2]] == [str(folder / n) for n in ("a.mov", "b.MP4")]
    assert sources[2].uri == f"{manifest}:3"
    assert len({source.input_id for source in sources}) == 9


def test_a_parquet_manifest_keeps_a_row_for_every_row(folder: Path) -> None:
    manifest = folder / "list.parquet"
    pq.write_table(pa.table({"uri": ["a.mov", None, "b.MP4"], "n": [1, 2, 3]}), manifest)
    sources = list_inputs([str(manifest)])
    assert [source.error is None for source in sources] == [True, False, True]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_raises(folder: Path) -> None:
    (folder / "list.jsonl").write_text("{}")
    (folder / "list.jsonl").chmod(0)
    with pytest.raises(InputError):
        list_inputs([str(folder / "list.jsonl")])


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two captures, laid out as one reader expects them; what is in them is not read."""
    for name in ("b", "a"):
        (tmp_path / "scans" / name / "images").mkdir(parents=True)
        for file in ("poses.txt", "K.txt"):
            (tmp_path / "scans" / name / file).touch()
    return tmp_path / "scans"


@pytest.mark.parametrize("reader", ["auto", "posed-images"])
def test_captures_are_listed_by_their_folders(scans: Path, tmp_path: Path, reader: str) -> None:
    manifest = tmp_path / "list.jsonl"
    lines = [{"uri": "scans/b"}, {"uri": str(scans)}, {"uri": "scans/none"}, {}]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    captures = Captures(reader)
    expected = [str(scans / "a"), str(scans / "b")]
    for pattern in (str(scans), f"{scans}/*"):
        assert [one.uri for one in list_inputs([pattern], None, captures)] == expected
    listed = list_inputs([str(manifest)], None, captures)
    assert [(Path(one.uri).name, one.reader, bool(one.error)) for one in listed] == [
        ("b", "posed-images", False),
        ("a", "posed-images", False),
        ("b", "posed-images", False),
        ("none", "", True),
        ("list.jsonl:4", "", True),
    ]
    assert len({one.input_id for one in listed}) == 5


def test_a_folder_that_is_no_capture_or_two_stops_no_other(scans: Path) -> None:
    (scans / "notes").mkdir()
    (scans / "both").mkdir()
    for path in (scans / "a").iterdir():  # laid out as one reader expects, and as another
        target = scans / "both" / path.name
        shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    (scans / "both" / "transforms.json").write_text("{}")
    pq.write_table(pa.table({"x": [1]}), scans / "notes" / "x.parquet")
    for pattern in (str(scans), f"{scans}/*"):
        listed = list_inputs([pattern], None, Captures("auto"))
        found = {Path(one.uri).name: str(one.error or "") for one in listed}
        assert not found["a"]
        assert not found["b"]
        assert "recognised by" in found["both"]
        assert "no reader recognises it" in found["notes"]


def test_a_folder_of_no_data_set_is_searched_at_every_depth(scans: Path) -> None:
    """Sidecars are captures of the videos that they name; other videos are what they are."""
    for name in ("one.mp4", "two.mov", "deep/three.mp4", "deep/deeper/four.mp4", "a/images/x.mp4"):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        (scans / name).write_bytes(name.encode())
    frames = [{"t_s": 0.0, "depth": "of one/maps/0.png"}]
    (scans / "of one" / "maps").mkdir(parents=True)
    for name, video in (("one", "one.mp4"), ("deep/deeper/other", "four.mp4"), ("deep/five", 5)):
        document = {"video": video, "frames": frames if name == "one" else []}
        (scans / f"{name}.geometry.json").write_text(json.dumps(document))
    (scans / "deep" / "deeper" / "none" / "within").mkdir(parents=True)
    (scans / "deep" / "round").symlink_to(scans)
    (scans / "deep" / "linked").symlink_to(scans / "b")
    listed = list_inputs([str(scans)], None, Captures("auto"))
    found = [(one.uri.removeprefix(f"{scans}/"), one.reader, bool(one.error)) for one in listed]
    assert found == [
        ("one.geometry.json", "sidecar", False),
        ("two.mov", "", False),
        ("a", "posed-images", False),
        ("b", "posed-images", False),
        ("deep/five.geometry.json", "sidecar", False),
        ("deep/three.mp4", "", False),
        ("deep/deeper/other.geometry.json", "sidecar", False),
        ("deep/deeper/none", "", True),
        ("deep/linked", "posed-images", False),
    ]
    assert listed[1].num_bytes == len("two.mov")
    assert listed[1].place is None
    named = list_inputs([str(scans)], None, Captures("posed-images"))
    usable = [one.uri.removeprefix(f"{scans}/") for one in named if one.error is None]
    assert usable == ["a", "b", "deep/linked"]


def test_a_folder_is_not_a_folder_of_codes_for_what_lies_deep_in_it(scans: Path) -> None:
    columns = {"format": ["x"], "cameras": ["y"]}
    (scans / "out" / "codes").mkdir(parents=True)
    pq.write_table(pa.table(columns), scans / "out" / "codes" / "x.parquet")
    listed = list_inputs([str(scans)], None, Captures("auto"))
    found = {Path(one.uri).name: one.reader for one in listed}
    assert found == {"a": "posed-images", "b": "posed-images", "out": "codes"}


def test_captures_that_cannot_be_listed_are_errors(scans: Path, folder: Path) -> None:
    (folder / "empty").mkdir()
    for pattern, said in (
        (folder / "notes.txt", "expected a folder of captures"),
        (folder / "empty", "no reader recognises it; docs/recordings.md has the layouts$"),
        ("gs://bucket/scans", "only local paths and s3:// can be listed"),
    ):
        with pytest.raises(InputError, match=said):
            list_inputs([str(pattern)], None, Captures("auto"))
    with pytest.raises(InputError, match=r"tum expects rgb\.txt"):
        list_inputs([str(scans)], None, Captures("tum"))
    with pytest.raises(ConfigError, match=r"reader: expected one of: .*got 'toom'"):
        list_inputs([str(scans)], None, Captures("toom"))
