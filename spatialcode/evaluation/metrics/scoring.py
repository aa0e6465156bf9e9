"""What one encoded clip got right: a predicted scene against the true one.

A score is plain data, small enough to keep for every clip; :mod:`.score_report` pools many.
Predicted and true scene share the sampled times and, by convention, the world frame: no
alignment is made, so that a path that drifts costs the objects placed along it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.evaluation.metrics import detection, poses
from spatialcode.evaluation.metrics.detection import EXCUSED, Counts
from spatialcode.evaluation.metrics.tracks import (
    BoxTracks,
    HotaCounts,
    TrackSimilarity,
    clip_overlaps,
    frame_centre_similarity,
    frame_overlaps,
    hota_counts,
    identity_counts,
)
from spatialcode.scene.categories import traits_of, yaw_error
from spatialcode.scene.frames import yaw_from_quaternion
from spatialcode.scene.schema import Room

Array = NDArray[np.float64]

#: Overlap at which everything that needs one pairing (tracks, counting, box errors) is paired.
PAIR_IOU = 0.25
#: Centre similarity at which a track counts as right: centres within half of CENTRE_RANGE_M.
PAIR_CENTRE = 0.5


@dataclass(frozen=True, eq=False)
class ScoredScene:
    """Either side of the comparison.

    ``tracks``: the objects. ``T_world_camera`` (N, 4, 4). ``room`` and ``depth_m`` (N, h, w) are
    None where not known; what needs them is then not scored.
    """

    tracks: BoxTracks
    T_world_camera: Array
    room: Room | None = None
    depth_m: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class DetectionCounts:
    """Counts by IoU threshold (keys ``"0.10"`` …), over all labels at once and by label."""

    agnostic: dict[str, Counts]
    by_class: dict[str, dict[str, Counts]]

    def class_aware(self, threshold: str) -> Counts:
        """Counts in which the label must be right too."""
        return sum(self.by_class[threshold].values(), detection.NOTHING)


@dataclass(frozen=True)
class Ranked:
    """A prediction's score and whether it is true at ``PAIR_IOU``; None where excused."""

    score: float
    is_true: bool | None
    is_true_with_label: bool | None


@dataclass(frozen=True)
class PairError:
    """A prediction and the object it was paired with (labels may differ).

    ``size``: mean over the axes of |log of the ratio|. ``yaw_rad`` with the label's symmetry;
    ``front_rad`` without any, for labels that have a front; both None otherwise.
    """

    predicted_label: str
    truth_label: str
    iou: float
    center_m: float
    size: float
    yaw_rad: float | None
    front_rad: float | None


@dataclass(frozen=True)
class TrackScore:
    """Identity counts under one similarity."""

    identity: Counts
    hota: HotaCounts


@dataclass(frozen=True)
class MotionScore:
    """``moving`` / ``static``: true objects asked for; ``_found``: paired; ``_called_moving``:
    of these, said to move. ``center_m``: per found moving object, the mean distance of centres
    over frames in which both are alive.
    """

    moving: int
    moving_found: int
    moving_called_moving: int
    static_found: int
    static_called_moving: int
    center_m: tuple[float, ...]


@dataclass(frozen=True)
class RoomError:
    """``area``: |area - true| / true, 1 where no room was predicted. The others are None where
    what they compare is missing on either side.
    """

    area: float
    polygon_iou: float | None
    floor_m: float | None
    ceiling_m: float | None


@dataclass(frozen=True)
class ClipScore:
    """Everything measured on one clip under one way of getting its poses."""

    detection: DetectionCounts
    ranked: tuple[Ranked, ...]
    pairs: tuple[PairError, ...]
    tracks_iou: TrackScore
    tracks_centre: TrackScore
    motion: MotionScore
    counting: dict[str, tuple[int, int]]
    path: poses.PathError
    depth: poses.DepthError | None
    room: RoomError | None


def key(threshold: float) -> str:
    """The name of an IoU threshold in reports."""
    return f"{threshold:.2f}"


def overlaps_of(predicted: BoxTracks, truth: BoxTracks) -> detection.Overlaps:
    """The clip's overlaps, ready for matching."""
    iou = clip_overlaps(predicted, truth)
    return detection.Overlaps(iou, predicted.scores, predicted.labels, truth.labels, truth.ignored)


def score_detection(overlaps: detection.Overlaps) -> DetectionCounts:
    """Counts at every threshold of ``IOU_THRESHOLDS``."""
    aware = overlaps.class_aware()
    agnostic, by_class = {}, {}
    for threshold in detection.IOU_THRESHOLDS:
        agnostic[key(threshold)] = detection.count(overlaps, detection.match(overlaps, threshold))
        assigned = detection.match(aware, threshold)
        by_class[key(threshold)] = detection.count_by_class(aware, assigned)
    return DetectionCounts(agnostic, by_class)


