"""What pairs of frames say of the motion between them: edges all at once, and points one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from spatialcode.encoder.geometry.path.frames import PathFrame
from spatialcode.encoder.geometry.path.pair_terms import PairObservations
from spatialcode.encoder.geometry.path.points import follow_points
from spatialcode.encoder.geometry.path.states import FrameStates
from spatialcode.encoder.odometry.alignment import AlignmentConfig, align
from spatialcode.encoder.odometry.problem import RelativeMotions, exp_rotation, log_rotation

Array = NDArray[np.float64]
Pair = tuple[int, int]

#: Neighbours are first aligned in pictures of this side, with depth in cells of so many pixels.
_ALIGNED_SIDE_PX, _ALIGNED_CELL_PX = 160, 4
_ALIGNMENT = AlignmentConfig(halvings=(2, 1), steps=(10, 6))
#: Least information of a turn, 1 / rad², from which on edges tell it: a blank wall's do not.
_TELLING = 600.0
#: A step is odd where it differs by more from the middle one of so many around it.
_STEPS_AROUND, _ODD_TURN_RAD, _ODD_STEP_M = 7, 0.07, 0.25
#: Frames between those that are followed.
_SPACINGS = (1, 3, 9)
#: Frames that look alike are joined where they share this much; every so many points tell it.
_LOOP_SHARE, _LOOP_GRID = 0.35, 8
#: Views further apart than this, radians, or of places nearer or farther by more than this factor's
#: log, cannot be followed into each other.
_LOOP_TURN_RAD, _LOOP_LOG_RATIO = 0.6, 0.4
#: Depth at a predicted place may differ by this factor's log before another surface is meant.
_SAME_SURFACE = 0.2
#: With fewer points of known depth a frame is better seen from another.
_FEW_POINTS = 20
#: A pair of frames that shares fewer points is followed once more with a better path.
_FEW_FOLLOWED = 25


def neighbours_aligned(frames: Sequence[PathFrame]) -> RelativeMotions:
    """Motions between neighbours by all edges at once, in small pictures."""
    gray = [f.gray for f in frames]
    share = _ALIGNED_SIDE_PX / max(gray[0].shape)
    height, width = (_ALIGNED_CELL_PX * max(1, round(side * share / _ALIGNED_CELL_PX))
                     for side in gray[0].shape)  # fmt: skip
    small = [cv2.resize(g, (width, height), interpolation=cv2.INTER_AREA) for g in gray]
    small = [_painted_over(s, f) for s, f in zip(small, frames, strict=True)]
    K = frames[0].K.copy()
    K[0] *= width / gray[0].shape[1]
    K[1] *= height / gray[0].shape[0]
    depth = np.exp(_at_cells(frames, height // _ALIGNED_CELL_PX, width // _ALIGNED_CELL_PX))
    first = np.arange(len(frames) - 1)
    return align(np.stack(small), depth, K, first, first + 1, config=_ALIGNMENT)


def _painted_over(image: Any, frame: PathFrame) -> NDArray[np.uint8]:
    """A picture with no edges where it is ignored, nor around that."""
    if frame.ignored is None or not frame.ignored.any():
        return np.asarray(image, np.uint8)
    size = (image.shape[1], image.shape[0])
    mask = cv2.resize(frame.ignored.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.inpaint(image, mask, 3, cv2.INPAINT_TELEA), np.uint8)


def _at_cells(frames: Sequence[PathFrame], rows: int, columns: int) -> Array:
    """Log depth (N, rows, columns); where unknown the frame's middle depth, or that of all."""
    height, width = frames[0].log_depth.shape
    row = ((np.arange(rows) + 0.5) * height / rows).astype(int)
    column = ((np.arange(columns) + 0.5) * width / columns).astype(int)
    cells = np.stack([f.log_depth[row][:, column] for f in frames]).reshape(len(frames), -1)
    known = np.isfinite(cells)
    middle = np.array([np.median(c[k]) if k.any() else np.nan
                       for c, k in zip(cells, known, strict=True)])  # fmt: skip
    usual = np.median(middle[np.isfinite(middle)]) if np.isfinite(middle).any() else 0.0
    middle = np.where(np.isfinite(middle), middle, usual)
    return np.where(known, cells, middle[:, None]).reshape(len(frames), rows, columns)


