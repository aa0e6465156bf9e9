"""Finds the one spatial code that an argument names: a JSON file, a scene, a row of results.

Local files only: a code on object storage is copied here first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spatialcode.errors import InputError
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import from_row
from spatialcode.scene.text import from_json, parse_scene

_KEY_COLUMNS = ["input_id", "uri", "work_key", "error"]
_MAX_LISTED = 8


def load_code(reference: str) -> SpatialCode:
    """The code that ``reference`` names.

    ``FILE.json``; ``FILE.py`` (scene text); ``FILE.parquet`` or a folder written by the encode
    job, with ``#KEY`` where it holds several codes. KEY is a work key or its unambiguous
    beginning, or the video's uri or file name. Raises InputError where nothing or more than
    one thing fits, ParseError where the file holds no code.
    """
    path_text, _, key = reference.partition("#")
    path = Path(path_text)
    if not path.exists():
        raise InputError(f"code: {path} does not exist")
    if path.is_dir() or path.suffix == ".parquet":
        return _stored_code(path, key)
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    return parse_scene(text) if path.suffix == ".py" else from_json(text)


def _stored_code(path: Path, key: str) -> SpatialCode:
    """The code of one result row. Codes are read only once it is known which is wanted."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    folder = path / "codes" if (path / "codes").is_dir() else path
    try:
        results = ds.dataset(str(folder), format="parquet")
        keys = results.to_table(columns=_KEY_COLUMNS).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"code: {path} holds no results of the encode job: {error}") from error
    chosen = _pick(keys, key, path)
    wanted = pc.field("input_id") == chosen["input_id"]
    wanted &= pc.field("work_key") == chosen["work_key"]
    (row, *_) = results.to_table(columns=["code"], filter=wanted).to_pylist()
    return from_row(row["code"])


def _pick(keys: list[dict[str, Any]], key: str, path: Path) -> dict[str, Any]:
    """The only row that fits the key and has a code."""
    fitting = [row for row in keys if _fits(row, key)]
    usable = [row for row in fitting if row["error"] is None]
    if len(usable) == 1:
        return usable[0]
    if not usable and len(fitting) == 1:
        raise InputError(f"code: {fitting[0]['uri']} failed: {fitting[0]['error']}")
    choice = usable or [row for row in keys if row["error"] is None]
    lines = [f"  {path}#{row['work_key'][:16]}  {row['uri']}" for row in choice[:_MAX_LISTED]]
    if len(choice) > _MAX_LISTED:
        lines.append(f"  … {len(choice) - _MAX_LISTED} more")
    found = f"{len(usable)} codes" if usable else "no code"
    asked = f" for {key!r}" if key else ""
    raise InputError("\n".join([f"code: {path} has {found}{asked}; name one of:", *lines]))


def _fits(row: dict[str, Any], key: str) -> bool:
    named = key in {row["uri"], Path(row["uri"]).name, row["input_id"]}
    return not key or named or (bool(row["work_key"]) and row["work_key"].startswith(key))
