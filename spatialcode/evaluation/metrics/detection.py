"""Detection metrics over 3D boxes: matching, precision, recall, F1, AP, intervals.

Everything starts from a matrix of overlaps, so nothing here knows what a box is. Counts are
pooled over rooms before they are divided (micro averages): a room with two objects must not
weigh as much as one with twenty.

It does not know about time: which overlap stands for a moving object is decided where the
matrix is made (:mod:`spatialcode.evaluation.metrics.tracks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Overlaps at which detections are counted.
IOU_THRESHOLDS: tuple[float, ...] = (0.10, 0.25, 0.50)

FALSE = -1
EXCUSED = -2


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and missed objects; ``+`` pools them."""

    true: int
    false: int
    missed: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.true + other.true, self.false + other.false, self.missed + other.missed)

    @property
    def precision(self) -> float | None:
        """Share of predictions that are true; None without predictions."""
        return _share(self.true, self.true + self.false)

    @property
    def recall(self) -> float | None:
        """Share of objects that were found; None without objects."""
        return _share(self.true, self.true + self.missed)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None where there is nothing at all."""
        return _share(2 * self.true, 2 * self.true + self.false + self.missed)


NOTHING = Counts(0, 0, 0)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class Overlaps:
    """One room's predictions against its truth.

    ``iou`` (P, T); ``scores`` (P,); ``predicted_labels`` (P,) and ``truth_labels`` (T,) strings;
    ``ignored`` (T,) bool marks objects seen too little to be asked for.
    """

    iou: NDArray[np.float64]
    scores: NDArray[np.float64]
    predicted_labels: tuple[str, ...]
    truth_labels: tuple[str, ...]
    ignored: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.predicted_labels), len(self.truth_labels))
        if self.iou.shape != shape:
            raise ValueError(f"iou: expected shape {shape}, got {self.iou.shape}")
        if self.scores.shape != shape[:1] or self.ignored.shape != shape[1:]:
            raise ValueError(
                f"scores, ignored: expected shapes {shape[:1]}, {shape[1:]}, "
                f"got {self.scores.shape}, {self.ignored.shape}"
            )

    def class_aware(self) -> Overlaps:
        """The same room with no overlap between different labels.

        Matching this is matching every class on its own, since no pair crosses classes.
        """
        predicted = np.array(self.predicted_labels, dtype=object)
        truth = np.array(self.truth_labels, dtype=object)
        same = (predicted[:, None] == truth[None, :]).astype(bool).reshape(self.iou.shape)
        return Overlaps(
            np.where(same, self.iou, 0.0),
            self.scores,
            self.predicted_labels,
            self.truth_labels,
            self.ignored,
        )


def match(overlaps: Overlaps, threshold: float) -> NDArray[np.int64]:
    """Assign predictions to objects, best score first.

    Each prediction takes the free object it overlaps most, if by at least ``threshold``
    (> 0). One that finds none but overlaps a free ignored object that much is excused:
    neither true nor false. An ignored object excuses one prediction, so that duplicates
    still count against the encoder. Ties in score go to the earlier prediction.

    Returns (P,): the object's index, ``FALSE`` or ``EXCUSED``.
    Source: COCO's evaluation protocol (pycocotools ``evaluateImg``), without crowds.
    """
    if not threshold > 0.0:
        raise ValueError(f"threshold: expected > 0, got {threshold!r}")
    assigned = np.full(overlaps.iou.shape[0], FALSE, dtype=np.int64)
    if overlaps.iou.size == 0:
        return assigned
    free = np.ones(overlaps.iou.shape[1], dtype=bool)
    for p in np.argsort(-overlaps.scores, kind="stable"):
        for wanted, is_excuse in ((~overlaps.ignored, False), (overlaps.ignored, True)):
            row = np.where(free & wanted, overlaps.iou[p], -1.0)
            best = int(np.argmax(row))
            if row[best] >= threshold:
                free[best] = False
                assigned[p] = EXCUSED if is_excuse else best
                break
    return assigned


def count(overlaps: Overlaps, assigned: NDArray[np.int64]) -> Counts:
    """Counts of one room from :func:`match`."""
    true = int((assigned >= 0).sum())
    false = int((assigned == FALSE).sum())
    return Counts(true, false, int((~overlaps.ignored).sum()) - true)


def count_by_class(overlaps: Overlaps, assigned: NDArray[np.int64]) -> dict[str, Counts]:
    """Counts of each label that occurs, from a matching of ``overlaps.class_aware()``."""
    result: dict[str, Counts] = {}
    for p, label in enumerate(overlaps.predicted_labels):
        if assigned[p] != EXCUSED:
            hit = int(assigned[p] >= 0)
            result[label] = result.get(label, NOTHING) + Counts(hit, 1 - hit, 0)
    found = set(assigned[assigned >= 0].tolist())
    for t, label in enumerate(overlaps.truth_labels):
        if not overlaps.ignored[t] and t not in found:
            result[label] = result.get(label, NOTHING) + Counts(0, 0, 1)
    return result


def average_precision(
    scores: NDArray[np.float64], is_true: NDArray[np.bool_], num_truth: int
) -> float | None:
    """Area under the interpolated precision-recall curve of pooled predictions.

    ``scores``, ``is_true`` (P,) without the excused ones. Predictions that the encoder's own
    threshold dropped are missing from it, so this is a lower bound of the full curve's area.
    Source: Pascal VOC 2010 development kit (all-point interpolation).
    """
    if num_truth == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(is_true[order])
    precision = true / np.arange(1, len(order) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * is_true[order]).sum() / num_truth)


def best_threshold(
    scores: NDArray[np.float64], is_true: NDArray[np.bool_], num_truth: int
) -> tuple[float, float]:
    """Score threshold with the highest F1 and that F1; keep predictions with score >= it.

    For choosing an operating point on validation rooms, never on the rooms reported.
    """
    if len(scores) == 0:
        raise ValueError("scores: expected at least one prediction, got none")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    true = np.cumsum(is_true[order])
    f1 = 2.0 * true / (np.arange(1, len(order) + 1) + num_truth)
    # Equal scores cannot be separated: only the last of a run is a possible cut.
    f1[:-1][ranked[:-1] == ranked[1:]] = -1.0
    best = int(np.argmax(f1))
    return float(ranked[best]), float(f1[best])


def bootstrap_f1(
    rooms: Sequence[Counts], num_resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of pooled F1 when whole rooms are drawn with replacement.

    Rooms, not objects, are drawn: objects of one room share its light, path and drift.
    None with fewer than two rooms or without any object or prediction.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13.
    """
    table = np.array([(c.true, c.false, c.missed) for c in rooms], dtype=np.float64)
    if len(table) < 2 or table.sum() == 0:
        return None
    rng = np.random.default_rng(seed)
    uniform = np.full(len(table), 1.0 / len(table))
    true, false, missed = (rng.multinomial(len(table), uniform, num_resamples) @ table).T
    whole = 2 * true + false + missed
    f1 = 2 * true[whole > 0] / whole[whole > 0]
    low, high = np.percentile(f1, (2.5, 97.5))
    return float(low), float(high)


def bootstrap_mean(
    values: Sequence[float], num_resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of the mean of one value a room; None below two rooms."""
    table = np.asarray(values, dtype=np.float64)
    if len(table) < 2:
        return None
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(table), (num_resamples, len(table)))
    low, high = np.percentile(table[draws].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def counting_accuracy(predicted: int, truth: int) -> float:
    """Mean relative accuracy of a count, 0 to 1; ``truth`` >= 1.

    Source: VSI-Bench (Yang et al., arXiv 2412.14171), MRA over 0.50, 0.55, …, 0.95.
    """
    if truth < 1:
        raise ValueError(f"truth: expected a count >= 1, got {truth!r}")
    # In whole twentieths: |p - t| / t < (20 - k) / 20 for k = 10 … 19, without rounding.
    error = 20 * abs(predicted - truth)
    return sum(error < (20 - k) * truth for k in range(10, 20)) / 10.0
