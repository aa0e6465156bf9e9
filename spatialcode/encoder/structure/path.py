"""A clip's cameras in metres and upright, from a structure that knows neither.

Up and height come from where the caller's maps get them; the unit from predicted depth, of which
the median ratio to the structure's own is taken, frame by frame and then over the frames: errors of
one frame are alike. Frames that the structure did not place lie between those that it did, or move
on from the nearest as another path moves.

Source: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.odometry.flow import sample_log_depth
from spatialcode.encoder.odometry.path import in_first_camera_world, levelled
from spatialcode.encoder.structure.structure import Structure, StructureError
from spatialcode.scene.motion import PosePath

Array = NDArray[np.float64]

#: Sightings of a frame from which on it has a say on the unit of length.
_MIN_SEEN = 8
#: Times that are nearer are one frame's.
_SAME_S = 1e-4
#: Frames between placed ones are interpolated where those are at most this many usual steps apart.
_MAX_GAP_STEPS = 3.5


@dataclass(frozen=True, eq=False)
class PredictedCamera:
    """What a network says of N frames: ``log_depth`` (N, h, w) of z-depth in metres, ``up_camera``
    (N, 3) and ``height_m`` (N,).
    """

    log_depth: Float[np.ndarray, "n h w"]
    up_camera: Float[np.ndarray, "n 3"]
    height_m: Float[np.ndarray, " n"]


def path_of(
    structure: Structure,
    times_s: Float[np.ndarray, " n"],
    predicted: PredictedCamera,
    other: Float[np.ndarray, "n 4 4"],
) -> Float[np.ndarray, "n 4 4"]:
    """T_world_camera (N, 4, 4) in metres at the frames' times, z up, origin on the floor under the
    first camera. ``other``: a path of the same frames, in metres, for those that cannot be told.

    StructureError where no frame that was placed says anything of the unit.
    """
    metric = structure.T_world_camera.copy()
    metric[:, :3, 3] *= np.exp(log_unit_m(structure, times_s, predicted.log_depth))
    T = poses_at(structure.times_s, metric, times_s, other)
    return in_first_camera_world(levelled(T, predicted.up_camera, predicted.height_m))


def log_unit_m(
    structure: Structure, times_s: Float[np.ndarray, " n"], log_depth: Float[np.ndarray, "n h w"]
) -> float:
    """The log of metres in the structure's unit, by predicted depth where its points are seen.

    StructureError where too few sightings lie in frames of which depth is known.
    """
    frame_of = _same_frames(structure.times_s, times_s)
    frame, depth = frame_of[structure.track_frame], structure.seen_depth()
    known = (frame >= 0) & (depth > 0)
    frame = frame[known]
    num, height, width = log_depth.shape
    cells = structure.track_px[known] * (width, height) / np.array(structure.size_px)
    predicted, _ = sample_log_depth(np.asarray(log_depth, np.float64), frame, cells, 1.0)
    ratio = predicted - np.log(depth[known])
    each = [np.median(ratio[frame == k]) for k in range(num) if (frame == k).sum() >= _MIN_SEEN]
    if not each:
        raise StructureError("its points are seen in no frame of which depth is known")
    return float(np.median(each))


def seen_cells(
    structure: Structure,
    times_s: Float[np.ndarray, " n"],
    T_world_camera: Float[np.ndarray, "n 4 4"],
    grid_hw: tuple[int, ...],
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float[np.ndarray, " m"]]:
    """Points of the structure seen in frames at ``times_s``: frame (M,), column and row (M, 2) in
    a grid (h, w) over the frame, and z-depth (M,) in the unit of a path of these frames that
    follows the structure.
    """
    frame_of = _same_frames(structure.times_s, times_s)
    placed = np.flatnonzero(frame_of >= 0)
    own, wanted = structure.T_world_camera[placed], T_world_camera[frame_of[placed]]
    unit = Similarity.fitted(own[:, :3, 3], wanted[:, :3, 3]).scale
    frame, depth = frame_of[structure.track_frame], structure.seen_depth()
    known = (frame >= 0) & (depth > 0)
    height, width = grid_hw
    cells = structure.track_px[known] * (width, height) / np.array(structure.size_px)
    inside = np.clip(cells.astype(np.int64), 0, (width - 1, height - 1))
    return frame[known], inside, unit * depth[known]


def poses_at(
    placed_s: Float[np.ndarray, " m"],
    T_world_camera: Float[np.ndarray, "m 4 4"],
    times_s: Float[np.ndarray, " n"],
    other: Float[np.ndarray, "n 4 4"],
) -> Float[np.ndarray, "n 4 4"]:
    """Poses (N, 4, 4) at times, from placed frames (M, 4, 4) at theirs.

    A frame between two placed ones that are not far apart is interpolated; any other moves from the
    nearest frame that is known as ``other`` moves between the two.
    """
    after = np.searchsorted(placed_s, times_s - _SAME_S)
    before = np.searchsorted(placed_s, times_s + _SAME_S) - 1
    last = len(placed_s) - 1
    inside = (after <= last) & (before >= 0)
    gap_s = placed_s[after.clip(0, last)] - placed_s[before.clip(0, last)]
    usual_s = float(np.median(np.diff(placed_s))) if last else 0.0
    known = np.flatnonzero(inside & (gap_s <= _MAX_GAP_STEPS * usual_s))
    if not len(known):
        raise StructureError("it placed none of the frames that are looked at")
    T = PosePath.of(placed_s, T_world_camera).matrices_at(np.asarray(times_s, np.float64))
    for k in np.setdiff1d(np.arange(len(times_s)), known):
        nearest = known[np.abs(times_s[known] - times_s[k]).argmin()]
        T[k] = T[nearest] @ np.linalg.inv(other[nearest]) @ other[k]
    return T


def _same_frames(
    placed_s: Float[np.ndarray, " m"], times_s: Float[np.ndarray, " n"]
) -> NDArray[np.int64]:
    """(M,) which of the frames at ``times_s`` each placed one is; -1 where it is none."""
    after = np.searchsorted(times_s, placed_s).clip(0, len(times_s) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(times_s[before] - placed_s) < np.abs(times_s[after] - placed_s)
    nearest = np.where(nearer, before, after)
    return np.where(np.abs(times_s[nearest] - placed_s) <= _SAME_S, nearest, -1)
