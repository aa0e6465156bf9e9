"""Codes to a set of questions on Ray Data, or in a plain loop: list, ask, store, a row a question.

A task asks about some codes of one file and writes its questions, and a row a code, under names
that follow from the codes: run again, it replaces what it wrote. Which codes share a task does not
depend on who runs it, so that both ways give the same files.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from pipelines.on_ray.dataset import Workers, through_tasks
from pipelines.questions.config import QuestionsConfig
from pipelines.questions.report import QuestionsTally
from pipelines.questions.store import QuestionSet
from pipelines.stored import rows
from pipelines.stored.reading import StoredCode, list_codes, read_stored
from spatialcode.config import to_dict
from spatialcode.questions.generate import Generated, generate

Row = dict[str, Any]
Progress = Callable[[QuestionsTally], None]

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
    with store.lock():
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
        store.write_report(report)
    return report


def _blocks(codes: Sequence[StoredCode], config: QuestionsConfig) -> list[pa.Table]:
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
    if config.num_workers == 0:
        return (ask_codes(block, config, store).to_pylist() for block in blocks)
    # One core: numpy on arrays this small has no use for a second thread.
    workers = Workers(config.num_workers, config.num_cpus, ray_address=config.ray_address)
    arguments = {"config": config, "store": store}
    return through_tasks(blocks, ask_codes, arguments, workers, tally.abort)


def ask_codes(batch: pa.Table, config: QuestionsConfig, store: QuestionSet) -> pa.Table:
    """Ask about a block of codes, write their questions and rows; returns receipts."""
    listed = [StoredCode(**row) for row in batch.to_pylist()]
    questions: list[Row] = []
    receipts: list[Row] = []
    for code, found in _read(listed):
        made, receipt = _attempt(code, found, config)
        questions += made
        receipts.append(receipt)
    digest = hashlib.sha256(json.dumps([code.scene for code in listed]).encode()).hexdigest()
    store.write(f"part-{digest[:24]}", questions, receipts)
    return rows.table(receipts, rows.ASKED)


def _read(listed: Sequence[StoredCode]) -> Iterator[tuple[StoredCode, Any]]:
    """Each code with what was read of it: a code, an exception, or None where listing failed."""
    for file, group in groupby(listed, lambda code: code.file):
        part = list(group)
        usable = [code for code in part if code.error is None]
        found = iter(read_stored(file, [code.row for code in usable]) if usable else ())
        for code in part:
            yield code, (next(found) if code.error is None else None)


def _attempt(code: StoredCode, found: Any, config: QuestionsConfig) -> tuple[list[Row], Row]:
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
