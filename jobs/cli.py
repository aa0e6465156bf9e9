"""What every job's command line shares: arguments, help, event log, exit code.

A job module has a frozen dataclass of its settings, a function that does the work and returns
whether the report is good, and a ``main`` that is `run_job` of both. Heavy imports (torch, ray)
belong inside the work function, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from spatialcode.config import describe, load_config
from spatialcode.errors import ConfigError, SpatialCodeError
from spatialcode.files import append_jsonl

T = TypeVar("T")

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


class EventLog:
    """Appends one JSON object a line to a file: what happened, when, in seconds since 1970.

    Without a path it drops events. Each line is written and closed at once, so that a killed job
    leaves a readable log.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = None if path is None else Path(path)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)

    def event(self, name: str, **values: Any) -> None:
        """Write one line; values that JSON does not know are written as their text."""
        if self._path is not None:
            line = {"time_s": round(time.time(), 3), "event": name, **values}
            append_jsonl(self._path, [line], default=str)


def run_job(
    name: str,
    schema: type[T],
    work: Callable[[T, EventLog], bool],
    about: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse arguments, run the work, return the exit code: 0 only if ``work`` returned True.

    ``config=PATH`` names a YAML file and ``log=PATH`` a file for JSON lines; every other argument
    is ``key=value``. Wrong arguments give 2 and one line, other errors of this library give 1 and
    one line; a bug keeps its traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if any(argument in {"-h", "--help", "help"} for argument in arguments):
        print(_help(name, schema, about))
        return EXIT_OK
    try:
        config_path, log_path, dotlist = _split(arguments)
        config = load_config(schema, config_path, dotlist)
    except ConfigError as error:
        print(f"jobs.{name}: {error}\n(python -m jobs.{name} --help lists keys)", file=sys.stderr)
        return EXIT_USAGE
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    log = EventLog(log_path)
    log.event("start", job=name, arguments=arguments)
    try:
        succeeded = work(config, log)
    except ConfigError as error:
        return _failed(name, error, log, EXIT_USAGE)
    except SpatialCodeError as error:
        return _failed(name, error, log, EXIT_FAILED)
    except KeyboardInterrupt:
        log.event("end", exit_code=EXIT_INTERRUPTED)
        print(f"jobs.{name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    exit_code = EXIT_OK if succeeded else EXIT_FAILED
    log.event("end", exit_code=exit_code)
    return exit_code


def _failed(name: str, error: SpatialCodeError, log: EventLog, exit_code: int) -> int:
    log.event("end", exit_code=exit_code, error_code=error.code, error=str(error))
    print(f"jobs.{name}: {error}", file=sys.stderr)
    return exit_code


def _split(arguments: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """The values of ``config=`` and ``log=``, and the remaining arguments."""
    own: dict[str, str] = {}
    dotlist = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in {"config", "log"} and value:
            own[key] = value
        else:
            dotlist.append(argument)
    return own.get("config"), own.get("log"), dotlist


def _help(name: str, schema: type[Any], about: str) -> str:
    return (
        f"python -m jobs.{name} [config=FILE.yaml] [log=FILE.jsonl] [key=value …]\n"
        f"{about.strip()}\n\n{describe(schema)}"
    )
