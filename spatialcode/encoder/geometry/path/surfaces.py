"""What level, upright and floor surfaces, or given gravity, say of a camera path.

They are gathered over a clip, some of each frame and at most so many frames, so that a long clip
needs no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.geometry.path.adjustment import SurfaceHints
from spatialcode.encoder.geometry.path.frames import PathFrame
from spatialcode.encoder.geometry.path.states import FrameStates
from spatialcode.encoder.geometry.planes import (
    Patches,
    find_floor,
    find_heading,
    find_up,
)
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]

#: Frames whose surfaces are remembered; of how many the last tell a direction.
_MAX_FRAMES, _NUM_LATEST = 128, 16
#: Errors of the direction of one patch's plane, and how many patches err as one.
_NORMAL_SIGMA_RAD, _ALIKE = 0.06, 2.5
#: Farthest from an axis that a normal counts as along it.
_AXIS_RAD = 0.2
#: Of gravity that is given: it outweighs what surfaces say.
_GIVEN_UP_SIGMA_RAD = 0.002
_FLOOR_SIGMA_M, _FLOOR_NEAR_M = 0.03, 0.15


@dataclass(frozen=True, eq=False)
class Ground:
    """What brings a path's world upright and onto its floor: ``R`` (3, 3), then ``lift_m`` up.

    ``heading_rad``: that of the walls in the upright world, mod 90 degrees. ``has_up``,
    ``has_floor``: whether surfaces or a record told them; else the first picture's own up is taken,
    and no lift.
    """

    R: Float[np.ndarray, "3 3"]
    lift_m: float
    heading_rad: float | None
    has_up: bool
    has_floor: bool

    def grounded(self, states: FrameStates) -> FrameStates:
        """States in the upright world."""
        centre = states.centre @ self.R.T + (0, 0, self.lift_m)
        return FrameStates(self.R @ states.R_world_camera, centre, states.log_scale)

    def back(self, states: FrameStates) -> FrameStates:
        """States of the upright world in the path's own."""
        centre = (states.centre - (0, 0, self.lift_m)) @ self.R
        return FrameStates(self.R.T @ states.R_world_camera, centre, states.log_scale)


@dataclass(frozen=True, eq=False)
class FrameSurfaces:
    """The patches of a frame, ``frame`` its place in the clip, its ``state`` and gravity in its
    camera where that is given.
    """

    frame: int
    patches: Patches
    state: FrameStates
    up_camera: Float[np.ndarray, " 3"] | None


def surfaces_of(
    frames: Sequence[PathFrame], states: FrameStates, first: int
) -> list[FrameSurfaces]:
    """Of frames of these states, of which the first one has that place in the clip."""
    out = []
    for k, frame in enumerate(frames):
        state = states.rows(slice(k, k + 1))
        out.append(FrameSurfaces(first + k, frame.patches, state, frame.up_camera))
    return out


class PathSurfaces:
    """The surfaces seen along one path, in memory of a fixed size."""

    def __init__(self) -> None:
        self._kept: list[FrameSurfaces] = []
        self._stride = 1

    def keep(self, seen: Sequence[FrameSurfaces]) -> None:
        """Remember frames."""
        self._kept += [one for one in seen if one.frame % self._stride == 0]
        while len(self._kept) > _MAX_FRAMES:
            self._stride *= 2
            self._kept = [one for one in self._kept if one.frame % self._stride == 0]

    def latest(self) -> list[FrameSurfaces]:
        """Of the last frames that are remembered, as many as tell a direction."""
        return self._kept[-_NUM_LATEST:]

    def moved(self, states: FrameStates) -> list[FrameSurfaces]:
        """All that is remembered, at other states (N,) of all frames of the clip."""
        return [replace(one, state=states.rows(slice(one.frame, one.frame + 1)))
                for one in self._kept]  # fmt: skip


def ground_of(seen: Sequence[FrameSurfaces], before: Ground | None = None) -> Ground:
    """What surfaces say of the world in which the states of their frames are. ``before``: the same
    of states nearly alike.
    """
    states = FrameStates.joined([one.state for one in seen])
    R, scale = states.R_world_camera, np.exp(states.log_scale)
    patches = _joined(seen, np.arange(len(seen)))
    given = [one.state.R_world_camera[0] @ one.up_camera for one in seen
             if one.up_camera is not None]  # fmt: skip
    near = before.R[2] if before is not None and before.has_up else None
    up = np.median(given, axis=0) if given else find_up(patches, R, near)
    # without any sign, the first picture's up
    turn = level_rotation(R[0].T @ (-R[0][:, 1] if up is None else up)) @ R[0].T
    T = np.tile(np.eye(4), (len(seen), 1, 1))
    T[:, :3, :3], T[:, :3, 3] = turn @ R, states.centre @ turn.T
    grown = replace(patches, point=patches.point * scale[patches.frame][:, None])
    floor = find_floor(grown, T)
    heading = None if up is None else find_heading(patches, T[:, :3, :3])
    return Ground(turn, -(floor or 0.0), heading, up is not None, floor is not None)


