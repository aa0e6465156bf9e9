"""A spatial code as one Arrow row: the structure of its JSON, float32 geometry, float64 times.

Lists are plain variable-length lists rather than fixed-size ones, which some Parquet readers
and Ray's block formats do not keep inside structs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from spatialcode.scene.document import from_document, to_document
from spatialcode.scene.schema import SpatialCode

#: Status of a row: there is a code, or there is none and the row says why.
OK, FAILED = "ok", "failed"

_VECTOR = pa.list_(pa.float32())


def _struct(**types: pa.DataType) -> pa.StructType:
    return pa.struct(list(types.items()))


_VIDEO = _struct(
    uri=pa.string(),
    sha256=pa.string(),
    duration_s=pa.float64(),
    fps=pa.float32(),
    width_px=pa.int32(),
    height_px=pa.int32(),
    sampled_s=pa.list_(pa.float64()),
)
_TRACK_POINT = _struct(t_s=pa.float64(), center_m=_VECTOR, quaternion_wxyz=_VECTOR)
_OBJECT = _struct(
    id=pa.string(),
    label=pa.string(),
    score=pa.float32(),
    center_m=_VECTOR,
    size_m=_VECTOR,
    quaternion_wxyz=_VECTOR,
    first_seen_s=pa.float64(),
    last_seen_s=pa.float64(),
    num_observations=pa.int32(),
    visibility=pa.float32(),
    motion=pa.string(),
    track=pa.list_(_TRACK_POINT),
)
_CAMERA = _struct(
    t_s=pa.float64(),
    T_world_camera=pa.list_(_VECTOR),
    fx_px=pa.float32(),
    fy_px=pa.float32(),
    cx_px=pa.float32(),
    cy_px=pa.float32(),
)
_ROOM = _struct(
    floor_z_m=pa.float32(),
    ceiling_z_m=pa.float32(),
    polygon_m=pa.list_(_VECTOR),
    area_m2=pa.float32(),
)
_SCALE = _struct(source=pa.string(), confidence=pa.float32())
_PROVENANCE = _struct(
    encoder=pa.string(),
    weights_sha256=pa.string(),
    config_sha256=pa.string(),
    software=pa.string(),
    work_key=pa.string(),
)

#: One row a video. ``room`` and its ``ceiling_z_m`` are null where nothing was found, ``warnings``
#: where there is nothing to warn of.
ARROW_SCHEMA = pa.schema(
    {
        "format": pa.string(),
        "video": _VIDEO,
        "objects": pa.list_(_OBJECT),
        "cameras": pa.list_(_CAMERA),
        "room": _ROOM,
        "scale": _SCALE,
        "provenance": _PROVENANCE,
        "warnings": pa.list_(pa.string()),
    }
)


def to_row(code: SpatialCode) -> dict[str, Any]:
    """The code as a dict with ``ARROW_SCHEMA``'s columns."""
    return to_document(code)


def from_row(row: Mapping[str, Any]) -> SpatialCode:
    """Inverse of ``to_row``; columns that are not the code's are ignored.

    Takes what Arrow's ``to_pylist`` gives and numpy arrays in place of lists. ParseError names
    the path to what does not fit.
    """
    values = {name: row[name] for name in ARROW_SCHEMA.names if name in row}
    if values.get("warnings") is None:
        values.pop("warnings", None)
    return from_document(values)


def to_table(codes: Iterable[SpatialCode]) -> pa.Table:
    """One row per code, in order."""
    return pa.Table.from_pylist([to_row(code) for code in codes], schema=ARROW_SCHEMA)


def from_table(table: pa.Table) -> list[SpatialCode]:
    """The codes of all rows; other columns are ignored."""
    names = [name for name in ARROW_SCHEMA.names if name in table.column_names]
    return [from_row(row) for row in table.select(names).to_pylist()]
