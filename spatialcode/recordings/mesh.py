"""Vertices of PLY meshes, which annotations of data sets refer to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError
from spatialcode.recordings.reading import existing

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_MAX_HEADER_BYTES = 1 << 16


def ply_vertices(path: Path) -> NDArray[np.float64]:
    """x, y, z (V, 3) of a binary PLY file whose first element are its vertices.

    FormatError where it is no such file or ends before its vertices do.
    """
    with existing(path).open("rb") as file:
        lines = []
        while (line := file.readline().decode("ascii", "replace").strip()) != "end_header":
            if not line or file.tell() > _MAX_HEADER_BYTES:
                raise FormatError(f"{path}: expected the header of a PLY file")
            lines.append(line.split())
        order, num, fields = _header(lines, path)
        layout = np.dtype([(name, order + kind) for name, kind in fields])
        data = file.read(num * layout.itemsize)
    if len(data) != num * layout.itemsize:
        raise FormatError(f"{path}: expected {num} vertices, the file ends before")
    table = np.frombuffer(data, layout)
    return np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=-1)


def _header(lines: list[list[str]], path: Path) -> tuple[str, int, list[tuple[str, str]]]:
    """Byte order, number of vertices, and the fields of each."""
    formats = [line[1] for line in lines if line[0] == "format" and len(line) > 1]
    if lines[:1] != [["ply"]] or len(formats) != 1 or formats[0] not in _ORDERS:
        raise FormatError(f"{path}: expected a binary PLY file, got {formats or lines[:1]}")
    num, fields = None, []
    for line in lines:
        if line[0] == "element":
            if num is not None:
                break
            if line[1] != "vertex":
                raise FormatError(f"{path}: expected vertices first, got {line[1]!r}")
            num = int(line[2])
        elif line[0] == "property" and num is not None:
            if line[1] not in _TYPES:
                raise FormatError(f"{path}: property {line[-1]}: unknown type {line[1]!r}")
            fields.append((line[2], _TYPES[line[1]]))
    if num is None or not {"x", "y", "z"} <= {name for name, _ in fields}:
        raise FormatError(f"{path}: expected vertices with x, y and z")
    return _ORDERS[formats[0]], num, fields
