"""Received bytes on their way to disk: counted, hashed, never whole in memory, deleted on failure.

The sender decides neither where the file is nor what it is called. What the bytes are is not
examined here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from serve.book.code_ids import MAX_NAME_CHARS
from serve.config import LimitConfig
from serve.http import problems

PREFIX, SUFFIX = "upload-", ".part"
FLUSH_BYTES = 2**20


@dataclass(frozen=True)
class StoredUpload:
    """A complete body on disk. Its owner must delete or move the file at ``path``.

    ``sha256``: of the bytes, in hex. ``name``: to be shown only; no path is ever made from it.
    """

    path: Path
    num_bytes: int
    sha256: str
    name: str

    def discard(self) -> None:
        """Delete the file if it still exists."""
        self.path.unlink(missing_ok=True)


def label(name: str) -> str:
    """The sender's name for a file as one short printable line without folders."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    clean = "".join(char if char.isprintable() else "_" for char in last).strip()
    return clean[:MAX_NAME_CHARS] if clean not in {"", ".", ".."} else "video"


def spool_folder(limits: LimitConfig) -> Path:
    """The folder of uploads; it is made if it does not exist."""
    folder = Path(limits.spool_dir or Path(tempfile.gettempdir()) / "spatialcode-uploads")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def sweep(folder: Path, older_than_s: float) -> int:
    """Delete the uploads that killed processes have left; returns their number."""
    num_deleted = 0
    oldest = time.time() - older_than_s
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mtime < oldest:
                path.unlink()
                num_deleted += 1
    return num_deleted


class Spool:
    """A file that is being written, as an async context: without `finish` it is deleted at the end.

    Keeps at most `FLUSH_BYTES` and one more piece in memory; hashing and writing are done in a
    thread. Raises the 413 problem beyond ``max_upload_bytes``, the 422 problem for no bytes at all,
    and the 507 problem if the disk is full.
    """

    def __init__(self, limits: LimitConfig) -> None:
        self.max_bytes = limits.max_upload_bytes
        self.num_bytes = 0
        self._min_free_bytes = limits.min_free_bytes
        self._folder = spool_folder(limits)
        self._pending = bytearray()
        self._sha256 = hashlib.sha256()
        self._lock = threading.Lock()
        self._kept = False

    async def __aenter__(self) -> Self:
        # the name is new and random, and only this user can read the file
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed in __aexit__)
            dir=self._folder, prefix=PREFIX, suffix=SUFFIX, delete=False, buffering=0
        )
        self.path = Path(self._file.name)
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._lock:  # a thread of a cancelled write may still be running
            self._file.close()
        if not self._kept:
            self.path.unlink(missing_ok=True)

    def check_declared(self, num_bytes: int | None) -> None:
        """Refuse at once a body that declares to be too large, for the limit or for the disk."""
        if num_bytes is None:
            return
        if num_bytes > self.max_bytes:
            raise problems.too_large("a video", self.max_bytes)
        self._check_room(num_bytes)

    async def write(self, piece: bytes) -> None:
        """Append a piece."""
        self.num_bytes += len(piece)
        if self.num_bytes > self.max_bytes:
            raise problems.too_large("a video", self.max_bytes)
        self._pending += piece
        if len(self._pending) >= FLUSH_BYTES:
            await self._flush()

    async def finish(self, name: str) -> StoredUpload:
        """Write the rest and keep the file. ``name``: the sender's name for it."""
        if not self.num_bytes:
            raise problems.invalid("the video has no bytes", "video_empty")
        await self._flush()
        self._kept = True
        return StoredUpload(self.path, self.num_bytes, self._sha256.hexdigest(), label(name))

    async def _flush(self) -> None:
        data, self._pending = self._pending, bytearray()
        if data:
            await asyncio.to_thread(self._append, data)

    def _append(self, data: bytearray) -> None:
        with self._lock:
            if self._file.closed:
                return
            self._check_room(len(data))
            self._sha256.update(data)
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                raise problems.storage_full() from None

    def _check_room(self, num_bytes: int) -> None:
        if shutil.disk_usage(self._folder).free < num_bytes + self._min_free_bytes:
            raise problems.storage_full()
