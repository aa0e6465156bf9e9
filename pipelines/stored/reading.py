"""Spatial codes as they lie in a folder: listed by name, then read a few at a time.

Takes the output of the encode job (a code is one column), that of the synthesize job and plain
tables of codes (a column a part of it), and files of JSON. What cannot be read is a listed code
with an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.stored import rows
from spatialcode.errors import InputError, ParseError, SpatialCodeError
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import ARROW_SCHEMA, from_row
from spatialcode.scene.text import from_json

_KEYS = ("input_id", "uri", "work_key", "status", "error_code", "error")
#: Files of JSON that lie beside codes and are none.
_NO_CODES = frozenset({"report.json"})

CodeOrError = SpatialCode | Exception


@dataclass(frozen=True)
class StoredCode:
    """Where one code lies.

    ``scene``: its name, unique in a listing: the work key, else the input's id, else file and row.
    ``row``: in a Parquet file, else -1. ``error``, ``error_code``: why there is no code.
    """

    scene: str
    uri: str
    file: str
    row: int = -1
    error_code: str | None = None
    error: str | None = None


def list_codes(folder: str | Path) -> tuple[list[StoredCode], int]:
    """All codes of a folder, or of one Parquet file, by name, and how many rows were left out
    because another row has the same code under another input's name. InputError for none at all.
    """
    path = Path(folder)
    if not path.exists():
        raise InputError(f"codes: {path} does not exist")
    path = path / "codes" if (path / "codes").is_dir() else path
    tables = [path] if path.is_file() else sorted(path.glob("[!.]*.parquet"))
    files = [] if path.is_file() else sorted(path.glob("[!.]*.json"))
    listed = [code for table in tables for code in _listed(table)]
    listed += [StoredCode(f.stem, f.name, str(f)) for f in files if f.name not in _NO_CODES]
    if not listed:
        raise InputError(f"codes: {path} holds no code, neither as *.parquet nor as *.json")
    best: dict[str, StoredCode] = {}
    for code in listed:
        known = best.get(code.scene)
        if known is None or (known.error is not None and code.error is None):
            best[code.scene] = code
    return sorted(best.values(), key=lambda code: code.scene), len(listed) - len(best)


def _listed(file: Path) -> Iterator[StoredCode]:
    """The rows of a Parquet file; a file that is none is one code with an error."""
    whole = StoredCode(file.stem, file.name, str(file))
    try:
        stored = pq.ParquetFile(file)
        names = stored.schema_arrow.names
        if not _code_columns(names):
            yield _failed(whole, ParseError(f"{file}: expected a column code or objects"))
            return
        keys = stored.read([name for name in _KEYS if name in names]).to_pylist()
        if not any(name in names for name in _KEYS):
            keys = [{} for _ in range(stored.metadata.num_rows)]
    except (pa.ArrowException, OSError) as error:
        yield _failed(whole, InputError(f"{file}: is no Parquet file: {error}"))
        return
    for row, key in enumerate(keys):
        own = f"{file.stem}-{row}"
        name = key.get("work_key") or key.get("input_id") or own
        uri = key.get("uri") or key.get("input_id") or own
        if key.get("status", rows.OK) == rows.OK:
            yield StoredCode(name, uri, str(file), row)
        else:
            # content that was never seen has no key, and one key may have failed for several
            failed = key.get("input_id") or own
            yield StoredCode(
                failed, uri, str(file), row, key.get("error_code") or "?", key.get("error") or "?"
            )


def _failed(code: StoredCode, error: SpatialCodeError) -> StoredCode:
    return replace(code, error_code=error.code, error=str(error))


def _code_columns(names: Sequence[str]) -> list[str]:
    if "code" in names:
        return ["code"]
    return [name for name in ARROW_SCHEMA.names if name in names] if "objects" in names else []


def read_stored(file: str, numbers: Sequence[int]) -> Iterator[CodeOrError]:
    """The codes of some rows of a file, in that order; for JSON, of its only row, -1. What cannot
    be read comes as the exception that says why.
    """
    path = Path(file)
    if list(numbers) == [-1]:
        try:
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            yield from_json(text)
        except OSError as error:
            yield InputError(f"{file}: {error}")
        except Exception as error:  # one code that is broken in a way nobody thought of
            yield error
        return
    try:
        documents = _documents(path, numbers)
    except (pa.ArrowException, OSError) as error:
        yield from [InputError(f"{file}: {error}") for _ in numbers]
        return
    for document in documents:
        try:
            if document is None:
                raise ParseError(f"{file}: a row of a finished video without a code")
            yield from_row(document)
        except Exception as error:  # one code that is broken in a way nobody thought of
            yield error


def _documents(path: Path, numbers: Sequence[int]) -> list[Any]:
    """Rows of a file as dictionaries, from the row groups that hold them alone."""
    stored = pq.ParquetFile(path)
    sizes = [stored.metadata.row_group(n).num_rows for n in range(stored.num_row_groups)]
    ends = np.cumsum(sizes)
    groups = np.searchsorted(ends, numbers, side="right")
    used = sorted(set(groups.tolist()))
    starts = np.cumsum([0, *(sizes[n] for n in used)])
    places = [int(starts[used.index(g)] + n - (ends[g] - sizes[g]))
              for g, n in zip(groups.tolist(), numbers, strict=True)]  # fmt: skip
    columns = _code_columns(stored.schema_arrow.names)
    found = stored.read_row_groups(used, columns=columns).take(places).to_pylist()
    return [row["code"] for row in found] if columns == ["code"] else found
