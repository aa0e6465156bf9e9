"""The curve of a training run, drawn from its metrics file."""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.train_encoder.run import METRICS_FILE

SHOWN = ("depth_abs_rel", "vote_error_m", "object_class_accuracy")


def write_curve(output: Path) -> Path:
    """An HTML page (nothing fetched) of loss and validation over samples; returns its path."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rows = [json.loads(line) for line in (output / METRICS_FILE).read_text().splitlines()]
    figure = make_subplots(rows=2, cols=1, subplot_titles=("training loss", "unseen rooms"))
    trained = [row for row in rows if row["kind"] == "train"]
    samples = [row["samples"] for row in trained]
    for term in ("loss", "classes", "depth", "vote", "size"):
        values = [row[term] for row in trained]
        figure.add_trace(go.Scatter(x=samples, y=values, name=term), row=1, col=1)
    validated = [row for row in rows if row["kind"] == "validation"]
    for knowledge in ("exact", "unknown"):
        for name in SHOWN:
            figure.add_trace(
                go.Scatter(
                    x=[row["samples"] for row in validated],
                    y=[row[knowledge][name] for row in validated],
                    name=f"{name}, {knowledge} gravity",
                ),
                row=2,
                col=1,
            )
    figure.update_xaxes(title_text="training pictures")
    page = output / "curve.html"
    figure.write_html(page, include_plotlyjs=True)
    return page
