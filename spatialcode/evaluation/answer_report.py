"""The reports of answered questions: scores with intervals by task, tables, figures.

Of VSI-Bench, and of the whole system: each family answered from the true code, from the encoder's
codes, and blind, and where the points between them are lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spatialcode.evaluation.report import table
from spatialcode.reasoning.metrics import DIRECTION_LEVELS, interval95, overall

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]

#: What each answer is scored by: the reasoner itself, and the two that see no code.
SCORED = ("score", "priors_only", "most_frequent")
DIRECTION = "object_rel_direction"
_LOST_IN_ROOMS = ("poses", "boxes", "reasoning")
_TITLES = {"mean": "mean of tasks", "mean_of_box_tasks": "mean of the six that boxes decide"}
#: The tasks that boxes can decide: the other two need the video, or things that boxes lack.
BOX_TASKS = (
    "object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation",
    "object_rel_distance", *DIRECTION_LEVELS,
)  # fmt: skip


def summarise(answers: Sequence[Row]) -> Row:
    """Scores (0 to 100) by task and dataset; direction also averaged over its levels.

    Unanswered questions (not understood, no answer in what a model wrote) score 0; failed ones,
    where an error of ours or of an endpoint stood in the way, also count as unanswered.
    """
    names = sorted({answer["task"] for answer in answers})
    tasks = {name: _task([a for a in answers if a["task"] == name]) for name in names}
    levels = [name for name in names if name in DIRECTION_LEVELS]
    if levels:
        asked = [a for a in answers if a["task"] in levels]
        tasks[DIRECTION] = _task(asked)
        for column in SCORED:
            tasks[DIRECTION][column] = sum(tasks[n][column] for n in levels) / len(levels)
    datasets = sorted({answer["dataset"] for answer in answers})
    return {
        "num_questions": len(answers),
        "num_rooms": len({answer["scene"] for answer in answers}),
        "num_unanswered": sum(answer["error"] is not None for answer in answers),
        "num_failed": sum(answer["failed"] for answer in answers),
        "tasks": tasks,
        "mean": _mean(answers),
        "mean_of_box_tasks": _mean([a for a in answers if a["task"] in BOX_TASKS]),
        "datasets": {
            name: {task: entry["score"] for task, entry in one.items()}
            for name in datasets if len(datasets) > 1
            for one in [summarise([a for a in answers if a["dataset"] == name])["tasks"]]
        },
    }  # fmt: skip


def _mean(answers: Sequence[Row]) -> Row | None:
    """The mean of task scores, direction's levels averaged into one; None of no answers."""
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
    """VSI-Bench's report as tables."""
    left_out = report.get("num_without_boxes", 0)
    without = f" {left_out} more are about rooms without boxes." if left_out else ""
    parts = [
        "# VSI-Bench over spatial codes",
        f"{report['num_questions']} questions about {report['num_rooms']} rooms; "
        f"{report['num_unanswered']} unanswered, {report['num_failed']} of them failed.{without} "
        "Brackets: 95 %, by drawing rooms.",
        _score_table(report),
    ]
    if "attribution" in report:
        parts += ["## Points lost", _attribution_table(report["attribution"])]
    if report["datasets"]:
        parts += ["## By dataset", _dataset_table(report["datasets"])]
    return "\n\n".join(parts) + "\n"


def _score_table(report: Row) -> str:
    """Scores beside the blind baselines."""
    head = ("task", "score", "priors only", "most frequent", "questions", "not grounded",
            "unanswered")  # fmt: skip
    rows = []
    for name, task in report["tasks"].items():
        counts = (str(task[count]) for count in ("n", "ungrounded", "unanswered"))
        rows.append([name, _with_interval(task), *_blind(task), *counts])
    for name in ("mean", "mean_of_box_tasks"):
        mean = report[name]
        if mean is not None:
            rows.append([_TITLES[name], _with_interval(mean), *_blind(mean), "", "", ""])
    return table(head, rows)


def _with_interval(entry: Row) -> str:
    """As text: 66.6 (62.0–71.2)."""
    low, high = entry["ci95"]
    return f"{entry['score']:.1f} ({low:.1f}–{high:.1f})"


def _blind(entry: Row) -> list[str]:
    return [f"{entry[name]:.1f}" for name in ("priors_only", "most_frequent")]


def _attribution_table(lost: Row) -> str:
    """Where points are lost, by task."""
    head = ("task", "perceived", "annotated", "to perception", "to reasoning")
    return table(head, ([name, *(f"{v:.1f}" for v in e.values())] for name, e in lost.items()))


