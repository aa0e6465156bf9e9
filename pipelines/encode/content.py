"""Content identity of local files: sha256 of the bytes, remembered by path, size and mtime.

Planning a run over a million files that were seen before must not read them again. The memory is
one SQLite file; losing it costs reading time, never correctness. A file younger than two seconds
is hashed but not remembered: it could change once more within its clock tick.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spatialcode.video.probe import hash_file

_MIN_AGE_S = 2.0
_NUM_THREADS = 4  # hashing releases the interpreter's lock; more threads only fight for the disk


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/spatialcode``, or ``~/.cache/spatialcode``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "spatialcode"


class ContentCache:
    """Remembers sha256 by (path, size, mtime, inode). Not for several processes at one time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "content.sqlite", timeout=60, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS content (path TEXT PRIMARY KEY, size INTEGER,"
            " mtime_ns INTEGER, inode INTEGER, sha256 TEXT)"
        )

    def close(self) -> None:
        self._db.close()

    def hashes(self, paths: Sequence[str]) -> Iterator[tuple[str, str | OSError]]:
        """Path and its sha256, or the error met in reading it, in the order given."""
        with ThreadPoolExecutor(_NUM_THREADS) as pool, contextlib.closing(self._db.cursor()):
            self._db.execute("BEGIN")
            try:
                known = (self._recall(path) for path in paths)
                for path, (stat, result) in zip(paths, pool.map(_resolve, known), strict=True):
                    self._remember(path, stat, result)
                    yield path, result
            finally:
                self._db.execute("COMMIT")

    def _recall(self, path: str) -> tuple[str, str | None]:
        try:
            stat = Path(path).stat()
        except OSError:
            return path, None
        row = self._db.execute(
            "SELECT sha256 FROM content WHERE path=? AND size=? AND mtime_ns=? AND inode=?",
            (path, stat.st_size, stat.st_mtime_ns, stat.st_ino),
        ).fetchone()
        return path, row[0] if row else None

    def _remember(self, path: str, stat: os.stat_result | None, result: str | OSError) -> None:
        if stat is None or isinstance(result, OSError):
            return
        if time.time() - stat.st_mtime < _MIN_AGE_S:
            return
        self._db.execute(
            "INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?, ?)",
            (path, stat.st_size, stat.st_mtime_ns, stat.st_ino, result),
        )


def _resolve(recalled: tuple[str, str | None]) -> tuple[os.stat_result | None, str | OSError]:
    """State and hash of a file; no state where nothing new was learned."""
    path, known = recalled
    if known is not None:
        return None, known
    try:
        before = Path(path).stat()
        return before, hash_file(path)
    except OSError as error:
        return None, error
