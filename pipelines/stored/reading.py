"""The one reader of stored codes: listed by name and read a few at a time, or one, or all by scene.

Takes the output of the encode job (a code is one column), that of the synthesize job and plain
tables of codes (a column a part of it), and files of JSON. What cannot be read is a listed code
with an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.stored import rows
from spatialcode.errors import InputError, ParseError, SpatialCodeError
from spatialcode.scene.formats import Axis, AxisOrder, read_boxes
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import ARROW_SCHEMA, from_row
from spatialcode.scene.text import from_json, parse_scene

_KEYS = ("input_id", "uri", "work_key", "status", "error_code", "error")
#: Files of JSON that lie beside codes and are none.
_NO_CODES = frozenset({"report.json"})
_MAX_LISTED = 8

CodeOrError = SpatialCode | Exception


@dataclass(frozen=True)
class CodeLocation:
    """Where a code is stored.

    ``scene``: its name, unique in a listing: the work key, else the input's id, else file and row.
    ``row``: its number in a Parquet file; -1 for a file of JSON. ``error``, ``error_code``: why no
    code can be read.
    ``input_id``, ``work_key``: those of the job's row, empty where no job wrote it.
    """

    scene: str
    uri: str
    file: str
    row: int = -1
    error_code: str | None = None
    error: str | None = None
    input_id: str = ""
    work_key: str = ""


def list_codes(folder: str | Path) -> tuple[list[CodeLocation], int]:
    """All codes of a folder, or of one Parquet file, by name, and how many rows were left out
    because another row has the same code under another input's name. InputError for none at all.
    """
    path = Path(folder)
    if not path.exists():
        raise InputError(f"codes: {path} does not exist")
    listed = _all_codes(path)
    if not listed:
        raise InputError(f"codes: {path} holds no code, neither as *.parquet nor as *.json")
    best: dict[str, CodeLocation] = {}
    for code in listed:
        known = best.get(code.scene)
        if known is None or (known.error is not None and code.error is None):
            best[code.scene] = code
    return sorted(best.values(), key=lambda code: code.scene), len(listed) - len(best)


def _all_codes(path: Path) -> list[CodeLocation]:
    """Every code of a folder or a Parquet file, file by file."""
    path = path / "codes" if (path / "codes").is_dir() else path
    tables = [path] if path.is_file() else sorted(path.glob("[!.]*.parquet"))
    files = [] if path.is_file() else sorted(path.glob("[!.]*.json"))
    listed = [code for table in tables for code in _listed(table)]
    listed += [CodeLocation(f.stem, f.name, str(f)) for f in files if f.name not in _NO_CODES]
    return listed


def _listed(file: Path) -> Iterator[CodeLocation]:
    """The rows of a Parquet file; a file that is none is one code with an error."""
    whole = CodeLocation(file.stem, file.name, str(file))
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
        input_id, work_key = key.get("input_id") or "", key.get("work_key") or ""
        scene = work_key or input_id or own
        why: tuple[str | None, str | None] = (None, None)
        if key.get("status", rows.OK) != rows.OK:
            # Content that was never seen has no key, and one key may have failed for several.
            scene = input_id or own
            why = (key.get("error_code") or "?", key.get("error") or "?")
        uri = key.get("uri") or input_id or own
        yield CodeLocation(scene, uri, str(file), row, *why, input_id, work_key)


def _failed(code: CodeLocation, error: SpatialCodeError) -> CodeLocation:
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
        except Exception as error:  # the boundary of one code: any error is that code's own
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
        except Exception as error:  # the boundary of one code: any error is that code's own
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


def load_code(reference: str) -> SpatialCode:
    """The one code that ``reference`` names.

    ``FILE.json``; ``FILE.py`` (scene text); ``FILE.parquet`` or a folder written by a job, with
    ``#KEY`` where it holds several codes. KEY is a work key or its unambiguous beginning, or the
    video's uri or file name. Raises InputError where nothing or more than one thing fits,
    ParseError where the file holds no code.
    """
    path_text, _, key = reference.partition("#")
    path = Path(path_text)
    if not path.exists():
        raise InputError(f"code: {path} does not exist")
    if path.is_dir() or path.suffix == ".parquet":
        code = _pick(_all_codes(path), key, path)
        (found,) = read_stored(code.file, [code.row])
        if isinstance(found, Exception):
            raise found
        return found
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    return parse_scene(text) if path.suffix == ".py" else from_json(text)


def _pick(codes: Sequence[CodeLocation], key: str, path: Path) -> CodeLocation:
    """The only listed code that fits the key."""
    broken = [code for code in codes if code.error is not None and code.row < 0]
    if broken or not codes:
        why = broken[0].error if broken else "nothing lies there"
        raise InputError(f"code: {path} holds no results: {why}")
    fitting = [code for code in codes if _fits(code, key)]
    usable = [code for code in fitting if code.error is None]
    if len(usable) == 1:
        return usable[0]
    if not usable and len(fitting) == 1:
        raise InputError(f"code: {fitting[0].uri} failed: {fitting[0].error}")
    choice = usable or [code for code in codes if code.error is None]
    lines = [f"  {path}#{code.scene[:16]}  {code.uri}" for code in choice[:_MAX_LISTED]]
    if len(choice) > _MAX_LISTED:
        lines.append(f"  … {len(choice) - _MAX_LISTED} more")
    found = f"{len(usable)} codes" if usable else "no code"
    asked = f" for {key!r}" if key else ""
    raise InputError("\n".join([f"code: {path} has {found}{asked}; name one of:", *lines]))


def _fits(code: CodeLocation, key: str) -> bool:
    named = key in {code.uri, Path(code.uri).name, code.input_id, code.scene}
    return not key or named or code.work_key.startswith(key)


def read_codes(
    path: str | Path,
    scenes: Collection[str] = (),
    *,
    order: AxisOrder | None = None,
    up: Axis | None = None,
    scalar_first: bool | None = None,
) -> dict[str, SpatialCode]:
    """Codes by scene: a file of boxes in a published format, or a folder of codes (see
    `list_codes`).

    A code's scene is its name there or, where only that is among ``scenes``, its video's file name
    without the ending: the encode job names codes by work key, benchmarks name videos. Videos that
    failed to be encoded are left out. ``order``, ``up``, ``scalar_first``: conventions that a file
    of 9 or 10 numbers a box leaves open, see `formats.read_boxes`. ParseError or InputError where a
    file or a code cannot be read, or two videos have the same name; FormatError where a box cannot.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"boxes: {path} does not exist")
    if path.is_file() and path.suffix != ".parquet":
        return read_boxes(path, order, up=up, scalar_first=scalar_first)
    listed = []
    for code in list_codes(path)[0]:
        if code.error is None:
            listed.append(code)
        elif code.row < 0:  # not a video that failed, but a file that is broken
            raise InputError(f"boxes: {code.error}")
    by_file: dict[str, list[CodeLocation]] = defaultdict(list)
    for code in listed:
        by_file[code.file].append(code)
    codes = {}
    for file, stored in by_file.items():
        for code, read in zip(stored, read_stored(file, [c.row for c in stored]), strict=True):
            if isinstance(read, Exception):
                raise read
            codes[code.scene] = read
    named = {}
    for code in listed:
        video = Path(code.uri).stem
        name = video if code.scene not in scenes and video in scenes else code.scene
        if name in named:
            raise InputError(f"boxes: {path} holds more than one code of scene {name!r}")
        named[name] = codes[code.scene]
    return named
