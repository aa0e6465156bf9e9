"""Scores of many clips, pooled into the numbers of a report.

Detection, tracks and per-class figures pool counts over clips; depth is weighted by cells;
paths, rooms and moving objects are averaged or have their median taken over clips. A figure
that nothing was measured for is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from spatialcode.evaluation.metrics import detection
from spatialcode.evaluation.metrics.detection import IOU_THRESHOLDS, NOTHING, Counts
from spatialcode.evaluation.metrics.poses import PathError
from spatialcode.evaluation.metrics.scoring import (
    PAIR_IOU,
    ClipScore,
    DetectionCounts,
    TrackScore,
    key,
)
from spatialcode.scene.categories import LABELS

Report = dict[str, Any]
_KEYS = tuple(key(t) for t in IOU_THRESHOLDS)


def summarise(scores: Sequence[ClipScore]) -> Report:
    """All figures of one way of getting poses; ``scores`` one per clip, at least one."""
    if not scores:
        raise ValueError("scores: expected at least one clip, got none")
    report = summarise_detection([score.detection for score in scores], intervals=True)
    asked = report["counts"][key(PAIR_IOU)]
    num_truth = asked["true"] + asked["missed"]
    for target, name in ((report, "is_true"), (report["class_aware"], "is_true_with_label")):
        target.update(_ranking(scores, name, num_truth))
    report["per_class"] = _per_class([score.detection for score in scores])
    report["box_errors"] = _box_errors(scores)
    report["confusions"] = _confusions(scores)
    report["tracks"] = {
        "iou": _tracks([score.tracks_iou for score in scores]),
        "centre_distance": _tracks([score.tracks_centre for score in scores]),
    }
    report["motion"] = _motion(scores)
    report["counting"] = _counting(scores)
    report["pose"] = _paths([score.path for score in scores])
    report["depth"] = _depth(scores)
    report["room"] = _rooms(scores)
    return report


def _ranking(scores: Sequence[ClipScore], name: str, num_truth: int) -> Report:
    """Average precision and the best cut over pooled predictions, the excused ones left out."""
    ranked = [(e.score, getattr(e, name)) for score in scores for e in score.ranked]
    points = np.array([score for score, hit in ranked if hit is not None], dtype=np.float64)
    hits = np.array([hit for _, hit in ranked if hit is not None], dtype=bool)
    best = detection.best_threshold(points, hits, num_truth) if len(points) else None
    return {
        "average_precision": detection.average_precision(points, hits, num_truth),
        "best_threshold": best and {"score": best[0], "f1": best[1]},
    }


def summarise_detection(detections: Sequence[DetectionCounts], intervals: bool = False) -> Report:
    """``precision``, ``recall``, ``f1``, ``counts`` keyed by threshold, label-agnostic, and the
    same under ``class_aware``; with ``intervals`` also ``f1_ci95``, drawn over clips.
    """

    def block(pick: Callable[[DetectionCounts, str], Counts]) -> Report:
        rooms = {k: [pick(d, k) for d in detections] for k in _KEYS}
        pooled = {k: reduce(add, rooms[k], NOTHING) for k in _KEYS}
        result: Report = {
            name: {k: getattr(pooled[k], name) for k in _KEYS}
            for name in ("precision", "recall", "f1")
        }
        result["counts"] = {k: asdict(pooled[k]) for k in _KEYS}
        if intervals:
            result["f1_ci95"] = {k: detection.bootstrap_f1(rooms[k]) for k in _KEYS}
        return result

    report = block(lambda d, k: d.agnostic[k])
    report["class_aware"] = block(lambda d, k: d.class_aware(k))
    return report


def _per_class(detections: Sequence[DetectionCounts]) -> Report:
    """By label, in the order of LABELS, then by threshold: the class-aware figures."""
    occurring = {label for d in detections for found in d.by_class.values() for label in found}
    order = [label for label in LABELS if label in occurring]
    order += sorted(occurring - set(order))
    report: Report = {}
    for label in order:
        report[label] = {}
        for k in _KEYS:
            counts = reduce(add, (d.by_class[k].get(label, NOTHING) for d in detections))
            names = ("precision", "recall", "f1")
            report[label][k] = {n: getattr(counts, n) for n in names} | asdict(counts)
    return report


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _box_errors(scores: Sequence[ClipScore]) -> Report:
    """Errors of paired boxes; only those good enough to be paired, so they flatter."""
    pairs = [pair for score in scores for pair in score.pairs]
    return {
        "num_pairs": len(pairs),
        "iou_median": _median(p.iou for p in pairs),
        "center_m_median": _median(p.center_m for p in pairs),
        "size_log_ratio_median": _median(p.size for p in pairs),
        "yaw_rad_median": _median(p.yaw_rad for p in pairs),
        "front_within_45_deg": _mean(
            float(p.front_rad < np.pi / 4) for p in pairs if p.front_rad is not None
        ),
        "label_accuracy": _mean(float(p.predicted_label == p.truth_label) for p in pairs),
    }


def _confusions(scores: Sequence[ClipScore], num_kept: int = 12) -> list[Report]:
    """The most frequent wrong labels of paired boxes."""
    wrong = Counter(
        (pair.truth_label, pair.predicted_label)
        for score in scores
        for pair in score.pairs
        if pair.truth_label != pair.predicted_label
    )
    return [
        {"truth": truth, "predicted": predicted, "count": number}
        for (truth, predicted), number in wrong.most_common(num_kept)
    ]


def _tracks(scores: Sequence[TrackScore]) -> Report:
    identity = reduce(add, (score.identity for score in scores))
    hota = reduce(add, (score.hota for score in scores)).scores() or {}
    names = ("hota", "detection", "association")
    return {"idf1": identity.f1} | {name: hota.get(name) for name in names}


def _motion(scores: Sequence[ClipScore]) -> Report:
    motions = [score.motion for score in scores]
    total = {
        name: sum(getattr(m, name) for m in motions)
        for name in (
            "moving",
            "moving_found",
            "moving_called_moving",
            "static_found",
            "static_called_moving",
        )
    }
    distances = [distance for m in motions for distance in m.center_m]
    return total | {
        "moving_recall": total["moving_found"] / total["moving"] if total["moving"] else None,
        "center_m_mean": _mean(distances),
        "center_m_median": _median(distances),
    }


def _counting(scores: Sequence[ClipScore]) -> Report:
    """Over clips that hold the label at least once: share counted exactly, mean relative
    accuracy, mean error (positive: too many).
    """
    by_label: dict[str, list[tuple[int, int]]] = {}
    for score in scores:
        for label, (predicted, truth) in score.counting.items():
            if truth:
                by_label.setdefault(label, []).append((predicted, truth))
    every = [entry for entries in by_label.values() for entry in entries]
    report = {"all": _count_figures(every)}
    report["per_class"] = {label: _count_figures(by_label[label]) for label in sorted(by_label)}
    return report


def _count_figures(entries: Sequence[tuple[int, int]]) -> Report:
    return {
        "num_clips": len(entries),
        "exact": _mean(float(p == t) for p, t in entries),
        "mean_relative_accuracy": _mean(detection.counting_accuracy(p, t) for p, t in entries),
        "bias": _mean(float(p - t) for p, t in entries),
    }


def _paths(paths: Sequence[PathError]) -> Report:
    report: Report = {}
    for field in fields(PathError):
        values = [float(getattr(path, field.name)) for path in paths]
        report[field.name] = {
            "mean": _mean(values),
            "median": _median(values),
            "p90": float(np.percentile(values, 90)),
        }
    drift = [p.first_frame_m / p.length_m for p in paths if p.length_m > 0]
    report["drift_share_median"] = _median(drift)
    return report


def _depth(scores: Sequence[ClipScore]) -> Report | None:
    errors = [score.depth for score in scores if score.depth is not None]
    if not errors:
        return None
    weights = np.array([error.num_cells for error in errors], dtype=np.float64)
    interval = detection.bootstrap_mean([error.abs_rel for error in errors])
    return {
        "abs_rel": float(np.average([error.abs_rel for error in errors], weights=weights)),
        "abs_rel_ci95": interval,
        "abs_rel_median": _mean(error.abs_rel_median for error in errors),
        "delta_125": float(np.average([error.delta_125 for error in errors], weights=weights)),
        "num_cells": int(weights.sum()),
    }


def _rooms(scores: Sequence[ClipScore]) -> Report | None:
    errors = [score.room for score in scores if score.room is not None]
    if not errors:
        return None
    return {
        "num_clips": len(errors),
        "num_told": sum(error.floor_m is not None for error in errors),
        "area_error_mean": _mean(error.area for error in errors),
        "area_error_median": _median(error.area for error in errors),
        "area_error_ci95": detection.bootstrap_mean([error.area for error in errors]),
        "polygon_iou_mean": _mean(error.polygon_iou for error in errors),
        "floor_m_median": _median(error.floor_m for error in errors),
        "ceiling_m_median": _median(error.ceiling_m for error in errors),
    }
