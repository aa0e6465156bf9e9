"""Encodes videos and recorded captures into spatial codes, on this machine or on a Ray cluster.

A second run computes only what is missing: inputs that are new, changed or were not finished.
"""

from __future__ import annotations

import sys
from functools import partial

from jobs.cli import EventLog, run_job
from pipelines.encode.config import EncodeConfig


def _work(config: EncodeConfig, log: EventLog) -> bool:
    from jobs.progress import progress, summary
    from pipelines.encode.graph import run_encode

    with progress(log) as show:
        report = run_encode(config, show)
    log.event("report", **report)
    print(summary(report))
    return bool(report["ok"])


main = partial(run_job, "encode", EncodeConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
