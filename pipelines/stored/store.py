"""The output folder: Parquet files of result rows, written whole or not at all.

Works on a local (or shared) folder and on ``s3://``. Files are never appended to: a row is
replaced by a newer row in another file, and `compact` drops what was replaced. One driver at a
time may use a folder (locked where it is local). It does not know how rows come about.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spatialcode.errors import InputError
from spatialcode.files import locked_folder, remove_partial_files, write_bytes

_KEY_COLUMNS = ["input_id", "work_key", "status", "error_code", "finished_s"]
_NUM_READERS = 8  # listing many files is waiting, above all on S3


def s3_filesystem(endpoint_url: str | None) -> Any:
    """An s3fs file system, one a process; credentials come from the environment as for any AWS
    tool.
    """
    import s3fs

    return s3fs.S3FileSystem(endpoint_url=endpoint_url, use_listings_cache=False)


@dataclass(frozen=True, order=True)
class StoredRow:
    """Where a result lies; ordered by how much it is worth keeping among an input's rows."""

    has_content: bool
    finished_s: float
    file: str
    position: int
    input_id: str
    work_key: str
    status: str
    error_code: str | None


class ResultStore:
    """``OUTPUT/codes/*.parquet`` and ``OUTPUT/report.json``. Picklable: workers write with it."""

    def __init__(self, output: str, s3_endpoint_url: str | None = None) -> None:
        self.is_s3 = output.startswith("s3://")
        self._endpoint_url = s3_endpoint_url
        self.root = output.rstrip("/") if self.is_s3 else str(Path(output).absolute())
        self.codes = f"{self.root}/codes"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other drivers out of a local folder; InputError if one is in it."""
        if self.is_s3:
            yield
            return
        with locked_folder(self.root):
            Path(self.codes).mkdir(exist_ok=True)
            remove_partial_files(self.codes)
            yield

    def write(self, table: pa.Table) -> str:
        """Write rows to a file named after them: the same rows again replace it. Its name."""
        ids = sorted(zip(*(table[name].to_pylist() for name in _KEY_COLUMNS[:2]), strict=True))
        digest = hashlib.sha256(json.dumps(ids).encode()).hexdigest()
        name = f"part-{digest[:24]}.parquet"
        self._put(f"{self.codes}/{name}", _parquet_bytes(table))
        return name

    def write_report(self, report: dict[str, Any]) -> str:
        """Write ``report.json``; returns its path."""
        path = f"{self.root}/report.json"
        self._put(path, (json.dumps(report, indent=2) + "\n").encode())
        return path

    def rows(self) -> list[StoredRow]:
        """Keys of all rows in all files. Raises InputError for a file that is no result file."""
        with ThreadPoolExecutor(_NUM_READERS) as pool:
            parts = pool.map(self._keys, self._files())
            return [row for part in parts for row in part]

    def read(self, wanted: Iterable[StoredRow]) -> Iterator[dict[str, Any]]:
        """The full rows, each file opened once, in no particular order."""
        for file, positions in _by_file(wanted).items():
            yield from self._load(file).take(sorted(positions)).to_pylist()

    def compact(self) -> int:
        """Leave one row an input, the newest of those with content; returns how many went.

        Killed in between it leaves either the old or the new form of a file, and its next run
        finishes.
        """
        best: dict[str, StoredRow] = {}
        stored = self.rows()
        for row in stored:
            best[row.input_id] = max(row, best.get(row.input_id, row))
        replaced = [row for row in stored if best[row.input_id] != row]
        for file, positions in _by_file(replaced).items():
            table = self._load(file)
            kept = [i for i in range(table.num_rows) if i not in positions]
            if kept:
                self._put(f"{self.codes}/{file}", _parquet_bytes(table.take(kept)))
            else:
                self._remove(f"{self.codes}/{file}")
        return len(replaced)

    def _keys(self, file: str) -> list[StoredRow]:
        table = self._load(file, _KEY_COLUMNS)
        columns = [table[name].to_pylist() for name in _KEY_COLUMNS]
        return [
            StoredRow(bool(work_key), finished_s, file, i, input_id, work_key, status, code)
            for i, (input_id, work_key, status, code, finished_s) in enumerate(
                zip(*columns, strict=True)
            )
        ]

    def _load(self, file: str, columns: list[str] | None = None) -> pa.Table:
        path = f"{self.codes}/{file}"
        try:
            with self._s3().open(path, "rb") if self.is_s3 else Path(path).open("rb") as stream:
                return pq.read_table(stream, columns=columns)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path}: is not a result file of this job: {error}") from error

    def _files(self) -> list[str]:
        if self.is_s3:
            found = self._s3().find(self.codes)
            return sorted(n.rpartition("/")[2] for n in found if n.endswith(".parquet"))
        return sorted(path.name for path in Path(self.codes).glob("[!.]*.parquet"))

    def _put(self, path: str, data: bytes) -> None:
        if self.is_s3:  # an S3 object appears whole when its upload ends
            self._s3().pipe_file(path, data)
            return
        write_bytes(path, data, durable=True)

    def _remove(self, path: str) -> None:
        remove: Callable[[str], None] = self._s3().rm_file if self.is_s3 else os.remove
        remove(path)

    def _s3(self) -> Any:
        return s3_filesystem(self._endpoint_url)


def _by_file(stored: Iterable[StoredRow]) -> dict[str, set[int]]:
    files: dict[str, set[int]] = {}
    for row in stored:
        files.setdefault(row.file, set()).add(row.position)
    return files


def _parquet_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
