"""Evaluating one clip with known truth: encode it twice, compare, climb the oracle ladder.

No encoder is composed anew: one that shows its stages runs as users get it, with stages in between
that remember and time what passes. Of one that shows none only the whole is known.

No Ray here, so that training can measure itself with the same function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.in_turn import is_parted
from spatialcode.encoder.maps import DenseMaps, at_cells
from spatialcode.encoder.protocol import ClipInput, FrameGeometry, LoadedEncoder, only
from spatialcode.encoder.stages import Stages, encode_clips, stages_of
from spatialcode.errors import EncodeError
from spatialcode.evaluation.metrics.scoring import (
    ClipScore,
    DetectionCounts,
    ScoredScene,
    overlaps_of,
    score_clip,
    score_detection,
)
from spatialcode.evaluation.metrics.tracks import BoxTracks, from_objects
from spatialcode.evaluation.oracle import Rung, TrueMaps, replace_with_truth, rungs, true_maps
from spatialcode.evaluation.watched_geometry import WatchedGeometry
from spatialcode.recordings.reading import spread
from spatialcode.recordings.recording import Recording
from spatialcode.scene.categories import wrap_yaw
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import Room, SceneObject, SpatialCode, VideoInfo
from spatialcode.synthetic.clips import ClipConfig
from spatialcode.synthetic.renderers import PRIMITIVES
from spatialcode.synthetic.truth import MOVED_M, TURNED_RAD, SyntheticClip, pixel_counts, seen

T = TypeVar("T")
Array = NDArray[np.float64]

#: Longer side to which recorded frames are scaled while decoding; encoders scale them further.
MAX_SIDE_PX = 320
#: Frames of a recording that are looked at, as they are all in memory at once.
MAX_FRAMES = 256


@dataclass(frozen=True)
class RoomOptions:
    """``known_intrinsics``: tell the encoder K also where it must find the poses itself.
    ``ladder``: climb it, where the encoder shows its stages (a dozen more fusions a clip).
    ``side_px``: longer side of rendered frames, in the shape of 4 to 3. ``renderer``: by name.
    """

    num_frames: int = 32
    known_intrinsics: bool = True
    ladder: bool = True
    side_px: int = 160
    renderer: str = PRIMITIVES

    @property
    def clip(self) -> ClipConfig:
        """What is rendered."""
        return ClipConfig(
            self.num_frames, self.side_px, self.side_px * 3 // 4, renderer=self.renderer
        )


@dataclass(frozen=True)
class RoomResult:
    """One clip's scores and times; ``ladder[start][rung]`` as `oracle.rungs` names
    them.
    """

    name: str
    num_frames: int
    given: ClipScore
    predicted: ClipScore
    given_seconds: Seconds
    predicted_seconds: Seconds
    ladder: dict[str, dict[str, DetectionCounts]] = field(default_factory=dict)


def truth_tracks(clip: SyntheticClip) -> BoxTracks:
    """The objects that any frame shows. Those that no frame shows well enough to count as seen
    (:func:`spatialcode.synthetic.truth.seen`) are ignored: neither missed nor, if predicted,
    false.
    """
    well = seen(clip)
    asked = np.asarray(well.any(axis=0))
    sight = np.asarray(np.where(asked, well, pixel_counts(clip) > 0))
    shown = np.flatnonzero(sight.any(axis=0))
    sight = sight[:, shown]
    began = np.maximum.accumulate(sight, axis=0)
    lasts = np.maximum.accumulate(sight[::-1], axis=0)[::-1]
    center = np.asarray(clip.center_m, dtype=np.float64)[:, shown]
    yaw = np.asarray(clip.yaw_rad, dtype=np.float64)[:, shown]
    return BoxTracks(
        labels=tuple(clip.labels[m] for m in shown),
        scores=np.ones(len(shown)),
        size_m=np.asarray(clip.size_m, dtype=np.float64)[shown],
        center_m=center,
        quaternion_wxyz=quaternion_from_yaw(yaw),
        alive=began & lasts,
        moving=_moves(center, yaw, sight),
        ignored=~asked[shown],
    )


def _moves(center_m: Array, yaw_rad: Array, sight: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(M,): whether an object is seen elsewhere, or turned, than where it was first seen."""
    first = np.argmax(sight, axis=0), np.arange(sight.shape[1])
    moved = np.linalg.norm(center_m - center_m[first], axis=-1) > MOVED_M
    turned = np.abs(wrap_yaw(yaw_rad - yaw_rad[first])) > TURNED_RAD
    return np.asarray((sight & (moved | turned)).any(axis=0))


def truth_scene(clip: SyntheticClip, true: TrueMaps) -> ScoredScene:
    """The true side of the comparison."""
    depth = np.where(true.has_depth, true.maps.depth_m, np.nan)
    poses = np.asarray(clip.T_world_camera, dtype=np.float64)
    polygon = tuple((float(x), float(y)) for x, y in clip.room_polygon_m)
    room = Room(0.0, clip.ceiling_z_m, polygon, clip.room_area_m2)
    return ScoredScene(truth_tracks(clip), poses, room, depth)


