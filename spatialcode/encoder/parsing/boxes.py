"""Boxes in pictures: overlap, clipping and the choice among many, in numpy.

Boxes are (N, 4): x0, y0, x1, y1 in pixels with edges at whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from spatialcode.config import checked, setting
from spatialcode.encoder.parsing.protocol import Detections


@dataclass(frozen=True)
@checked
class ChoiceSettings:
    """Which of a detector's many boxes are kept."""

    min_score: float = setting("score from which on a box is kept", 0.3, at_least=0, at_most=1)
    same_label_iou: float = setting(
        "overlap from which on two boxes of one label are one thing", 0.6, above=0, at_most=1
    )
    any_label_iou: float = setting(
        "overlap from which on two boxes of different labels are one thing",
        0.85,
        above=0,
        at_most=1,
    )
    max_boxes: int = setting("boxes of one frame, the surest ones", 100, at_least=1)
    min_side_px: float = setting("shorter boxes are dropped", 2.0, at_least=0)


def iou(a_px: Float[np.ndarray, "a 4"], b_px: Float[np.ndarray, "b 4"]) -> Float[np.ndarray, "a b"]:
    """Intersection over union of every pair; 0 where both are empty."""
    low = np.maximum(a_px[:, None, :2], b_px[None, :, :2])
    high = np.minimum(a_px[:, None, 2:], b_px[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    union = area(a_px)[:, None] + area(b_px)[None] - shared
    return shared / np.where(union > 0.0, union, 1.0)


def area(boxes_px: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, " n"]:
    """Square pixels; 0 for boxes that are turned inside out."""
    return np.prod(np.clip(boxes_px[:, 2:] - boxes_px[:, :2], 0.0, None), axis=1)


def corners(boxes: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
    """Boxes of centre and size as x0, y0, x1, y1."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2.0
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float64)


def clipped(
    boxes_px: Float[np.ndarray, "n 4"], height_px: int, width_px: int
) -> Float[np.ndarray, "n 4"]:
    """The part of each box inside the picture."""
    edges = np.array([width_px, height_px, width_px, height_px], float)
    return np.clip(boxes_px, 0.0, edges)


def suppressed(
    boxes_px: Float[np.ndarray, "n 4"],
    kinds: Int[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    settings: ChoiceSettings,
) -> Int[np.ndarray, " k"]:
    """The rows that stay, surest first: none overlaps a surer one by more than its kind allows.

    Equal scores keep their order, so the choice does not depend on chance.
    """
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if len(kept) == settings.max_boxes:
            break
        overlap = iou(boxes_px[row : row + 1], boxes_px[kept])[0]
        same: Bool[np.ndarray, " k"] = kinds[kept] == kinds[row]
        limit = np.where(same, settings.same_label_iou, settings.any_label_iou)
        if not (overlap >= limit).any():
            kept.append(int(row))
    return np.array(kept, np.int64)


def chosen(
    boxes_px: Float[np.ndarray, "n 4"],
    labels: Sequence[str],
    scores: Float[np.ndarray, " n"],
    size_px: tuple[int, int],
    settings: ChoiceSettings,
) -> Detections:
    """Detections of a frame (height, width) out of raw boxes, which may reach beyond its picture.

    Boxes with numbers that are not finite count as not found.
    """
    inside = clipped(np.nan_to_num(boxes_px, nan=-1.0), *size_px)
    sides = (inside[:, 2:] - inside[:, :2]).min(axis=1, initial=np.inf)
    good = np.isfinite(boxes_px).all(axis=1) & (scores >= settings.min_score)
    rows = np.flatnonzero(good & (sides >= settings.min_side_px) & (sides > 0.0))
    number = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    kinds = np.array([number[label] for label in labels], np.int64)
    rows = rows[suppressed(inside[rows], kinds[rows], scores[rows], settings)]
    found = tuple(labels[row] for row in rows)
    return Detections(inside[rows], found, np.clip(scores[rows], 0.0, 1.0))
