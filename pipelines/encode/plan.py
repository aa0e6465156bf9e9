"""Plans a run: which listed inputs need computing, which are known, which share their content.

An input is done when a row with its id and its present work key is stored: a changed file or
encoder makes a new key and so new work. Failures that follow from the content are remembered in
the same way; `rows.TRANSIENT_CODES` are not. Content that another input has, or that was encoded
before under another name, is not encoded again: its row is copied.

The identity of a local file's content is the sha256 of its bytes, remembered by path, size and
mtime: planning a run over a million files that were seen before must not read them again. The
memory is one SQLite file; losing it costs reading time, never correctness. A file younger than two
seconds is hashed but not remembered: it could change once more within its clock tick. Captures are
known by names, sizes and times of their files (`CapturePlace.content_id`).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.encode.inputs import ListedVideo
from pipelines.stored import rows
from pipelines.stored.store import StoredRow
from spatialcode.errors import InputError, SpatialCodeError, VideoNotFoundError
from spatialcode.recordings.places import recorded_content
from spatialcode.video.decode import hash_file
from spatialcode.workkey import EncoderIdentity, work_key

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


@dataclass(frozen=True)
class Work:
    """One source with the key of its result; the key is empty where the content is unknown."""

    source: ListedVideo
    key: str

    @property
    def error(self) -> SpatialCodeError | None:
        return self.source.error

    def row(self) -> dict[str, object]:
        """The planned row, also the identity of every later row."""
        source = self.source
        place = source.place
        return {
            "input_id": source.input_id,
            "uri": source.uri,
            "work_key": self.key,
            "content_id": source.content_id,
            "num_bytes": source.num_bytes,
            "reader": source.reader,
            "capture_path": str(place.path) if place else "",
            "capture_part": place.part if place else "",
        }


@dataclass
class Plan:
    """What to do with each input; every input is in exactly one of the lists."""

    compute: list[Work] = field(default_factory=list)
    copy: list[Work] = field(default_factory=list)  # same content as another input
    unusable: list[Work] = field(default_factory=list)  # failed while listing
    done: list[StoredRow] = field(default_factory=list)
    failed_before: list[StoredRow] = field(default_factory=list)

    @property
    def num_inputs(self) -> int:
        return sum(
            len(part)
            for part in (self.compute, self.copy, self.unusable, self.done, self.failed_before)
        )


def identify(sources: Sequence[ListedVideo], cache: ContentCache) -> list[ListedVideo]:
    """The sources with content identities; a file that cannot be read gets an error instead."""
    unknown = [source for source in sources if not source.content_id and source.error is None]
    hashes = dict(cache.hashes([source.uri for source in unknown if source.is_video]))
    found = (_identified(source, hashes.get(source.uri)) for source in sources)
    return [_with_capture(source) for source in found]


def keyed(sources: Iterable[ListedVideo], encoder: EncoderIdentity) -> list[Work]:
    """Each source with its work key."""
    return [
        Work(source, work_key(source.content_id, encoder) if source.content_id else "")
        for source in sources
    ]


def make_plan(works: Sequence[Work], stored: Iterable[StoredRow], retry_failed: bool) -> Plan:
    """Compare the inputs with what is stored."""
    usable = [row for row in stored if _settles(row, retry_failed)]
    by_input = {(row.input_id, row.work_key): row for row in usable}
    known_keys = {row.work_key for row in usable}
    plan = Plan()
    for work in works:
        row = by_input.get((work.source.input_id, work.key))
        if work.error is not None:
            plan.unusable.append(work)
        elif row is not None:
            (plan.done if row.status == rows.OK else plan.failed_before).append(row)
        elif work.key in known_keys:
            plan.copy.append(work)
        else:
            known_keys.add(work.key)
            plan.compute.append(work)
    return plan


def _settles(row: StoredRow, retry_failed: bool) -> bool:
    """Whether a stored row means that its key need not be computed again."""
    if not row.work_key:
        return False
    if row.status == rows.OK:
        return True
    return not retry_failed and row.error_code not in rows.TRANSIENT_CODES


def _with_capture(source: ListedVideo) -> ListedVideo:
    """With what was recorded in its content's identity: alone, or behind the hash of its video."""
    if source.place is None or source.error is not None:
        return source
    video_sha256 = source.content_id if source.is_video else ""
    try:
        content = recorded_content(source.reader, source.place.content_id(), video_sha256)
    except OSError as error:
        return replace(source, error=InputError(f"{source.uri}: {error}"))
    return replace(source, content_id=content)


def _identified(source: ListedVideo, found: str | OSError | None) -> ListedVideo:
    if found is None:
        return source
    if isinstance(found, FileNotFoundError):
        return replace(source, error=VideoNotFoundError("not found", source.uri))
    if isinstance(found, OSError):
        return replace(source, error=InputError(f"{source.uri}: {found}"))
    return replace(source, content_id=found)