def evaluate_clip(
    name: str, clip: SyntheticClip, encoder: LoadedEncoder, options: RoomOptions
) -> RoomResult:
    """Evaluate on a clip with dense truth: given poses, own poses, ladder."""
    truth = truth_scene(clip, true_maps(clip))
    watched = EvaluatedEncoder(encoder)
    informed = clip_of(clip.rgb, clip.times_s, FrameGeometry(clip.K, truth.T_world_camera))
    predicted, given = _both_ways(watched, informed, truth, options)
    starts = {"given": given, "predicted": predicted, "cumulative": predicted}
    ladder: dict[str, dict[str, DetectionCounts]] = {}
    for start, steps in rungs().items() if options.ladder and watched.has_stages else ():
        maps = starts[start].encoded.maps
        assert maps is not None  # an encoder that shows its stages has them
        climb = _Climb(watched, starts[start], truth, true_maps(clip, maps.kinds))
        ladder[start] = {"start": starts[start].score.detection}
        ladder[start] |= {rung.name: climb(rung) for rung in steps}
    return _result(name, predicted, given, ladder)


def evaluate_recorded(
    recording: Recording, encoder: LoadedEncoder, options: RoomOptions
) -> RoomResult:
    """Evaluate on the frames of a recording, evenly spread where there are more than `MAX_FRAMES`.

    Depth is compared where it was recorded as well. There is no oracle ladder, and which objects
    are hardly seen is not known: a prediction of one counts as wrong.
    """
    code = recording.code()
    clip = recording.clip(spread(recording.num_frames, MAX_FRAMES), MAX_SIDE_PX)
    times_s, K, poses = clip.times_s, clip.geometry.K, clip.geometry.T_world_camera
    assert poses is not None  # a code has them
    depth_m = clip.geometry.depth_m
    truth = ScoredScene(from_objects(code.objects, times_s), poses, code.room, depth_m)
    informed = clip_of(clip.rgb, times_s, FrameGeometry(K, poses))
    return _result(
        recording.name, *_both_ways(EvaluatedEncoder(encoder), informed, truth, options), {}
    )


@dataclass(frozen=True, eq=False)
class _Scored:
    """A clip as the encoder was told of it, what it made of it, and what of that is right."""

    view: ClipInput
    encoded: Encoded
    score: ClipScore


def _both_ways(
    encoder: EvaluatedEncoder, informed: ClipInput, truth: ScoredScene, options: RoomOptions
) -> tuple[_Scored, _Scored]:
    """The clip encoded without its poses, and with them, as it is given."""
    own_K = informed.geometry.K if options.known_intrinsics else None
    alone = replace(informed, geometry=FrameGeometry(own_K))
    return _scored(encoder, alone, truth), _scored(encoder, informed, truth)


def _result(
    name: str, predicted: _Scored, given: _Scored, ladder: dict[str, dict[str, DetectionCounts]]
) -> RoomResult:
    return RoomResult(
        name=name,
        num_frames=given.view.num_frames,
        given=given.score,
        predicted=predicted.score,
        given_seconds=given.encoded.seconds,
        predicted_seconds=predicted.encoded.seconds,
        ladder=ladder,
    )


def _scored(encoder: EvaluatedEncoder, view: ClipInput, truth: ScoredScene) -> _Scored:
    """Encode and compare."""
    encoded = encoder.encode(view)
    tracks = from_objects(encoded.objects, view.times_s)
    depth = encoded.depth_m
    if truth.depth_m is not None and depth is not None:
        truth = replace(truth, depth_m=at_cells(truth.depth_m, depth.shape[1:3]))
    scene = ScoredScene(tracks, encoded.T_world_camera, encoded.room, depth)
    return _Scored(view, encoded, score_clip(scene, truth))


@dataclass(frozen=True, eq=False)
class _Climb:
    """What every rung above one encoding shares."""

    encoder: EvaluatedEncoder
    below: _Scored
    truth: ScoredScene
    true: TrueMaps

    def __call__(self, rung: Rung) -> DetectionCounts:
        """Detection with the rung's truth in place."""
        view, encoded = self.below.view, self.below.encoded
        assert encoded.maps is not None
        mixed = replace_with_truth(encoded.maps, self.true, rung.fields)
        if rung.true_path:
            path = self.truth.T_world_camera
        elif {"depth", "gravity"} & set(rung.fields):
            assert encoded.path_maps is not None
            seen = replace_with_truth(encoded.path_maps, self.true, rung.fields)
            path = self.encoder.path(view, seen)
        else:
            path = encoded.T_world_camera
        objects = self.encoder.objects(view, mixed, path)
        tracks = from_objects(objects, view.times_s)
        return score_detection(overlaps_of(tracks, self.truth.tracks))


@dataclass(frozen=True)
class Seconds:
    """Wall-clock and CPU seconds of one encoding, by step.

    Of an encoder that shows no steps all is counted as the network's.
    """

    network: float = 0.0
    odometry: float = 0.0
    fusion: float = 0.0
    network_cpu: float = 0.0
    odometry_cpu: float = 0.0
    fusion_cpu: float = 0.0

    @property
    def wall(self) -> float:
        """All steps together, by the wall clock."""
        return self.network + self.odometry + self.fusion


