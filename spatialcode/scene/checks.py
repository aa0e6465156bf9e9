"""Field checks for the frozen scene types: each returns the stored form or raises SchemaError.

Geometry is rounded to float32 on the way in (and kept as Python floats), so that a value
read back from an Arrow float32 column equals the one that was written. Pure Python: a code
holds thousands of small vectors, and numpy costs more than the arithmetic there.
"""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

from spatialcode.errors import SchemaError

_FLOAT32 = struct.Struct("<f")  # with a byte order given, overflow raises
_MAX_INT32 = 2**31 - 1
_SHA256 = re.compile(r"[0-9a-f]{64}")

#: A float32 quaternion whose norm is this close to one is already normalised. Dividing again
#: would move its last bits, and reading a file would no longer give what was written.
_UNIT_TOLERANCE = 1e-6
#: Largest entry of R Rᵀ − I that still counts as a rotation.
ROTATION_TOLERANCE = 1e-3


def number(field: str, value: object) -> float:
    """A finite float64. Accepts any real number but bool."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SchemaError(field, "a finite number", value)
    try:
        result = float(value)
    except OverflowError:  # a whole number beyond float64
        result = math.inf
    if not math.isfinite(result):
        raise SchemaError(field, "a finite number", value)
    return result + 0.0  # -0.0 and 0.0 are equal but print differently


def float32(field: str, value: object) -> float:
    """A finite number rounded to float32."""
    exact = number(field, value)
    try:
        (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(exact))
    except OverflowError:
        raise SchemaError(field, "a finite number in float32 range", value) from None
    return float(rounded) + 0.0


def float32_or_none(field: str, value: object) -> float | None:
    """A finite number rounded to float32, or None."""
    return None if value is None else float32(field, value)


def time(field: str, value: object) -> float:
    """Seconds from the first frame, at least zero, float64."""
    seconds = number(field, value)
    if seconds < 0.0:
        raise SchemaError(field, "seconds >= 0", value)
    return seconds


def times(field: str, value: object) -> tuple[float, ...]:
    """Non-decreasing times in seconds."""
    result = tuple(time(f"{field}[{i}]", v) for i, v in enumerate(items(field, value)))
    for i in range(1, len(result)):
        if result[i] < result[i - 1]:
            raise SchemaError(f"{field}[{i}]", f"a time >= {result[i - 1]!r}", result[i])
    return result


def non_negative(field: str, value: object) -> float:
    """A float32 that is zero or more."""
    result = float32(field, value)
    if result < 0.0:
        raise SchemaError(field, "a number >= 0", value)
    return result


def positive(field: str, value: object) -> float:
    """A float32 that is more than zero after rounding."""
    result = float32(field, value)
    if result <= 0.0:
        raise SchemaError(field, "a number > 0", value)
    return result


def fraction(field: str, value: object) -> float:
    """A float32 in [0, 1]."""
    result = float32(field, value)
    if not 0.0 <= result <= 1.0:
        raise SchemaError(field, "a number in [0, 1]", value)
    return result


def integer(field: str, value: object, minimum: int) -> int:
    """A whole number from ``minimum`` to the largest int32; bool does not count as one."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not minimum <= int(value) <= _MAX_INT32:  # type: ignore[call-overload]
        raise SchemaError(field, f"an integer in [{minimum}, {_MAX_INT32}]", value)
    return int(value)  # type: ignore[call-overload]


def text(field: str, value: object) -> str:
    """A string that UTF-8 can hold."""
    if not isinstance(value, str):
        raise SchemaError(field, "a string", value)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise SchemaError(field, "a string without lone surrogates", value) from None
    return str(value)


def sha256(field: str, value: object) -> str:
    """64 lower-case hexadecimal digits, or the empty string where there is nothing to hash."""
    result = text(field, value)
    if result and not _SHA256.fullmatch(result):
        raise SchemaError(field, "64 lower-case hexadecimal digits or an empty string", value)
    return result


def choice(field: str, value: object, options: Sequence[str]) -> str:
    """One of ``options``."""
    if not isinstance(value, str) or value not in options:
        raise SchemaError(field, "one of " + ", ".join(options), value)
    return str(value)


