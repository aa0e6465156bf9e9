"""The JSON lines that a training writes, one a step or an event."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from spatialcode.errors import FormatError
from spatialcode.files import read_jsonl, write_jsonl

METRICS_FILE = "metrics.jsonl"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a file; none where it does not exist."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with contextlib.suppress(FormatError):  # nothing follows a line that a crash cut off
            for _, row in read_jsonl(path):
                rows.append(row)
    return rows


def cut_back(path: Path, last_step: int, counter: str = "step") -> None:
    """Drop the lines of steps after ``last_step``, from which a run goes on, and a last line that a
    crash left unfinished. ``counter``: the field of a line that counts steps.
    """
    if path.is_file():
        write_jsonl(path, [row for row in read_rows(path) if row[counter] <= last_step])
