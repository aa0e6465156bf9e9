"""The table of jobs that make codes, and one row of it as a value.

It does not know when a row changes: `serve.book.database` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import sqlalchemy as sa


class JobStatus(StrEnum):
    """Where a job stands. Running are DECODING and ENCODING; DONE and FAILED are final."""

    QUEUED = "queued"
    DECODING = "decoding"
    ENCODING = "encoding"
    DONE = "done"
    FAILED = "failed"


RUNNING = (JobStatus.DECODING, JobStatus.ENCODING)
OPEN = (JobStatus.QUEUED, *RUNNING)


@dataclass(frozen=True)
class CodeJob:
    """One job as it was when read.

    ``created_s`` (when it was queued: at first, or anew after it had failed) and ``updated_s``
    are seconds since 1970. ``frames_total`` is None until a worker tells it. ``error_code`` and
    ``error`` are None unless FAILED. ``owner`` is the name of the key that had it queued;
    ``attempts`` counts workers that took the job.
    """

    id: str
    status: JobStatus
    created_s: float
    updated_s: float
    attempts: int
    frames_total: int | None
    frames_decoded: int
    frames_encoded: int
    error_code: str | None
    error: str | None
    name: str
    video_sha256: str
    num_bytes: int
    owner: str


metadata = sa.MetaData()

# Stored as its text, so that a status more is no change of the database
_STATUS = sa.Enum(
    JobStatus, native_enum=False, length=16, values_callable=lambda kind: [*map(str, kind)]
)

# `sequence` is the order of first arrival: pages and their cursors hang on it, because it neither
# repeats nor changes. `created_s` orders the queue: a failed job that is queued anew goes last.
jobs = sa.Table(
    "code_jobs",
    metadata,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("status", _STATUS, nullable=False),
    sa.Column("created_s", sa.Double, nullable=False),
    sa.Column("updated_s", sa.Double, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(200)),
    sa.Column("lease_until_s", sa.Double),
    sa.Column("frames_total", sa.BigInteger),
    sa.Column("frames_decoded", sa.BigInteger, nullable=False),
    sa.Column("frames_encoded", sa.BigInteger, nullable=False),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error", sa.Text),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("video_sha256", sa.String(64), nullable=False),
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Index("code_jobs_queue", "status", "created_s"),
    sqlite_autoincrement=True,  # a deleted job's number is not given again: cursors stay good
)

_FIELDS = tuple(field.name for field in fields(CodeJob))
#: What a `CodeJob` is read from, in its order.
COLUMNS = tuple(jobs.c[name] for name in _FIELDS)


def job_of(row: Sequence[Any]) -> CodeJob:
    """A row of ``COLUMNS`` as a value."""
    return CodeJob(**dict(zip(_FIELDS, row, strict=True)))