def items(field: str, value: object) -> tuple[object, ...]:
    """The elements of a sequence or array; a string is not a sequence here."""
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise SchemaError(field, "a sequence", value)
    return tuple(value)


def vector(field: str, value: object, length: int) -> tuple[float, ...]:
    """``length`` float32 numbers."""
    parts = items(field, value)
    if len(parts) != length:
        raise SchemaError(field, f"{length} numbers", value)
    return tuple(float32(f"{field}[{i}]", v) for i, v in enumerate(parts))


def points_xy(field: str, value: object) -> tuple[tuple[float, ...], ...]:
    """Points of two float32 numbers."""
    return tuple(vector(f"{field}[{i}]", point, 2) for i, point in enumerate(items(field, value)))


def size(field: str, value: object) -> tuple[float, float, float]:
    """Three positive extents."""
    x, y, z = vector(field, value, 3)
    if min(x, y, z) <= 0.0:
        raise SchemaError(field, "three extents > 0", value)
    return x, y, z


def quaternion(field: str, value: object) -> tuple[float, float, float, float]:
    """A unit quaternion (w, x, y, z) with one sign per rotation.

    Any non-zero quaternion is normalised. The first component that is not zero is positive,
    so w >= 0, and half-turns (w = 0) have one form too.
    """
    parts = vector(field, value, 4)
    norm = math.sqrt(math.fsum(v * v for v in parts))
    if norm < 1e-3:
        raise SchemaError(field, "a quaternion (w, x, y, z) of non-zero length", value)
    if abs(norm - 1.0) > _UNIT_TOLERANCE:
        parts = tuple(float32(field, v / norm) for v in parts)
    leading = next(v for v in parts if v != 0.0)
    if leading < 0.0:
        parts = tuple(-v + 0.0 for v in parts)
    w, x, y, z = parts
    return w, x, y, z


def rigid_transform(field: str, value: object) -> tuple[tuple[float, ...], ...]:
    """A 4x4 rigid transform as nested tuples, rotation checked and kept as given."""
    rows = items(field, value)
    if len(rows) != 4:
        raise SchemaError(field, "4 rows of 4 numbers", value)
    matrix = tuple(vector(f"{field}[{i}]", row, 4) for i, row in enumerate(rows))
    if matrix[3] != (0.0, 0.0, 0.0, 1.0):
        raise SchemaError(f"{field}[3]", "the row (0, 0, 0, 1)", matrix[3])
    a, b, c = (row[:3] for row in matrix[:3])
    error = max(
        abs(_dot(p, q) - (1.0 if p is q else 0.0))
        for p, q in ((a, a), (b, b), (c, c), (a, b), (b, c), (a, c))
    )
    determinant = _dot(a, (b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2],
                           b[0] * c[1] - b[1] * c[0]))  # fmt: skip
    if error > ROTATION_TOLERANCE or determinant < 0.0:
        raise SchemaError(field, "an orthonormal, right-handed rotation", matrix)
    return matrix


def label(field: str, value: object) -> str:
    """A category name: printable, on one line, no blanks at the ends, not empty."""
    result = text(field, value)
    if not result or result != result.strip() or not result.isprintable():
        raise SchemaError(field, "a printable, non-empty label without blanks at its ends", value)
    return result


def label_stem(name: str) -> str:
    """The part of an object id that stands for its label: ``trash bin`` -> ``trash_bin``.

    Ids are also variable names in the scene text, so characters that no identifier may hold
    become ``_`` and a leading digit gets one before it.
    """
    folded = unicodedata.normalize("NFKC", name)
    stem = "".join(c if f"a{c}".isidentifier() else "_" for c in folded)
    stem = unicodedata.normalize("NFKC", stem)
    return stem if stem.isidentifier() else f"_{stem}"


def object_id(field: str, value: object, name: str) -> str:
    """``<label stem>_<n>`` with n = 1, 2, … in the order of first sight."""
    result = text(field, value)
    stem = label_stem(name)
    if not re.fullmatch(re.escape(stem) + r"_[1-9][0-9]*", result):
        raise SchemaError(field, f"{stem}_1, {stem}_2, …", value)
    return result


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
