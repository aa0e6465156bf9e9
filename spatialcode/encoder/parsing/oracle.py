"""Parsing that is right: detections and masks from known instance pictures, and noise upon them.

They stand in the place of networks where lifting and fusion are measured. Noise follows from the
seed and a frame's place in its clip, never from windows or the order of calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from spatialcode.encoder.parsing.protocol import (
    Detections,
    Detector,
    FrameMasks,
    MaskSession,
    MaskSource,
)
from spatialcode.encoder.protocol import Window


@dataclass(frozen=True, eq=False)
class TrueInstances:
    """``instance`` (N, H, W): the object that each pixel of a clip's frames shows, negative for
    none; ``labels``: a word an object. What shows fewer than ``min_px`` pixels is not asked for.
    """

    instance: Int[np.ndarray, "n h w"]
    labels: tuple[str, ...]
    min_px: int = 20

    def visible(self, frame: int) -> list[int]:
        """The objects that a frame shows well enough."""
        shown = self.instance[frame]
        counts = np.bincount(shown[shown >= 0].ravel(), minlength=len(self.labels))
        return np.flatnonzero(counts >= self.min_px).tolist()


class OracleDetector:
    """The tight box of every visible object whose label is in the vocabulary."""

    def __init__(self, truth: TrueInstances) -> None:
        self._truth = truth

    def detect(
        self, window: Window, rows: Sequence[int], labels: Sequence[str]
    ) -> list[Detections]:
        return [self._found(window.start + row, set(labels)) for row in rows]

    def _found(self, frame: int, labels: set[str]) -> Detections:
        truth = self._truth
        objects = [m for m in truth.visible(frame) if truth.labels[m] in labels]
        if not objects:
            return Detections.none()
        boxes = []
        for m in objects:
            rows, columns = np.nonzero(truth.instance[frame] == m)
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        found = tuple(truth.labels[m] for m in objects)
        return Detections(np.array(boxes, float), found, np.ones(len(objects)))


class OracleMasks:
    """The true mask of the object that each detection fits best; an object's track is its place
    among the labels. A frame without detections of its own shows those of no object.
    """

    edge_sigma_px = 0.0

    def __init__(self, truth: TrueInstances) -> None:
        self._truth = truth

    def session(self) -> MaskSession:
        return self

    def masks(self, window: Window, detections: Mapping[int, Detections]) -> dict[int, FrameMasks]:
        return {row: self._outlined(window.start + row, d) for row, d in detections.items()}

    def _outlined(self, frame: int, detections: Detections) -> FrameMasks:
        shown = self._truth.instance[frame]
        objects: dict[int, int] = {}
        for k, box in enumerate(detections.boxes_px):
            x0, y0, x1, y1 = np.round(box).astype(int)
            inside = shown[y0:y1, x0:x1]
            same = [m for m in np.unique(inside[inside >= 0]).tolist()
                    if self._truth.labels[m] == detections.labels[k]]  # fmt: skip
            counts = {m: int((inside == m).sum()) for m in same if m not in objects}
            if counts:
                objects[max(counts, key=counts.__getitem__)] = k
        kept = list(objects.values())
        masks = [shown == m for m in objects] or [np.zeros(shown.shape, bool)][:0]
        return FrameMasks(
            np.array(masks, bool).reshape(-1, *shown.shape),
            tuple(detections.labels[k] for k in kept),
            detections.scores[kept],
            np.array(list(objects), np.int64),
        )


@dataclass(frozen=True)
class ParsingNoise:
    """``shift_px``: masks of a frame move together by up to so many pixels along each axis.
    ``missed``: share of detections that are lost. ``switched``: share of masks that carry the
    track of another object.
    """

    shift_px: int = 0
    missed: float = 0.0
    switched: float = 0.0


class NoisyDetector:
    """Another detector that misses some of what it finds."""

    def __init__(self, part: Detector, seed: int, noise: ParsingNoise) -> None:
        self._part, self._seed, self._noise = part, seed, noise

    def detect(
        self, window: Window, rows: Sequence[int], labels: Sequence[str]
    ) -> list[Detections]:
        found = self._part.detect(window, rows, labels)
        return [self._without_missed(d, window.start + r) for r, d in zip(rows, found, strict=True)]

    def _without_missed(self, found: Detections, frame: int) -> Detections:
        rng = np.random.default_rng([self._seed, frame, 1])
        kept = np.flatnonzero(rng.random(len(found.labels)) >= self._noise.missed)
        labels = tuple(found.labels[k] for k in kept)
        return Detections(found.boxes_px[kept], labels, found.scores[kept])


class NoisyMasks:
    """Another mask source whose masks are shifted and whose tracks are sometimes exchanged."""

    def __init__(self, part: MaskSource, seed: int, noise: ParsingNoise) -> None:
        self._part, self._seed, self._noise = part, seed, noise
        self.edge_sigma_px = float(np.hypot(part.edge_sigma_px, noise.shift_px))

    def session(self) -> MaskSession:
        return _NoisyMaskSession(self._part.session(), self._seed, self._noise)


class _NoisyMaskSession:
    def __init__(self, part: MaskSession, seed: int, noise: ParsingNoise) -> None:
        self._part, self._seed, self._noise = part, seed, noise
        self._known_tracks: set[int] = set()

    def masks(self, window: Window, detections: Mapping[int, Detections]) -> dict[int, FrameMasks]:
        found = self._part.masks(window, detections)
        return {row: self._disturbed(found[row], window.start + row) for row in sorted(found)}

    def _disturbed(self, found: FrameMasks, frame: int) -> FrameMasks:
        rng = np.random.default_rng([self._seed, frame, 2])
        down, right = rng.integers(-self._noise.shift_px, self._noise.shift_px + 1, 2)
        masks = np.zeros_like(found.masks)
        height, width = masks.shape[1:]
        to = (
            slice(max(0, down), height + min(0, down)),
            slice(max(0, right), width + min(0, right)),
        )
        of = (
            slice(max(0, -down), height - max(0, down)),
            slice(max(0, -right), width - max(0, right)),
        )
        masks[:, *to] = found.masks[:, *of]
        self._known_tracks |= set(found.tracks.tolist())
        tracks = found.tracks.copy()
        for k in np.flatnonzero(rng.random(len(tracks)) < self._noise.switched):
            tracks[k] = rng.choice(sorted(self._known_tracks))
        return FrameMasks(masks, found.labels, found.scores, tracks, found.appearance)
