"""Fits the confidence of detections on validation rooms, and the threshold that serves F1.

The rooms are neither trained on nor held out for evaluation. Both given and estimated
poses take part, since one threshold must serve both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pipelines.evaluate_room import truth_tracks
from pipelines.training_frames import FIRST_VALIDATION_SEED
from spatialcode.encoder import confidence
from spatialcode.encoder.assembly import first_sight, scene_objects
from spatialcode.encoder.box_tracks import from_objects
from spatialcode.encoder.confidence import Confidence
from spatialcode.encoder.encoder import SpatialEncoder
from spatialcode.encoder.metrics import EXCUSED, NOTHING, Counts, Overlaps, count, match
from spatialcode.encoder.objects import Detection
from spatialcode.encoder.scoring import overlaps_of
from spatialcode.synthetic.clips import ClipConfig, make_clip

MATCH_IOU = 0.25


@dataclass(frozen=True, eq=False)
class Judged:
    """All detections of one clip, whatever their score, and their overlaps with the truth."""

    detections: list[Detection]
    overlaps: Overlaps

    def rescored(self, fitted: Confidence) -> Judged:
        """The same with scores of another fit."""
        scores = fitted.score(np.array([d.features for d in self.detections]))
        detections = [
            replace(d, score=float(s)) for d, s in zip(self.detections, scores, strict=True)
        ]
        return Judged(detections, replace(self.overlaps, scores=scores))

    def counts(self, threshold: float) -> Counts:
        """Class-aware counts of the detections at or above a score."""
        kept = np.flatnonzero(self.overlaps.scores >= threshold)
        o = self.overlaps
        labels = tuple(o.predicted_labels[i] for i in kept)
        some = Overlaps(o.iou[kept], o.scores[kept], labels, o.truth_labels, o.ignored)
        return count(some.class_aware(), match(some.class_aware(), MATCH_IOU))


def judged_clips(encoder: SpatialEncoder, num_rooms: int, num_frames: int) -> Iterator[Judged]:
    """Detections of validation rooms, with given poses and with estimated ones."""
    for seed in range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + num_rooms):
        clip = make_clip(seed, ClipConfig(num_frames=num_frames))
        truth = truth_tracks(clip)
        prepared = encoder.prepare(clip.rgb, clip.K)
        estimated = encoder.path(prepared, encoder.maps(prepared)).T_world_camera
        for path, exact in ((clip.T_world_camera, True), (estimated, False)):
            maps = encoder.maps(prepared, path, exact)
            found = encoder.candidates(prepared, maps, path)
            if found:
                # objects come numbered by first sight; candidates must stand in that order
                found.sort(key=first_sight)
                tracks = from_objects(scene_objects(found, clip.times_s), clip.times_s)
                yield Judged(found, overlaps_of(tracks, truth))


def fitted_confidence(clips: Iterable[Judged]) -> Confidence:
    """Regression on whether a detection is a true one, then the best threshold for F1."""
    clips = list(clips)
    rows, correct = [], []
    for clip in clips:
        aware = clip.overlaps.class_aware()
        for detection, hit in zip(clip.detections, match(aware, MATCH_IOU), strict=True):
            if hit != EXCUSED:
                rows.append(detection.features)
                correct.append(hit >= 0)
    fitted = confidence.fit(np.array(rows), np.array(correct))
    rescored = [clip.rescored(fitted) for clip in clips]

    def f1(threshold: float) -> float:
        return sum((clip.counts(threshold) for clip in rescored), NOTHING).f1 or 0.0

    thresholds = np.arange(0.10, 0.80, 0.02)
    return replace(fitted, threshold=float(max(thresholds, key=f1)))
