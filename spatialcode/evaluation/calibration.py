"""Fits the confidence of detections on validation rooms, and the threshold that serves F1.

The rooms are neither trained on nor held out for evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spatialcode.encoder.detections import (
    Calibration,
    Confidence,
    Detection,
    first_sight,
    fit,
    scene_objects,
)
from spatialcode.encoder.maps import Array
from spatialcode.encoder.protocol import ClipInput, FrameGeometry
from spatialcode.encoder.small.stages import SmallStages
from spatialcode.evaluation.metrics.detection import (
    EXCUSED,
    NOTHING,
    Counts,
    Overlaps,
    count,
    match,
)
from spatialcode.evaluation.metrics.scoring import overlaps_of
from spatialcode.evaluation.metrics.tracks import BoxTracks, from_objects
from spatialcode.evaluation.room import clip_of, truth_tracks
from spatialcode.seeds import VALIDATION_ROOMS
from spatialcode.synthetic.clips import ClipConfig, make_clip

MATCH_IOU = 0.25


@dataclass(frozen=True, eq=False)
class JudgedDetections:
    """All detections of one clip, whatever their score, and their overlaps with the truth."""

    detections: list[Detection]
    overlaps: Overlaps

    def rescored(self, fitted: Confidence) -> JudgedDetections:
        """The same with scores of another fit."""
        if not self.detections:
            return self
        scores = fitted.score(np.array([d.features for d in self.detections]))
        detections = [
            replace(d, score=float(s)) for d, s in zip(self.detections, scores, strict=True)
        ]
        return JudgedDetections(detections, replace(self.overlaps, scores=scores))

    def counts(self, threshold: float) -> Counts:
        """Class-aware counts of the detections at or above a score."""
        kept = np.flatnonzero(self.overlaps.scores >= threshold)
        o = self.overlaps
        labels = tuple(o.predicted_labels[i] for i in kept)
        some = Overlaps(o.iou[kept], o.scores[kept], labels, o.truth_labels, o.ignored)
        return count(some.class_aware(), match(some.class_aware(), MATCH_IOU))


@dataclass(frozen=True, eq=False)
class JudgedRoom:
    """One room's detections with given poses and with estimated ones."""

    given: JudgedDetections
    estimated: JudgedDetections


def judged_rooms(stages: SmallStages, num_rooms: int, num_frames: int) -> Iterator[JudgedRoom]:
    """Encode validation rooms and compare with the truth, whatever the score."""
    for seed in VALIDATION_ROOMS[:num_rooms]:
        clip = make_clip(seed, ClipConfig(num_frames=num_frames))
        seen = stages.prepare(clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K)))
        (maps,) = stages.maps([seen], [None], True)
        estimated = stages.path(seen, maps)
        truth = truth_tracks(clip)
        yield JudgedRoom(
            _judged(stages, seen, truth, clip.T_world_camera, given=True),
            _judged(stages, seen, truth, estimated, given=False),
        )


def _judged(
    stages: SmallStages, seen: ClipInput, truth: BoxTracks, path: Array, *, given: bool
) -> JudgedDetections:
    (maps,) = stages.maps([seen], [path], given)
    found = stages.candidates(seen, maps, path, given)
    # objects come numbered by first sight; candidates must stand in that order
    found.sort(key=first_sight)
    tracks = from_objects(scene_objects(found, seen.times_s), seen.times_s)
    return JudgedDetections(found, overlaps_of(tracks, truth))


def fitted_calibration(rooms: Iterable[JudgedRoom]) -> Calibration:
    """Both fits, each on its own poses."""
    rooms = list(rooms)
    return Calibration(
        fitted_confidence([room.given for room in rooms]),
        fitted_confidence([room.estimated for room in rooms]),
    )


def fitted_confidence(clips: Sequence[JudgedDetections]) -> Confidence:
    """Regression on whether a detection is a true one, then the best threshold for F1."""
    rows, correct = [], []
    for clip in clips:
        aware = clip.overlaps.class_aware()
        for detection, hit in zip(clip.detections, match(aware, MATCH_IOU), strict=True):
            if hit != EXCUSED:
                rows.append(detection.features)
                correct.append(hit >= 0)
    if not rows:
        return Confidence.uncalibrated()
    fitted = fit(np.array(rows), np.array(correct))
    rescored = [clip.rescored(fitted) for clip in clips]

    def f1(threshold: float) -> float:
        return sum((clip.counts(threshold) for clip in rescored), NOTHING).f1 or 0.0

    thresholds = np.arange(0.10, 0.80, 0.02)
    return replace(fitted, threshold=float(max(thresholds, key=f1)))
