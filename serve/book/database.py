"""The job book: which videos are to be encoded, by which worker, and how it ended.

It is a table in a database, so it survives restarts. A worker holds a job by a lease, which its
heartbeats extend. If a worker dies, its lease runs out and another worker claims the job; a worker
that has lost its lease can no longer finish the job. Every change is one conditional statement, so
no two processes ever hold the same job.

Leases compare the clocks of all machines, which must agree to well within ``lease_s``. Where videos
and codes are stored, and how a video is encoded, is not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from serve.book.code_ids import BadIdError, checked_id, checked_name
from serve.book.sql_engine import SqlEngine

MAX_PAGE = 1000
MAX_ERROR_CHARACTERS = 2000
WORKER_LOST = "worker_lost"

_UNHELD = {"worker": None, "lease_until_s": None}
_AFRESH = {"frames_total": None, "frames_decoded": 0, "frames_encoded": 0}


class JobStatus(StrEnum):
    """The state of a job. DECODING and ENCODING are running; DONE and FAILED are final."""

    QUEUED = "queued"
    DECODING = "decoding"
    ENCODING = "encoding"
    DONE = "done"
    FAILED = "failed"


RUNNING = (JobStatus.DECODING, JobStatus.ENCODING)
OPEN = (JobStatus.QUEUED, *RUNNING)


@dataclass(frozen=True)
class CodeJob:
    """A job as it was when it was read.

    ``created_s`` (when it was queued, or queued again after it had failed) and ``updated_s`` are
    seconds since 1970. ``frames_total`` is None until a worker reports it. ``error_code`` and
    ``error`` are None unless the job has FAILED. ``owner``: the name of the key that queued it.
    ``attempts``: the number of workers that have claimed it.
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

# Stored as text, so that a new status does not change the database's schema
_STATUS = sa.Enum(
    JobStatus, native_enum=False, length=16, values_callable=lambda kind: [*map(str, kind)]
)

# `sequence` is the order of first arrival. Pages and their cursors use it, because it neither
# repeats nor changes. `created_s` orders the queue: a failed job that is queued again comes last.
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
    sqlite_autoincrement=True,  # numbers of deleted jobs are not reused, so cursors stay valid
)

_FIELDS = tuple(field.name for field in fields(CodeJob))
#: The columns that a `CodeJob` is read from, in the order of its fields.
COLUMNS = tuple(jobs.c[name] for name in _FIELDS)


def job_of(row: Sequence[Any]) -> CodeJob:
    """The job in a row of ``COLUMNS``."""
    return CodeJob(**dict(zip(_FIELDS, row, strict=True)))


