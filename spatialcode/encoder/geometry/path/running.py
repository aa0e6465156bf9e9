"""A camera path from pictures and a source's depth, without gravity or height being given.

Frames are taken in steps of fixed length, counted from the first one. Points are followed between
neighbours, frames further apart and, where the path comes back to what it saw before, between
those; poses and one depth scale a frame are adjusted together, and held from then on. So the
path does not depend on how its frames come in, and memory does not grow with it. Level surfaces
give gravity, the floor gives height, walls give a heading.

It does not know of cuts: frames that nothing joins to their neighbours are only carried along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.geometry.grounding import ASSUMED_HEIGHT_M
from spatialcode.encoder.geometry.path.adjustment import AdjustmentConfig, PathProblem, adjust
from spatialcode.encoder.geometry.path.frames import PathFrame, PathInput, frames_of
from spatialcode.encoder.geometry.path.pair_terms import CondensedPairs, PointTerms, PointWeights
from spatialcode.encoder.geometry.path.pairs import (
    FollowedPairs,
    as_step,
    chosen_motions,
    loops,
    neighbours_aligned,
    shared_views,
    spaced_pairs,
    steps_chained,
    telling,
)
from spatialcode.encoder.geometry.path.states import FRAME_UNKNOWNS, FrameStates
from spatialcode.encoder.geometry.path.surfaces import (
    FrameSurfaces,
    Ground,
    PathSurfaces,
    ground_of,
    surface_hints,
    surfaces_of,
)
from spatialcode.encoder.odometry.audit import CameraMotion, audit_path
from spatialcode.encoder.odometry.problem import RelativeMotions
from spatialcode.errors import EncodeError

Array = NDArray[np.float64]

#: Frames that are adjusted together at first, then step by step. Windows that bring their fresh
#: frames in multiples of a step leave nothing to be estimated twice.
_FIRST_STEP, _STEP = 16, 8
#: Frames before a step that are held while it is adjusted, and the frames kept to come back to.
_NUM_CONTEXT, _MAX_LANDMARKS = 9, 48
#: Every so many frames may be come back to, once so many have passed since.
_LANDMARK_EVERY, _LOOP_APART = 4, 14
_LEAST_SCALE_SIGMA = 1e-4
#: Robust scales, in standard deviations of a pixel, of the first adjustments and the last.
_FIRST_CAUCHY, _LAST_CAUCHY = 2.0, 1.5
#: When a step's adjustment is done; all frames together are adjusted further.
_STEP_TOLERANCE, _STEP_ITERATIONS = 1e-4, 10
#: Adjustments of all frames together, each with its own ground.
_NUM_TOGETHER = 2
#: From which weight on a point counts as fitting the path.
_TRUSTED = 0.3


@dataclass(frozen=True, eq=False)
class OwnPath:
    """The path of some frames, and what it rests on.

    ``T_world_camera`` (N, 4, 4): world of the clip's first camera, floor at z = 0, or
    `ASSUMED_HEIGHT_M` below that camera where no floor is seen. ``log_depth_scale`` (N,): log of
    believed over given depth. ``num_joined`` (N,): trusted points between each frame and the one
    before. ``reprojection_px``: median miss of trusted points, None without any.
    """

    T_world_camera: Float[np.ndarray, "n 4 4"]
    log_depth_scale: Float[np.ndarray, " n"]
    num_joined: NDArray[np.int64]
    reprojection_px: float | None


@dataclass(frozen=True, eq=False)
class _Solved:
    """States of N new frames in the path's own world, the misses of trusted points, how many of
    them join each frame to the one before, what pairs of frames and edges said, frames named by
    their places in the clip, and how the camera has moved by then.
    """

    states: FrameStates
    missed_px: Array
    num_joined: NDArray[np.int64]
    pairs: CondensedPairs
    motions: RelativeMotions
    motion: CameraMotion


@dataclass(frozen=True, eq=False)
class _Landmark:
    """A frame to come back to: its place in the clip, its points, and its state."""

    index: int
    frame: PathFrame
    state: FrameStates


@dataclass(frozen=True, eq=False)
class _Step:
    """Frames adjusted together: those before them, which are held, then the ``new`` ones, then
    landmarks; ``index``: their places in the clip; ``motions`` between neighbours, by rows.
    """

    followed: FollowedPairs
    index: list[int]
    new: slice
    motions: RelativeMotions
    scale_sigma: float

    @property
    def free(self) -> NDArray[np.bool_]:
        return _free(len(self.index), self.new)

    def adjusted(
        self, states: FrameStates, latest: list[FrameSurfaces], cauchy: float,
        before: Ground | None = None,
    ) -> tuple[FrameStates, PointTerms, Ground]:  # fmt: skip
        """All states in the path's own world, from those to begin with, the points, and the ground
        of the states to begin with; ``before``: about that.
        """
        frames, rows = self.followed.frames[self.new], np.arange(self.new.start, self.new.stop)
        seen = surfaces_of(frames, states.rows(self.new), self.index[self.new.start])
        ground = ground_of([*latest, *seen], before)
        upright = ground.grounded(states)
        points = PointTerms(self.followed.observations(), PointWeights(cauchy))
        problem = PathProblem(
            points, self.free, self.new.stop, surface_hints(seen, upright, rows, ground),
            self.motions,
        )  # fmt: skip
        config = AdjustmentConfig(
            scale_sigma=self.scale_sigma, tolerance=_STEP_TOLERANCE, max_iterations=_STEP_ITERATIONS
        )
        result = adjust(problem, upright, config)
        return ground.back(result.states), points, ground

    def solved(self, states: FrameStates, points: PointTerms, motion: CameraMotion) -> _Solved:
        """What the last adjustment tells."""
        said, index = points.at(states), np.array(self.index)
        seen = self.followed.observations()
        trusted = said.pixel_weight > _TRUSTED
        later = np.maximum(seen.first, seen.second)
        joined = trusted & (np.abs(seen.second - seen.first) == 1) & (later < self.new.stop)
        m = self.motions
        return _Solved(
            states=states.rows(self.new),
            missed_px=np.linalg.norm(said.missed_px, axis=0)[trusted],
            num_joined=np.bincount(later[joined], minlength=self.new.stop)[self.new],
            pairs=points.condensed(states).named(index),
            motions=replace(m, first=index[m.first], second=index[m.second]),
            motion=motion,
        )


def _free(num: int, rows: slice) -> NDArray[np.bool_]:
    """(N, 7) what may change where some rows may: all but where the first camera is, whose world it
    is.
    """
    free = np.zeros((num, FRAME_UNKNOWNS), bool)
    free[rows] = True
    if rows.start == 0:
        free[0, :6] = False
    return free


class RunningPath:
    """The path of one clip as its frames come in, in time order.

    Its own world is that of the first camera. Poses are told once for each frame, in the upright
    world of the first frames given; `settled` gives them once more, by all frames together.
    """

    def __init__(self, focal_is_known: bool = False) -> None:
        self._focal_is_known = focal_is_known
        self._surfaces = PathSurfaces()
        self._context: list[PathFrame] = []
        self._context_states = FrameStates.none()
        self._landmarks: list[_Landmark] = []
        self._held: list[_Solved] = []
        self._num_held = 0
        self._pending: list[PathFrame] = []
        self._pending_solved: list[_Solved] = []
        self._told: list[FrameStates] = []
        self._all: FrameStates | None = None

    def add(self, given: PathInput) -> OwnPath:
        """The path of the next frames. Of a step that is not full yet, poses are the best guess."""
        self._scale_sigma = max(given.error.frame, _LEAST_SCALE_SIGMA)
        self._pending += frames_of(given)
        self._all = None
        solved = []
        while self._pending:
            length = _STEP if self._num_held else _FIRST_STEP
            step = self._pending[:length]
            solved.append(self._solved(step))
            if len(step) < length:
                break
            self._hold(step, solved[-1])
            self._pending = self._pending[length:]
        self._pending_solved = solved[-1:] if self._pending else []
        self._told.append(self._now_told(len(given.gray)))
        missed_px = np.concatenate([part.missed_px for part in solved])
        return OwnPath(
            T_world_camera=self._told[-1].T_world_camera,
            log_depth_scale=self._told[-1].log_scale,
            num_joined=np.concatenate([part.num_joined for part in solved])[-len(given.gray) :],
            reprojection_px=float(np.median(missed_px)) if len(missed_px) else None,
        )

    @property
    def motion(self) -> CameraMotion:
        """What the pictures show of the camera's motion so far."""
        return (*self._held, *self._pending_solved)[-1].motion

    def _now_told(self, num: int) -> FrameStates:
        """States of the last frames in the told world: the first ones as they lie by themselves,
        later ones carried on from the last that was told.
        """
        if not self._told:
            return self._together()
        states = FrameStates.joined([part.states for part in (*self._held, *self._pending_solved)])
        states = states.rows(slice(-num - 1, None))
        last = self._told[-1].rows(slice(-1, None))
        R = last.R_world_camera[0] @ states.R_world_camera[0].T
        grown = last.log_scale[0] - states.log_scale[0]
        gone = np.exp(grown) * (states.centre - states.centre[0]) @ R.T
        told = FrameStates(R @ states.R_world_camera, last.centre + gone, states.log_scale + grown)
        return told.rows(slice(1, None))

    def settled(self) -> tuple[FrameStates, FrameStates]:
        """States of all frames as they were told, and where all frames together put them."""
        if not self._told:
            raise EncodeError("a path needs at least one frame, got none")
        return FrameStates.joined(self._told), self._together()

    def _together(self) -> FrameStates:
        """States of all frames so far, adjusted together in their upright world."""
        if self._all is None:
            self._all = self._adjusted_together()
        return self._all

    def _adjusted_together(self) -> FrameStates:
        parts = [*self._held, *self._pending_solved]
        states = FrameStates.joined([part.states for part in parts])
        num = len(states.centre)
        pairs = CondensedPairs.joined([part.pairs for part in parts])
        motions = RelativeMotions.joined([part.motions for part in parts])
        config = AdjustmentConfig(scale_sigma=self._scale_sigma)
        pending = surfaces_of(
            self._pending, states.rows(slice(self._num_held, None)), self._num_held
        )
        ground = None
        for _ in range(_NUM_TOGETHER):
            seen = [*self._surfaces.moved(states), *_moved(pending, states)]
            ground = ground_of(seen, ground)
            upright = ground.grounded(states)
            rows = np.array([one.frame for one in seen])
            hints = surface_hints(seen, upright, rows, ground)
            free = np.ones((num, FRAME_UNKNOWNS), bool)
            # surfaces hold what they tell; the first camera's place, and what they do not tell, is
            # free to choose
            free[0, :6] = [ground.has_up, ground.heading_rad is not None, ground.has_up,
                           False, False, ground.has_floor]  # fmt: skip
            problem = PathProblem(pairs, free, num, hints, motions)
            states = ground.back(adjust(problem, upright, config).states)
        if parts[-1].motion != "full":
            states = FrameStates.joined([part.states for part in parts])
        ground = ground_of([*self._surfaces.moved(states), *_moved(pending, states)], ground)
        if not ground.has_floor:
            lift_m = ASSUMED_HEIGHT_M - float(ground.R[2] @ states.centre[0])
            ground = replace(ground, lift_m=lift_m)
        return ground.grounded(states).in_first_camera_world()

    def _solved(self, new: list[PathFrame]) -> _Solved:
        """States of the next frames, held to those before."""
        start = len(self._context)
        rows = slice(start, start + len(new))
        motions = neighbours_aligned([*self._context[-1:], *new])
        told = telling(motions)
        states = FrameStates.joined([self._context_states, self._begun(motions, told)])
        step = _Step(
            FollowedPairs([*self._context, *new]),
            list(range(self._num_held - start, self._num_held + len(new))),
            rows,
            chosen_motions(motions, told, max(start - 1, 0)),
            self._scale_sigma,
        )
        pairs, latest = spaced_pairs(start, rows.stop), self._surfaces.latest()
        step.followed.follow(states, pairs)
        ground = None
        for _ in range(1 if start else 2):
            states, _, ground = step.adjusted(states, latest, _FIRST_CAUCHY, ground)
            step.followed.follow(states, step.followed.weak(pairs), is_rough=True)
        states = self._join_landmarks(step, states)
        states, points, _ = step.adjusted(states, latest, _LAST_CAUCHY, ground)
        shown, motion = self._as_pictures_show(new, states.rows(rows))
        states = FrameStates.joined(
            [states.rows(slice(None, start)), shown, states.rows(slice(rows.stop, None))]
        )
        return step.solved(states, points, motion)

    def _begun(self, motions: RelativeMotions, told: NDArray[np.bool_]) -> FrameStates:
        """Where the next frames are by their edges alone, chained to the frame before."""
        before, T = self._context_states, np.eye(4)
        last = None
        if len(before.centre):
            T = before.T_world_camera[-1]
        if len(before.centre) > 1:
            a, b = before.T_world_camera[-2:]
            last = as_step(np.linalg.inv(b) @ a)
        poses = [] if len(before.centre) else [T]
        for step in steps_chained(motions, told, last):
            T = T @ step
            poses.append(T)
        T = np.stack(poses)
        return FrameStates(T[:, :3, :3], T[:, :3, 3], np.zeros(len(T)))

    def _join_landmarks(self, step: _Step, states: FrameStates) -> FrameStates:
        """Follow points of landmarks that the new frames see again; all states, theirs behind."""
        new, new_states = step.followed.frames[step.new], states.rows(step.new)
        index = self._num_held + np.arange(len(new))
        shared = np.array(
            [np.where(index - landmark.index >= _LOOP_APART,
                      shared_views(landmark.frame, landmark.state, new, new_states), 0.0)
             for landmark in self._landmarks]
        ).reshape(-1, len(new))  # fmt: skip
        pairs = loops(shared)
        chosen = sorted({landmark for landmark, _ in pairs})
        place = {landmark: step.new.stop + k for k, landmark in enumerate(chosen)}
        step.followed.frames += [self._landmarks[k].frame for k in chosen]
        step.index.extend(self._landmarks[k].index for k in chosen)
        states = FrameStates.joined([states, *(self._landmarks[k].state for k in chosen)])
        step.followed.follow(states, [(place[a], step.new.start + b) for a, b in pairs])
        return states

    def _as_pictures_show(
        self, new: list[PathFrame], states: FrameStates
    ) -> tuple[FrameStates, CameraMotion]:
        """States as far as the pictures show motion, and how the camera has moved since the first
        frame.
        """
        if self._held and self._held[-1].motion == "full":
            return states, "full"
        before = self._context
        frames = [*before, *new]
        poses = FrameStates.joined([self._context_states, states])
        if self._landmarks and self._landmarks[0].frame.gray is not frames[0].gray:
            frames = [self._landmarks[0].frame, *frames]
            poses = FrameStates.joined([self._landmarks[0].state, poses])
        audit = audit_path(
            [f.gray for f in frames],
            frames[0].K,
            self._focal_is_known,
            ignored=[f.ignored for f in frames],
        )
        if audit.motion == "full":
            return states, "full"
        held = audit.held(poses.T_world_camera)
        anchor = max(len(frames) - len(new) - 1, 0)
        R = held[anchor, :3, :3].T @ held[-len(new) :, :3, :3]
        R = poses.R_world_camera[anchor] @ R
        centre = np.tile(poses.centre[0], (len(new), 1))
        return FrameStates(R, centre, states.log_scale), audit.motion

    def _hold(self, step: list[PathFrame], solved: _Solved) -> None:
        """Take a full step's states as those that the next ones are held to."""
        self._surfaces.keep(surfaces_of(step, solved.states, self._num_held))
        for k, frame in enumerate(step):
            if (self._num_held + k) % _LANDMARK_EVERY == 0:
                state = solved.states.rows(slice(k, k + 1))
                self._landmarks.append(_Landmark(self._num_held + k, frame.without_maps(), state))
        while len(self._landmarks) > _MAX_LANDMARKS:
            del self._landmarks[least_telling([landmark.state for landmark in self._landmarks])]
        self._context = [*self._context, *step][-_NUM_CONTEXT:]
        states = FrameStates.joined([self._context_states, solved.states])
        self._context_states = states.rows(slice(-_NUM_CONTEXT, None))
        self._held.append(replace(solved, missed_px=np.zeros(0)))
        self._num_held += len(step)


def _moved(seen: list[FrameSurfaces], states: FrameStates) -> list[FrameSurfaces]:
    return [replace(one, state=states.rows(slice(one.frame, one.frame + 1))) for one in seen]


def least_telling(states: Sequence[FrameStates]) -> int:
    """Of the two views that are most alike the later one, whose place is known less well."""
    centre = np.concatenate([state.centre for state in states])
    R = np.concatenate([state.R_world_camera for state in states]).reshape(-1, 9)
    apart = np.linalg.norm(centre[:, None] - centre, axis=-1)
    apart += np.linalg.norm(R[:, None] - R, axis=-1) + 1e9 * np.tri(len(R))
    return int(np.argmin(apart)) % len(R)
