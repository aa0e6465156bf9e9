"""The report of a question benchmark: scores with intervals by task, its table, every answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spatialcode.reasoning.metrics import DIRECTION_LEVELS, interval95, overall

Row = dict[str, Any]


def summarise(answers: Sequence[Row]) -> Row:
    """Scores (0 to 100) by task and dataset; direction also averaged over its levels."""
    names = sorted({answer["task"] for answer in answers})
    tasks = {name: _task([a for a in answers if a["task"] == name]) for name in names}
    averages = overall({name: task["score"] for name, task in tasks.items()})
    blind = overall({name: task["blind"] for name, task in tasks.items()})
    if any(name in tasks for name in DIRECTION_LEVELS):
        levels = [a for a in answers if a["task"] in DIRECTION_LEVELS]
        direction = _task(levels)
        # the interval is of the mean over all questions of the three levels
        direction["score"] = averages["object_rel_direction"]
        direction["blind"] = blind["object_rel_direction"]
        tasks["object_rel_direction"] = direction
    datasets = sorted({answer["dataset"] for answer in answers})
    return {
        "benchmark": "vsibench",
        "num_questions": len(answers),
        "num_rooms": len({answer["scene"] for answer in answers}),
        "num_failed": sum(answer["error"] is not None for answer in answers),
        "tasks": tasks,
        "mean": averages.get("mean"),
        "blind_mean": blind.get("mean"),
        "datasets": {name: _dataset(answers, name) for name in datasets}
        if len(datasets) > 1
        else {},
    }


def _task(answers: Sequence[Row]) -> Row:
    scores = [answer["score"] for answer in answers]
    return {
        "score": sum(scores) / len(scores),
        "ci95": list(interval95(scores, [answer["scene"] for answer in answers])),
        "n": len(answers),
        "blind": sum(answer["blind"] for answer in answers) / len(answers),
        "ungrounded": sum(not answer["grounded"] for answer in answers),
        "failed": sum(answer["error"] is not None for answer in answers),
    }


def _dataset(answers: Sequence[Row], name: str) -> dict[str, float]:
    chosen = [answer for answer in answers if answer["dataset"] == name]
    tasks = sorted({answer["task"] for answer in chosen})
    means = {task: _task([a for a in chosen if a["task"] == task])["score"] for task in tasks}
    return overall(means)


def markdown(report: Row) -> str:
    """The report as tables."""
    lines = [
        "# VSI-Bench over spatial codes", "",
        f"{report['num_questions']} questions about {report['num_rooms']} rooms; "
        f"{report['num_failed']} failed. Brackets: 95 %, by drawing rooms.", "",
        "| task | score | blind | questions | not grounded |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, task in report["tasks"].items():
        low, high = task["ci95"]
        score = f"{task['score']:.1f} ({low:.1f}–{high:.1f})"
        lines.append(
            f"| {name} | {score} | {task['blind']:.1f} | {task['n']} | {task['ungrounded']} |"
        )
    lines.append(f"| mean of tasks | {report['mean']:.1f} | {report['blind_mean']:.1f} | | |")
    if "attribution" in report:
        lines += ["", "## Points lost", ""]
        lines += ["| task | perceived | annotated | to perception | to reasoning |",
                  "|---|---|---|---|---|"]  # fmt: skip
        for name, lost in report["attribution"].items():
            lines.append(
                f"| {name} | " + " | ".join(f"{value:.1f}" for value in lost.values()) + " |"
            )
    return "\n".join(lines) + "\n"


def write_report(report: Row, answers: Sequence[Row], folder: Path) -> None:
    """``report.json``, ``report.md``, and every answer with its evidence in ``answers.jsonl``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    with (folder / "answers.jsonl").open("w", encoding="utf-8") as lines:
        for answer in answers:
            lines.write(json.dumps(answer, allow_nan=False) + "\n")
