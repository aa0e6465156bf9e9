"""Progress of a run: a live line on a terminal, JSON lines in the log, a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from jobs.cli import EventLog
from pipelines.encode.report import Tally

_LOG_EVERY_S = 10.0


@contextmanager
def progress(log: EventLog) -> Iterator[Callable[[Tally], None]]:
    """What shows a tally each time it changes: on a terminal in place, else only in the log.

    The log gets the counts every ten seconds, and when all is computed.
    """
    live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
    on_terminal = sys.stderr.isatty()
    logged_s = float("-inf")

    def update(tally: Tally) -> None:
        nonlocal logged_s
        if on_terminal:
            live.update(Text(progress_line(tally)))
        now_s = time.monotonic()
        if now_s - logged_s < _LOG_EVERY_S and tally.settled < tally.inputs:
            return
        logged_s = now_s
        eta_s = tally.eta_s()
        log.event(
            "progress",
            inputs=tally.inputs,
            settled=tally.settled,
            done=tally.done,
            skipped=tally.skipped,
            failed_by_code=dict(tally.failed_by_code),
            frames_per_s=round(tally.frames_per_s, 2),
            eta_s=None if eta_s is None else round(eta_s, 1),
        )

    with live if on_terminal else nullcontext():
        yield update


def progress_line(tally: Tally) -> str:
    """One line: videos, frames a second, time left, failures by code."""
    parts = [f"{tally.settled}/{tally.inputs} videos", f"{tally.frames_per_s:.1f} frames/s"]
    eta_s = tally.eta_s()
    if eta_s is not None:
        parts.append(f"{_clock(eta_s)} left")
    if tally.skipped:
        parts.append(f"{tally.skipped} done before")
    parts += [f"{code}: {count}" for code, count in sorted(tally.failed_by_code.items())]
    return "  ".join(parts)


def summary(report: dict[str, Any]) -> str:
    """What a run came to, in a few lines."""
    lines = [
        f"{report['inputs']} inputs: {report['done']} encoded, {report['copied']} copied,"
        f" {report['skipped']} done before, {report['failed'] + report['failed_before']} failed,"
        f" {report['unfinished']} unfinished;"
        f" {report['frames']} frames in {report['seconds']:.1f} s"
    ]
    failures = {"failed": "failed_by_code", "failed before": "failed_before_by_code"}
    for title, key in failures.items():
        lines += [f"  {title}: {code} × {count}" for code, count in report[key].items()]
    lines += [f"    {failure['uri']}: {failure['error']}" for failure in report["failures"][:5]]
    if report["aborted"]:
        lines.append(f"  aborted: {report['aborted']}")
    lines.append(f"codes: {report['output']}/codes  report: {report['output']}/report.json")
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
