"""The schema of every row that moves through the encode pipeline or lies in an output.

planned -> decoded -> result, or planned -> result where the encoder reads for itself: the same
``input_id`` and ``work_key`` on each, one row in and one row out. A failure is a row whose
``status`` is ``failed``; it keeps moving, with empty payload.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from spatialcode.errors import InputError, SpatialCodeError, VideoNotFoundError
from spatialcode.scene import table as scene_table
from spatialcode.scene.table import ARROW_SCHEMA

OK, FAILED = scene_table.OK, scene_table.FAILED

# Failures that say nothing about the content: another run tries these again by itself.
TRANSIENT_CODES = frozenset({InputError.code, VideoNotFoundError.code, "worker_lost"})

_IDENTITY = [
    pa.field("input_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("work_key", pa.string(), nullable=False),  # empty: content was never seen
    pa.field("content_id", pa.string(), nullable=False),
]
_OUTCOME = [
    pa.field("status", pa.string(), nullable=False),
    pa.field("error_code", pa.string()),
    pa.field("error", pa.string()),
    pa.field("stage", pa.string()),  # where it failed: list, read, decode, encode
    pa.field("attempts", pa.int32(), nullable=False),
    pa.field("warnings", pa.list_(pa.string())),
    pa.field("num_frames", pa.int32(), nullable=False),
    pa.field("decode_s", pa.float64(), nullable=False),
]

PLANNED = pa.schema(
    [
        *_IDENTITY,
        pa.field("num_bytes", pa.int64(), nullable=False),
        pa.field("reader", pa.string(), nullable=False),  # of a capture; empty: a video alone
        pa.field("capture_path", pa.string(), nullable=False),  # and its place, as its reader
        pa.field("capture_part", pa.string(), nullable=False),  # finds it again
    ]
)

DECODED = pa.schema(
    [
        *_IDENTITY,
        *_OUTCOME,
        pa.field("rgb", pa.large_binary()),  # uint8 (num_frames, height_px, width_px, 3)
        pa.field("height_px", pa.int32()),
        pa.field("width_px", pa.int32()),
        pa.field("times_s", pa.list_(pa.float64())),
        pa.field("probe", pa.string()),  # VideoProbe as JSON
        pa.field("gray", pa.large_binary()),  # denser grey frames: uint8 (len(gray_times_s), ...)
        pa.field("gray_height_px", pa.int32()),
        pa.field("gray_width_px", pa.int32()),
        pa.field("gray_times_s", pa.list_(pa.float64())),  # null: none were asked for
    ]
)

RESULT = pa.schema(
    [
        *_IDENTITY,
        *_OUTCOME,
        pa.field("encode_s", pa.float64(), nullable=False),  # share of its batch
        pa.field("finished_s", pa.float64(), nullable=False),  # seconds since 1970
        pa.field("code", pa.struct(list(ARROW_SCHEMA))),
    ]
)

# A question of a generated set; the question ids of a set are unique.
QUESTION = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("scene", pa.string(), nullable=False),  # a work key, or the code's name
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("question_type", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("options", pa.list_(pa.string()), nullable=False),  # empty for a number
        pa.field("ground_truth", pa.string(), nullable=False),  # a letter, or the number
        pa.field("seed", pa.int64(), nullable=False),
    ]
)

# A code that was asked about, or could not be.
ASKED = pa.schema(
    [
        pa.field("scene", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_code", pa.string()),
        pa.field("error", pa.string()),
        pa.field(
            "stage", pa.string()
        ),  # where it failed: listed (it came as failed), read, generate
        pa.field("num_questions", pa.int32(), nullable=False),
        pa.field("tally", pa.string()),  # JSON: by family, counts of questions, answers, skipped
    ]
)

# What a writer of results hands back to the driver, which counts it: everything but the code.
RECEIPT = pa.schema(
    [
        *(RESULT.field(name) for name in ("input_id", "uri", "work_key")),
        *(RESULT.field(name) for name in ("status", "error_code", "error", "num_frames")),
        RESULT.field("encode_s"),
    ]
)


def identity(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that every row of one input shares."""
    return {field.name: row[field.name] for field in _IDENTITY}


def failure(error: Exception, stage: str, attempts: int = 1) -> dict[str, Any]:
    """Outcome columns of a failed row; an error of unknown kind gets the code ``internal``."""
    known = isinstance(error, SpatialCodeError)
    return {
        "status": FAILED,
        "error_code": error.code if isinstance(error, SpatialCodeError) else "internal",
        "error": str(error) if known else f"{type(error).__name__}: {error}",
        "stage": stage,
        "attempts": attempts,
        "warnings": None,
        "num_frames": 0,
        "decode_s": 0.0,
    }


def result_row(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A result row made of an earlier row's identity and outcome and the changes."""
    columns = {field.name for field in (*_IDENTITY, *_OUTCOME)}
    kept = {name: value for name, value in row.items() if name in columns}
    return {"encode_s": 0.0, "code": None, "finished_s": time.time(), **kept, **changes}


def table(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table; a missing column is null and raises where it must not be."""
    return pa.Table.from_pylist(list(rows), schema=schema)
