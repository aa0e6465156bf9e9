"""One object as it is gathered over a video: what was seen of it, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spatialcode.config import checked, setting
from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.lifting.sightings import FrameView, Sighting

Array = NDArray[np.float64]


@dataclass(frozen=True)
@checked
class InstanceSettings:
    """How sightings become objects."""

    max_sightings: int = setting("sightings kept of one object", 64, at_least=4)
    voxel_m: float = setting("side of the cells in which overlap is counted", 0.12, above=0)
    min_overlap: float = setting(
        "share of a sighting's points in an object's cells from which on it may be that object",
        0.3, at_least=0, at_most=1,
    )  # fmt: skip
    track_bonus: float = setting(
        "what the mask source's track is worth beside that share", 0.4, at_least=0
    )
    max_step_m: float = setting(
        "farthest that a followed object may move between two sightings", 1.0, above=0
    )
    seen_through: float = setting(
        "depth, as a multiple of a point's distance, beyond which the point is seen through",
        1.12, above=1,
    )  # fmt: skip
    min_empty_frames: int = setting(
        "frames that must see through an object's first place before it has moved", 3, at_least=1
    )
    min_frames: int = setting("frames that must have seen an object", 1, at_least=1)
    min_points: int = setting("points that an object must have", 12, at_least=1)
    min_visibility: float = setting(
        "share of its outline that some frame must have seen, not cut off", 0.2,
        at_least=0, at_most=1,
    )  # fmt: skip
    min_share: float = setting(
        "share of the silhouette of its box that some frame must show", 0.08,
        at_least=0, at_most=1,
    )  # fmt: skip


#: A cell and those beside it.
_AROUND = np.array([(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
#: Cells are counted from so far below zero, and so many along an axis.
_OFFSET, _SPAN = 1 << 19, 1 << 20
#: What seems to have gone less far, or less than half its own width, stands.
_MIN_MOVE_M = 0.25
#: Points of the first sighting by which an object's first place is watched.
_WATCHED_POINTS = 48


def cells_of(points_m: Array, voxel_m: float) -> NDArray[np.int64]:
    """(P,) the key of the cell that each point lies in."""
    return _keys(np.floor(points_m / voxel_m).astype(np.int64))


def _keys(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    x, y, z = np.moveaxis(np.clip(cell + _OFFSET, 0, _SPAN - 1), -1, 0)
    return (x * _SPAN + y) * _SPAN + z


def _widened(points_m: Array, voxel_m: float) -> NDArray[np.int64]:
    """The sorted keys of the cells of points and of those beside them."""
    cell = np.unique(np.floor(points_m / voxel_m).astype(np.int64), axis=0)
    return np.unique(_keys(cell[:, None] + _AROUND))


@dataclass(eq=False)
class Instance:
    """An object in the making.

    ``sightings``: those that are kept, in time order; ``num_seen``: all there were. ``labels``: the
    words said of it, and how surely in sum. ``empty_frames``: frames that have seen through its
    first place since.
    """

    number: int
    settings: InstanceSettings
    sightings: list[Sighting] = field(default_factory=list)
    labels: dict[str, float] = field(default_factory=dict)
    tracks: Counter[int] = field(default_factory=Counter)
    num_seen: int = 0
    empty_frames: int = 0
    taken_frames: int = 0
    cells: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _first: Sighting = field(init=False, repr=False)
    _low_m: Array = field(default_factory=lambda: np.full(3, np.inf))
    _high_m: Array = field(default_factory=lambda: np.full(3, -np.inf))

    @property
    def label(self) -> str:
        """The word most often said of it, each time as sure as it was."""
        return max(sorted(self.labels), key=lambda label: self.labels[label])

    @property
    def visibility(self) -> float:
        """The largest share of its outline that a frame has seen, not cut off; 0 where it has none,
        as what fills a picture.
        """
        seen = [1 - s.points.is_cut.mean() for s in self.sightings if len(s.points.is_cut)]
        return float(max(seen, default=0.0))

    @property
    def has_moved(self) -> bool:
        """Whether frames have seen through its first place while it was elsewhere."""
        enough = self.empty_frames >= self.settings.min_empty_frames
        if not enough or self.taken_frames > 0.2 * self.empty_frames:
            return False
        first, last = (s.points.inside_m for s in (self._first, self.sightings[-1]))
        step_m = np.linalg.norm(np.median(last, axis=0)[:2] - np.median(first, axis=0)[:2])
        return bool(step_m > max(_MIN_MOVE_M, 0.5 * np.ptp(last[:, :2], axis=0).max()))

    @property
    def first_frame(self) -> int:
        return self._first.frame

    @property
    def last_frame(self) -> int:
        return self.sightings[-1].frame

    def add(self, sighting: Sighting) -> None:
        """Take a sighting of a later frame; the least telling one goes when there are too many."""
        if not self.sightings:
            self._first = sighting
        self.sightings.append(sighting)
        self._say(sighting.named.label, sighting.named.score)
        self.tracks[sighting.named.track] += 1
        self.num_seen += 1
        self._low_m = np.minimum(self._low_m, sighting.points.inside_m.min(axis=0))
        self._high_m = np.maximum(self._high_m, sighting.points.inside_m.max(axis=0))
        voxel_m = self.settings.voxel_m
        if self.num_seen == 1 or self.overlap(cells_of(sighting.points.inside_m, voxel_m)) < 0.98:
            fresh = _widened(sighting.points.inside_m, voxel_m)
            self.cells = np.union1d(self.cells, fresh)
        if len(self.sightings) > self.settings.max_sightings:
            del self.sightings[self._least_telling()]

    def _say(self, label: str, score: float) -> None:
        self.labels[label] = self.labels.get(label, 0.0) + score

    def _least_telling(self) -> int:
        """Of the two sightings from the nearest places, the one that shows less; the last stays."""
        camera = np.stack([s.camera_m for s in self.sightings[:-1]])
        size = np.array([s.points.num_pixels for s in self.sightings[:-1]])
        apart = np.linalg.norm(camera[:, None] - camera, axis=-1) + 1e9 * np.eye(len(camera))
        i, j = np.unravel_index(int(np.argmin(apart)), apart.shape)
        return int(i if size[i] <= size[j] else j)

    def absorb(self, other: Instance) -> None:
        """Take all that another instance has seen: it is the same object."""
        first = min(self._first, other._first, key=lambda s: s.frame)
        merged = sorted((*self.sightings, *other.sightings), key=lambda s: s.frame)
        self._first, self.sightings = first, merged
        while len(self.sightings) > self.settings.max_sightings:
            del self.sightings[self._least_telling()]
        for label, score in other.labels.items():
            self._say(label, score)
        self.tracks += other.tracks
        self.num_seen += other.num_seen
        self.cells = np.union1d(self.cells, other.cells)
        self._low_m = np.minimum(self._low_m, other._low_m)
        self._high_m = np.maximum(self._high_m, other._high_m)

    def settle(self, moves: Sequence[Similarity]) -> None:
        """Move what each frame saw by that frame's own move; ``moves`` (N,): of all frames."""
        self._first = self._first.moved(moves[self._first.frame])
        self.sightings = [s.moved(moves[s.frame]) for s in self.sightings]
        inside_m = np.concatenate([s.points.inside_m for s in self.sightings])
        self.cells = _widened(inside_m, self.settings.voxel_m)

    def overlap(self, keys: NDArray[np.int64]) -> float:
        """The share of a sighting's points, given as keys of cells, that lie in or beside this
        object's cells.
        """
        place = np.searchsorted(self.cells, keys)
        return float((self.cells[np.minimum(place, len(self.cells) - 1)] == keys).mean())

    def step_m(self, sighting: Sighting) -> float:
        """How far the middle of a sighting is from that of the last one."""
        last = self.sightings[-1].points.inside_m
        return float(
            np.linalg.norm(np.median(sighting.points.inside_m, 0) - np.median(last, axis=0))
        )

    @property
    def watched_m(self) -> Array:
        """Points (W, 3) of its first place."""
        points = self._first.points.inside_m
        return points[:: max(1, len(points) // _WATCHED_POINTS)]

    def note(self, looks: _Looks) -> None:
        """Take what a later frame shows of the first place: is it seen through, or taken?"""
        if looks.in_picture < 0.5:
            return
        if looks.through > 0.7:
            self.empty_frames += 1
        elif looks.through < 0.3 and looks.hidden < 0.3:
            self.taken_frames += self.empty_frames > 0

    def may_overlap(self, low_m: Array, high_m: Array) -> bool:
        """Whether something between two corners can share cells with this object."""
        reach_m = 2 * self.settings.voxel_m
        is_apart = (low_m > self._high_m + reach_m) | (high_m < self._low_m - reach_m)
        return not is_apart.any()


@dataclass(frozen=True)
class _Looks:
    """Of the points of a first place, the share in a picture; of those, the shares that are seen
    through, and that something nearer hides.
    """

    in_picture: float
    through: float
    hidden: float


def watch(instances: Sequence[Instance], view: FrameView) -> None:
    """Look at the first places of objects in a later frame."""
    if not instances:
        return
    watched = [instance.watched_m for instance in instances]
    owner = np.repeat(np.arange(len(watched)), [len(points) for points in watched])
    rows, depth_m, seen_m = _looked_at(np.concatenate(watched), view)
    through = instances[0].settings.seen_through
    num, seen_through, hidden = (
        np.bincount(owner[rows], weights, len(watched))
        for weights in (None, seen_m > through * depth_m, seen_m < depth_m / through)
    )
    for k, instance in enumerate(instances):
        count = max(int(num[k]), 1)
        shares = float(seen_through[k] / count), float(hidden[k] / count)
        instance.note(_Looks(num[k] / len(watched[k]), *shares))


def _looked_at(points_m: Array, view: FrameView) -> tuple[NDArray[np.int64], Array, Array]:
    """Which points lie in a frame's picture where its depth is known, their depth, and what the
    frame sees there, metres.
    """
    T_camera_world = np.linalg.inv(view.T_world_camera)
    camera = points_m @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    ahead = np.flatnonzero(camera[:, 2] > 0.2)
    pixel = camera[ahead] @ view.K.T
    column, row = np.floor(pixel[:, :2] / pixel[:, 2:]).astype(int).T
    height, width = view.depth_m.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen_m = view.depth_m[row[inside], column[inside]]
    known = np.isfinite(seen_m)
    rows = ahead[inside][known]
    return rows, camera[rows, 2], seen_m[known]
