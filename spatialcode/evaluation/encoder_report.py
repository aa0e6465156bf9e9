"""The report of an encoder: one dictionary, its tables in Markdown, its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatialcode.evaluation.metrics.score_report import summarise, summarise_detection
from spatialcode.evaluation.report import Report, table
from spatialcode.evaluation.room import RoomResult, Seconds

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_IOU = ("0.10", "0.25", "0.50")


@dataclass(frozen=True)
class FailedClip:
    """A clip that could not be evaluated."""

    name: str
    error_code: str
    error: str


def aggregate(results: Sequence[RoomResult], failures: Sequence[FailedClip] = ()) -> Report:
    """Pool the results of all clips, at least one.

    ``given_poses`` and ``predicted_poses`` hold everything; ``depth_abs_rel`` repeats the depth
    error with given poses, where gravity and height are known. The counts of clips add up:
    ``num_rooms`` = ``num_evaluated`` + ``num_failed``.
    """
    if not results:
        raise ValueError("results: expected at least one clip, got none")
    ordered = sorted(results, key=lambda result: result.name)
    frames = [result.num_frames for result in ordered]
    given = summarise([result.given for result in ordered])
    predicted = summarise([result.predicted for result in ordered])
    return {
        "benchmark": "encoder",
        "num_rooms": len(results) + len(failures),
        "num_evaluated": len(results),
        "num_failed": len(failures),
        "failures": [vars(failure) for failure in sorted(failures, key=lambda f: f.name)],
        "num_frames": sum(frames),
        "given_poses": given,
        "predicted_poses": predicted,
        "depth_abs_rel": given["depth"] and given["depth"]["abs_rel"],
        "pose_error": predicted["pose"],
        "tracks": {"given_poses": given["tracks"], "predicted_poses": predicted["tracks"]},
        "per_class": {
            "given_poses": given["per_class"],
            "predicted_poses": predicted["per_class"],
        },
        "ladder": _ladder(ordered),
        "timing_ms_per_frame": {
            "given_poses": _timing([result.given_seconds for result in ordered], frames),
            "predicted_poses": _timing([result.predicted_seconds for result in ordered], frames),
        },
    }


def _ladder(results: Sequence[RoomResult]) -> Report:
    """Figures of every rung, over the clips on which the ladder was climbed."""
    climbed = [result.ladder for result in results if result.ladder]
    if not climbed:
        return {}
    report: Report = {}
    for start, steps in climbed[0].items():
        report[start] = {}
        for name in steps:
            figures = summarise_detection([ladder[start][name] for ladder in climbed])
            aware = figures["class_aware"]
            names = ("precision", "recall", "f1")
            report[start][name] = {n: figures[n] for n in names} | {
                "class_aware": {n: aware[n] for n in names}
            }
    return report


def _timing(seconds: Sequence[Seconds], num_frames: Sequence[int]) -> Report:
    """Milliseconds a frame of encoding, by step and clock; medians over clips.

    The first clip's are left out where there are others: it pays for warming up.
    """
    pairs = list(zip(seconds, num_frames, strict=True))
    kept = pairs[1:] or pairs
    report: Report = {}
    for clock, suffix in (("wall", ""), ("cpu", "_cpu")):
        steps = {
            step: [1000.0 * getattr(spent, step + suffix) / frames for spent, frames in kept]
            for step in ("network", "odometry", "fusion")
        }
        total = np.sum(list(steps.values()), axis=0)
        report[clock] = {step: float(np.median(values)) for step, values in steps.items()}
        report[clock]["total"] = float(np.median(total))
        report[clock]["total_p90"] = float(np.percentile(total, 90))
    return report


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def markdown(report: Report) -> str:
    """The report as tables."""
    parts = [
        "# Encoder on rooms with known truth",
        f"{report['num_evaluated']} clips, {report['num_frames']} frames; "
        f"{report['num_failed']} failed.",
        "## Detection",
        _detection_table(report),
        "Intervals are 95 %, by drawing clips with replacement.",
        "## Depth, path, room, tracks",
        _scalar_table(report),
        "## By class, IoU 0.25, label right",
        _class_table(report),
    ]
    if report["ladder"]:
        parts += ["## Oracle ladder, F1 at IoU 0.25", *_ladder_tables(report["ladder"])]
    timing = {poses: clocks["cpu"] for poses, clocks in report["timing_ms_per_frame"].items()}
    rows = [
        [poses.replace("_", " "), *(_number(value, 1) for value in steps.values())]
        for poses, steps in timing.items()
    ]
    parts += [
        "## Time, milliseconds of CPU a frame (median over clips)",
        table(["", *next(iter(timing.values()))], rows),
    ]
    return "\n\n".join(parts) + "\n"


def _detection_table(report: Report) -> str:
    rows = []
    for poses in ("given_poses", "predicted_poses"):
        for labels, block in (
            ("any", report[poses]),
            ("right", report[poses]["class_aware"]),
        ):
            for iou in _IOU:
                interval = block["f1_ci95"][iou]
                spread = "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
                figures = [_number(block[name][iou]) for name in ("precision", "recall", "f1")]
                rows.append([poses.replace("_", " "), labels, iou, *figures, spread])
    return table(["poses", "label", "IoU", "precision", "recall", "F1", "95 %"], rows)


def _scalar_table(report: Report) -> str:
    def pick(block: Any, *keys: str) -> str:
        for name in keys:
            block = None if block is None else block[name]
        return _number(block)

    wanted = {
        "depth AbsRel": ("depth", "abs_rel"),
        "depth, share within 1.25": ("depth", "delta_125"),
        "path error, world, median (m)": ("pose", "world_m", "median"),
        "path error, first frame, median (m)": ("pose", "first_frame_m", "median"),
        "path error, rigid, median (m)": ("pose", "rigid_m", "median"),
        "rotation error, median (rad)": ("pose", "rotation_rad", "median"),
        "gravity error, median (rad)": ("pose", "gravity_rad", "median"),
        "height error, median (m)": ("pose", "height_m", "median"),
        "IDF1, IoU 0.25": ("tracks", "iou", "idf1"),
        "HOTA, IoU": ("tracks", "iou", "hota"),
        "IDF1, centres within 0.5 m": ("tracks", "centre_distance", "idf1"),
        "HOTA, centres": ("tracks", "centre_distance", "hota"),
        "moving objects found": ("motion", "moving_recall"),
        "centre error of moving objects, median (m)": ("motion", "center_m_median"),
        "rooms told": ("room", "num_told"),
        "room area error, median": ("room", "area_error_median"),
        "room area error, mean": ("room", "area_error_mean"),
        "overlap of the rooms' outlines, mean": ("room", "polygon_iou_mean"),
        "floor height error, median (m)": ("room", "floor_m_median"),
        "ceiling height error, median (m)": ("room", "ceiling_m_median"),
        "objects counted exactly, by class": ("counting", "all", "exact"),
        "paired boxes: centre error, median (m)": ("box_errors", "center_m_median"),
        "paired boxes: front within 45°": ("box_errors", "front_within_45_deg"),
        "paired boxes: label right": ("box_errors", "label_accuracy"),
    }
    rows = [
        [name, pick(report["given_poses"], *keys), pick(report["predicted_poses"], *keys)]
        for name, keys in wanted.items()
    ]
    return table(["", "given poses", "predicted poses"], rows)


def _class_table(report: Report) -> str:
    given, predicted = (report[p]["per_class"] for p in ("given_poses", "predicted_poses"))
    rows = []
    for label in sorted({*given, *predicted}):
        row = [label]
        for block in (given, predicted):
            figures = block.get(label, {}).get("0.25", {})
            row += [_number(figures.get(name)) for name in ("precision", "recall", "f1")]
        counts = given.get(label, predicted.get(label))["0.25"]
        rows.append([*row, str(counts["true"] + counts["missed"])])
    head = ["class", "P given", "R given", "F1 given", "P pred.", "R pred.", "F1 pred.", "objects"]
    return table(head, rows)


def _ladder_tables(ladder: Report) -> list[str]:
    titles = {
        "given": "From given poses, one output made true:",
        "predicted": "From predicted poses, one made true:",
        "cumulative": "From predicted poses, one more at each row:",
    }
    parts = []
    for start, steps in ladder.items():
        rows = []
        for name, figures in steps.items():
            right = (figures["class_aware"][k]["0.25"] for k in ("f1", "precision", "recall"))
            rows.append([name, _number(figures["f1"]["0.25"]), *map(_number, right)])
        head = ["true", "F1, any label", "F1, label right", "precision", "recall"]
        parts += [titles[start], table(head, rows)]
    return parts


def headline(report: Report) -> str:
    """The figures that matter most, in a few lines of text."""
    lines = []
    for poses in ("given_poses", "predicted_poses"):
        block = report[poses]
        any_label, right = block["f1"]["0.25"], block["class_aware"]["f1"]["0.25"]
        lines.append(
            f"{poses.replace('_', ' ')}: F1@0.25 {_number(any_label)}, with the right label "
            f"{_number(right)}, HOTA {_number(block['tracks']['iou']['hota'])}"
        )
    path, cpu = (
        report["pose_error"]["world_m"],
        report["timing_ms_per_frame"]["predicted_poses"]["cpu"],
    )
    lines.append(
        f"depth AbsRel {_number(report['depth_abs_rel'])}, path error {_number(path['median'])} m, "
        f"{_number(cpu['total'], 1)} ms of CPU a frame"
    )
    return "\n".join(lines)


def figure(report: Report) -> Figure:
    """Bars of F1 at IoU 0.25 (label right) by class, and of every ladder's rungs."""
    from plotly.graph_objects import Bar
    from plotly.subplots import make_subplots

    ladders = {start: steps for start, steps in report["ladder"].items() if steps}
    titles = ["F1@0.25 by class, label right", *(f"made true, from {s}" for s in ladders)]
    drawn: Figure = make_subplots(rows=len(titles), cols=1, subplot_titles=titles)
    for poses in ("given_poses", "predicted_poses"):
        classes = report[poses]["per_class"]
        heights = [figures["0.25"]["f1"] for figures in classes.values()]
        drawn.add_trace(Bar(x=list(classes), y=heights, name=poses.replace("_", " ")), 1, 1)
    for row, (start, steps) in enumerate(ladders.items(), start=2):
        any_label = list(steps.values())
        right = [figures["class_aware"] for figures in any_label]
        for name, blocks in (("any label", any_label), ("label right", right)):
            heights = [block["f1"]["0.25"] for block in blocks]
            bars = Bar(x=list(steps), y=heights, name=f"{start}, {name}")
            drawn.add_trace(bars, row, 1)
    drawn.update_yaxes(range=[0, 1])
    drawn.update_layout(height=360 * len(titles), template="plotly_white")
    return drawn
