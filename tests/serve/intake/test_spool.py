"""Uploads on their way to disk: their labels, their files, and what dead processes leave behind."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.book.code_ids import MAX_NAME_CHARS
from serve.config import LimitConfig
from serve.intake.spool import Spool, label, spool_folder, sweep


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("room.mp4", "room.mp4"),
        ("/a/b/c.mp4", "c.mp4"),
        ("..\\x\\c.mp4", "c.mp4"),
        ("a/../..", "video"),
        ("", "video"),
        ("   ", "video"),
        ("///", "video"),
        ("a\x00b\r\nc\x1b[31m", "a_b__c_[31m"),
        ("\u202egnp.mp4", "_gnp.mp4"),
        ("küche.mp4", "küche.mp4"),
    ],
)
def test_labels(name: str, expected: str) -> None:
    assert label(name) == expected


@given(st.text(max_size=400))
def test_a_label_is_short_printable_and_no_path(name: str) -> None:
    shown = label(name)
    assert 0 < len(shown) <= MAX_NAME_CHARS
    assert shown.isprintable()
    assert "/" not in shown
    assert shown not in {".", ".."}


def test_files_are_private_and_their_names_nobodys(tmp_path: Path) -> None:
    limits = LimitConfig(spool_dir=str(tmp_path / "a" / "b"))

    async def write() -> Path:
        async with Spool(limits) as spool:
            await spool.write(b"abc")
            return (await spool.finish("../../evil")).path

    first, second = asyncio.run(write()), asyncio.run(write())
    assert first != second
    assert first.parent == second.parent == spool_folder(limits)
    assert "evil" not in first.name
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert first.read_bytes() == b"abc"


def test_an_unfinished_file_is_gone(tmp_path: Path) -> None:
    async def broken() -> None:
        async with Spool(LimitConfig(spool_dir=str(tmp_path))) as spool:
            await spool.write(bytes(2**21))
            assert spool.path.stat().st_size == 2**21
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(broken())
    assert list(tmp_path.iterdir()) == []


def test_what_dead_processes_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name, age_s in (
        ("upload-old.part", 7200), ("upload-new.part", 10), ("other.mp4", 7200),
    ):  # fmt: skip
        path = tmp_path / name
        path.touch()
        stamp = path.stat().st_mtime - age_s
        os.utime(path, (stamp, stamp))
    target = tmp_path / "target"
    target.write_bytes(b"x")
    (tmp_path / "upload-link.part").symlink_to(target)
    os.utime(tmp_path / "upload-link.part", (0, 0), follow_symlinks=False)
    assert sweep(tmp_path, 3600) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"upload-new.part", "other.mp4", "target"}
