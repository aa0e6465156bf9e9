"""A spatial code as plain dicts, lists and numbers, and back, strictly.

JSON, the scene text and Arrow rows all pass through here. Reading accepts every key of the
format and no other; errors carry the path to the value: ``objects[3].center_m[1]: …``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from spatialcode.errors import ParseError, SchemaError
from spatialcode.scene import checks
from spatialcode.scene.schema import (
    FORMAT,
    Camera,
    PathOrigin,
    Provenance,
    Room,
    Scale,
    SceneObject,
    SpatialCode,
    TrackPoint,
    VideoInfo,
)

T = TypeVar("T")

#: Fields that hold one record, or a sequence of records.
_RECORDS: dict[str, type] = {
    "video": VideoInfo,
    "room": Room,
    "scale": Scale,
    "provenance": Provenance,
    "path": PathOrigin,
}
#: Records that may be null.
_NULLABLE = frozenset({"room", "path"})
_SEQUENCES: dict[str, type] = {"objects": SceneObject, "cameras": Camera, "track": TrackPoint}
#: Fields that are left out where they are empty, so that a document without them can be read.
_OPTIONAL = frozenset({"warnings", "path"})
#: Kept as float64; all other numbers with a fraction are float32.
FLOAT64_FIELDS = frozenset({"t_s", "first_seen_s", "last_seen_s", "duration_s", "sampled_s"})


def field_names(kind: type) -> tuple[str, ...]:
    """The fields of a scene type, in the order in which they are written."""
    return tuple(field.name for field in fields(kind) if field.init)


def to_document(code: SpatialCode) -> dict[str, Any]:
    """``{"format": …, "video": {…}, "objects": [{…}], …}``; values exact, tuples as lists."""
    document = {"format": FORMAT, **_plain(code)}
    return {name: value for name, value in document.items() if value or name not in _OPTIONAL}


def from_document(document: object) -> SpatialCode:
    """The inverse of ``to_document``. ParseError names what does not fit, and where."""
    if not isinstance(document, Mapping):
        raise ParseError(f"top level: expected an object, got {_brief(document)}")
    found = document.get("format")
    if found != FORMAT:
        raise ParseError(f"format: expected {FORMAT!r}, got {_brief(found)}")
    return build(SpatialCode, {k: v for k, v in document.items() if k != "format"}, "")


def build(kind: type[T], values: object, path: str) -> T:
    """One scene type from a mapping with exactly its fields, nested records included."""
    if not isinstance(values, Mapping):
        raise ParseError(f"{path}: expected an object, got {_brief(values)}")
    names = field_names(kind)
    for name in values:
        if name not in names:
            raise ParseError(f"{_join(path, name)}: unknown key; known are {', '.join(names)}")
    for name in names:
        if name not in values and name not in _OPTIONAL:
            raise ParseError(f"{_join(path, name)}: missing")
    given = [name for name in names if name in values]
    parts = {name: _part(name, values[name], _join(path, name)) for name in given}
    try:
        return kind(**parts)
    except SchemaError as error:
        raise ParseError(_join(path, str(error))) from error


def _part(name: str, value: object, path: str) -> object:
    if name in _RECORDS and not (name in _NULLABLE and value is None):
        return build(_RECORDS[name], value, path)
    if name in _SEQUENCES:
        try:
            elements = checks.items(path, value)
        except SchemaError as error:
            raise ParseError(str(error)) from error
        kind = _SEQUENCES[name]
        return tuple(build(kind, element, f"{path}[{i}]") for i, element in enumerate(elements))
    return value


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in field_names(type(value))}
    return value


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
