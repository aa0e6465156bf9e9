"""Measures an encoder on rooms with known truth (boxes, tracks, path, depth, oracle ladder), or on
real recordings with truth (path, scale, lens, depth, boxes, standing cameras); or answers to
VSI-Bench questions over published boxes or codes; or the whole way from unseen rendered videos to
answers.

Exit code 0 only if every room, recording or question could be evaluated.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

from jobs.cli import EventLog, run_job
from pipelines.evaluate.config import EvaluateConfig


def _work(config: EvaluateConfig, log: EventLog) -> bool:
    work = {"encoder": _encoder, "recorded": _recorded, "vsibench": _vsibench, "rooms": _rooms}
    return work[config.benchmark](config, log)


def _encoder(config: EvaluateConfig, log: EventLog) -> bool:
    from pipelines.evaluate.encoder import run_evaluate
    from spatialcode.evaluation.encoder_report import headline

    report = run_evaluate(config, _shown("clips", log))
    log.event("report", num_rooms=report["num_rooms"], num_failed=report["num_failed"])
    print(headline(report))
    print(f"report: {config.report}/report.json, report.md, report.html")
    return bool(report["num_failed"] == 0)


def _recorded(config: EvaluateConfig, log: EventLog) -> bool:
    from pipelines.evaluate.recorded import run_recorded
    from spatialcode.evaluation.recorded_report import recorded_headline

    report = run_recorded(config, _shown("recordings", log))
    log.event("report", **{name: report[name] for name in ("num_recordings", "num_failed")})
    print(recorded_headline(report))
    print(f"report: {config.report}/report.json, report.md, report.html, recordings.jsonl")
    return bool(report["num_failed"] == 0)


def _vsibench(config: EvaluateConfig, log: EventLog) -> bool:
    from pipelines.evaluate.vsibench import run_vsibench
    from spatialcode.evaluation.answer_report import markdown

    report = run_vsibench(config, _shown("rooms", log))
    log.event("report", **{name: report[name] for name in ("num_questions", "num_failed")})
    print(markdown(report))
    print(f"report: {config.report}/report.json, report.md, report.html, answers.jsonl")
    return bool(report["num_failed"] + report.get("num_failed_annotated", 0) == 0)


def _rooms(config: EvaluateConfig, log: EventLog) -> bool:
    from pipelines.evaluate.rooms import run_rooms
    from spatialcode.evaluation.answer_report import rooms_markdown

    report = run_rooms(config, _shown("rooms", log))
    log.event("report", **{name: report[name] for name in ("num_rooms", "num_failed")})
    print(rooms_markdown(report))
    print(f"report: {config.report}/report.json, report.md, report.html, answers.jsonl")
    return bool(report["num_failed"] + report["num_failed_questions"] == 0)


def _shown(things: str, log: EventLog) -> Callable[[int, int, int], None]:
    """Progress as a line on a terminal and events in the log: (done, failed, total)."""
    started_s = time.monotonic()

    def show(done: int, failed: int, total: int) -> None:
        log.event("progress", done=done, failed=failed, total=total)
        if sys.stderr.isatty():
            left_s = (time.monotonic() - started_s) / (done + failed) * (total - done - failed)
            line = f"\r{done + failed}/{total} {things}, {failed} failed, {left_s:.0f} s left  "
            print(line, end="", file=sys.stderr, flush=True)

    return show


main = partial(run_job, "evaluate", EvaluateConfig, _work, __doc__ or "")

if __name__ == "__main__":
    sys.exit(main())
