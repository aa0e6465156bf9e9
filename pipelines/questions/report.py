"""Counts of a run of the questions job: every code is done or failed, every wanted question made
or skipped for a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipelines.stored import rows
from spatialcode.questions.types import FAMILIES

_MAX_EXAMPLES = 20  # of failures in a report; all of them are rows
#: Answers with more values than these (sizes, orders) are not told apart in a report.
_MAX_ANSWERS = 40


@dataclass
class _Family:
    """One family's counts."""

    questions: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, counts: dict[str, dict[str, int]]) -> None:
        self.questions += sum(counts.get("answers", {}).values())
        for name in ("skipped", "letters", "answers"):
            getattr(self, name).update(counts.get(name, {}))

    def report(self) -> dict[str, Any]:
        few = len(self.answers) <= _MAX_ANSWERS
        return {
            "wanted": self.questions + self.skipped.total(),
            "questions": self.questions,
            "skipped": dict(sorted(self.skipped.items())),
            "letters": dict(sorted(self.letters.items())),
            "answers": dict(sorted(self.answers.items())) if few else {},
        }


@dataclass
class QuestionsTally:
    """Running counts. ``codes``: all that were listed, each once; ``duplicates``: rows of another
    input with the same code, which are not asked about again.
    """

    codes: int
    duplicates: int = 0
    done: int = 0
    failed_by_code: Counter[str] = field(default_factory=Counter)
    families: dict[str, _Family] = field(default_factory=dict)
    examples: list[dict[str, str]] = field(default_factory=list)
    aborted: str | None = None

    @property
    def failed(self) -> int:
        return self.failed_by_code.total()

    @property
    def questions(self) -> int:
        return sum(family.questions for family in self.families.values())

    def add(self, receipts: Iterable[dict[str, Any]]) -> None:
        """Count codes that were asked about."""
        for receipt in receipts:
            if receipt["status"] != rows.OK:
                self.failed_by_code[receipt["error_code"]] += 1
                if len(self.examples) < _MAX_EXAMPLES:
                    names = ("scene", "uri", "error_code", "error")
                    self.examples.append({name: receipt[name] for name in names})
                continue
            self.done += 1
            for family, counts in json.loads(receipt["tally"]).items():
                self.families.setdefault(family, _Family()).add(counts)

    def abort(self, why: str) -> None:
        """Note that the run ended before its end, and why."""
        self.aborted = why

    def report(self, max_failed_fraction: float) -> dict[str, Any]:
        """The report. ``ok``: nothing is unfinished, no more than the allowed share failed, and
        there is a question.
        """
        unfinished = self.codes - self.done - self.failed
        share = self.failed / max(1, self.codes)
        sound = unfinished == 0 and self.aborted is None and share <= max_failed_fraction
        examples = sorted(self.examples, key=lambda one: one["scene"])
        return {
            "ok": sound and self.questions > 0,
            "codes": self.codes,
            "done": self.done,
            "failed": self.failed,
            "unfinished": unfinished,
            "duplicates": self.duplicates,
            "failed_by_code": dict(sorted(self.failed_by_code.items())),
            "failures": examples,
            "questions": self.questions,
            "families": {
                name: self.families[name].report() for name in FAMILIES if name in self.families
            },
            "aborted": self.aborted,
        }