def telling(motions: RelativeMotions) -> NDArray[np.bool_]:
    """(B,) whether edges tell a motion's turn."""
    turns = np.linalg.eigvalsh(motions.information[:, :3, :3])
    return np.asarray(turns[:, 0] > _TELLING)


def chosen_motions(
    motions: RelativeMotions, rows: NDArray[np.bool_], first: int
) -> RelativeMotions:
    """Some of the motions, their frames counted from row ``first`` on."""
    return RelativeMotions(
        motions.first[rows] + first,
        motions.second[rows] + first,
        motions.T_second_first[rows],
        motions.information[rows],
    )


def as_step(T_second_first: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, " 6"]:
    """A motion as its turn, a rotation vector, and its shift."""
    return np.concatenate((log_rotation(T_second_first[:3, :3]), T_second_first[:3, 3]))


def steps_chained(
    motions: RelativeMotions, told: NDArray[np.bool_], before: Float[np.ndarray, " 6"] | None
) -> Float[np.ndarray, "b 4 4"]:
    """Steps (turn, shift) from frame to frame as poses of each frame in the one before. Over those
    that edges do not tell, or that are unlike those around them, the camera is taken to go on as it
    did; ``before``: its step before the first of them, turn and shift of `RelativeMotions`.
    """
    T = motions.T_second_first
    steps = np.concatenate([log_rotation(T[:, :3, :3]), T[:, :3, 3]], axis=1)
    if before is not None:
        steps, told = np.vstack((before, steps)), np.append(True, told)
    usual = median_filter(steps, (_STEPS_AROUND, 1), mode="nearest")
    off = np.abs(steps - usual)
    good = told & (np.linalg.norm(off[:, :3], axis=1) < _ODD_TURN_RAD)
    good &= np.linalg.norm(off[:, 3:], axis=1) < _ODD_STEP_M
    here = np.arange(len(steps))
    if good.any():
        steps = np.stack([np.interp(here, here[good], axis[good]) for axis in steps.T], axis=1)
    steps = steps[before is not None :]
    out = np.tile(np.eye(4), (len(steps), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = exp_rotation(steps[:, :3]), steps[:, 3:]
    return np.linalg.inv(out)


def spaced_pairs(num_before: int, num: int) -> list[Pair]:
    """Pairs of rows near and far apart of which the later one is new: those from ``num_before``."""
    return [(k - s, k) for s in _SPACINGS for k in range(max(num_before, s), num)]


def shared_views(
    frame: PathFrame, own: FrameStates, seen_by: Sequence[PathFrame], states: FrameStates
) -> Float[np.ndarray, " n"]:
    """The share of a frame's points that each of some others should see, from much the same side.

    ``own``: the state of that one frame, ``states``: those of the others.
    """
    known = np.isfinite(frame.sigma)
    points = frame.points[known][::_LOOP_GRID] * np.exp(own.log_scale[0])
    if not len(points):
        return np.zeros(len(seen_by))
    world = points @ own.R_world_camera[0].T + own.centre[0]
    camera = np.matmul(world - states.centre[:, None], states.R_world_camera)
    z = np.maximum(camera[..., 2], 1e-3)
    K = np.stack([f.K for f in seen_by])
    pixel = camera[..., :2] / z[..., None] * K[:, None, [0, 1], [0, 1]] + K[:, None, :2, 2]
    height, width = frame.gray.shape
    seen = ((pixel > 0) & (pixel < (width, height))).all(-1)
    seen &= np.abs(np.log(z / points[:, 2])) < _LOOP_LOG_RATIO
    facing = states.R_world_camera[:, :, 2] @ own.R_world_camera[0, :, 2]
    return np.where(facing > np.cos(_LOOP_TURN_RAD), seen.mean(axis=1), 0.0)


def loops(shared: Float[np.ndarray, "l n"]) -> list[Pair]:
    """Of each new frame the landmark that shares most with it, where that is enough: pairs of a
    landmark and a new frame.
    """
    if not shared.size:
        return []
    best = shared.argmax(axis=0)
    enough = shared.max(axis=0) >= _LOOP_SHARE
    return [(int(best[k]), int(k)) for k in np.flatnonzero(enough)]


class FollowedPairs:
    """Points of some frames followed between them; pairs name frames by their rows."""

    def __init__(self, frames: Sequence[PathFrame]) -> None:
        self.frames = list(frames)
        self._found: dict[Pair, tuple[NDArray[np.int64], Array, tuple[Array, Array]]] = {}

    def follow(self, states: FrameStates, pairs: Sequence[Pair], *, is_rough: bool = False) -> None:
        """Follow the points of pairs from where a path predicts them, from farther away where that
        is rough. Of a pair that was followed before, what led to more points is kept.
        """
        for pair in pairs:
            a, b = self._directed(*pair)
            rows, guess = self._predicted(states, a, b)
            first, second = self.frames[a], self.frames[b]
            start = first.points_px[rows]
            good, end = follow_points(first.gray, second.gray, start, guess, predicted=not is_rough)
            if len(good) >= self._num_found(a, b):
                self._found[a, b] = rows[good], end, second.depth_at(end)

    def _num_found(self, a: int, b: int) -> int:
        return len(self._found[a, b][0]) if (a, b) in self._found else 0

    def weak(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Of some pairs those that share few points so far: their path may have been wrong."""
        return [pair for pair in pairs if self._num_found(*self._directed(*pair)) < _FEW_FOLLOWED]

    def _directed(self, a: int, b: int) -> Pair:
        """A pair such that its first frame is the one with more points of known depth: a frame
        without depth can be seen from others all the same.
        """
        known = self.frames[a].num_known, self.frames[b].num_known
        return (b, a) if known[0] < _FEW_POINTS and known[1] > known[0] else (a, b)

    def _predicted(self, states: FrameStates, a: int, b: int) -> tuple[NDArray[np.int64], Array]:
        """Which of a frame's points another one should see, and where (K, 2)."""
        first, second = self.frames[a], self.frames[b]
        rows = np.flatnonzero(np.isfinite(first.sigma))
        R, c, s = states.R_world_camera, states.centre, states.log_scale
        camera = first.points[rows] @ (R[a].T @ R[b]) * np.exp(s[a]) + (c[a] - c[b]) @ R[b]
        ahead = camera[:, 2] > 0.1
        rows, camera = rows[ahead], camera[ahead]
        seen = camera @ second.K.T
        pixel_px = seen[:, :2] / seen[:, 2:]
        height, width = second.gray.shape
        inside = ((pixel_px > 2) & (pixel_px < (width - 2, height - 2))).all(-1)
        rows, camera, pixel_px = rows[inside], camera[inside], pixel_px[inside]
        there, spread = second.depth_at(pixel_px)
        with np.errstate(invalid="ignore"):
            limit = _SAME_SURFACE + np.hypot(second.least_sigma, spread)
            off = np.abs(there + s[b] - np.log(camera[:, 2])) > limit
        return rows[~off], pixel_px[~off]

    def observations(self) -> PairObservations:
        """All points followed, sorted by pair."""
        frames, keys = self.frames, sorted(self._found)
        count = [len(self._found[key][0]) for key in keys]
        empty = np.zeros((0, 2))
        ends = [self._found[key][1] for key in keys]
        chosen = [(frames[a], self._found[a, b][0]) for a, b in keys]
        depths = [self._found[key][2] for key in keys]
        least = [np.full(n, frames[b].least_sigma) for (_, b), n in zip(keys, count, strict=True)]
        first, second = (np.repeat(np.array([key[i] for key in keys], int), count) for i in (0, 1))
        spread = np.concatenate([*(d[1] for d in depths), empty[:, 0]])
        return PairObservations(
            first=first,
            second=second,
            point=np.concatenate([*(f.points[rows] for f, rows in chosen), np.zeros((0, 3))]),
            pixel_px=np.concatenate([*ends, empty]),
            whitening=np.concatenate(
                [*(f.whitening[rows] for f, rows in chosen), np.zeros((0, 2, 2))]
            ),
            log_depth=np.concatenate([*(d[0] for d in depths), empty[:, 0]]),
            depth_sigma=np.concatenate([*(f.sigma[rows] for f, rows in chosen), empty[:, 0]]),
            second_sigma=np.hypot(np.concatenate([*least, empty[:, 0]]), spread),
            K=np.stack([f.K for f in frames]),
        )
