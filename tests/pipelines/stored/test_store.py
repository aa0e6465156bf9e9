from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.stored import rows
from pipelines.stored.store import ResultStore
from spatialcode.errors import InputError, VideoNotFoundError


def row(input_id: str, key: str, finished_s: float, **changes: Any) -> dict[str, Any]:
    base = {"input_id": input_id, "uri": input_id, "work_key": key, "content_id": key}
    outcome = {"status": rows.OK, "attempts": 1, "num_frames": 1, "decode_s": 0.0}
    return rows.result_row({**base, **outcome, **changes}, finished_s=finished_s)


def write(store: ResultStore, *written: dict[str, Any]) -> str:
    return store.write(rows.table(written, rows.RESULT))


def kept(store: ResultStore) -> dict[str, str]:
    stored = store.rows()
    assert len({entry.input_id for entry in stored}) == len(stored)
    return {entry.input_id: entry.work_key for entry in stored}


def test_the_same_rows_again_replace_their_file(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    first = write(store, row("a", "k1", 1.0), row("b", "k2", 1.0))
    assert write(store, row("b", "k2", 2.0), row("a", "k1", 2.0)) == first
    assert write(store, row("a", "k1", 1.0)) != first
    files = sorted(path.name for path in (tmp_path / "codes").iterdir())
    assert len(files) == 2


def test_compacting_leaves_the_newest_row_of_each_input(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    write(store, row("a", "old", 1.0), row("b", "k2", 1.0))
    write(store, row("a", "new", 2.0))
    write(store, row("c", "k3", 1.0))
    write(store, row("c", "k3", 1.5), row("d", "k4", 1.0))
    assert store.compact() == 2
    assert kept(store) == {"a": "new", "b": "k2", "c": "k3", "d": "k4"}
    assert store.compact() == 0
    assert len(list((tmp_path / "codes").glob("*.parquet"))) == 3  # the emptied file is gone


def test_a_video_that_cannot_be_read_now_keeps_its_code(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    write(store, row("a", "k1", 1.0))
    write(store, row("a", "", 2.0, **rows.failure(VideoNotFoundError("gone"), "list")))
    store.compact()
    assert kept(store) == {"a": "k1"}


def test_reading_gives_whole_rows(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    write(store, row("a", "k1", 1.0), row("b", "k2", 1.0, warnings=["dark"]))
    wanted = [entry for entry in store.rows() if entry.input_id == "b"]
    assert [found["warnings"] for found in store.read(wanted)] == [["dark"]]


def test_unfinished_files_are_neither_read_nor_kept(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    name = write(store, row("a", "k1", 1.0))
    partial = tmp_path / "codes" / f".{name}.77.partial"
    partial.write_bytes((tmp_path / "codes" / name).read_bytes()[:100])
    shutil.copy(partial, tmp_path / "codes" / ".hidden.parquet")
    assert kept(store) == {"a": "k1"}
    with store.lock():
        assert not partial.exists()


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    first, second = ResultStore(str(tmp_path)), ResultStore(str(tmp_path))
    with first.lock(), pytest.raises(InputError, match="another run"), second.lock():
        pass
    with second.lock():
        pass


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path))
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"x\.parquet"):
        store.rows()
    pq.write_table(rows.table([], rows.PLANNED), tmp_path / "codes" / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet"):
        store.rows()


def test_a_missing_folder_is_an_empty_store(tmp_path: Path) -> None:
    assert ResultStore(str(tmp_path / "new")).rows() == []
