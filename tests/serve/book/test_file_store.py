from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.book.code_ids import MAX_NAME_CHARS, BadIdError, checked_name, display_name
from serve.book.file_store import FileStore, MissingFileError, StoreError
from tests.scene.builders import chair, code

ROOT = Path(__file__).parents[3]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture
def bucket(s3_endpoint: str, aws: None) -> Iterator[Any]:
    import s3fs

    fs = s3fs.S3FileSystem(endpoint_url=s3_endpoint, use_listings_cache=False)
    fs.mkdir("codes-test")
    yield fs
    fs.rm("codes-test", recursive=True)


@pytest.fixture(params=["folder", "file://", "s3://"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "s3://":
        request.getfixturevalue("bucket")
        return FileStore("s3://codes-test/a/b", request.getfixturevalue("s3_endpoint"))
    prefix = "" if request.param == "folder" else request.param
    return FileStore(f"{prefix}{tmp_path}/a [1]*?/b")  # no pattern, just a name


def key(i: int) -> str:
    return f"{i:064x}"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_codes(store: FileStore) -> None:
    assert store.get_code(key(1)) is None
    first, second = code(), code(objects=(chair(score=0.5),))
    store.put_code(key(1), first)
    assert store.get_code(key(1)) == first
    store.put_code(key(1), second)
    assert store.get_code(key(1)) == second != first
    assert store.get_code(key(2)) is None


def test_videos(store: FileStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # 1 280 000: more than one piece
    upload = tmp_path / "upload"
    upload.write_bytes(data)
    assert store.video_size(key(1)) is None
    store.put_video(key(1), upload)
    store.put_video(key(1), upload)  # the same again
    upload.unlink()
    assert store.video_size(key(1)) == 1_280_000
    assert b"".join(store.open_video(key(1))) == data
    assert b"".join(store.open_video(key(1), 1_000_000, 1_100_000)) == data[1_000_000:1_100_000]
    assert b"".join(store.open_video(key(1), 1_279_998, 9_999_999)) == b"\xfe\xff"
    assert b"".join(store.open_video(key(1), 7, 7)) == b""
    assert b"".join(store.open_video(key(1), 1_280_001)) == b""
    assert max(map(len, store.open_video(key(1)))) == 2**20
    for start, stop in ((-1, 5), (5, 4), (-5, None)):
        with pytest.raises(ValueError, match="start, stop: expected 0 <= start <= stop"):
            store.open_video(key(1), start, stop)
    with store.local_video(key(1)) as path:
        assert path.read_bytes() == data
    assert store.delete_video(key(1))
    assert not store.delete_video(key(1))


def test_a_video_that_is_not_there_is_told_at_once(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=rf"videos/{key(1)}\.bin: no such file"):
        store.open_video(key(1))
    with pytest.raises(FileNotFoundError), store.local_video(key(1)):
        pytest.fail("there is nothing to work on")
    with pytest.raises(MissingFileError, match="gone: no such file"):
        store.put_video(key(1), tmp_path / "gone")
    assert store.video_size(key(1)) is None


def test_a_local_copy_lives_as_long_as_its_block(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"abc")
    store.put_video(key(1), tmp_path / "upload")
    with suppress(ZeroDivisionError), store.local_video(key(1)) as path:
        assert path.read_bytes() == b"abc"
        raise ZeroDivisionError  # a fault of the worker's own stays what it is
    assert path.exists() == (not store.url.startswith("s3://"))
    assert store.video_size(key(1)) == 3


def test_renditions(store: FileStore) -> None:
    for kind in ("mp4", "scene.py"):
        assert store.get_rendition(key(1), kind) is None
        store.put_rendition(key(1), kind, kind.encode())
        assert store.get_rendition(key(1), kind) == kind.encode()
    store.put_rendition(key(1), "mp4", b"")
    assert store.get_rendition(key(1), "mp4") == b""


def test_deleting_removes_all_of_one_id_and_nothing_else(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"abc")
    for i in (1, 2):
        store.put_code(key(i), code())
        store.put_video(key(i), tmp_path / "upload")
        store.put_rendition(key(i), "glb", b"glb")
        store.put_rendition(key(i), "scene.py", b"py")
    assert store.delete(key(1))
    assert not store.delete(key(1))
    assert store.get_code(key(1)) is None
    assert store.video_size(key(1)) is None
    assert store.get_rendition(key(1), "scene.py") is None
    assert store.get_code(key(2)) == code()
    assert store.video_size(key(2)) == 3
    assert store.get_rendition(key(2), "glb") == b"glb"
    store.put_rendition(key(1), "mp4", b"mp4")  # of a code that is gone
    assert store.delete(key(1))


def test_a_store_travels_to_other_processes(store: FileStore) -> None:
    store.put_code(key(1), code())
    assert pickle.loads(pickle.dumps(store)).get_code(key(1)) == code()


def test_a_video_is_no_copy_where_it_need_not_be(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "store"))
    (tmp_path / "upload").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "upload")
    store.put_video(key(1), tmp_path / "link")
    with store.local_video(key(1)) as path:
        assert not path.is_symlink()
        assert path.samefile(tmp_path / "upload")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second disk")
def test_a_video_comes_from_another_disk(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        upload = Path(folder, "upload")
        upload.write_bytes(b"abc")
        assert upload.stat().st_dev != tmp_path.stat().st_dev
        store = FileStore(str(tmp_path))
        store.put_video(key(1), upload)
    assert b"".join(store.open_video(key(1))) == b"abc"
    assert files(tmp_path) == [f"videos/{key(1)}.bin"]


DYING_WRITER = """
import os, signal, sys
from pathlib import Path
from serve.book.file_store import FileStore
from tests.scene.builders import code
store = FileStore(sys.argv[1])
def die(*arguments): os.kill(os.getpid(), signal.SIGKILL)
owner, name = {"fsync": (os, "fsync"), "replace": (Path, "replace")}[sys.argv[2]]
setattr(owner, name, die)
store.put_code(sys.argv[3], code(objects=()))
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_writer_killed_before_the_end_leaves_nothing_in_sight(
    tmp_path: Path, moment: str
) -> None:
    store = FileStore(str(tmp_path))
    store.put_code(key(2), code())
    for i in (1, 2):
        command = [sys.executable, "-c", DYING_WRITER, str(tmp_path), moment, key(i)]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    assert store.get_code(key(1)) is None
    assert store.get_code(key(2)) == code()
    assert [path.name for path in tmp_path.glob("codes/[!.]*")] == [f"{key(2)}.json"]
    leftovers = list(tmp_path.glob("codes/.*.partial"))
    assert len(leftovers) == 2
    day_ago_s = time.time() - 25 * 3600
    os.utime(leftovers[0], (day_ago_s, day_ago_s))
    FileStore(str(tmp_path))  # a young one may be somebody's who still writes
    assert list(tmp_path.glob("codes/.*.partial")) == leftovers[1:]
    store.put_code(key(1), code())
    assert store.get_code(key(1)) == code()


def test_readers_see_the_old_or_the_new(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.put_rendition(key(1), "mp4", b"a" * 300_000)
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.add(store.get_rendition(key(1), "mp4"))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(30):
        store.put_rendition(key(1), "mp4", (b"a", b"b")[i % 2] * 300_000)
    done.set()
    reader.join()
    assert seen
    assert seen <= {b"a" * 300_000, b"b" * 300_000}
    assert files(tmp_path) == [f"renditions/{key(1)}.mp4"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "store"))
    (tmp_path / "store/codes" / f"{key(1)}.json").mkdir()
    with pytest.raises(StoreError, match=rf"codes/{key(1)}\.json: .*Is a directory"):
        store.put_code(key(1), code())
    with pytest.raises(StoreError, match=rf"codes/{key(1)}\.json: .*Is a directory"):
        store.get_code(key(1))
    assert files(tmp_path) == []


def test_a_damaged_code_is_named(store: FileStore) -> None:
    store.put_code(key(1), code())
    path = f"{store._root}/codes/{key(1)}.json"
    for damaged in (b"", b'{"format": "spatialcode/1"', b"\xff\xfe", b"[]"):
        store._fs.pipe_file(path, damaged)
        with pytest.raises(StoreError, match=rf"{key(1)}\.json: damaged: "):
            store.get_code(key(1))


@pytest.mark.parametrize(
    "bad", ["", "..", "../../etc/passwd", "a" * 63 + "/", "A" * 64, key(1) + "\n", "*" * 64]
)
def test_ids_and_kinds_cannot_leave_the_store(tmp_path: Path, bad: str) -> None:
    store = FileStore(str(tmp_path / "store"))
    (tmp_path / "upload").write_bytes(b"abc")
    for call in (
        lambda: store.put_code(bad, code()),
        lambda: store.get_code(bad),
        lambda: store.put_video(bad, tmp_path / "upload"),
        lambda: store.open_video(bad),
        lambda: store.video_size(bad),
        lambda: store.local_video(bad).__enter__(),
        lambda: store.delete_video(bad),
        lambda: store.put_rendition(bad, "mp4", b""),
        lambda: store.get_rendition(bad, "mp4"),
        lambda: store.delete(bad),
    ):
        with pytest.raises(BadIdError, match="expected 64 lower-case hexadecimal digits"):
            call()
    for kind in (bad, "mp4/../../x", ".mp4", "mp4.", "a.b.c", "MP4", "x" * 17):
        with pytest.raises(BadIdError, match="kind: expected letters and digits"):
            store.put_rendition(key(1), kind, b"")
    assert files(tmp_path) == ["upload"]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("ftp://host/x", "ftp://host/x: expected a folder, file://… or s3://…"),
        ("memory://x", "memory://x: expected a folder"),
        ("/", "/: expected a folder or bucket of its own"),
        ("s3://", "s3://: expected a folder or bucket of its own"),
        ("/proc/nowhere", "/proc/nowhere: "),
        ("/etc/passwd/store", "/etc/passwd/store: .*Not a directory"),
    ],
)
def test_a_store_that_cannot_be_is_named(url: str, named: str) -> None:
    with pytest.raises(StoreError, match=named):
        FileStore(url)


def test_a_bucket_that_cannot_be_is_named(bucket: Any, s3_endpoint: str) -> None:
    with pytest.raises(StoreError, match="no-such-bucket/x: "):
        FileStore("s3://no-such-bucket/x", s3_endpoint)


def test_an_s3_service_that_is_away_is_named(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError, match="codes-test/x: "):
        FileStore("s3://codes-test/x", "http://127.0.0.1:1")


@given(st.text(max_size=300))
def test_a_display_name_is_one_line_without_folders(raw: str) -> None:
    name = display_name(raw)
    assert checked_name(name) == name
    assert len(name) <= MAX_NAME_CHARS
    assert not set(name) & set("/\\\0\n\r\t\u202e")
    assert name not in (".", "..")


def test_display_names() -> None:
    assert display_name("bedroom.mp4") == "bedroom.mp4"
    assert display_name("../../etc/passwd") == "passwd"
    assert display_name("C:\\videos\\bed room.mp4") == "bed room.mp4"
    assert display_name("a/..") == ""
    assert display_name("Küche\n\0\u202egpj.mp4\ud800") == "Küchegpj.mp4"
    assert display_name("x" * 250) == "x" * 200
