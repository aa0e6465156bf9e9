"""Counts of a run: every input is in exactly one of them, whatever happened to it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipelines.encode.plan import Plan
from pipelines.stored import rows

_MAX_EXAMPLES = 20  # of failures in a report; all of them are rows


@dataclass
class Tally:
    """Running counts of one run.

    ``done``: encoded now. ``copied``: took the code of an input with the same content.
    ``failed_by_code``: failed now. ``skipped``: had a code before. ``failed_before``: had failed
    before for a reason that lies in the content. ``examples``: the first failures of this run.
    """

    inputs: int
    skipped: int = 0
    done: int = 0
    copied: int = 0
    frames: int = 0
    encode_s: float = 0.0
    failed_by_code: Counter[str] = field(default_factory=Counter)
    failed_before_by_code: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, str]] = field(default_factory=list)
    aborted: str | None = None
    settled_at_start: int = 0
    started_s: float = field(default_factory=time.monotonic)

    @classmethod
    def of_plan(cls, plan: Plan) -> Tally:
        """The counts before anything is computed."""
        tally = cls(
            inputs=plan.num_inputs,
            skipped=len(plan.done),
            failed_before_by_code=Counter(row.error_code or "?" for row in plan.failed_before),
        )
        for work in plan.unusable:
            if work.error:
                tally._failed(work.source.uri, work.error.code, str(work.error))
        tally.settled_at_start = tally.settled
        return tally

    @property
    def failed(self) -> int:
        return self.failed_by_code.total()

    @property
    def failed_before(self) -> int:
        return self.failed_before_by_code.total()

    @property
    def settled(self) -> int:
        """Inputs that need nothing more."""
        return self.done + self.copied + self.failed + self.skipped + self.failed_before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_s

    @property
    def frames_per_s(self) -> float:
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def add(self, receipts: Iterable[dict[str, Any]]) -> None:
        """Count computed rows."""
        for receipt in receipts:
            self.frames += receipt["num_frames"]
            self.encode_s += receipt["encode_s"]
            if receipt["status"] == rows.OK:
                self.done += 1
            else:
                self._failed(receipt["uri"], receipt["error_code"], receipt["error"])

    def add_copies(self, copies: Iterable[dict[str, Any]]) -> None:
        """Count rows copied from an input with the same content."""
        for copy in copies:
            if copy["status"] == rows.OK:
                self.copied += 1
            else:
                self._failed(copy["uri"], copy["error_code"], copy["error"])

    def _failed(self, uri: str, code: str, error: str) -> None:
        self.failed_by_code[code] += 1
        if len(self.examples) < _MAX_EXAMPLES:
            self.examples.append({"uri": uri, "error_code": code, "error": error})

    def eta_s(self) -> float | None:
        """Seconds until all is settled, from the rate so far; None before there is one."""
        finished = self.settled - self.settled_at_start
        return self.seconds / finished * (self.inputs - self.settled) if finished else None

    def abort(self, why: str) -> None:
        """Note that the run ended before its end, and why."""
        self.aborted = why

    def report(self, max_failed_fraction: float) -> dict[str, Any]:
        """The run's report: the counts add up to ``inputs``.

        ``ok`` says that nothing is unfinished and that no more than the allowed share failed.
        """
        unfinished = self.inputs - self.settled
        share = (self.failed + self.failed_before) / max(1, self.inputs)
        return {
            "ok": unfinished == 0 and self.aborted is None and share <= max_failed_fraction,
            "inputs": self.inputs,
            "done": self.done,
            "copied": self.copied,
            "failed": self.failed,
            "skipped": self.skipped,
            "failed_before": self.failed_before,
            "unfinished": unfinished,
            "failed_by_code": dict(sorted(self.failed_by_code.items())),
            "failed_before_by_code": dict(sorted(self.failed_before_by_code.items())),
            "failures": self.examples,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "frames_per_s": round(self.frames_per_s, 3),
            "encode_s": round(self.encode_s, 3),
            "aborted": self.aborted,
        }
