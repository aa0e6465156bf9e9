"""Connections to the database: SQLite in a file, or PostgreSQL by URL.

Every failure becomes a `DatabaseError` that names the database without its password. No table is
known here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from spatialcode.errors import SpatialCodeError

BUSY_TIMEOUT_S = 30.0
_SCHEMA_LOCK = 0x5C0DE  # an arbitrary number, the same in all processes of this service
_BEGIN = "spatialcode_begin"


class DatabaseError(SpatialCodeError, RuntimeError):
    """The database cannot be reached, read or written; names it without its password."""

    code = "database"


class SqlEngine:
    """Short transactions on one database. It can be used from many threads, but not be pickled.

    ``url``: ``sqlite:///FILE`` (four slashes for an absolute path; its folder is made) or
    ``postgresql://USER:PASSWORD@HOST/NAME``, which needs the package psycopg. SQLite needs a
    local disk that all processes share; with several machines, use PostgreSQL. Raises
    DatabaseError for any other URL.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        # options after the question mark may hold a password as well
        self.name = parsed.set(query={}).render_as_string(hide_password=True)
        self.dialect = parsed.get_backend_name()
        options: dict[str, object] = {"hide_parameters": True, "pool_pre_ping": True}
        with self._errors():
            if self.dialect == "sqlite":
                path = Path(str(parsed.database)).absolute()
                path.parent.mkdir(parents=True, exist_ok=True)
                parsed = parsed.set(database=str(path))
                options["connect_args"] = {"timeout": BUSY_TIMEOUT_S}
            self._engine = sa.create_engine(parsed, **options)
            if self.dialect == "sqlite":
                sa.event.listen(self._engine, "connect", _leave_transactions_to_us)
                sa.event.listen(self._engine, "begin", _begin_as_asked)
                self._write_ahead()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads; in SQLite it never waits for a writer."""
        with self._errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes, committed at the end of the block."""
        # A SQLite transaction that reads first and then writes fails at once if another has written
        # in between; one that declares at its beginning that it will write waits instead.
        engine = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        with self._errors(), engine.begin() as connection:
            yield connection

    def create(self, table: sa.Table) -> None:
        """Make the table if it does not exist. DatabaseError if it exists with other columns."""
        with self.writing() as connection:
            if self.dialect == "postgresql":  # IF NOT EXISTS alone fails if two do it at once
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
            found = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
        expected = set(table.columns.keys())
        if found != expected:
            raise DatabaseError(
                f"{self.name}: table {table.name} is of another version: expected columns"
                f" {sorted(expected)}, got {sorted(found)}"
            )

    def close(self) -> None:
        """Close idle connections."""
        self._engine.dispose()

    def _write_ahead(self) -> None:
        """Let readers and one writer work at the same time; the mode is stored in the file."""
        engine = self._engine.execution_options(**{_BEGIN: ""})
        deadline_s = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                with engine.connect() as connection:
                    mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
                break
            except DBAPIError as error:
                # SQLite does not wait by itself if two processes open a new file at once
                if "locked" not in str(error.orig) or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
        if mode != "wal":
            raise DatabaseError(
                f"{self.name}: expected journal mode wal, got {mode}: the file's disk cannot share"
                " memory between processes; use a local disk or PostgreSQL"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise DatabaseError(f"{self.name}: {_one_line(error.orig)}") from error
        except ModuleNotFoundError as error:
            raise DatabaseError(f"{self.name}: needs the package {error.name}") from error
        except (SQLAlchemyError, OSError) as error:
            raise DatabaseError(f"{self.name}: {_one_line(error)}") from error


def _parsed(url: str) -> sa.URL:
    shown = re.sub(
        r"(?s)[:/].*@|\?.*", "…", url
    )  # a text that is not a URL, without what may be a password
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        raise DatabaseError(f"{shown!r}: expected a database URL, as sqlite:///FILE") from None
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise DatabaseError(f"{shown!r}: expected sqlite or postgresql, got {parsed.drivername!r}")
    if parsed.drivername == "sqlite" and (parsed.database or ":").startswith((":", "file:")):
        raise DatabaseError(f"{shown!r}: expected a plain file, so that jobs survive a restart")
    return parsed


def _leave_transactions_to_us(connection: object, record: object) -> None:
    del record
    connection.isolation_level = None  # type: ignore[attr-defined]


def _begin_as_asked(connection: sa.Connection) -> None:
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
