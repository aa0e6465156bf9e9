"""Camera path and gravity of a clip from flow, predicted depth and predicted gravity.

Direct alignment of neighbouring frames gives a first path; tracks of edges and corners and
a bundle adjustment refine it, with the network's depth, gravity and height as priors. Then
upright edges tell gravity, edges along the walls keep the heading from drifting, the floor's
depth corrects the camera's height, and the adjustment is repeated.
Metric scale is that of predicted depth and height: nothing else here knows it. Heading is
free of drift only in rooms whose edges mostly run along two perpendicular directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.alignment import AlignmentConfig, align
from spatialcode.encoder.bundle import BundleConfig, BundleProblem, BundleState, adjust
from spatialcode.encoder.edge_directions import (
    EdgeConfig,
    EdgeDirections,
    along_room,
    find_edges,
    upright,
)
from spatialcode.encoder.flow import FlowConfig, Tracks, track_features
from spatialcode.encoder.loop_closure import (
    LoopConfig,
    choose_pairs,
    overlap_matrix,
    retrack,
    shared_tracks,
)
from spatialcode.encoder.path_frames import chained, in_first_camera_world, interpolated, levelled
from spatialcode.encoder.predictions import (
    PredictionConfig,
    Predictions,
    bundle_problem,
    checked,
    floor_heights,
    points_in_world,
    predictor,
)

Array = NDArray[np.float64]

#: Tracks between two neighbouring frames that tie them together well.
_TIED = 20


@dataclass(frozen=True)
class OdometryConfig:
    """Options of ``estimate_path``.

    ``rounds``: adjustments after the first; ``close_loops``: look for points again in frames
    that are not neighbours before each of them (slower; for clips that come back).
    ``max_keyframes``: longer clips are adjusted at evenly spaced frames only, since a step
    costs the cube of their number; ``tracks_per_frame`` bounds the points likewise.
    """

    flow: FlowConfig = field(default_factory=FlowConfig)
    loops: LoopConfig = field(default_factory=LoopConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    bundle: BundleConfig = field(default_factory=BundleConfig)
    edges: EdgeConfig = field(default_factory=EdgeConfig)
    predictions: PredictionConfig = field(default_factory=PredictionConfig)
    rounds: int = 2
    close_loops: bool = False
    max_keyframes: int = 96
    tracks_per_frame: int = 50


@dataclass(frozen=True)
class CameraPath:
    """Cameras of a clip in the world frame, and what they rest on.

    T_world_camera (N,4,4); keyframe (N,): adjusted, not interpolated; inliers (N,): points in
    a frame that fit the path; confidence in [0, 1]: share of neighbouring key frames that
    enough points tie together, in part where fewer do; log_depth_scale (N,): log of believed
    over predicted depth; tracks: the observations that fit, by frame of the clip.
    """

    T_world_camera: Array
    keyframe: NDArray[np.bool_]
    inliers: NDArray[np.int64]
    confidence: float
    log_depth_scale: Array
    tracks: Tracks


def estimate_path(
    gray: NDArray[np.uint8], depth_m: Array, K: Array, up_camera: Array, camera_height_m: Array,
    depth_weight: Array | None = None, config: OdometryConfig | None = None,
    floor_prob: Array | None = None,
) -> CameraPath:  # fmt: skip
    """Poses of a clip's frames in the world frame (origin on the floor under the first camera).

    gray (N,H,W) uint8; depth_m (N,h,w) predicted z-depth on a grid of that image; K (3,3) for
    H x W; up_camera (N,3), camera_height_m (N,) predicted; depth_weight (N,h,w): 1 / Laplace
    scale of the log depth; floor_prob (N,h,w): probability that a cell shows the floor.
    Raises EncodeError on shapes or values that do not fit. With nothing to track, frames keep
    their gravity and height, and the confidence is low.
    """
    config = config or OdometryConfig()
    p = checked(
        gray, depth_m, K, up_camera, camera_height_m, depth_weight, floor_prob, config.predictions
    )
    n = len(gray)
    key = np.arange(n)
    if n > config.max_keyframes:
        key = np.linspace(0, n - 1, config.max_keyframes).round().astype(np.int64)
        gray, p = gray[key], _frames(p, key)
    state, tracks = _adjusted(gray, p, config)
    poses = in_first_camera_world(_matrices(state))
    keyframe = np.zeros(n, bool)
    keyframe[key] = True
    tracks = Tracks(tracks.track, key[tracks.frame], tracks.pixel_px, tracks.whitening)
    return CameraPath(
        T_world_camera=interpolated(poses, key, n),
        keyframe=keyframe,
        inliers=np.bincount(tracks.frame, minlength=n),
        confidence=_confidence(tracks, key),
        log_depth_scale=np.interp(np.arange(n), key, state.log_scale),
        tracks=tracks,
    )


def _adjusted(
    gray: NDArray[np.uint8], p: Predictions, config: OdometryConfig
) -> tuple[BundleState, Tracks]:
    """The adjusted state of all frames, and the observations that fit it."""
    here = np.arange(len(gray) - 1)
    motions = align(gray, np.exp(p.log_depth), p.K, here, here + 1, None, config.alignment)
    tracks = track_features(gray, predictor(motions.T_second_first, p), config.flow)
    tracks = longest(tracks, config.tracks_per_frame * len(gray))
    poses = levelled(chained(motions.T_second_first), p.up_camera, p.height_m)
    edges = find_edges(gray, p.K, config.edges)

    def solve(state: BundleState, directions: EdgeDirections) -> tuple[BundleState, Array]:
        problem = bundle_problem(tracks, p, motions, directions, config.predictions)
        result = adjust(problem, _with_depths(state, problem), config.bundle)
        weight = np.ones(len(tracks.track))
        weight[~tracks.hosts()] = result.weight
        return result.state, weight

    predicted = bundle_problem(tracks, p, motions, EdgeDirections.none(), config.predictions)
    start = BundleState(
        poses[:, :3, :3], poses[:, :3, 3], np.zeros(len(gray)), predicted.host_log_depth
    )
    state, weight = solve(start, upright(edges, start.R_world_camera, config.edges))
    first = p
    for _ in range(config.rounds):
        p = replace(p, height_m=floor_heights(first, state.R_world_camera, config.predictions))
        if config.close_loops:
            points = points_in_world(tracks, state, p)
            tracks = _closed(gray, tracks, points, state, p, config)
            state = _rehosted(tracks, points, state)
        state, weight = solve(state, along_room(edges, state.R_world_camera, config.edges))
    return state, tracks.rows(weight > 0.3)


def _with_depths(state: BundleState, problem: BundleProblem) -> BundleState:
    """The state with the predicted depth for points that ended up behind or at their camera."""
    lost = ~np.isfinite(state.log_depth)
    return replace(state, log_depth=np.where(lost, problem.host_log_depth, state.log_depth))


def _rehosted(tracks: Tracks, points_m: Array, state: BundleState) -> BundleState:
    """The state for tracks whose first frame may have changed; points (M,3) in the world."""
    host = tracks.frame[tracks.hosts()]
    ahead = np.einsum("mi,mi->m", points_m - state.centre_m[host], state.R_world_camera[host, :, 2])
    return replace(state, log_depth=np.log(np.where(ahead > 0.05, ahead, np.nan)))


def _closed(
    gray: NDArray[np.uint8], tracks: Tracks, points_m: Array, state: BundleState, p: Predictions,
    config: OdometryConfig,
) -> Tracks:  # fmt: skip
    """Tracks with the matches added that distant frames have."""
    poses, size = _matrices(state), (gray.shape[2], gray.shape[1])
    depth = np.exp(p.log_depth + state.log_scale[:, None, None])
    overlap = overlap_matrix(depth, p.K, size, poses, config.loops.max_depth_ratio)
    pairs = choose_pairs(overlap, shared_tracks(tracks, len(gray)), config.loops)
    return retrack(gray, tracks, points_m, p.K, poses, pairs, config.flow, config.loops)


def longest(tracks: Tracks, max_tracks: int) -> Tracks:
    """At most that many tracks, those with most observations."""
    if tracks.num_tracks <= max_tracks:
        return tracks
    count = np.bincount(tracks.track)
    keep = np.zeros(len(count), bool)
    keep[np.argsort(-count, kind="stable")[:max_tracks]] = True
    return tracks.rows(keep[tracks.track])


def _frames(p: Predictions, index: NDArray[np.int64]) -> Predictions:
    return replace(
        p,
        log_depth=p.log_depth[index],
        depth_sigma=p.depth_sigma[index],
        up_camera=p.up_camera[index],
        height_m=p.height_m[index],
        floor_prob=None if p.floor_prob is None else p.floor_prob[index],
    )


def _matrices(state: BundleState) -> Array:
    out = np.tile(np.eye(4), (len(state.centre_m), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = state.R_world_camera, state.centre_m
    return out


def _confidence(tracks: Tracks, key: NDArray[np.int64]) -> float:
    if len(key) < 2:
        return 1.0
    place = np.searchsorted(key, tracks.frame)
    follows = (tracks.track[1:] == tracks.track[:-1]) & (np.diff(place) == 1)
    ties = np.bincount(place[:-1][follows], minlength=len(key))[: len(key) - 1]
    return float(np.minimum(ties / _TIED, 1).mean())
