"""Measuring an encoder on a real recording: path, scale, focal length, depth, boxes, stillness.

A recording is encoded several times, told more of its truth each time. What a figure needs and the
recording does not have is None, never 0. No Ray here.

Boxes that were annotated are asked for wherever their centre is in view: whether something stands
before them is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.maps import at_cells
from spatialcode.encoder.protocol import ClipInput, FrameGeometry, LoadedEncoder, kinds_of
from spatialcode.evaluation.metrics.detection import Counts, count, match
from spatialcode.evaluation.metrics.poses import (
    StillError,
    depth_error,
    fitted_depth,
    path_error,
    path_fit,
    still_error,
)
from spatialcode.evaluation.metrics.scoring import key, overlaps_of
from spatialcode.evaluation.metrics.tracks import BoxTracks, from_objects
from spatialcode.evaluation.room import Encoded, EvaluatedEncoder
from spatialcode.questions.names import HEAD, candidates, canonical
from spatialcode.recordings.recording import Recording
from spatialcode.scene.schema import SceneObject

Array = NDArray[np.float64]

#: Frames of a recording that are looked at, where nobody says otherwise: all are in memory at once.
MAX_FRAMES = 128
BOX_IOU = (0.25, 0.50)
#: Things of which no side is longer are counted apart: dense encoders hardly see them.
LARGE_M = 0.30
#: A camera whose true path stays within these stands.
_STANDS_M, _STANDS_DEG = 0.005, 0.1


@dataclass(frozen=True)
class Told:
    """What of a recording's truth an encoder is told."""

    lens: bool = False
    poses: bool = False
    depth: bool = False

    @property
    def name(self) -> str:
        """As reports call it: ``own`` where nothing is told."""
        parts = [part for part in ("lens", "poses", "depth") if getattr(self, part)]
        return "+".join(parts) or "own"

    def of(self, true: FrameGeometry) -> FrameGeometry:
        """That part of the truth."""
        return FrameGeometry(
            K=true.K if self.lens else None,
            T_world_camera=true.T_world_camera if self.poses else None,
            depth_m=true.depth_m if self.depth else None,
        )

    def within(self, true: FrameGeometry) -> Told:
        """Without what the truth does not have."""
        return Told(
            self.lens and true.K is not None,
            self.poses and true.T_world_camera is not None,
            self.depth and true.depth_m is not None,
        )


#: The oracle ladder on recordings.
LADDER = (
    Told(),
    Told(lens=True),
    Told(lens=True, depth=True),
    Told(lens=True, poses=True),
    Told(lens=True, poses=True, depth=True),
)
#: What is told for the figures of boxes.
_FOR_BOXES = Told(lens=True, poses=True)