def _joined(seen: Sequence[FrameSurfaces], frame: NDArray[np.int64]) -> Patches:
    """All patches, those of each frame under its number in ``frame``."""
    return Patches(
        np.repeat(frame, [len(one.patches.weight) for one in seen]),
        np.concatenate([one.patches.normal for one in seen]),
        np.concatenate([one.patches.point for one in seen]),
        np.concatenate([one.patches.weight for one in seen]),
    )


def surface_hints(
    seen: Sequence[FrameSurfaces], states: FrameStates, rows: NDArray[np.int64], ground: Ground
) -> SurfaceHints:
    """What surfaces say of frames in the ``rows`` (S,) of the upright world's ``states``."""
    patches = _joined(seen, rows)
    given = [(row, one.up_camera) for row, one in zip(rows, seen, strict=True)
             if one.up_camera is not None]  # fmt: skip
    parts = [_along(patches, states, axis) for axis in _axes(ground, bool(given))]
    if given:
        frame = np.array([row for row, _ in given])
        axis = np.tile((0.0, 0.0, 1.0), (len(frame), 1))
        weight = np.full(len(frame), 1 / _GIVEN_UP_SIGMA_RAD**2)
        parts.append((frame, np.stack([up_camera for _, up_camera in given]), axis, weight))
    if not parts:
        return SurfaceHints()
    frame, normal, axis, information = (np.concatenate(part) for part in zip(*parts, strict=True))
    floor: tuple[Any, ...] = _floor(patches, states) if ground.has_floor else ()
    return SurfaceHints(frame, normal, axis, information, *floor)


def _axes(ground: Ground, is_given: bool) -> list[Array]:
    if not ground.has_up:
        return []
    axes = [] if is_given else [np.array((0.0, 0.0, 1.0))]
    if ground.heading_rad is not None:
        quarters = ground.heading_rad + np.arange(4) * np.pi / 2
        axes += [np.array((np.cos(q), np.sin(q), 0.0)) for q in quarters]
    return axes


def _along(patches: Patches, states: FrameStates, axis: Array) -> tuple[Any, ...]:
    """By frame, the mean normal of surfaces along an axis (or its opposite where it is up), the
    axis, and its information.
    """
    p, num = patches, len(states.centre)
    axis_camera = axis @ states.R_world_camera
    cosine = (p.normal * axis_camera[p.frame]).sum(axis=1)
    sign = np.sign(cosine) if abs(axis[2]) > 0.5 else np.ones(len(cosine))
    near = sign * cosine > np.cos(2 * _AXIS_RAD)
    frame, normal, sign = p.frame[near], p.normal[near], sign[near]
    angle = np.arccos(np.minimum(sign * cosine[near], 1))
    weight = p.weight[near] / (1 + (angle / _AXIS_RAD * 2) ** 2) ** 2
    total = np.bincount(frame, weight, num)
    mean = np.stack([np.bincount(frame, weight * sign * normal[:, i], num) for i in range(3)], -1)
    rows = np.flatnonzero(total > 1)
    mean = mean[rows] / np.linalg.norm(mean[rows], axis=1, keepdims=True)
    information = total[rows] / (_NORMAL_SIGMA_RAD**2 * _ALIKE)
    return rows, mean, np.tile(axis, (len(rows), 1)), information


def _floor(patches: Patches, states: FrameStates) -> tuple[Any, ...]:
    """By frame, the mean floor point that it sees."""
    p, num = patches, len(states.centre)
    up_camera = states.R_world_camera[:, 2]
    scale = np.exp(states.log_scale)
    above = (p.point * (up_camera * scale[:, None])[p.frame]).sum(axis=1)
    z = above + states.centre[p.frame, 2]
    level = (p.normal * up_camera[p.frame]).sum(axis=1) > np.cos(_AXIS_RAD)
    weight = np.where(level & (np.abs(z) < _FLOOR_NEAR_M), p.weight, 0)
    total = np.bincount(p.frame, weight, num)
    mean = np.stack([np.bincount(p.frame, weight * p.point[:, i], num) for i in range(3)], -1)
    rows = np.flatnonzero(total > 2)
    return rows, mean[rows] / total[rows, None], np.full(len(rows), _FLOOR_SIGMA_M)
