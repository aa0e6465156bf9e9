"""Moving objects: clusters of votes that are one object at different times and places.

Fusion assumes that things stand still, so a thing that moves leaves several clusters of
one class, one after the other. Two such clusters are taken for one object only where the
pictures show it: while the object is seen at the second place, the first place is in
view and empty, and the second place was empty while it was seen at the first. Two chairs
in a room, seen one after the other because the camera turns, never meet that.

An object that moves unseen, or whose old place is never looked at again, stays two.
Source: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from spatialcode.encoder.maps import DenseMaps
from spatialcode.encoder.votes import (
    Array,
    Cluster,
    FusionConfig,
    Votes,
    frame_balanced,
    triangulated_center,
    weighted_median,
)

_UNSEEN, _EMPTY, _TAKEN = 0, 1, 2


@dataclass(frozen=True)
class TrackConfig:
    """``min_empty_frames``: looks that must have shown each place empty; ``max_taken_share``:
    of all looks, the share that may have shown it taken. A step from one place to the next is
    between ``min_step_m`` and ``max_step_m``; sizes differ at most by ``max_size_ratio``.
    A place is seen through where depth is ``seen_through`` times its distance or more. An object
    drifts in view where its first and last ``window_frames`` lie ``min_drift_m`` apart,
    ``min_drift_of_size`` of its footprint's side, and ``min_drift_sigmas`` times what a single
    vote may be off in that direction. What hangs on a wall does not move.
    """

    min_empty_frames: int = 2
    max_taken_share: float = 0.2
    min_step_m: float = 0.2
    max_step_m: float = 3.0
    max_size_ratio: float = 1.8
    seen_through: float = 1.10
    empty_class_prob: float = 0.15
    min_drift_m: float = 0.3
    min_drift_of_size: float = 0.5
    min_drift_sigmas: float = 4.0
    window_frames: int = 5


@dataclass(frozen=True, eq=False)
class ObservedPlaces:
    """What every frame shows of every cluster's place: (K, N) of unseen, empty or taken."""

    state: Int[np.ndarray, "k n"]

    def looks(self, cluster: int, frames: NDArray[np.int64]) -> tuple[int, int]:
        """How many of the frames show the place empty, and how many taken."""
        state = self.state[cluster, frames]
        return int((state == _EMPTY).sum()), int((state == _TAKEN).sum())


def observed_places(
    clusters: list[Cluster],
    maps: DenseMaps,
    K_grid: Array,
    T_world_camera: Array,
    config: TrackConfig,
) -> ObservedPlaces:
    """Look at every cluster's centre in every frame.

    Empty: the picture shows something farther away there and hardly the cluster's class.
    Taken: it shows the class at about that distance. Otherwise unseen (out of the picture,
    hidden, or unclear).
    """
    n, h, w = maps.depth_m.shape
    state = np.full((len(clusters), n), _UNSEEN)
    rotation, origin = T_world_camera[:, :3, :3], T_world_camera[:, :3, 3]
    frames = np.arange(n)
    for k, cluster in enumerate(clusters):
        camera = np.einsum("nji,nj->ni", rotation, cluster.center_m - origin)
        depth = np.maximum(camera[:, 2], 1e-6)
        col = np.floor(K_grid[0, 0] * camera[:, 0] / depth + K_grid[0, 2]).astype(int)
        row = np.floor(K_grid[1, 1] * camera[:, 1] / depth + K_grid[1, 2]).astype(int)
        inside = (camera[:, 2] > 0.3) & (col >= 1) & (col < w - 1) & (row >= 1) & (row < h - 1)
        col, row = np.clip(col, 1, w - 2), np.clip(row, 1, h - 2)
        seen = maps.depth_m[frames, row, col]
        prob = np.max(
            [
                maps.class_prob[frames, cluster.label_index, row + dy, col + dx]
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            ],
            axis=0,
        )
        half = 0.5 * float(np.linalg.norm(cluster.size_m))
        empty = (seen > config.seen_through * depth) & (prob < config.empty_class_prob)
        taken = (np.abs(seen - depth) < half + 0.15 * depth) & (prob > 0.5)
        state[k, inside & empty] = _EMPTY
        state[k, inside & taken] = _TAKEN
    return ObservedPlaces(state)


def _may_follow(a: Cluster, b: Cluster, config: TrackConfig) -> bool:
    """Whether two clusters could be one object that has gone from a's place to b's."""
    step = float(np.linalg.norm(b.center_m - a.center_m))
    ratio = float(np.exp(np.abs(np.log(a.size_m / b.size_m)).max()))
    return (
        a.label_index == b.label_index
        and config.min_step_m <= step <= config.max_step_m
        and abs(b.center_m[2] - a.center_m[2]) < 0.3
        and ratio <= config.max_size_ratio
    )


def _shown_empty(looks: tuple[int, int], config: TrackConfig) -> bool:
    empty, taken = looks
    enough = empty >= config.min_empty_frames
    return enough and taken <= config.max_taken_share * (empty + taken)