def score_clip(predicted: ScoredScene, truth: ScoredScene) -> ClipScore:
    """Compare two scenes on the same sampled times."""
    overlaps = overlaps_of(predicted.tracks, truth.tracks)
    assigned = detection.match(overlaps, PAIR_IOU)
    aware = detection.match(overlaps.class_aware(), PAIR_IOU)
    asked = truth.tracks.select(~truth.tracks.ignored)
    kept = predicted.tracks.select(assigned != EXCUSED)
    depth = None
    if predicted.depth_m is not None and truth.depth_m is not None:
        depth = poses.depth_error(predicted.depth_m, truth.depth_m)
    return ClipScore(
        detection=score_detection(overlaps),
        ranked=_ranked(predicted.tracks.scores, assigned, aware),
        pairs=_pair_errors(predicted.tracks, truth.tracks, overlaps.iou, assigned),
        tracks_iou=_tracks(kept, asked, frame_overlaps(kept, asked), PAIR_IOU),
        tracks_centre=_tracks(kept, asked, frame_centre_similarity(kept, asked), PAIR_CENTRE),
        motion=_motion(predicted.tracks, truth.tracks, assigned),
        counting=_counting(predicted.tracks, asked, aware),
        path=poses.path_error(predicted.T_world_camera, truth.T_world_camera),
        depth=depth,
        room=_room(predicted.room, truth.room),
    )


def _ranked(
    scores: Array, assigned: NDArray[np.int64], aware: NDArray[np.int64]
) -> tuple[Ranked, ...]:
    def verdict(to: int) -> bool | None:
        return None if to == EXCUSED else to >= 0

    columns = zip(scores.tolist(), assigned.tolist(), aware.tolist(), strict=True)
    return tuple(Ranked(score, verdict(a), verdict(b)) for score, a, b in columns)


def _tracks(predicted: BoxTracks, truth: BoxTracks, similarity: Array, pair: float) -> TrackScore:
    tracks = TrackSimilarity(similarity, predicted.alive, truth.alive)
    return TrackScore(identity_counts(tracks, pair), hota_counts(tracks))


def _pair_errors(
    predicted: BoxTracks, truth: BoxTracks, iou: Array, assigned: NDArray[np.int64]
) -> tuple[PairError, ...]:
    errors = []
    last = predicted.last_frame()
    for p in np.flatnonzero(assigned >= 0):
        t, f = int(assigned[p]), int(last[p])
        offset = predicted.center_m[f, p] - truth.center_m[f, t]
        ratio = np.log(predicted.size_m[p] / truth.size_m[t])
        yaw, front = _yaw_errors(
            float(yaw_from_quaternion(predicted.quaternion_wxyz[f, p])),
            float(yaw_from_quaternion(truth.quaternion_wxyz[f, t])),
            truth.labels[t],
        )
        errors.append(
            PairError(
                predicted.labels[p],
                truth.labels[t],
                float(iou[p, t]),
                float(np.linalg.norm(offset)),
                float(np.abs(ratio).mean()),
                yaw,
                front,
            )
        )
    return tuple(errors)


def _yaw_errors(predicted: float, truth: float, label: str) -> tuple[float | None, float | None]:
    """``yaw_rad`` and ``front_rad`` of a :class:`PairError`."""
    traits = traits_of(label)
    if traits.yaw_symmetry == "round":
        return None, None
    # Whatever the category, a box looks the same after half a turn; only its front tells.
    symmetry = "half" if traits.yaw_symmetry == "full" else traits.yaw_symmetry
    front = float(yaw_error(predicted, truth, "full")) if traits.has_front else None
    return float(yaw_error(predicted, truth, symmetry)), front


def _motion(predicted: BoxTracks, truth: BoxTracks, assigned: NDArray[np.int64]) -> MotionScore:
    found = {int(t): p for p, t in enumerate(assigned) if t >= 0}
    movers = [t for t in found if truth.moving[t]]
    still = [t for t in found if not truth.moving[t]]
    distances = []
    for t in movers:
        both = predicted.alive[:, found[t]] & truth.alive[:, t]
        offset = predicted.center_m[both, found[t]] - truth.center_m[both, t]
        if both.any():
            distances.append(float(np.linalg.norm(offset, axis=-1).mean()))
    return MotionScore(
        moving=int((truth.moving & ~truth.ignored).sum()),
        moving_found=len(movers),
        moving_called_moving=sum(bool(predicted.moving[found[t]]) for t in movers),
        static_found=len(still),
        static_called_moving=sum(bool(predicted.moving[found[t]]) for t in still),
        center_m=tuple(distances),
    )


def _counting(
    predicted: BoxTracks, asked: BoxTracks, aware: NDArray[np.int64]
) -> dict[str, tuple[int, int]]:
    """Predicted and true number of each label that occurs; excused predictions left out."""
    counted = [label for label, t in zip(predicted.labels, aware, strict=True) if t != EXCUSED]
    labels = sorted({*counted, *asked.labels})
    return {label: (counted.count(label), asked.labels.count(label)) for label in labels}


def _room(predicted: Room | None, truth: Room | None) -> RoomError | None:
    if truth is None or truth.area_m2 == 0:
        return None
    if predicted is None:
        return RoomError(1.0, None, None, None)
    polygon_iou = ceiling = None
    if predicted.polygon_m and truth.polygon_m:
        polygon_iou = poses.polygon_iou(np.array(predicted.polygon_m), np.array(truth.polygon_m))
    if predicted.ceiling_z_m is not None and truth.ceiling_z_m is not None:
        ceiling = abs(predicted.ceiling_z_m - truth.ceiling_z_m)
    return RoomError(
        abs(predicted.area_m2 - truth.area_m2) / truth.area_m2,
        polygon_iou,
        abs(predicted.floor_z_m - truth.floor_z_m),
        ceiling,
    )
