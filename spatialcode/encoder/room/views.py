"""The room of a clip that passes frame by frame, from what few of its frames show of floor, walls
and ceiling, in memory that does not grow.

Which surface a patch of depth belongs to is read from its direction and its height alone, so any
geometry of an upright world will do; what masks name is left out, but for what ends a room as its
walls do. Cupboards that nobody named look like walls: the farthest of them is believed.

Source: none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from spatialcode.encoder.geometry.planes import Patches, find_patches, level_heights, lowest_level
from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.lifting.sightings import FrameView
from spatialcode.encoder.parsing.protocol import FrameMasks
from spatialcode.encoder.room.estimate import FloorOutline, find_outline
from spatialcode.encoder.room.layout import (
    BIN_RAD,
    MAX_RANGE_M,
    NUM_BINS,
    LayoutConfig,
    Lifted,
    Profile,
    sight_of,
)
from spatialcode.scene.schema import Room

Array = NDArray[np.float64]

#: Frames whose sight is kept.
MAX_VIEWS = 64
#: Metres, or radians, by which a view must differ from those that are kept.
_LEAST_STEP = 0.15
#: What closes a room as its walls do.
_WALL_LIKE = frozenset({"door", "window", "curtain"})
#: A wall's normal is at most so far from level, as its sine.
_MAX_WALL_TILT = 0.2
#: Of walls one behind another in one direction, the one that this share of them does not pass.
_WALL_QUANTILE = 0.75
#: Relative error of distance that sight has at the least: that of poses and of patches.
_LEAST_ERROR = 0.02
#: Level patches kept of one frame, on either side.
_KEPT_LEVELS = 48
#: A level farther from the floor of the geometry's own world than this is another thing's top.
_FLOOR_REACH_M = 0.25
#: An outline that has wall along less than this share of its length is not believed.
_MIN_WALL_SHARE = 0.35


@dataclass(frozen=True, eq=False)
class FoundRoom:
    """``room`` is None where what was seen does not tell it; ``warnings`` say why."""

    room: Room | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _RoomView:
    """What is kept of one frame: its place in the clip, camera and sight as of a `Profile`, and the
    heights in the world and areas (2, K) of patches that look up from below the camera, and down
    from above it.
    """

    frame: int
    camera_m: Float[np.ndarray, " 2"]
    heading_rad: float
    range_m: Float[np.ndarray, " b"]
    is_wall: Bool[np.ndarray, " b"]
    error: float
    low: Float[np.ndarray, "2 k"]
    high: Float[np.ndarray, "2 k"]

    def moved(self, by: Similarity) -> _RoomView:
        """The same where its frame was in truth, its world hardly tilted."""
        x_m, y_m, z_m = by.points(np.array((*self.camera_m, 0.0)))
        low, high = (np.stack((by.scale * z + z_m, by.scale**2 * area))
                     for z, area in (self.low, self.high))  # fmt: skip
        return replace(
            self,
            camera_m=np.array((x_m, y_m)),
            heading_rad=self.heading_rad + float(np.arctan2(by.R[1, 0], by.R[0, 0])),
            range_m=by.scale * self.range_m,
            low=low,
            high=high,
        )


class RoomViews:
    """The views of one clip, given in time order."""

    def __init__(self, layout: LayoutConfig | None = None) -> None:
        self._layout = layout or LayoutConfig()
        self._views: list[_RoomView] = []
        self._is_grounded = True

    def add(self, view: FrameView, masks: FrameMasks, is_grounded: bool) -> None:
        """Look at a frame in which ``masks`` are all things. ``is_grounded``: whether its world is
        metric, with z up: another one has no room.
        """
        self._is_grounded &= is_grounded
        seen = _seen(view, masks) if is_grounded and self._is_new(view) else None
        if seen is not None:
            self._views.append(seen)
        if len(self._views) > MAX_VIEWS:
            del self._views[self._least_telling()]

    def _is_new(self, view: FrameView) -> bool:
        """Whether no view that is kept has about the same place and heading."""
        if not self._views:
            return True
        forward = view.T_world_camera[:2, 2]
        heading = np.arctan2(forward[1], forward[0])
        look = np.array([*view.T_world_camera[:2, 3], np.cos(heading), np.sin(heading)])
        return bool(np.linalg.norm(self._looks() - look, axis=1).min() > _LEAST_STEP)

    def _looks(self) -> Array:
        """(V, 4) place in metres and direction of each view: a metre counts as a radian."""
        heading = np.array([view.heading_rad for view in self._views])
        place = np.stack([view.camera_m for view in self._views])
        return np.column_stack((place, np.cos(heading), np.sin(heading)))

    def _least_telling(self) -> int:
        """Of the two views most alike in place and heading, the one that sees less wall."""
        look = self._looks()
        apart = np.linalg.norm(look[:, None] - look, axis=-1) + 1e9 * np.eye(len(look))
        i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
        walls = [int(self._views[k].is_wall.sum()) for k in (i, j)]
        return int(i if walls[0] <= walls[1] else j)

    def settle(self, moves: Sequence[Similarity]) -> None:
        """Move what each frame saw by that frame's own move; ``moves`` (N,): of all frames."""
        self._views = [view.moved(moves[view.frame]) for view in self._views]

    def found(self) -> FoundRoom:
        """The room of all views."""
        if not self._is_grounded:
            return FoundRoom(None, ("The room is not told: up or the unit of depth is not known.",))
        outline = find_outline(self._profile(), self._layout) if self._views else None
        low, high = (
            np.concatenate([getattr(v, side) for v in self._views], axis=1)
            if self._views
            else np.zeros((2, 0))
            for side in ("low", "high")
        )
        if outline is None or outline.wall_share < _MIN_WALL_SHARE:
            return FoundRoom(None, ("The room is not told: too little of its walls was seen.",))
        return FoundRoom(_room(outline, _floor_z(low), lowest_level(-high[0], high[1])))

    def _profile(self) -> Profile:
        views = self._views
        error = np.array([view.error for view in views])
        return Profile(
            camera_m=np.stack([view.camera_m for view in views]),
            heading_rad=np.array([view.heading_rad for view in views]),
            range_m=np.stack([view.range_m for view in views]).astype(np.float64),
            is_wall=np.stack([view.is_wall for view in views]),
            scale=np.repeat(error[:, None], NUM_BINS, axis=1),
        )


