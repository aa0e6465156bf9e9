"""Trains the reasoner: a supervised warm start, then GRPO; resumes where its output left off.

Writes metrics.jsonl, samples.md, TensorBoard events, a model a stage, and report.json; and where
ship.folder is given, a folder of weights to ship with its card.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from jobs.cli import EventLog, run_job
from pipelines.train_reasoner.config import TrainReasonerConfig


def _work(config: TrainReasonerConfig, log: EventLog) -> bool:
    from rich.console import Console
    from rich.live import Live

    from pipelines.train_reasoner.launch import train
    from pipelines.train_reasoner.metrics import table

    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=1, transient=True) as live:

        def show(rows: list[dict[str, Any]]) -> None:
            log.event("progress", **rows[-1]) if rows else None
            if console.is_terminal:
                live.update(table(rows))

        report = train(config, show)
    for name, accuracy in report["heldout_accuracy"].items():
        print(f"{name}: held-out accuracy {accuracy['mean']:.1f}")
    for name, found in report.get("shipped", {}).get("made_up_rooms", {}).items():
        print(f"shipped: {config.ship.folder}; held-out rooms, {name} sentences: {found['mean']}")
    for note in report["notes"]:
        print(note)
    for alarm in report["alarms"]:
        print(f"alarm: {alarm}")
    if report["failed"]:
        print(f"failed: {report['failed']}")
    log.event("report", seconds=report["seconds"], done=report["done"])
    print(f"{report['seconds']:.0f} s; model: {report['model']}; {config.output}/report.json")
    return bool(report["done"])


main = partial(run_job, "train_reasoner", TrainReasonerConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
