"""Codes to a set of questions on Ray Data, or in a plain loop: list, ask, store, a row a question.

A task asks about some codes of one file and writes its questions, and a row a code, under names
that follow from the codes: run again, it replaces what it wrote. Which codes share a task does not
depend on who runs it, so that both ways give the same files.

In the report every code is done or failed, and every wanted question made or skipped for a reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.on_ray.dataset import Workers, through_tasks
from pipelines.questions.config import QuestionsConfig
from pipelines.stored import rows
from pipelines.stored.questions import QuestionSet
from pipelines.stored.reading import CodeLocation, list_codes, read_stored
from spatialcode.config import to_dict
from spatialcode.files import locked_folder, write_json
from spatialcode.reasoning.families.registry import family_names
from spatialcode.reasoning.generate import Generated, generate

Row = dict[str, Any]
Progress = Callable[["QuestionsTally"], None]

_TASK = pa.schema(
    [pa.field(name, pa.string()) for name in ("scene", "uri", "file", "error_code", "error")]
    + [pa.field("row", pa.int64(), nullable=False)]
)


def run_questions(config: QuestionsConfig, on_progress: Progress = lambda _: None) -> Row:
    """Make the question set; returns the report it also writes.

    InputError where there are no codes, and where the output holds a question set already, unless
    it may be overwritten.
    """
    codes, num_duplicates = list_codes(config.codes)
    store = QuestionSet(config.output)
    store.keep_off(config.codes)
    with locked_folder(store.root):
        store.clear(config.overwrite)
        tally = QuestionsTally(len(codes), num_duplicates)
        on_progress(tally)
        blocks = _blocks(codes, config)
        for receipts in _ask(blocks, config, store, tally):
            tally.add(receipts)
            on_progress(tally)
        if config.jsonl:
            store.write_jsonl()
        report = tally.report(config.max_failed_fraction)
        report |= {"seed": config.seed, "output": store.root, "generate": to_dict(config.generate)}
        write_json(Path(store.root, "report.json"), report)
    return report


def _blocks(codes: Sequence[CodeLocation], config: QuestionsConfig) -> list[pa.Table]:
    """One table a task: codes of one Parquet file in the file's order, or files of JSON."""
    size = config.codes_per_task
    stored = sorted((code for code in codes if code.row >= 0), key=lambda c: (c.file, c.row))
    parts = [list(part) for _, part in groupby(stored, lambda code: code.file)]
    parts.append([code for code in codes if code.row < 0])
    return [
        pa.Table.from_pylist([vars(code) for code in part[i : i + size]], schema=_TASK)
        for part in parts for i in range(0, len(part), size)
    ]  # fmt: skip


def _ask(
    blocks: list[pa.Table], config: QuestionsConfig, store: QuestionSet, tally: QuestionsTally
) -> Iterator[list[Row]]:
    """Ask about the blocks, one task each, here or on Ray."""
    # One core: numpy on arrays this small has no use for a second thread.
    workers = Workers(config.num_workers, config.num_cpus, ray_address=config.ray_address)
    arguments = {"config": config, "store": store}
    return through_tasks(blocks, ask_codes, arguments, workers, tally.abort)


def ask_codes(batch: pa.Table, config: QuestionsConfig, store: QuestionSet) -> pa.Table:
    """Ask about a block of codes, write their questions and rows; returns receipts."""
    listed = [CodeLocation(**row) for row in batch.to_pylist()]
    questions: list[Row] = []
    receipts: list[Row] = []
    for code, found in _read(listed):
        made, receipt = _attempt(code, found, config)
        questions += made
        receipts.append(receipt)
    digest = hashlib.sha256(json.dumps([code.scene for code in listed]).encode()).hexdigest()
    store.write(f"part-{digest[:24]}", questions, receipts)
    return rows.table(receipts, rows.ASKED)


def _read(listed: Sequence[CodeLocation]) -> Iterator[tuple[CodeLocation, Any]]:
    """Each code with what was read of it: a code, an exception, or None where listing failed."""
    for file, group in groupby(listed, lambda code: code.file):
        part = list(group)
        usable = [code for code in part if code.error is None]
        found = iter(read_stored(file, [code.row for code in usable]) if usable else ())
        for code in part:
            yield code, (next(found) if code.error is None else None)


def _attempt(code: CodeLocation, found: Any, config: QuestionsConfig) -> tuple[list[Row], Row]:
    """Questions about one code, and its row; an error becomes a row without questions."""
    row: Row = {"scene": code.scene, "uri": code.uri, "status": rows.OK, "num_questions": 0}
    if found is None:
        failed = {"error_code": code.error_code, "error": code.error, "stage": "listed"}
        return [], row | {"status": rows.FAILED} | failed
    try:
        if isinstance(found, Exception):
            raise found
        asked = generate(found, scene=code.scene, seed=config.seed, config=config.generate)
    except Exception as error:  # the one boundary of a code: whatever went wrong is its row
        stage = "read" if error is found else "generate"
        failure = rows.failure(error, stage)
        kept = {name: failure[name] for name in ("status", "error_code", "error", "stage")}
        return [], row | kept
    questions = [{**vars(item), "seed": config.seed} for item in asked.items]
    return questions, row | {"num_questions": len(questions), "tally": json.dumps(_tally(asked))}


def _tally(asked: Generated) -> Row:
    """Counts by family: questions, skipped by reason, letters and words of the answers."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for family, reasons in asked.skipped.items():
        counts.setdefault(family, {})["skipped"] = Counter(reasons)
    for item in asked.items:
        family_counts = counts.setdefault(item.question_type, {})
        answer = item.ground_truth
        if item.options:
            family_counts.setdefault("letters", Counter())[answer] += 1
            answer = next(o for o in item.options if o.startswith(f"{answer}. "))[3:]
        family_counts.setdefault("answers", Counter())[answer] += 1
    return counts


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
        """Note that the run was ended early, and why."""
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
                name: self.families[name].report()
                for name in family_names()
                if name in self.families
            },
            "aborted": self.aborted,
        }
