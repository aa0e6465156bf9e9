"""Files that are written whole or not at all, and JSON that is read with errors that say where.

Local folders only; object storage has its own way (`pipelines.stored.store`).
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spatialcode.errors import FormatError


@contextmanager
def whole_file(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """A path to write to instead of ``path``, which it becomes when the block ends without error.

    Nobody sees a half-written file: until then ``path`` stays as it was, and after an error
    nothing is left beside it. Missing folders are made. ``durable``: the bytes and the new name
    are on the disk, not only in the kernel's cache, when the block has ended.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        yield partial
        if durable:
            _sync(partial)
        partial.replace(target)
        if durable:
            _sync(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file whole or not at all; see `whole_file`."""
    with whole_file(path, durable=durable) as partial:
        partial.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all; see `whole_file`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any, indent: int | None = 2, **options: Any) -> None:
    """Write a value as JSON with a line break at its end; ``options`` are those of `json.dumps`."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, **options) + "\n")


def write_jsonl(path: str | Path, values: Iterable[Any], **options: Any) -> None:
    """Write one JSON value a line; ``options`` are those of `json.dumps`. See `whole_file`."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False, **options) + "\n")


def append_jsonl(path: str | Path, values: Iterable[Any], **options: Any) -> None:
    """Add one JSON value a line, all in one write: a crash can cut off no more than the last line.

    ``options`` are those of `json.dumps`.
    """
    lines = (json.dumps(value, ensure_ascii=False, **options) + "\n" for value in values)
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("".join(lines))


def read_json(path: str | Path) -> Any:
    """The value of a JSON file. FormatError, naming the file and the line, where it is not JSON."""
    return _parse(str(path), Path(path).read_bytes(), 0)


def read_jsonl(path: str | Path) -> Iterator[tuple[int, Any]]:
    """The number (from 1) and the value of each line that is not blank.

    FormatError, naming the file and the line, at the first line that is not JSON.
    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _parse(str(path), line, number)


def _parse(path: str, data: bytes, number: int) -> Any:
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise FormatError(f"{path}:{number or error.lineno}: not JSON: {error}") from error
    except RecursionError as error:
        raise FormatError(f"{path}:{number or 1}: not JSON: {error}") from error


def remove_partial_files(folder: str | Path) -> None:
    """Remove what writers that were killed have left in a folder; none may be writing there."""
    for leftover in Path(folder).glob(".*.partial"):
        leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
