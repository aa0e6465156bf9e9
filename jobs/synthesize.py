"""Renders rooms with exact truth into mp4 files, WebDataset or Parquet shards.

Writes clips, depth, instances, poses, intrinsics and spatial codes; a second run adds what is
missing.
"""

from __future__ import annotations

import sys
from functools import partial

from jobs.cli import EventLog, run_job
from pipelines.synthesize.config import SynthesizeConfig


def _work(config: SynthesizeConfig, log: EventLog) -> bool:
    from jobs.progress import progress
    from pipelines.synthesize.graph import run_synthesize

    with progress(log) as show:
        report = run_synthesize(config, show)
    log.event("report", **report)
    print(
        f"{report['inputs']} rooms: {report['done']} rendered, {report['skipped']} done before,"
        f" {report['failed']} failed, {report['unfinished']} unfinished;"
        f" {report['frames']} frames in {report['seconds']:.1f} s"
    )
    for failure in report["failures"][:5]:
        print(f"  failed: {failure['uri']}: {failure['error']}")
    if report["aborted"]:
        print(f"  aborted: {report['aborted']}")
    print(f"rows: {report['output']}/codes  report: {report['output']}/report.json")
    return bool(report["ok"])


main = partial(run_job, "synthesize", SynthesizeConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
