"""The report of the whole system: each family answered from the true code, from the encoder's
codes, and blind, in one table; and where the points between them are lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spatialcode.evaluation.answer_report import summarise, with_interval, write_answers

Row = dict[str, Any]

_LOST = ("poses", "boxes", "reasoning")


def summarise_rooms(answers: Mapping[str, Sequence[Row]]) -> Row:
    """``conditions``: scores by task for each code answered from; ``tasks`` and ``mean``: those of
    the encoder that was told no path; ``attribution``: points lost, by task;
    ``num_failed_questions``: answers, of all conditions, that an error of ours or of an endpoint
    stood in the way of.
    """
    conditions = {name: summarise(found) for name, found in answers.items()}
    seen = conditions["predicted_poses"]
    return {
        "num_questions": seen["num_questions"],
        "num_failed_questions": sum(entry["num_failed"] for entry in conditions.values()),
        "tasks": seen["tasks"],
        "mean": seen["mean"],
        "conditions": conditions,
        "attribution": {name: _lost(conditions, name) for name in seen["tasks"]},
    }


def _lost(conditions: Mapping[str, Row], task: str) -> Row:
    """Points lost to the estimated path, to the boxes, and to the reasoner; with the score, 100."""
    predicted, given, true = (
        conditions[name]["tasks"][task]["score"]
        for name in ("predicted_poses", "given_poses", "true_code")
    )
    return dict(zip(_LOST, (given - predicted, true - given, 100.0 - true), strict=True))


def markdown(report: Row) -> str:
    """The report as tables."""
    failed = f", {report['num_failed']} failed" if report["num_failed"] else ""
    broken = report["num_failed_questions"]
    answers = f" {broken} answers failed: see answers.jsonl." if broken else ""
    lines = [
        "# Unseen rendered rooms, from video to answers", "",
        f"{report['num_questions']} questions about {report['num_rooms']} rooms{failed}.{answers} "
        "Brackets: 95 %, by drawing rooms.", "",
        "| task | questions | true code | encoder, given poses | encoder, predicted poses "
        "| priors only | most frequent |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    conditions = report["conditions"]
    for task in report["tasks"]:
        entries = [conditions[name]["tasks"][task] for name in conditions]
        lines.append(_line(task, entries[-1]["n"], entries))
    lines.append(_line("mean of tasks", "", [entry["mean"] for entry in conditions.values()]))
    lines += ["", "## Points lost", "", "| task | to poses | to boxes | to reasoning |"]
    lines.append("|---|---|---|---|")
    for task, lost in report["attribution"].items():
        lines.append(f"| {task} | " + " | ".join(f"{lost[name]:.1f}" for name in _LOST) + " |")
    lines += [f"\n- {failure}" for failure in report["failures"]]
    return "\n".join(lines) + "\n"


def _line(task: str, num: object, entries: Sequence[Row]) -> str:
    blind = [f"{entries[-1][name]:.1f}" for name in ("priors_only", "most_frequent")]
    cells = [task, str(num), *map(with_interval, entries), *blind]
    return f"| {' | '.join(cells)} |"


def write_report(report: Row, answers: Sequence[Row], folder: Path) -> None:
    """``report.json``, ``report.md``, ``report.html`` and every answer in ``answers.jsonl``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    write_plot(report, folder / "report.html")
    write_answers(answers, folder / "answers.jsonl")


def write_plot(report: Row, path: Path) -> None:
    """Bars by task, one colour a condition, as a self-contained HTML page."""
    from plotly.graph_objects import Bar, Figure

    figure: Figure = Figure()
    for name, entry in report["conditions"].items():
        heights = [task["score"] for task in entry["tasks"].values()]
        figure.add_trace(Bar(x=list(entry["tasks"]), y=heights, name=name.replace("_", " ")))
    blind = [task["priors_only"] for task in report["tasks"].values()]
    figure.add_trace(Bar(x=list(report["tasks"]), y=blind, name="priors only"))
    figure.update_layout(height=480, template="plotly_white", yaxis_range=[0, 100])
    figure.write_html(path, include_plotlyjs=True)