def link_moving(
    clusters: list[Cluster], votes: Votes, places: ObservedPlaces, config: TrackConfig
) -> list[tuple[int, ...]]:
    """Groups of cluster indices, each one object, in order of time; most hold one cluster.

    Links are made between clusters whose frames do not interleave, closest in time first;
    every cluster follows at most one and is followed by at most one.
    """
    frames = [np.unique(votes.frame[c.members]) for c in clusters]
    candidates = []
    for i, a in enumerate(clusters):
        for j, b in enumerate(clusters):
            if frames[i][-1] >= frames[j][0] or not _may_follow(a, b, config):
                continue
            left = _shown_empty(places.looks(i, frames[j]), config)
            arrived = _shown_empty(places.looks(j, frames[i]), config)
            if left and arrived:
                step = float(np.linalg.norm(b.center_m - a.center_m))
                candidates.append((int(frames[j][0] - frames[i][-1]), step, i, j))
    follower: dict[int, int] = {}
    followed: set[int] = set()
    for _, _, i, j in sorted(candidates):
        if i not in follower and j not in followed:
            follower[i] = j
            followed.add(j)
    groups = []
    for start in range(len(clusters)):
        if start in followed:
            continue
        chain = [start]
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
        groups.append(tuple(chain))
    return groups


@dataclass(frozen=True, eq=False)
class MovingPath:
    """Where a moving object was: ``frames`` (k,) indices, ``center_m`` (k, 3), ``yaw_rad`` (k,)."""

    frames: Int[np.ndarray, " k"]
    center_m: Float[np.ndarray, "k 3"]
    yaw_rad: Float[np.ndarray, " k"]


def joined_path(clusters: list[Cluster], votes: Votes) -> MovingPath:
    """The path through clusters that are in order of time, at the frames that saw them.

    Within a cluster the object is taken to stand. That is as fine as single pictures
    allow: their centres are off by their own depth errors.
    """
    frames = [np.unique(votes.frame[c.members]) for c in clusters]
    repeats = [len(own) for own in frames]
    return MovingPath(
        np.concatenate(frames),
        np.repeat([c.center_m for c in clusters], repeats, axis=0),
        np.repeat([c.yaw_rad for c in clusters], repeats),
    )


def _vote_error_along(votes: Votes, direction: Array) -> float:
    """What a typical single vote may be off along a unit direction, metres.

    Errors of one object's votes are alike, so averaging does not shrink them as it should.
    """
    along = votes.radial @ direction[:2]
    across = votes.radial[:, 1] * direction[0] - votes.radial[:, 0] * direction[1]
    parts = np.stack((across, along, np.full(len(along), direction[2])), axis=1)
    return float(np.median(np.sqrt(((parts * votes.scale_m) ** 2).sum(axis=1))))


def drifting_path(
    cluster: Cluster, votes: Votes, fusion: FusionConfig, config: TrackConfig
) -> MovingPath | None:
    """The path of an object that moves in view within one cluster; None if it may stand still.

    Its place at a frame is fused from a window of frames about it.
    """
    own = votes.select(cluster.members)
    frames = np.unique(own.frame)
    half = config.window_frames // 2
    on_a_wall = bool(votes.kinds.is_on_wall[cluster.label_index])
    if on_a_wall or len(frames) < 2 * config.window_frames:
        return None

    def center_at(position: int) -> Array:
        first, last = frames[max(0, position - half)], frames[min(len(frames) - 1, position + half)]
        near = own.select((own.frame >= first) & (own.frame <= last))
        weight = frame_balanced(near.weight, near.frame)
        return triangulated_center(near, weight, weighted_median(near.center_m, weight), fusion)[0]

    drift = center_at(len(frames) - 1 - half) - center_at(half)
    length = float(np.linalg.norm(drift))
    footprint_m = float(np.sqrt(cluster.size_m[0] * cluster.size_m[1]))
    if length < max(config.min_drift_m, config.min_drift_of_size * footprint_m):
        return None
    if length < config.min_drift_sigmas * _vote_error_along(own, drift / length):
        return None
    centers = np.array([center_at(i) for i in range(len(frames))])
    return MovingPath(frames, centers, np.full(len(frames), cluster.yaw_rad))


def moving_path(
    clusters: list[Cluster], votes: Votes, fusion: FusionConfig, config: TrackConfig
) -> MovingPath | None:
    """Where an object was when, if its clusters (in order of time) show that it moved."""
    if len(clusters) > 1:
        return joined_path(clusters, votes)
    return drifting_path(clusters[0], votes, fusion, config)


def whole_cluster(clusters: list[Cluster], votes: Votes) -> Cluster:
    """What the clusters of one object say of it together: all but where it is.

    Place and yaw are those of the last; spread, sigma and agreement are means over votes, so
    that having moved is no sign of doubt.
    """
    if len(clusters) == 1:
        return clusters[0]
    weight = np.array([votes.weight[c.members].sum() for c in clusters])
    weight /= weight.sum()
    last = clusters[-1]
    return Cluster(
        class_prob=weight @ np.array([c.class_prob for c in clusters]),
        center_m=last.center_m,
        size_m=np.exp(weight @ np.log([c.size_m for c in clusters])),
        yaw_rad=last.yaw_rad,
        members=np.concatenate([c.members for c in clusters]),
        center_sigma_m=float(weight @ [c.center_sigma_m for c in clusters]),
        spread_m=float(weight @ [c.spread_m for c in clusters]),
        axis_agreement=float(weight @ [c.axis_agreement for c in clusters]),
    )
