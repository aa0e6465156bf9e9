from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spatialcode
from pipelines.encode import plan
from pipelines.encode.inputs import ListedVideo
from pipelines.encode.plan import ContentCache, Work, identify, keyed, make_plan
from pipelines.stored.store import StoredRow
from spatialcode.errors import VideoNotFoundError
from spatialcode.workkey import EncoderIdentity, config_sha256, work_key

ENCODER = EncoderIdentity("small", "w" * 64, "c" * 64)


def work(name: str, key: str) -> Work:
    return Work(ListedVideo(name, name, content_id=key), key)


def stored(name: str, key: str, status: str = "ok", code: str | None = None) -> StoredRow:
    return StoredRow(bool(key), 1.0, "part-0.parquet", 0, name, key, status, code)


def test_the_key_depends_on_each_part_and_on_nothing_else() -> None:
    keys = {
        work_key("x", ENCODER),
        work_key("y", ENCODER),
        work_key("x", EncoderIdentity("large", "w" * 64, "c" * 64)),
        work_key("x", EncoderIdentity("small", "v" * 64, "c" * 64)),
        work_key("x", EncoderIdentity("small", "w" * 64, "d" * 64)),
    }
    assert len(keys) == 5
    assert (
        work_key("x", ENCODER)
        == hashlib.sha256(b"x\nsmall\n" + b"w" * 64 + b"\n" + b"c" * 64).hexdigest()
    )
    assert work_key("ab", EncoderIdentity("c", "", "")) != work_key(
        "a", EncoderIdentity("bc", "", "")
    )
    assert config_sha256({"a": 1, "b": 2.0}) == config_sha256({"b": 2.0, "a": 1})
    with pytest.raises(ValueError, match="single lines"):
        work_key("a\nb", ENCODER)


def test_every_input_lands_in_exactly_one_list() -> None:
    works = [
        work("new", "k1"),
        work("done", "k2"),
        work("changed", "k3"),
        work("failed", "k4"),
        work("unlucky", "k5"),
        work("twin of new", "k1"),
        work("twin of done", "k2"),
        Work(ListedVideo("gone", "gone", error=VideoNotFoundError("gone")), ""),
    ]
    before = [
        stored("done", "k2"),
        stored("changed", "old"),
        stored("failed", "k4", "failed", "video_corrupt"),
        stored("unlucky", "k5", "failed", "worker_lost"),
        stored("gone", "", "failed", "video_not_found"),
    ]
    plan = make_plan(works, before, retry_failed=False)

    def names(part: list[Work]) -> list[str]:
        return [entry.source.input_id for entry in part]

    assert names(plan.compute) == ["new", "changed", "unlucky"]
    assert names(plan.copy) == ["twin of new", "twin of done"]
    assert names(plan.unusable) == ["gone"]
    assert [row.input_id for row in plan.done] == ["done"]
    assert [row.input_id for row in plan.failed_before] == ["failed"]
    assert plan.num_inputs == len(works)

    again = make_plan(works, before, retry_failed=True)
    assert names(again.compute) == ["new", "changed", "failed", "unlucky"]
    assert not again.failed_before


def age(path: Path, seconds: float) -> None:
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def test_hashes_are_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"one")
    age(video, 10)
    read: list[str] = []
    real = plan.hash_file

    def counting(path: str) -> str:
        read.append(path)
        return real(path)

    monkeypatch.setattr(plan, "hash_file", counting)
    for expected_reads, expected in ((1, b"one"), (1, b"one"), (2, b"two")):
        cache = ContentCache(tmp_path / "cache")
        if expected == b"two":
            video.write_bytes(b"two")  # same size, another time
        assert dict(cache.hashes([str(video)])) == {
            str(video): hashlib.sha256(expected).hexdigest()
        }
        cache.close()
        assert len(read) == expected_reads


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    cache = ContentCache(tmp_path / "cache")
    for data in (b"one", b"two"):
        video.write_bytes(data)
        stat = video.stat()
        os.utime(video, ns=(stat.st_atime_ns, 1_000_000_000 * (stat.st_mtime_ns // 10**9)))
        assert dict(cache.hashes([str(video)]))[str(video)] == hashlib.sha256(data).hexdigest()
    cache.close()


def test_unreadable_files_become_errors_of_their_source(tmp_path: Path) -> None:
    good = tmp_path / "a.mp4"
    good.write_bytes(b"one")
    sources = [
        ListedVideo("1", str(good)),
        ListedVideo("2", str(tmp_path / "gone.mp4")),
        ListedVideo("3", str(tmp_path)),
        ListedVideo("4", "s3://bucket/b.mp4", content_id="s3:e:1"),
    ]
    cache = ContentCache(tmp_path / "cache")
    found = identify(sources, cache)
    cache.close()
    assert [source.error.code if source.error else "" for source in found] == [
        "",
        "video_not_found",
        "input",
        "",
    ]
    works = keyed(found, ENCODER)
    assert [bool(entry.key) for entry in works] == [True, False, False, True]
    assert works[3].key == work_key("s3:e:1", ENCODER)


def test_a_run_is_planned_without_a_network(tmp_path: Path) -> None:
    """The driver knows the bundled encoder by its card: it needs neither torch nor a model."""
    assets = Path(spatialcode.__file__).parent / "assets"
    settings = [f"input={assets / 'sample_room.mp4'}", f"output={tmp_path}/out"]
    program = f"""
import sys
from pipelines.encode.config import EncodeConfig
from pipelines.encode.graph import plan_run
from pipelines.stored.store import CodeStore
from spatialcode.config import load_config

config = load_config(EncodeConfig, None, {[*settings, f"cache_dir={tmp_path}/cache"]!r})
(work,) = plan_run(config, CodeStore(config.output), config.encoder.make()).compute
assert len(work.key) == 64, work
assert "torch" not in sys.modules, "torch was imported"
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