def _floor_z(levels: Array) -> float:
    """The lowest level near to where the geometry has put the floor; there, where none is."""
    found = lowest_level(*levels)
    return found if found is not None and abs(found) < _FLOOR_REACH_M else 0.0


def _room(outline: FloorOutline, floor_z: float, below_ceiling_z: float | None) -> Room:
    """``below_ceiling_z``: the height of the ceiling, negated."""
    ceiling_z = None if below_ceiling_z is None else max(-below_ceiling_z, floor_z)
    corners = tuple((float(x), float(y)) for x, y in outline.corners_m)
    return Room(floor_z, ceiling_z, corners, outline.area_m2)


def _seen(view: FrameView, masks: FrameMasks) -> _RoomView | None:
    """What a frame shows of its room; None where it shows no surface."""
    patches = find_patches(view.depth_m[None], view.K[None])
    if not len(patches.frame):
        return None
    T = view.T_world_camera
    on_thing = _on_things(patches, view.K, masks)
    level = patches.select(~on_thing)
    is_wall = ~on_thing & (np.abs(patches.normal @ T[2, :3]) < _MAX_WALL_TILT)
    forward, sight = T[:2, 2], patches.point @ T[:2, :3].T
    heading = float(np.arctan2(forward[1], forward[0]))
    azimuth = np.arctan2(sight[:, 1], sight[:, 0]) - heading
    lifted = Lifted(
        point_m=patches.point[None, None],
        range_m=np.minimum(np.hypot(*sight.T), MAX_RANGE_M)[None, None],
        bin=(np.floor(azimuth / BIN_RAD).astype(np.int64) % NUM_BINS)[None, None],
        heading_rad=np.array([heading]),
    )
    range_m, walls = sight_of(lifted, is_wall[None, None], _WALL_QUANTILE)
    return _RoomView(
        frame=view.index,
        camera_m=T[:2, 3].copy(),
        heading_rad=heading,
        range_m=range_m[0].astype(np.float32),
        is_wall=walls[0],
        error=max(_LEAST_ERROR, view.error.pixel),
        low=_thinned(level_heights(level, T[None], 1.0)),
        high=_thinned(level_heights(level, T[None], -1.0)),
    )


def _thinned(levels: tuple[Array, Array]) -> Array:
    z, area = levels
    some = slice(None, None, -(-len(z) // _KEPT_LEVELS) or 1)
    return np.stack((z[some], area[some])).astype(np.float32)


def _on_things(patches: Patches, K: Array, masks: FrameMasks) -> NDArray[np.bool_]:
    """(Q,) whether the middle of a patch lies on what is neither wall nor like one."""
    things = [k for k, label in enumerate(masks.labels) if label not in _WALL_LIKE]
    if not things:
        return np.zeros(len(patches.frame), bool)
    pixel = patches.point @ K.T
    column, row = np.floor(pixel[:, :2] / pixel[:, 2:]).astype(int).T
    height, width = masks.masks.shape[1:]
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    return np.asarray(masks.masks[things][:, row, column].any(axis=0))
