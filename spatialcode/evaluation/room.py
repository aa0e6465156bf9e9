"""Evaluating one clip with known truth: encode it twice, compare, climb the oracle ladder.

No Ray here, so that training can measure itself with the same function.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.maps import DenseMaps
from spatialcode.evaluation.metrics.box_tracks import BoxTracks, from_objects
from spatialcode.evaluation.metrics.scoring import (
    ClipScore,
    Detection,
    ScoredScene,
    overlaps_of,
    score_clip,
    score_detection,
)
from spatialcode.evaluation.oracle import Rung, TrueMaps, replace_with_truth, rungs, true_maps
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import Room, SceneObject
from spatialcode.scene.symmetry import wrap_yaw
from spatialcode.synthetic.clips import make_clip
from spatialcode.synthetic.shots import ClipConfig
from spatialcode.synthetic.truth import SyntheticClip, pixel_counts, seen

Array = NDArray[np.float64]

#: An object moves if it is seen to: it gets this far, or turns so much, from where it was when
#: first seen. The same as in the exact codes of rendered clips.
MOVED_M = 0.05
TURNED_RAD = 0.1


@dataclass(frozen=True, eq=False)
class View:
    """What an encoder is told of a clip: ``rgb`` (N, H, W, 3), ``times_s`` (N,), and ``K`` (3, 3)
    and ``T_world_camera`` (N, 4, 4) or None where it must find them itself.
    """

    rgb: NDArray[np.uint8]
    times_s: Array
    K: Array | None
    T_world_camera: Array | None


@dataclass(frozen=True)
class Seconds:
    """Wall-clock and CPU seconds of one encoding, by step."""

    network: float = 0.0
    odometry: float = 0.0
    fusion: float = 0.0
    network_cpu: float = 0.0
    odometry_cpu: float = 0.0
    fusion_cpu: float = 0.0


@dataclass(frozen=True, eq=False)
class Encoded:
    """One clip as an encoder left it: objects, room, and what they were made of.

    ``maps`` and ``T_world_camera`` (N, 4, 4) are those that the objects were made of, and
    ``path_maps`` those that the path was, so that the ladder starts where the encoder ended.
    """

    objects: tuple[SceneObject, ...]
    room: Room | None
    maps: DenseMaps
    path_maps: DenseMaps
    T_world_camera: Array
    seconds: Seconds = Seconds()


class ClipEncoder(Protocol):
    """An encoder, whole and in steps."""

    def encode(self, view: View) -> Encoded:
        """The whole encoding, as users get it."""
        ...

    def path(self, view: View, maps: DenseMaps) -> Array:
        """The camera path (N, 4, 4) that other maps would have led to."""
        ...

    def objects(
        self, view: View, maps: DenseMaps, T_world_camera: Array
    ) -> tuple[SceneObject, ...]:
        """The objects that other maps and poses would have led to."""
        ...


@dataclass(frozen=True)
class RoomOptions:
    """``known_intrinsics``: tell the encoder K also where it must find the poses itself.
    ``ladder``: climb it (a dozen more fusions a clip).
    """

    num_frames: int = 32
    known_intrinsics: bool = True
    ladder: bool = True


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
    ladder: dict[str, dict[str, Detection]] = field(default_factory=dict)


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


def evaluate_room(
    seed: int, encoder: ClipEncoder, options: RoomOptions | None = None
) -> RoomResult:
    """Render the room of a seed and evaluate the encoder on it. Deterministic by seed."""
    options = options or RoomOptions()
    clip = make_clip(seed, ClipConfig(num_frames=options.num_frames))
    return evaluate_clip(str(seed), clip, encoder, options)


def evaluate_clip(
    name: str, clip: SyntheticClip, encoder: ClipEncoder, options: RoomOptions
) -> RoomResult:
    """Evaluate on a clip with dense truth: given poses, own poses, ladder."""
    true = true_maps(clip)
    truth = truth_scene(clip, true)
    own_K = clip.K if options.known_intrinsics else None
    alone = View(clip.rgb, clip.times_s, own_K, None)
    informed = View(clip.rgb, clip.times_s, clip.K, truth.T_world_camera)
    predicted, own_score = score_view(encoder, alone, truth)
    given, given_score = score_view(encoder, informed, truth)
    starts = {
        "given": (informed, given, given_score),
        "predicted": (alone, predicted, own_score),
        "cumulative": (alone, predicted, own_score),
    }
    ladder: dict[str, dict[str, Detection]] = {}
    for start, steps in rungs().items() if options.ladder else ():
        view, encoded, below = starts[start]
        climb = _Climb(encoder, view, encoded, truth, true)
        ladder[start] = {"start": below.detection} | {rung.name: climb(rung) for rung in steps}
    return RoomResult(
        name=name,
        num_frames=len(clip.times_s),
        given=given_score,
        predicted=own_score,
        given_seconds=given.seconds,
        predicted_seconds=predicted.seconds,
        ladder=ladder,
    )


def score_view(encoder: ClipEncoder, view: View, truth: ScoredScene) -> tuple[Encoded, ClipScore]:
    """Encode and compare."""
    encoded = encoder.encode(view)
    tracks = from_objects(encoded.objects, view.times_s)
    depth = encoded.maps.depth_m
    if truth.depth_m is not None:
        truth = replace(truth, depth_m=at_cells(truth.depth_m, depth.shape[1:3]))
    scene = ScoredScene(tracks, encoded.T_world_camera, encoded.room, depth)
    return encoded, score_clip(scene, truth)


def at_cells(values: NDArray[np.floating], grid_hw: tuple[int, int]) -> NDArray[np.floating]:
    """(N, H, W) picked at the centres of an h x w grid of cells; (N, h, w) stays as it is."""
    rows, columns = (
        ((np.arange(cells) + 0.5) * pixels / cells).astype(int)
        for cells, pixels in zip(grid_hw, values.shape[1:], strict=True)
    )
    return values[:, rows[:, None], columns]


@dataclass(frozen=True, eq=False)
class _Climb:
    """What every rung above one encoding shares."""

    encoder: ClipEncoder
    view: View
    encoded: Encoded
    truth: ScoredScene
    true: TrueMaps

    def __call__(self, rung: Rung) -> Detection:
        """Detection with the rung's truth in place."""
        mixed = replace_with_truth(self.encoded.maps, self.true, rung.fields)
        if rung.true_path:
            path = self.truth.T_world_camera
        elif {"depth", "gravity"} & set(rung.fields):
            seen = replace_with_truth(self.encoded.path_maps, self.true, rung.fields)
            path = self.encoder.path(self.view, seen)
        else:
            path = self.encoded.T_world_camera
        objects = self.encoder.objects(self.view, mixed, path)
        tracks = from_objects(objects, self.view.times_s)
        return score_detection(overlaps_of(tracks, self.truth.tracks))
