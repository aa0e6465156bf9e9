"""The report's figure: scores by task beside the blind baselines, and where points are lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_plot(report: dict[str, Any], path: Path) -> None:
    """Write a self-contained HTML page: bars with intervals, and the attribution if known."""
    from plotly.graph_objects import Bar, Figure
    from plotly.subplots import make_subplots

    lost: dict[str, Any] = report.get("attribution") or {}
    titles = ["score by task (0 to 100)", *(["points lost"] if lost else [])]
    figure: Figure = make_subplots(rows=len(titles), cols=1, subplot_titles=titles)
    tasks = report["tasks"]
    for name, column in (("reasoner", "score"), ("priors only", "priors_only"),
                         ("most frequent", "most_frequent")):  # fmt: skip
        heights = [task[column] for task in tasks.values()]
        spread = None
        if column == "score":
            over = [task["ci95"][1] - task["score"] for task in tasks.values()]
            under = [task["score"] - task["ci95"][0] for task in tasks.values()]
            spread = {"type": "data", "symmetric": False, "array": over, "arrayminus": under}
        figure.add_trace(Bar(x=list(tasks), y=heights, name=name, error_y=spread), 1, 1)
    for part in ("lost_to_perception", "lost_to_reasoning") if lost else ():
        heights = [entry[part] for entry in lost.values()]
        figure.add_trace(Bar(x=list(lost), y=heights, name=part.replace("_", " ")), 2, 1)
    figure.update_layout(height=420 * len(titles), template="plotly_white")
    figure.write_html(path, include_plotlyjs=True)
