"""The report on real recordings: one dictionary, its tables in Markdown, its figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from spatialcode.evaluation.encoder_report import FailedClip
from spatialcode.evaluation.metrics.detection import NOTHING, Counts
from spatialcode.evaluation.metrics.scoring import key
from spatialcode.evaluation.recorded import (
    BOX_IOU,
    BoxCounts,
    BoxFigures,
    Measured,
    RecordedResult,
)
from spatialcode.evaluation.report import Report, table

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def aggregate_recorded(
    results: Sequence[RecordedResult], failures: Sequence[FailedClip] = ()
) -> Report:
    """All figures, by recording and pooled; the counts add up: ``num_recordings`` =
    ``num_evaluated`` + ``num_failed``.
    """
    ordered = sorted(results, key=lambda result: result.name)
    figures = [result.figures for result in ordered]
    rungs = list(dict.fromkeys(name for result in ordered for name in result.ladder))
    return {
        "benchmark": "recorded",
        "num_recordings": len(results) + len(failures),
        "num_evaluated": len(results),
        "num_failed": len(failures),
        "failures": [vars(failure) for failure in sorted(failures, key=lambda f: f.name)],
        "recordings": {result.name: _recording(result) for result in ordered},
        "summary": _pooled(figures)
        | {"f1": _f1([result.boxed.boxes for result in ordered if result.boxed.boxes])},
        "ladder": {
            name: _pooled(rung) | {"f1": _f1([one.boxes for one in rung if one.boxes])}
            for name in rungs
            if (rung := [result.ladder[name] for result in ordered if name in result.ladder])
        },
    }


def _recording(result: RecordedResult) -> Report:
    boxed = result.boxed.boxes
    return (
        {"num_frames": result.num_frames, "path_length_m": result.path_length_m}
        | _figures(result.figures)
        | {
            "f1": _f1([boxed]) if boxed else None,
            "f1_told": result.boxed.told.name if boxed else None,
            "ladder": {
                name: _figures(rung) | {"f1": _f1([rung.boxes]) if rung.boxes else None}
                for name, rung in result.ladder.items()
            },
        }
    )


def _figures(one: Measured) -> Report:
    depth = one.depth
    return {
        "told": one.told.name,
        "path_error_m": one.path_error_m and asdict(one.path_error_m),
        "scale_ratio": one.scale_ratio,
        "scale": {"source": one.scale_source, "confidence": one.scale_confidence},
        "focal_ratio": one.focal_ratio,
        "rotation_step_deg": one.rotation_step_deg,
        "depth_abs_rel": depth and {"metric": depth.metric, "fitted": depth.fitted},
        "depth_delta_125": depth and {"metric": depth.metric_delta, "fitted": depth.fitted_delta},
        "depth_ratio": depth and depth.ratio,
        "still": one.still and asdict(one.still),
        "seconds_per_frame": one.seconds_per_frame,
    }


def _pooled(figures: Sequence[Measured]) -> Report:
    """Medians over recordings, of those that have a figure; of standing cameras the worst."""
    paths = [one.path_error_m for one in figures if one.path_error_m is not None]
    depths = [one.depth for one in figures if one.depth is not None]
    stills = [one.still for one in figures if one.still is not None]
    return {
        "path_error_m": {
            name: _median(getattr(path, name) for path in paths)
            for name in ("as_is", "rigid", "similarity")
        },
        "scale_ratio": _median(one.scale_ratio for one in figures),
        "scale_error": _median(_off(one.scale_ratio) for one in figures),
        "focal_ratio": _median(one.focal_ratio for one in figures),
        "focal_error": _median(_off(one.focal_ratio) for one in figures),
        "rotation_step_deg": _median(one.rotation_step_deg for one in figures),
        "depth_abs_rel": {
            name: _median(getattr(depth, name) for depth in depths) for name in ("metric", "fitted")
        },
        "still": {"m": max(s.m for s in stills), "deg": max(s.deg for s in stills)}
        if stills
        else None,
    }


def _off(ratio: float | None) -> float | None:
    """How far a ratio is from 1, the larger way round: half and double are both 1 off."""
    if ratio is None or ratio <= 0:
        return ratio if ratio is None else float("inf")
    return max(ratio, 1 / ratio) - 1


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    middle = float(np.median(known)) if known else None
    return None if middle is None or not np.isfinite(middle) else middle


def _f1(boxes: Sequence[BoxFigures]) -> Report | None:
    """Counts pooled over recordings, and their F1; None without boxes."""
    if not boxes:
        return None
    large = [one.known_large for one in boxes if one.known_large is not None]
    return _counted([one.all for one in boxes]) | {
        "known_large": _counted(large) if large else None
    }


def _counted(counts: Sequence[BoxCounts]) -> Report:
    def block(pick: Callable[[BoxCounts, str], Counts]) -> Report:
        pooled = {key(u): reduce(add, (pick(c, key(u)) for c in counts), NOTHING) for u in BOX_IOU}
        return {name: found.f1 for name, found in pooled.items()} | {
            "counts": {name: asdict(found) for name, found in pooled.items()}
        }

    return {
        "right_label": block(lambda c, iou: c.right_label[iou]),
        "any_label": block(lambda c, iou: c.any_label[iou]),
    }


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _at(block: Any, *keys: str) -> Any:
    for name in keys:
        block = None if block is None else block[name]
    return block


#: Columns of tables: head, where the figure is, digits.
_COLUMNS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("path, as is (m)", ("path_error_m", "as_is"), 3),
    ("rigid (m)", ("path_error_m", "rigid"), 3),
    ("similarity (m)", ("path_error_m", "similarity"), 3),
    ("scale", ("scale_ratio",), 2),
    ("focal", ("focal_ratio",), 3),
    ("turn a step (°)", ("rotation_step_deg",), 2),
    ("AbsRel, metric", ("depth_abs_rel", "metric"), 3),
    ("AbsRel, fitted", ("depth_abs_rel", "fitted"), 3),
    ("still (m)", ("still", "m"), 3),
    ("still (°)", ("still", "deg"), 2),
)
_BOX_COLUMNS: tuple[tuple[str, tuple[str, ...], int], ...] = tuple(
    (f"{whose}{label} label, {key(iou)}", ("f1", *part, name, key(iou)), 3)
    for whose, part in (("", ()), ("known and large, ", ("known_large",)))
    for label, name in (("right", "right_label"), ("any", "any_label"))
    for iou in BOX_IOU
)


def _rows(blocks: dict[str, Report], columns: Sequence[tuple[str, tuple[str, ...], int]]) -> str:
    rows = [
        [name, *(_number(_at(block, *keys), digits) for _, keys, digits in columns)]
        for name, block in blocks.items()
    ]
    return table(["", *(head for head, _, _ in columns)], rows)


def recorded_markdown(report: Report) -> str:
    """The report as tables."""
    recordings = report["recordings"]
    boxed = {name: one for name, one in recordings.items() if one["f1"] is not None}
    parts = [
        "# Encoder on real recordings",
        f"{report['num_evaluated']} recordings, "
        f"{sum(one['num_frames'] for one in recordings.values())} frames; "
        f"{report['num_failed']} failed.",
        "## Path, scale, lens, depth",
        _rows({**recordings, "median": report["summary"]}, _COLUMNS),
        "Scale and focal length are ratios to the truth. Of standing cameras the last line has the "
        "worst. A dash: no truth, or too short a path.",
    ]
    if boxed:
        told = ", ".join(f"{name}: {one['f1_told']}" for name, one in boxed.items())
        parts += [
            "## Boxes, F1",
            _rows({**boxed, "all": report["summary"]}, _BOX_COLUMNS),
            f"What the encoder was told: {told}.",
        ]
    for name, one in recordings.items():
        if len(one["ladder"]) > 1:
            columns = (*_COLUMNS[:-2], *(_BOX_COLUMNS if one["f1"] else ()))
            parts += [f"## Oracle ladder: {name}", _rows(one["ladder"], columns)]
    parts += [f"- {one['name']}: {one['error_code']}: {one['error']}" for one in report["failures"]]
    return "\n\n".join(parts) + "\n"


def recorded_headline(report: Report) -> str:
    """The figures that matter most, in a few lines of text."""
    summary = report["summary"]
    path, depth, still = summary["path_error_m"], summary["depth_abs_rel"], summary["still"]
    lines = [
        f"{report['num_evaluated']} recordings, {report['num_failed']} failed; medians:",
        f"path error {_number(path['similarity'])} m after similarity, {_number(path['rigid'])} m "
        f"rigid; scale {_number(summary['scale_ratio'], 2)}, focal length "
        f"{_number(summary['focal_ratio'], 2)} of the true one",
        f"depth AbsRel {_number(depth['metric'])}, fitted {_number(depth['fitted'])}",
    ]
    if still is not None:
        lines.append(
            f"standing cameras moved by {still['m']:.3f} m and {still['deg']:.2f}° at most"
        )
    if summary["f1"] is not None:
        right, any_label = (summary["f1"][name]["0.25"] for name in ("right_label", "any_label"))
        lines.append(f"boxes: F1@0.25 {_number(right)}, any label {_number(any_label)}")
    return "\n".join(lines)


def recorded_figure(report: Report) -> Figure:
    """Bars by recording: path errors, ratios, depth errors, and F1 by rung of the ladder."""
    from plotly.graph_objects import Bar
    from plotly.subplots import make_subplots

    panels: dict[str, dict[str, tuple[str, ...]]] = {
        "Camera path: error in metres": {
            name.replace("_", " "): ("path_error_m", name)
            for name in ("as_is", "rigid", "similarity")
        },
        "Ratio to the truth": {
            "scale": ("scale_ratio",), "focal length": ("focal_ratio",), "depth": ("depth_ratio",)
        },
        "Depth: AbsRel": {name: ("depth_abs_rel", name) for name in ("metric", "fitted")},
        "Boxes: F1 at IoU 0.25": {
            "right label": ("f1", "right_label", "0.25"), "any label": ("f1", "any_label", "0.25")
        },
    }  # fmt: skip
    drawn: Figure = make_subplots(rows=len(panels), cols=1, subplot_titles=list(panels))
    recordings = report["recordings"]
    for row, lines in enumerate(panels.values(), start=1):
        for name, keys in lines.items():
            heights = [_at(one, *keys) for one in recordings.values()]
            drawn.add_trace(Bar(x=list(recordings), y=heights, name=name), row, 1)
    drawn.update_layout(height=360 * len(panels), template="plotly_white")
    return drawn
