"""The files behind the jobs: uploaded videos, finished codes, renditions; a folder or S3.

    codes/{id}.json    videos/{id}.bin    renditions/{id}.{kind}

A file is there whole or not at all, whoever dies while writing it, and an id is checked before it
becomes part of a path. It does not know which jobs exist: `serve.book.database` does. A rendition
is kept as it was rendered: it does not know that a newer version would render differently.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec

from serve.book.code_ids import BadIdError, checked_id, checked_kind
from spatialcode.errors import ParseError, SpatialCodeError
from spatialcode.files import whole_file, write_bytes
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import from_json, to_json

__all__ = ["BadIdError", "CodeStore", "MissingFileError", "StoreError"]

_CHUNK_BYTES = 2**20
_LEFTOVER_AGE_S = 24 * 3600.0
MAX_PAGE = 1000


class StoreError(SpatialCodeError, OSError):
    """The store cannot be reached, read or written, or holds a damaged file; names which."""

    code = "store"


class MissingFileError(StoreError, FileNotFoundError):
    """The store has no such file."""

    code = "store_missing"


class CodeStore:
    """Files of one store; safe to use from many threads and processes, and to pickle.

    ``url``: a folder, ``file://…`` or ``s3://BUCKET/PREFIX``; a folder is made if need be and must
    be one that all processes see. ``s3_endpoint_url``: of an S3-compatible service; credentials
    come from the environment as for any AWS tool. Raises StoreError if it cannot be written.
    Every method raises StoreError if the store fails, and BadIdError for a malformed id.
    """

    def __init__(self, url: str, s3_endpoint_url: str | None = None) -> None:
        self.url = url
        self._is_s3 = url.startswith("s3://")
        options: dict[str, Any] = {}
        if self._is_s3:  # other processes write: no listing may be remembered
            options = {"endpoint_url": s3_endpoint_url, "use_listings_cache": False}
        elif "://" in url and not url.startswith("file://"):
            raise StoreError(f"{url}: expected a folder, file://… or s3://…")
        self._fs, root = fsspec.core.url_to_fs(url, **options)
        self._root = root.rstrip("/")
        if not self._root:
            raise StoreError(f"{url}: expected a folder or bucket of its own")
        with self._errors(self._root):
            if not self._is_s3:
                for folder in ("codes", "videos", "renditions"):
                    Path(self._root, folder).mkdir(parents=True, exist_ok=True)
                self._sweep()
            probe = f"{self._root}/.probe-{uuid.uuid4().hex}"
            self._put(probe, b"may I write here?")
            self._fs.rm_file(probe)

    def put_code(self, code_id: str, code: SpatialCode) -> None:
        """Keep the code; one of the same id is replaced."""
        path = self._code(code_id)
        with self._errors(path):
            self._put(path, to_json(code).encode())

    def get_code(self, code_id: str) -> SpatialCode | None:
        """The code, or None if there is none. StoreError if the file holds none."""
        path = self._code(code_id)
        data = self._get(path)
        if data is None:
            return None
        try:
            return from_json(data.decode())
        except (ParseError, UnicodeDecodeError) as error:
            raise StoreError(f"{path}: damaged: {error}") from error

    def list_codes(self, limit: int, after: str | None = None) -> tuple[list[str], str | None]:
        """Up to ``limit`` ids of kept codes, ascending, and what the next page comes after."""
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit: expected 1 to {MAX_PAGE}, got {limit!r}")
        after = "" if after is None else checked_id(after, "after")
        folder = f"{self._root}/codes"
        with self._errors(folder):
            names = (path.rpartition("/")[2] for path in self._fs.find(folder, maxdepth=1))
            ids = sorted(n.removesuffix(".json") for n in names if not n.startswith("."))
        ids = [code_id for code_id in ids if code_id > after]
        return ids[:limit], ids[limit - 1] if len(ids) > limit else None

    def put_video(self, code_id: str, path: Path) -> None:
        """Keep a copy of the file, which must not change afterwards: the copy may share its bytes.

        MissingFileError if there is no such file.
        """
        target = self._video(code_id)
        with self._errors(str(path)):
            source = path.resolve(strict=True)
        with self._errors(target):
            if self._is_s3:
                self._fs.put_file(str(source), target)
            else:
                with whole_file(target, durable=True) as partial:
                    _link_or_copy(source, partial)

    def video_size(self, code_id: str) -> int | None:
        """Bytes of the kept video, or None if there is none."""
        path = self._video(code_id)
        with self._errors(path):
            try:
                return int(self._fs.info(path)["size"])
            except FileNotFoundError:
                return None

    def open_video(self, code_id: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The video's bytes from ``start`` to before ``stop`` (None: its end), in pieces.

        Nothing beyond the end. MissingFileError at the call, not at the first piece, if there is
        none, and between pieces if it is deleted; ValueError unless 0 <= start <= stop.
        """
        if start < 0 or (stop is not None and stop < start):
            raise ValueError(f"start, stop: expected 0 <= start <= stop, got {start}, {stop}")
        size = self.video_size(code_id)
        path = self._video(code_id)
        if size is None:
            raise MissingFileError(f"{path}: no such file")
        stop = size if stop is None else min(stop, size)
        return self._pieces(path, start, stop)

    @contextmanager
    def local_video(self, code_id: str) -> Iterator[Path]:
        """The video as a local file for as long as the block runs; not to be changed.

        MissingFileError if there is none.
        """
        path = self._video(code_id)
        if not self._is_s3:
            if not Path(path).is_file():
                raise MissingFileError(f"{path}: no such file")
            yield Path(path)
            return
        with tempfile.TemporaryDirectory(prefix="spatialcode-") as folder:
            local = Path(folder) / "video.bin"
            with self._errors(path):
                self._fs.get_file(path, str(local))
            yield local

    def delete_video(self, code_id: str) -> bool:
        """Remove the video only. False: there was none."""
        return self._remove(self._video(code_id))

    def put_rendition(self, code_id: str, kind: str, data: bytes) -> None:
        """Keep the code in another form; ``kind`` ends the file's name, as "mp4"."""
        path = self._rendition(code_id, kind)
        with self._errors(path):
            self._put(path, data)

    def get_rendition(self, code_id: str, kind: str) -> bytes | None:
        """What was kept, or None."""
        return self._get(self._rendition(code_id, kind))

    def delete(self, code_id: str) -> bool:
        """Remove everything of that id. False: there was nothing. Interrupted: call it again."""
        prefix = f"{checked_id(code_id)}."
        folder = f"{self._root}/renditions"
        with self._errors(folder):
            if self._is_s3:
                paths = self._fs.find(folder, prefix=prefix)
            else:
                paths = [str(path) for path in Path(folder).glob(f"{prefix}*")]
        removed = [self._remove(path) for path in paths]
        removed += [self._remove(self._video(code_id)), self._remove(self._code(code_id))]
        return any(removed)

    def _code(self, code_id: str) -> str:
        return f"{self._root}/codes/{checked_id(code_id)}.json"

    def _video(self, code_id: str) -> str:
        return f"{self._root}/videos/{checked_id(code_id)}.bin"

    def _rendition(self, code_id: str, kind: str) -> str:
        return f"{self._root}/renditions/{checked_id(code_id)}.{checked_kind(kind)}"

    def _put(self, path: str, data: bytes) -> None:
        if self._is_s3:  # an S3 object appears whole when its upload ends
            self._fs.pipe_file(path, data)
            return
        write_bytes(path, data, durable=True)

    def _get(self, path: str) -> bytes | None:
        with self._errors(path):
            try:
                return bytes(self._fs.cat_file(path))
            except FileNotFoundError:
                return None

    def _remove(self, path: str) -> bool:
        with self._errors(path):
            if not self._fs.exists(path):  # S3 removes what is not there without a word
                return False
            with suppress(FileNotFoundError):
                self._fs.rm_file(path)
            return True

    def _pieces(self, path: str, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            end = min(start + _CHUNK_BYTES, stop)
            with self._errors(path):
                piece = bytes(self._fs.cat_file(path, start=start, end=end))
            if len(piece) != end - start:
                raise StoreError(f"{path}: expected {end - start} bytes, got {len(piece)}")
            yield piece
            start = end

    def _sweep(self) -> None:
        """Remove what writers that died left behind; younger ones may still be writing."""
        for leftover in Path(self._root).glob("*/.*.partial"):
            with suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > _LEFTOVER_AGE_S:
                    leftover.unlink()

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except FileNotFoundError as error:
            raise MissingFileError(f"{path}: no such file or folder") from error
        except Exception as error:  # besides OSError, any of the S3 client's many families
            raise StoreError(f"{path}: {' '.join(str(error).split())}") from error


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # nothing to copy on the same disk
    except OSError:
        shutil.copyfile(source, target)