class JobBook:
    """All jobs in one database. It can be used from many threads; each process opens its own.

    ``url``: see `SqlEngine`. ``lease_s``: how long a worker may be silent. ``clock``: seconds
    since 1970. ``max_attempts``: how many workers may be lost over one job. Every method raises
    DatabaseError if the database fails, and BadIdError for a malformed id or name.
    """

    def __init__(
        self,
        url: str,
        lease_s: float = 30.0,
        clock: Callable[[], float] = time.time,
        max_attempts: int = 3,
    ) -> None:
        if not lease_s > 0:
            raise ValueError(f"lease_s: expected more than 0, got {lease_s!r}")
        if max_attempts < 1:
            raise ValueError(f"max_attempts: expected 1 or more, got {max_attempts!r}")
        self._lease_s = lease_s
        self._clock = clock
        self._max_attempts = max_attempts
        self._sql = SqlEngine(url)
        self._sql.create(jobs)

    def add(
        self, code_id: str, *, name: str, video_sha256: str, num_bytes: int, owner: str
    ) -> tuple[CodeJob, bool]:
        """Queue a job, whose video must be in the store already.

        Returns the job, and whether this call queued it: True if it is new or had failed (then it
        starts again, for this owner), False if it was known and stays as it is.
        """
        now_s = self._clock()
        again = {
            "status": JobStatus.QUEUED,
            "created_s": now_s,
            "updated_s": now_s,
            "attempts": 0,
            "error_code": None,
            "error": None,
            "name": checked_name(name),
            "owner": checked_name(owner, "owner"),
            **_UNHELD,
            **_AFRESH,
        }
        fixed = {
            "id": checked_id(code_id),
            "video_sha256": checked_id(video_sha256, "video_sha256"),
            "num_bytes": num_bytes,
        }
        dialect = sqlite if self._sql.dialect == "sqlite" else postgresql
        insert = (
            dialect.insert(jobs)
            .values(**fixed, **again)
            .on_conflict_do_update(
                index_elements=[jobs.c.id],
                set_=again,
                where=jobs.c.status == JobStatus.FAILED,
            )
            .returning(*COLUMNS)
        )
        while True:
            with self._sql.writing() as connection:
                row = connection.execute(insert).one_or_none()
            if row is not None:
                return job_of(row), True
            known = self.get(code_id)
            if known is not None:  # otherwise it was deleted in between, and is new
                return known, False

    def get(self, code_id: str) -> CodeJob | None:
        """The job, or None if there is none with that id."""
        query = sa.select(*COLUMNS).where(jobs.c.id == checked_id(code_id))
        with self._sql.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else job_of(row)

    def claim(self, worker: str) -> CodeJob | None:
        """Claim the job that has waited longest; it is DECODING from now on. None if none waits.

        Jobs that are queued wait, and jobs whose lease has run out. A job that has lost its
        ``max_attempts``-th worker becomes FAILED with the code "worker_lost". No other process, now
        or earlier, may have the same ``worker`` name, because the name decides who holds a job.
        """
        if not checked_name(worker, "worker"):
            raise BadIdError("worker: expected a name, got ''")
        now_s = self._clock()
        lapsed = sa.and_(jobs.c.status.in_(RUNNING), jobs.c.lease_until_s <= now_s)
        waiting = sa.or_(jobs.c.status == JobStatus.QUEUED, lapsed)
        # Idle workers ask all the time, so they read first, which locks nothing.
        some = sa.select(jobs.c.sequence).where(jobs.c.status.in_(OPEN), waiting).limit(1)
        with self._sql.reading() as connection:
            if connection.execute(some).one_or_none() is None:
                return None
        self._give_up(sa.and_(lapsed, jobs.c.attempts >= self._max_attempts), now_s)
        take = _taking(sa.and_(waiting, jobs.c.attempts < self._max_attempts)).values(
            worker=worker, lease_until_s=now_s + self._lease_s, updated_s=now_s
        )
        with self._sql.writing() as connection:
            row = connection.execute(take).one_or_none()
        return None if row is None else job_of(row)

    def beat(
        self,
        code_id: str,
        worker: str,
        *,
        status: JobStatus | None = None,
        frames_total: int | None = None,
        frames_decoded: int | None = None,
        frames_encoded: int | None = None,
    ) -> bool:
        """Extend the lease and report progress; None leaves a value. ``status``: a running one.

        False: the worker no longer holds the job (claimed by another, deleted, ended) and should
        stop.
        """
        if status is not None and status not in RUNNING:
            raise ValueError(f"status: expected one of {[*map(str, RUNNING)]}, got {status!r}")
        told = {
            "status": status,
            "frames_total": frames_total,
            "frames_decoded": frames_decoded,
            "frames_encoded": frames_encoded,
        }
        changes: dict[str, Any] = {name: it for name, it in told.items() if it is not None}
        changes["lease_until_s"] = self._clock() + self._lease_s
        return self._change_held(code_id, worker, changes)

    def finish(self, code_id: str, worker: str) -> bool:
        """Mark a job DONE; its code must be in the store. False: the worker no longer holds it."""
        return self._change_held(code_id, worker, {"status": JobStatus.DONE, **_UNHELD})

    def fail(self, code_id: str, worker: str, code: str, message: str) -> bool:
        """Mark a job FAILED until it is added again. False: the worker no longer holds it."""
        readable = "".join(c if c.isprintable() else " " for c in message)
        changes = {
            "status": JobStatus.FAILED,
            "error_code": checked_name(code, "code")[:64],
            "error": readable[:MAX_ERROR_CHARACTERS],
        }
        return self._change_held(code_id, worker, {**changes, **_UNHELD})

    def release(self, worker: str) -> int:
        """Put all jobs of a worker back where they were in the queue, without counting the attempt.

        For a worker that stops on purpose. Returns the number of jobs.
        """
        give_back = (
            sa.update(jobs)
            .where(jobs.c.status.in_(RUNNING), jobs.c.worker == checked_name(worker, "worker"))
            .values(
                status=JobStatus.QUEUED,
                attempts=jobs.c.attempts - 1,
                updated_s=self._clock(),
                **_UNHELD,
                **_AFRESH,
            )
        )
        with self._sql.writing() as connection:
            return connection.execute(give_back).rowcount

    def page(self, limit: int, after: str | None = None) -> tuple[list[CodeJob], str | None]:
        """Up to ``limit`` jobs, the newest first, and the cursor of the next page (None: the last).

        Jobs that are added between two pages do not move the others. BadIdError for an invalid
        cursor; ValueError for a limit outside 1 to ``MAX_PAGE``.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit: expected 1 to {MAX_PAGE}, got {limit!r}")
        query = sa.select(*COLUMNS, jobs.c.sequence).order_by(jobs.c.sequence.desc())
        if after is not None:
            query = query.where(jobs.c.sequence < _position(after))
        with self._sql.reading() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        next_cursor = str(rows[limit - 1][-1]) if len(rows) > limit else None
        return [job_of(row[:-1]) for row in rows[:limit]], next_cursor

    def delete(self, code_id: str) -> bool:
        """Delete a job; its worker learns of it at the next beat. False: there was none."""
        statement = sa.delete(jobs).where(jobs.c.id == checked_id(code_id))
        with self._sql.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def depth(self) -> int:
        """The number of jobs that are queued or running."""
        query = sa.select(sa.func.count()).where(jobs.c.status.in_(OPEN))
        with self._sql.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Close the connections."""
        self._sql.close()

    def _change_held(self, code_id: str, worker: str, changes: dict[str, Any]) -> bool:
        statement = (
            sa.update(jobs)
            .where(
                jobs.c.id == checked_id(code_id),
                jobs.c.worker == checked_name(worker, "worker"),
                jobs.c.status.in_(RUNNING),
            )
            .values(**{"updated_s": self._clock(), **changes})
        )
        with self._sql.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def _give_up(self, lost: sa.ColumnElement[bool], now_s: float) -> None:
        # Skips locked rows, so that two workers that do this never wait for each other.
        rows = sa.select(jobs.c.sequence).where(lost).with_for_update(skip_locked=True)
        statement = (
            sa.update(jobs)
            .where(jobs.c.sequence.in_(rows), lost)
            .values(
                status=JobStatus.FAILED,
                updated_s=now_s,
                error_code=WORKER_LOST,
                error=f"its worker died or stopped responding {self._max_attempts} times",
                **_UNHELD,
            )
        )
        with self._sql.writing() as connection:
            connection.execute(statement)


def _taking(waiting: sa.ColumnElement[bool]) -> Any:
    """The update that claims the job that has waited longest; the caller adds the worker."""
    oldest = (
        sa.select(jobs.c.sequence)
        .where(jobs.c.status.in_(OPEN), waiting)
        .order_by(jobs.c.created_s, jobs.c.sequence)
        .limit(1)
        .with_for_update(skip_locked=True)  # for PostgreSQL; SQLite has one writer at a time
    )
    return (
        sa.update(jobs)
        .where(jobs.c.sequence == oldest.scalar_subquery(), waiting)
        .values(status=JobStatus.DECODING, attempts=jobs.c.attempts + 1, **_AFRESH)
        .returning(*COLUMNS)
    )


def _position(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise BadIdError(f"after: expected a cursor of an earlier page, got {ascii(cursor)[:80]}")
    return int(cursor)
