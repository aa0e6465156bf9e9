"""The report of answered questions: scores with intervals by task, tables, every answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spatialcode.evaluation.answer_plot import write_plot
from spatialcode.reasoning.families.registry import families, families_with_levels
from spatialcode.reasoning.metrics import interval95, overall

Row = dict[str, Any]

#: What each answer is scored by: the reasoner itself, and the two that see no code.
SCORED = ("score", "priors_only", "most_frequent")
_TITLES = {"mean": "mean of tasks", "mean_of_box_tasks": "mean of the six that boxes decide"}


def summarise(answers: Sequence[Row]) -> Row:
    """Scores (0 to 100) by task and dataset; a family with levels also by their mean.

    Unanswered questions (not understood, no answer in what a model wrote) score 0; failed ones,
    where an error of ours or of an endpoint stood in the way, also count as unanswered.
    """
    names = sorted({answer["task"] for answer in answers})
    tasks = {name: _task([a for a in answers if a["task"] == name]) for name in names}
    for family in families_with_levels():
        levels = [name for name in names if name in family.names]
        if levels:
            tasks[family.group] = _task([a for a in answers if a["task"] in levels])
            for column in SCORED:
                tasks[family.group][column] = sum(tasks[n][column] for n in levels) / len(levels)
    # of VSI-Bench's other two tasks one needs the video, the other things that boxes lack
    box_tasks = {name for family in families() if family.box_task for name in family.names}
    datasets = sorted({answer["dataset"] for answer in answers})
    return {
        "num_questions": len(answers),
        "num_rooms": len({answer["scene"] for answer in answers}),
        "num_unanswered": sum(answer["error"] is not None for answer in answers),
        "num_failed": sum(answer["failed"] for answer in answers),
        "tasks": tasks,
        "mean": _mean(answers),
        "mean_of_box_tasks": _mean([a for a in answers if a["task"] in box_tasks]),
        "datasets": {
            name: {task: entry["score"] for task, entry in one.items()}
            for name in datasets if len(datasets) > 1
            for one in [summarise([a for a in answers if a["dataset"] == name])["tasks"]]
        },
    }  # fmt: skip


def _mean(answers: Sequence[Row]) -> Row | None:
    """The mean of task scores, levels averaged into one; None of no answers."""
    if not answers:
        return None
    names = {answer["task"] for answer in answers}
    mean: Row = {"ci95": _interval(answers)}
    for column in SCORED:
        of_task = {n: [a[column] for a in answers if a["task"] == n] for n in names}
        mean[column] = overall({n: sum(s) / len(s) for n, s in of_task.items()})["mean"]
    return mean


def _interval(answers: Sequence[Row]) -> list[float]:
    scores, scenes, tasks = ([answer[n] for answer in answers] for n in ("score", "scene", "task"))
    return list(interval95(scores, scenes, tasks=tasks))


def _task(answers: Sequence[Row]) -> Row:
    means = {name: sum(a[name] for a in answers) / len(answers) for name in SCORED}
    return {
        "score": means["score"],
        "ci95": _interval(answers),
        "n": len(answers),
        "priors_only": means["priors_only"],
        "most_frequent": means["most_frequent"],
        "ungrounded": sum(not answer["grounded"] for answer in answers),
        "unanswered": sum(answer["error"] is not None for answer in answers),
    }


def attribution(perceived: Row, annotated: Row) -> Row:
    """By task: the points that perception loses against annotated boxes, and those that the
    reasoner loses with annotated boxes. The two and the score add up to 100.
    """
    return {
        name: {
            "perceived": task["score"],
            "annotated": annotated["tasks"][name]["score"],
            "lost_to_perception": annotated["tasks"][name]["score"] - task["score"],
            "lost_to_reasoning": 100.0 - annotated["tasks"][name]["score"],
        }
        for name, task in perceived["tasks"].items()
    }


def markdown(report: Row) -> str:
    """The report as tables."""
    left_out = report.get("num_without_boxes", 0)
    without = f" {left_out} more are about rooms without boxes." if left_out else ""
    lines = [
        "# VSI-Bench over spatial codes", "",
        f"{report['num_questions']} questions about {report['num_rooms']} rooms; "
        f"{report['num_unanswered']} unanswered, {report['num_failed']} of them failed.{without} "
        "Brackets: 95 %, by drawing rooms.", "",
        *score_table(report),
    ]  # fmt: skip
    if "attribution" in report:
        lines += ["", "## Points lost", "", *attribution_table(report["attribution"])]
    if report["datasets"]:
        lines += ["", "## By dataset", "", *_dataset_table(report["datasets"])]
    return "\n".join(lines) + "\n"


def score_table(report: Row) -> list[str]:
    """Scores beside the blind baselines."""
    lines = [
        "| task | score | priors only | most frequent | questions | not grounded | unanswered |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, task in report["tasks"].items():
        blind = f"{task['priors_only']:.1f} | {task['most_frequent']:.1f}"
        counts = f"{task['n']} | {task['ungrounded']} | {task['unanswered']}"
        lines.append(f"| {name} | {with_interval(task)} | {blind} | {counts} |")
    for name in ("mean", "mean_of_box_tasks"):
        mean = report[name]
        if mean is not None:
            blind = f"{mean['priors_only']:.1f} | {mean['most_frequent']:.1f}"
            lines.append(f"| {_TITLES[name]} | {with_interval(mean)} | {blind} | | | |")
    return lines


def with_interval(entry: Row) -> str:
    """As text: 66.6 (62.0–71.2)."""
    low, high = entry["ci95"]
    return f"{entry['score']:.1f} ({low:.1f}–{high:.1f})"


def attribution_table(lost: Row) -> list[str]:
    """Where points are lost, by task."""
    lines = [
        "| task | perceived | annotated | to perception | to reasoning |",
        "|---|---|---|---|---|",
    ]
    for name, entry in lost.items():
        lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in entry.values()) + " |")
    return lines


def _dataset_table(datasets: Row) -> list[str]:
    tasks = sorted({task for scores in datasets.values() for task in scores})
    lines = ["| task | " + " | ".join(datasets) + " |", "|---" * (len(datasets) + 1) + "|"]
    for task in tasks:
        cells = [f"{s[task]:.1f}" if task in s else "–" for s in datasets.values()]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    return lines


def write_report(report: Row, answers: Sequence[Row], folder: Path) -> None:
    """``report.json``, ``report.md``, ``report.html``, and every answer with its evidence in
    ``answers.jsonl``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    write_plot(report, folder / "report.html")
    write_answers(answers, folder / "answers.jsonl")


def write_answers(answers: Sequence[Row], path: Path) -> None:
    """One JSON object a line."""
    with path.open("w", encoding="utf-8") as lines:
        for answer in answers:
            lines.write(json.dumps(answer, allow_nan=False) + "\n")
