"""Encodes videos into spatial codes, on this machine or on a Ray cluster.

A second run computes only what is missing: inputs that are new, changed or were not finished.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs.cli import EventLog, run_job
from pipelines.encode.config import EncodeConfig

SCHEMA = EncodeConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; the exit code is 0 only if the report is good."""
    return run_job("encode", SCHEMA, _work, argv, __doc__ or "")


def _work(config: EncodeConfig, log: EventLog) -> bool:
    from jobs.progress import Progress, summary
    from pipelines.encode.graph import run_encode

    with Progress(log) as progress:
        report = run_encode(config, progress.update)
    log.event("report", **report)
    print(summary(report))
    return bool(report["ok"])


if __name__ == "__main__":
    sys.exit(main())
