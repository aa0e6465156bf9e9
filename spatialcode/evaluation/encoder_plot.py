"""The report's figure: F1 by class and the oracle ladder, as a self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_plot(report: dict[str, Any], path: Path) -> None:
    """Write bars of F1 at IoU 0.25 (label right) by class, and of every ladder's rungs."""
    from plotly.graph_objects import Bar, Figure
    from plotly.subplots import make_subplots

    ladders = {start: steps for start, steps in report["ladder"].items() if steps}
    titles = ["F1@0.25 by class, label right", *(f"made true, from {s}" for s in ladders)]
    figure: Figure = make_subplots(rows=len(titles), cols=1, subplot_titles=titles)
    for poses in ("given_poses", "predicted_poses"):
        classes = report[poses]["per_class"]
        heights = [figures["0.25"]["f1"] for figures in classes.values()]
        figure.add_trace(Bar(x=list(classes), y=heights, name=poses.replace("_", " ")), 1, 1)
    for row, (start, steps) in enumerate(ladders.items(), start=2):
        for name, block in (("any label", lambda f: f), ("label right", _aware)):
            heights = [block(figures)["f1"]["0.25"] for figures in steps.values()]
            bars = Bar(x=list(steps), y=heights, name=f"{start}, {name}")
            figure.add_trace(bars, row, 1)
    figure.update_yaxes(range=[0, 1])
    figure.update_layout(height=360 * len(titles), template="plotly_white")
    figure.write_html(path, include_plotlyjs=True)


def _aware(figures: dict[str, Any]) -> dict[str, Any]:
    aware: dict[str, Any] = figures["class_aware"]
    return aware
