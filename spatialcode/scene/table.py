"""A spatial code as one Arrow row: the structure of its JSON, float32 geometry, float64 times.

Lists are plain variable-length lists rather than fixed-size ones, which some Parquet readers
and Ray's block formats do not keep inside structs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pyarrow as pa

from spatialcode.scene.document import FLOAT64_FIELDS, field_names, from_document, to_document
from spatialcode.scene.schema import SpatialCode

#: Status of a row: there is a code, or there is none and the row says why.
OK, FAILED = "ok", "failed"


def _struct(kind: Any) -> pa.StructType:
    """The fields of a scene type with the Arrow types of their annotations."""
    hints = get_type_hints(kind)
    return pa.struct([(name, _type(hints[name], name)) for name in field_names(kind)])


def _type(hint: Any, name: str) -> pa.DataType:
    parts = get_args(hint)
    if is_dataclass(hint):
        return _struct(hint)
    if get_origin(hint) is tuple:
        return pa.list_(_type(parts[0], name))
    if parts and get_origin(hint) is not Literal:  # or None
        return _type(parts[0], name)
    if hint is float:
        return pa.float64() if name in FLOAT64_FIELDS else pa.float32()
    return pa.int32() if hint is int else pa.string()


#: One row a video. ``room`` and its ``ceiling_z_m`` are null where nothing was found, ``warnings``
#: where there is nothing to warn of, ``path`` where its origin was not told.
ARROW_SCHEMA = pa.schema([("format", pa.string()), *_struct(SpatialCode)])


def to_row(code: SpatialCode) -> dict[str, Any]:
    """The code as a dict with ``ARROW_SCHEMA``'s columns."""
    return to_document(code)


def from_row(row: Mapping[str, Any]) -> SpatialCode:
    """Inverse of ``to_row``; columns that are not the code's are ignored.

    Takes what Arrow's ``to_pylist`` gives and numpy arrays in place of lists. ParseError names
    the path to what does not fit.
    """
    values = {name: row[name] for name in ARROW_SCHEMA.names if name in row}
    for name in ("warnings", "path"):
        if values.get(name) is None:
            values.pop(name, None)
    return from_document(values)


def to_table(codes: Iterable[SpatialCode]) -> pa.Table:
    """One row per code, in order."""
    return pa.Table.from_pylist([to_row(code) for code in codes], schema=ARROW_SCHEMA)


def from_table(table: pa.Table) -> list[SpatialCode]:
    """The codes of all rows; other columns are ignored."""
    names = [name for name in ARROW_SCHEMA.names if name in table.column_names]
    return [from_row(row) for row in table.select(names).to_pylist()]