def _dataset_table(datasets: Row) -> str:
    tasks = sorted({task for scores in datasets.values() for task in scores})
    rows = [
        [task, *(f"{s[task]:.1f}" if task in s else "–" for s in datasets.values())]
        for task in tasks
    ]
    return table(["task", *datasets], rows)


def figure(report: Row) -> Figure:
    """Bars of scores with intervals, and where points are lost if that is known."""
    from plotly.graph_objects import Bar
    from plotly.subplots import make_subplots

    lost: dict[str, Any] = report.get("attribution") or {}
    titles = ["score by task (0 to 100)", *(["points lost"] if lost else [])]
    drawn: Figure = make_subplots(rows=len(titles), cols=1, subplot_titles=titles)
    tasks = report["tasks"]
    for name, column in (("reasoner", "score"), ("priors only", "priors_only"),
                         ("most frequent", "most_frequent")):  # fmt: skip
        heights = [task[column] for task in tasks.values()]
        spread = None
        if column == "score":
            over = [task["ci95"][1] - task["score"] for task in tasks.values()]
            under = [task["score"] - task["ci95"][0] for task in tasks.values()]
            spread = {"type": "data", "symmetric": False, "array": over, "arrayminus": under}
        drawn.add_trace(Bar(x=list(tasks), y=heights, name=name, error_y=spread), 1, 1)
    for part in ("lost_to_perception", "lost_to_reasoning") if lost else ():
        heights = [entry[part] for entry in lost.values()]
        drawn.add_trace(Bar(x=list(lost), y=heights, name=part.replace("_", " ")), 2, 1)
    drawn.update_layout(height=420 * len(titles), template="plotly_white")
    return drawn


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
        "attribution": {name: _lost_in_room(conditions, name) for name in seen["tasks"]},
    }


def _lost_in_room(conditions: Mapping[str, Row], task: str) -> Row:
    """Points lost to the estimated path, to the boxes, and to the reasoner; with the score, 100."""
    predicted, given, true = (
        conditions[name]["tasks"][task]["score"]
        for name in ("predicted_poses", "given_poses", "true_code")
    )
    return dict(zip(_LOST_IN_ROOMS, (given - predicted, true - given, 100.0 - true), strict=True))


def rooms_markdown(report: Row) -> str:
    """The whole system's report as tables."""
    failed = f", {report['num_failed']} failed" if report["num_failed"] else ""
    broken = report["num_failed_questions"]
    answers = f" {broken} answers failed: see answers.jsonl." if broken else ""
    conditions = report["conditions"]
    head = ("task", "questions", "true code", "encoder, given poses", "encoder, predicted poses",
            "priors only", "most frequent")  # fmt: skip
    rows = []
    for task in report["tasks"]:
        entries = [one["tasks"][task] for one in conditions.values()]
        scores = map(_with_interval, entries)
        rows.append([task, str(entries[-1]["n"]), *scores, *_blind(entries[-1])])
    means = [one["mean"] for one in conditions.values()]
    rows.append(["mean of tasks", "", *map(_with_interval, means), *_blind(means[-1])])
    lost = [
        [task, *(f"{points[name]:.1f}" for name in _LOST_IN_ROOMS)]
        for task, points in report["attribution"].items()
    ]
    parts = [
        "# Unseen rendered rooms, from video to answers",
        f"{report['num_questions']} questions about {report['num_rooms']} rooms{failed}.{answers} "
        "Brackets: 95 %, by drawing rooms.",
        table(head, rows),
        "## Points lost",
        table(("task", "to poses", "to boxes", "to reasoning"), lost),
        *(f"- {failure}" for failure in report["failures"]),
    ]
    return "\n\n".join(parts) + "\n"


def rooms_figure(report: Row) -> Figure:
    """Bars by task, one colour a condition."""
    from plotly.graph_objects import Bar, Figure

    drawn: Figure = Figure()
    for name, entry in report["conditions"].items():
        heights = [task["score"] for task in entry["tasks"].values()]
        drawn.add_trace(Bar(x=list(entry["tasks"]), y=heights, name=name.replace("_", " ")))
    blind = [task["priors_only"] for task in report["tasks"].values()]
    drawn.add_trace(Bar(x=list(report["tasks"]), y=blind, name="priors only"))
    drawn.update_layout(height=480, template="plotly_white", yaxis_range=[0, 100])
    return drawn