@dataclass(frozen=True)
class RecordedOptions:
    """``stride``: every n-th frame; None: the smallest that leaves ``num_frames``. ``num_frames``:
    at most, from the first on. ``side_px``: longer side of the frames. ``told``: of the truth, for
    all figures but those of boxes. ``ladder``: measure every rung of `LADDER` as well.
    """

    stride: int | None = None
    num_frames: int = MAX_FRAMES
    side_px: int = 640
    told: Told = Told()
    ladder: bool = True

    def rows(self, num: int) -> range:
        """Which of so many frames are looked at."""
        stride = -(-num // self.num_frames) if self.stride is None else self.stride
        return range(0, num, stride)[: self.num_frames]


@dataclass(frozen=True)
class PathFigures:
    """Root mean square distances of camera centres: ``as_is`` in the world that both share by
    convention, ``rigid`` after the best motion, ``similarity`` after the best scale too.
    """

    as_is: float
    rigid: float
    similarity: float | None


@dataclass(frozen=True)
class DepthFigures:
    """AbsRel and δ (share within 1.25) as it comes (``metric``) and with scale and shift of each
    frame fitted; ``ratio``: median of depth over true depth.
    """

    metric: float
    metric_delta: float
    fitted: float
    fitted_delta: float
    ratio: float


@dataclass(frozen=True)
class BoxCounts:
    """Counts by IoU (``"0.25"``, ``"0.50"``), whatever the label and with the right one."""

    any_label: dict[str, Counts]
    right_label: dict[str, Counts]


@dataclass(frozen=True)
class BoxFigures:
    """Counts of all boxes, and of those of kinds that the encoder knows and over `LARGE_M`, beside
    which the others are neither missed nor, if found, false. None: it does not say what it knows.
    """

    all: BoxCounts
    known_large: BoxCounts | None


@dataclass(frozen=True)
class Measured:
    """The figures of one encoding; None where the truth does not have what a figure needs, or the
    encoder was told.
    """

    told: Told
    seconds_per_frame: float
    scale_source: str
    scale_confidence: float
    path_error_m: PathFigures | None = None
    scale_ratio: float | None = None
    rotation_step_deg: float | None = None
    focal_ratio: float | None = None
    depth: DepthFigures | None = None
    boxes: BoxFigures | None = None
    still: StillError | None = None


@dataclass(frozen=True)
class RecordedResult:
    """One recording's figures: ``figures``, those of boxes in ``boxed``, and the ladder's rungs by
    name as far as the truth goes.
    """

    name: str
    num_frames: int
    path_length_m: float | None
    figures: Measured
    boxed: Measured
    ladder: dict[str, Measured]


def measure_recording(
    recording: Recording, encoder: LoadedEncoder, options: RecordedOptions
) -> RecordedResult:
    """Encode and compare. Raises as reading and encoding do."""
    clip = recording.clip(options.rows(recording.num_frames), options.side_px)
    truth = _Truth.of(recording, clip)
    watched = EvaluatedEncoder(encoder)
    kinds = kinds_of(encoder)
    done: dict[Told, Measured] = {}

    def measured(told: Told) -> Measured:
        told = told.within(clip.geometry)
        if told not in done:
            view = replace(clip, geometry=told.of(clip.geometry))
            done[told] = _measured(watched.encode(view), told, truth, kinds)
        return done[told]

    rungs = [told for told in LADDER if told == told.within(clip.geometry)]
    poses = clip.geometry.T_world_camera
    return RecordedResult(
        name=recording.name,
        num_frames=clip.num_frames,
        path_length_m=None if poses is None else path_error(poses, poses).length_m,
        figures=measured(options.told),
        boxed=measured(_FOR_BOXES) if truth.objects else measured(options.told),
        ladder={told.name: measured(told) for told in rungs} if options.ladder else {},
    )


@dataclass(frozen=True, eq=False)
class _Truth:
    """What is known of the frames that were looked at."""

    clip: ClipInput
    objects: tuple[SceneObject, ...]
    stands: bool

    @classmethod
    def of(cls, recording: Recording, clip: ClipInput) -> _Truth:
        poses = clip.geometry.T_world_camera
        seen = tuple(
            item for item in recording.objects
            if item.num_observations and item.first_seen_s <= clip.times_s[-1]
        )  # fmt: skip
        stands = recording.stands_still
        if poses is not None and clip.num_frames > 1:
            error = still_error(poses)
            stands |= error.m < _STANDS_M and error.deg < _STANDS_DEG
        return cls(clip, seen, stands)


def _measured(
    encoded: Encoded, told: Told, truth: _Truth, kinds: tuple[str, ...] | None
) -> Measured:
    true, num = truth.clip.geometry, truth.clip.num_frames
    result = Measured(
        told=told,
        seconds_per_frame=encoded.seconds.wall / num,
        scale_source=encoded.code.scale.source,
        scale_confidence=encoded.code.scale.confidence,
        depth=None if told.depth else _depth(encoded.depth_m, true.depth_m),
        boxes=_boxes(encoded.objects, truth, kinds) if truth.objects else None,
    )
    if true.K is not None and not told.lens and encoded.code.cameras:
        camera = encoded.code.cameras[0]
        own = camera.fx_px / encoded.code.video.width_px
        result = replace(result, focal_ratio=own * truth.clip.rgb.shape[2] / float(true.K[0, 0]))
    if told.poses:
        return result
    if truth.stands:
        result = replace(result, still=still_error(encoded.T_world_camera))
    poses = true.T_world_camera
    return result if poses is None or num < 2 else _with_path(result, encoded, poses)


def _with_path(result: Measured, encoded: Encoded, poses: Array) -> Measured:
    error, fit = path_error(encoded.T_world_camera, poses), path_fit(encoded.T_world_camera, poses)
    similarity = None if fit is None else fit.similarity_m
    return replace(
        result,
        path_error_m=PathFigures(error.world_m, error.rigid_m, similarity),
        scale_ratio=None if fit is None else fit.scale_ratio,
        rotation_step_deg=float(np.degrees(error.step_rad)),
    )


def _depth(
    own_m: NDArray[np.floating] | None, true_m: NDArray[np.floating] | None
) -> DepthFigures | None:
    """Figures over cells where both are known; None where there is none."""
    if own_m is None or true_m is None:
        return None
    truth = at_cells(true_m, own_m.shape[1:])
    known = np.isfinite(truth) & (truth > 0) & np.isfinite(own_m)
    if not known.any():
        return None
    metric, fitted = depth_error(own_m, truth), depth_error(fitted_depth(own_m, truth), truth)
    ratio = float(np.median(own_m[known] / truth[known]))
    return DepthFigures(metric.abs_rel, metric.delta_125, fitted.abs_rel, fitted.delta_125, ratio)


def _boxes(
    objects: Sequence[SceneObject], truth: _Truth, kinds: tuple[str, ...] | None
) -> BoxFigures:
    times_s = truth.clip.times_s
    predicted = _named(from_objects(objects, times_s), canonical)
    true = _named(from_objects(truth.objects, times_s), canonical)
    if kinds is None:
        return BoxFigures(_counted(predicted, true), None)
    names = tuple(canonical(kind) for kind in kinds)
    true = _named(true, lambda label: known_as(label, names) or label)
    asked = np.array([label in names for label in true.labels]) & (true.size_m.max(1) > LARGE_M)
    large = replace(true, ignored=~asked)
    return BoxFigures(_counted(predicted, true), _counted(predicted, large))


def known_as(label: str, kinds: Sequence[str]) -> str | None:
    """The kind that a data set's word means, by synonym or head noun ("coffee table" is a table);
    None where there is none.
    """
    found = candidates(label, kinds)
    return found[0][0] if found and found[0][1] >= HEAD else None


def _named(tracks: BoxTracks, name: Callable[[str], str]) -> BoxTracks:
    return replace(tracks, labels=tuple(name(label) for label in tracks.labels))


def _counted(predicted: BoxTracks, true: BoxTracks) -> BoxCounts:
    overlaps = overlaps_of(predicted, true)
    any_label, right_label = (
        {key(iou): count(pairs, match(pairs, iou)) for iou in BOX_IOU}
        for pairs in (overlaps, overlaps.class_aware())
    )
    return BoxCounts(any_label, right_label)