@dataclass(frozen=True, eq=False)
class Encoded:
    """One clip as an encoder left it: its code, and what that was made of.

    ``maps`` and ``T_world_camera`` (N, 4, 4) are those that the objects were made of, and
    ``path_maps`` those that the path was, so that the ladder starts where the encoder ended. Both
    maps are None for an encoder that shows no stages. ``depth_m`` (N, h, w): the depth that it
    believes in, None where it shows none.
    """

    code: SpatialCode
    T_world_camera: Array
    maps: DenseMaps | None = None
    path_maps: DenseMaps | None = None
    depth_m: NDArray[np.floating] | None = None
    seconds: Seconds = Seconds()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        """The code's objects."""
        return self.code.objects

    @property
    def room(self) -> Room | None:
        """The code's room."""
        return self.code.room


class WatchedStages:
    """An encoder's stages for one clip: remembers what passed, and how long each step took."""

    made_of: tuple[DenseMaps, Array]
    path_maps: DenseMaps | None = None

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._spent = {step: [0.0, 0.0] for step in ("network", "odometry", "fusion")}

    @property
    def seconds(self) -> Seconds:
        """What the steps have taken so far."""
        wall, cpu = zip(*self._spent.values(), strict=True)
        return Seconds(*wall, *cpu)

    def _timed(self, step: str, work: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return work()
        finally:
            self._spent[step][0] += time.perf_counter() - wall
            self._spent[step][1] += time.process_time() - cpu

    def prepare(self, clip: ClipInput) -> ClipInput:
        return self._stages.prepare(clip)

    def maps(
        self,
        clips: Sequence[ClipInput],
        poses: Sequence[Array | None],
        exact: bool,
        on_frames: Callable[[int], None] | None = None,
    ) -> list[DenseMaps]:
        return self._timed("network", lambda: self._stages.maps(clips, poses, exact, on_frames))

    def path(self, clip: ClipInput, maps: DenseMaps) -> Array:
        self.path_maps = maps
        return self._timed("odometry", lambda: self._stages.path(clip, maps))

    def structured(self, clip: ClipInput, maps: DenseMaps) -> ClipInput:
        return self._timed("odometry", lambda: self._stages.structured(clip, maps))

    def code(self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array) -> SpatialCode:
        self.made_of = (maps, T_world_camera)
        return self._timed("fusion", lambda: self._stages.code(clip, maps, T_world_camera))


class EvaluatedEncoder:
    """A loaded encoder, whole and, where it shows its stages, in steps."""

    def __init__(self, encoder: LoadedEncoder) -> None:
        self._encoder = encoder
        self._stages = stages_of(encoder)

    @property
    def has_stages(self) -> bool:
        """Whether the oracle ladder can be climbed."""
        return self._stages is not None

    def encode(self, clip: ClipInput) -> Encoded:
        """The whole encoding. Raises EncodeError where none can be made."""
        if self._stages is None:
            return self._whole(clip)
        watched = WatchedStages(self._stages)
        code = only(encode_clips(watched, [clip]))
        maps, T_world_camera = watched.made_of
        return Encoded(code, T_world_camera, maps, watched.path_maps, maps.depth_m, watched.seconds)

    def _whole(self, clip: ClipInput) -> Encoded:
        encoder, geometry = self._encoder, None
        if is_parted(encoder):
            geometry = WatchedGeometry(encoder.parts.geometry)
            parts = replace(encoder.parts, geometry=geometry)
            encoder = encoder.with_less(parts, encoder.frames)
        wall, cpu = time.perf_counter(), time.process_time()
        code = only(encoder.encode_batch([clip]))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if len(code.cameras) != clip.num_frames:
            raise EncodeError(f"{clip.num_frames} frames, but {len(code.cameras)} cameras")
        poses = np.stack([camera.matrix() for camera in code.cameras])
        return Encoded(
            code,
            poses,
            depth_m=None if geometry is None else geometry.depth_m(),
            seconds=Seconds(network=wall, network_cpu=cpu),
        )

    def path(self, clip: ClipInput, maps: DenseMaps) -> Array:
        """The camera path (N, 4, 4) that other maps would have led to."""
        assert self._stages is not None
        return self._stages.path(self._stages.prepare(clip), maps)

    def objects(
        self, clip: ClipInput, maps: DenseMaps, T_world_camera: Array
    ) -> tuple[SceneObject, ...]:
        """The objects that other maps and poses would have led to."""
        assert self._stages is not None
        return self._stages.code(self._stages.prepare(clip), maps, T_world_camera).objects


def clip_of(
    rgb: NDArray[np.uint8], times_s: NDArray[np.floating], geometry: FrameGeometry
) -> ClipInput:
    """Frames (N, H, W, 3) with what an encoder is told of them, as encoders take them."""
    height, width = rgb.shape[1:3]
    video = VideoInfo(
        uri="",
        sha256="",
        duration_s=float(times_s[-1]),
        fps=0.0,
        width_px=width,
        height_px=height,
        sampled_s=tuple(times_s.tolist()),
    )
    return ClipInput(video, rgb, geometry)
