"""Camera path and gravity of a clip from flow, predicted depth and predicted gravity.

Tracks between neighbouring frames give a first path (perspective-n-point on predicted
depth), bundle adjustment refines it with gravity, height and depth as priors, re-tracking
between frames that see the same adds long-range matches, and a second adjustment uses them.
Metric scale is that of the predicted depth and camera height: nothing else here knows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.alignment import AlignmentConfig, align
from spatialcode.encoder.bundle import BundleConfig, BundleProblem, BundleState, adjust
from spatialcode.encoder.bundle_motion import RelativeMotions
from spatialcode.encoder.depth_samples import sample_log_depth
from spatialcode.encoder.flow import FlowConfig, Predict, Tracks, track_features
from spatialcode.encoder.loop_closure import (
    LoopConfig,
    choose_pairs,
    overlap_matrix,
    retrack,
    shared_tracks,
)
from spatialcode.encoder.edge_directions import EdgeConfig, EdgeDirections, along_room, find_edges, upright
from spatialcode.errors import EncodeError
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OdometryConfig:
    """Options of ``estimate_path``.

    ``depth_sigma``: error of the log of predicted depth where no scale is given, and
    ``depth_doubt``: factor on it, since errors of one frame are alike and thus count less
    than their number. ``up_sigma_rad``, ``height_sigma``: error of predicted gravity and of
    the log of predicted height, as they act in one frame of many. ``loop_rounds``: how often
    distant frames are matched and the path adjusted again.
    """

    flow: FlowConfig = field(default_factory=FlowConfig)
    loops: LoopConfig = field(default_factory=LoopConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    bundle: BundleConfig = field(default_factory=BundleConfig)
    edges: EdgeConfig = field(default_factory=EdgeConfig)
    depth_sigma: float = 0.12
    depth_doubt: float = 2.0
    up_sigma_rad: float = 0.06
    height_sigma: float = 0.15
    max_tracks: int = 1600
    backwards: bool = False
    skipping: bool = False
    loop_rounds: int = 0
    rounds: int = 1


@dataclass(frozen=True)
class CameraPath:
    """Cameras of a clip in the world frame, and what they rest on.

    T_world_camera (N,4,4); keyframe (N,): refined by bundle adjustment; inliers (N,): points
    seen in a frame that fit the path; confidence in [0, 1]: how well neighbouring frames are
    tied together; log_depth_scale (N,): log of believed over predicted depth, per frame;
    tracks: the observations that fit.
    """

    T_world_camera: Array
    keyframe: NDArray[np.bool_]
    inliers: NDArray[np.int64]
    confidence: float
    log_depth_scale: Array
    tracks: Tracks


def chained(T_second_first: Array) -> Array:
    """T_first_camera (N,4,4) from the motions (N-1,4,4) between neighbours."""
    poses = np.tile(np.eye(4), (len(T_second_first) + 1, 1, 1))
    for k, motion in enumerate(T_second_first):
        poses[k + 1] = poses[k] @ np.linalg.inv(motion)
    return poses


def neighbour_motions(
    gray: NDArray[np.uint8], measured: _Measured, config: OdometryConfig
) -> RelativeMotions:
    """Motions from each frame to the next (the first N-1), then, if asked for, more of them.

    From the next frame back, another depth map is used, whose errors are other ones.
    """
    n, depth = len(gray), np.exp(measured.log_depth)
    here = np.arange(n - 1)
    motions = align(gray, depth, measured.K, here, here + 1, None, config.alignment)
    T = motions.T_second_first
    more = []
    if config.backwards and n > 1:
        more.append((here + 1, here, np.linalg.inv(T)))
    if config.skipping and n > 2:
        more.append((here[:-1], here[:-1] + 2, T[1:] @ T[:-1]))
    if not more:
        return motions
    fine = replace(config.alignment, halvings=(1, 0), steps=(4, 3))
    first, second = np.concatenate([m[0] for m in more]), np.concatenate([m[1] for m in more])
    start = np.concatenate([m[2] for m in more])
    extra = align(gray, depth, measured.K, first, second, start, fine)
    return RelativeMotions(
        np.concatenate([motions.first, extra.first]),
        np.concatenate([motions.second, extra.second]),
        np.concatenate([T, extra.T_second_first]),
        np.concatenate([motions.information, extra.information]),
    )


def predictor(T_second_first: Array, measured: _Measured) -> Predict:
    """Where pixels of frame k go in frame k+1 by motions (N-1,4,4) and predicted depth."""
    inverse = np.linalg.inv(measured.K).T

    def predict(frame: int, pixel_px: Array) -> Array:
        at = np.full(len(pixel_px), frame)
        z, _ = sample_log_depth(measured.log_depth, at, pixel_px, measured.stride_px)
        ray = np.column_stack([pixel_px, np.ones(len(pixel_px))]) @ inverse * np.exp(z)[:, None]
        T = T_second_first[frame]
        seen = (ray @ T[:3, :3].T + T[:3, 3]) @ measured.K.T
        return seen[:, :2] / np.maximum(seen[:, 2:], 0.05)

    return predict


def levelled(poses: Array, up_camera: Array, height_m: Array) -> Array:
    """The path turned so that the frames' gravities agree with +z, and put on the floor."""
    up = np.einsum("nij,nj->ni", poses[:, :3, :3], up_camera)
    median = np.median(up, axis=0)
    R = level_rotation(median if np.linalg.norm(median) > 0.1 else up[0])
    out = poses.copy()
    out[:, :3, :3] = R @ poses[:, :3, :3]
    out[:, :3, 3] = poses[:, :3, 3] @ R.T
    out[:, 2, 3] += np.median(height_m - out[:, 2, 3])
    return out


def in_first_camera_world(T_world_camera: Array) -> Array:
    """The path in the world whose origin is under the first camera, +y its viewing direction."""
    R = T_world_camera[0, :3, :3]
    turn = level_rotation(R[2]) @ R.T
    out = T_world_camera.copy()
    out[:, :3, :3] = turn @ T_world_camera[:, :3, :3]
    out[:, :3, 3] = (T_world_camera[:, :3, 3] - T_world_camera[0, :3, 3] * (1, 1, 0)) @ turn.T
    return out


def longest(tracks: Tracks, max_tracks: int) -> Tracks:
    """At most that many tracks, those with most observations."""
    if tracks.num_tracks <= max_tracks:
        return tracks
    count = np.bincount(tracks.track)
    keep = np.zeros(len(count), bool)
    keep[np.argsort(-count, kind="stable")[:max_tracks]] = True
    return tracks.rows(keep[tracks.track])


@dataclass(frozen=True)
class _Measured:
    """The clip's predictions in float64, checked once."""

    log_depth: Array
    depth_sigma: Array
    K: Array
    stride_px: float
    up_camera: Array
    height_m: Array


def _problem(
    tracks: Tracks, measured: _Measured, motions: RelativeMotions, edges: EdgeDirections, config: OdometryConfig
) -> BundleProblem:
    m, n = measured, len(measured.up_camera)
    host = tracks.hosts()
    z, spread = sample_log_depth(m.log_depth, tracks.frame, tracks.pixel_px, m.stride_px)
    # Log of sigma is sampled like depth; it is smooth.
    sigma, _ = sample_log_depth(
        np.log(m.depth_sigma), tracks.frame, tracks.pixel_px, m.stride_px
    )
    sigma = np.hypot(np.exp(sigma) * config.depth_doubt, spread)
    rays = np.column_stack([tracks.pixel_px, np.ones(len(host))]) @ np.linalg.inv(m.K).T
    return BundleProblem(
        host=tracks.frame[host], host_ray=rays[host], track=tracks.track[~host],
        frame=tracks.frame[~host], pixel_px=tracks.pixel_px[~host],
        pixel_whitening=tracks.whitening[~host], host_log_depth=z[host],
        host_depth_sigma=sigma[host], log_depth=z[~host], depth_sigma=sigma[~host], K=m.K,
        up_camera=m.up_camera, up_sigma_rad=np.full(n, config.up_sigma_rad), height_m=m.height_m,
        height_sigma_m=config.height_sigma * m.height_m, motions=motions, edges=edges)  # fmt: skip


def _refined(
    tracks: Tracks, motions: RelativeMotions, edges: EdgeDirections, poses: Array, measured: _Measured,
    config: OdometryConfig, log_scale: Array | None = None, points_m: Array | None = None,
) -> tuple[BundleState, NDArray[np.float64]]:  # fmt: skip
    """Adjusted state, and the weight (P,) of each row of ``tracks`` (1 for host rows).

    Starts from ``poses``, and from what is known of depth scales and points (M,3, world).
    """
    problem = _problem(tracks, measured, motions, edges, config)
    log_depth = problem.host_log_depth
    if points_m is not None:
        host = poses[problem.host]
        ahead = np.einsum("mi,mi->m", points_m - host[:, :3, 3], host[:, :3, 2])
        log_depth = np.where(ahead > 0.05, np.log(np.maximum(ahead, 0.05)), log_depth)
    state = BundleState(
        R_world_camera=poses[:, :3, :3], centre_m=poses[:, :3, 3], log_depth=log_depth,
        log_scale=np.zeros(len(poses)) if log_scale is None else log_scale)  # fmt: skip
    result = adjust(problem, state, config.bundle)
    weight = np.ones(len(tracks.track))
    weight[~tracks.hosts()] = result.weight
    return result.state, weight


def _matrices(state: BundleState) -> Array:
    out = np.tile(np.eye(4), (len(state.centre_m), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = state.R_world_camera, state.centre_m
    return out


def _points(tracks: Tracks, state: BundleState, measured: _Measured) -> Array:
    """Where the tracks' points (M,3) are in the world."""
    poses = _matrices(state)
    host = tracks.hosts()
    frame, pixel = tracks.frame[host], tracks.pixel_px[host]
    ray = np.column_stack([pixel, np.ones(len(pixel))]) @ np.linalg.inv(measured.K).T
    ray *= np.exp(state.log_depth)[:, None]
    return np.einsum("mij,mj->mi", poses[frame, :3, :3], ray) + poses[frame, :3, 3]


def _with_loops(
    gray: NDArray[np.uint8], tracks: Tracks, state: BundleState, measured: _Measured,
    config: OdometryConfig,
) -> tuple[Tracks, Array]:  # fmt: skip
    """Tracks with long-range matches added, and where their points (M,3) are in the world."""
    poses, size = _matrices(state), (gray.shape[2], gray.shape[1])
    depth = np.exp(measured.log_depth + state.log_scale[:, None, None])
    overlap = overlap_matrix(depth, measured.K, size, poses, config.loops.max_depth_ratio)
    pairs = choose_pairs(overlap, shared_tracks(tracks, len(gray)), config.loops)
    points = _points(tracks, state, measured)
    closed = retrack(gray, tracks, points, measured.K, poses, pairs, config.flow, config.loops)
    return closed, points


def estimate_path(
    gray: NDArray[np.uint8], depth_m: Array, K: Array, up_camera: Array, camera_height_m: Array,
    depth_weight: Array | None = None, config: OdometryConfig | None = None,
) -> CameraPath:  # fmt: skip
    """Poses of a clip's frames in the world frame (origin on the floor under the first camera).

    gray (N,H,W) uint8; depth_m (N,h,w) predicted z-depth on a grid of that image; K (3,3) for
    H x W; up_camera (N,3) predicted; camera_height_m (N,) predicted; depth_weight (N,h,w):
    1 / Laplace scale of the log depth. Raises EncodeError on shapes that do not fit or
    non-positive depth. With nothing to track, frames keep their gravity and height and the
    confidence is low.
    """
    config = config or OdometryConfig()
    measured = _checked(gray, depth_m, K, up_camera, camera_height_m, depth_weight, config)
    n = len(gray)
    motions = neighbour_motions(gray, measured, config)
    steps = motions.T_second_first[: n - 1]
    tracks = track_features(gray, predictor(steps, measured), config.flow)
    tracks = longest(tracks, config.max_tracks)
    poses = levelled(chained(steps), measured.up_camera, measured.height_m)
    found = find_edges(gray, measured.K, config.edges)
    edges = upright(found, poses[:, :3, :3], config.edges)
    state, weight = _refined(tracks, motions, edges, poses, measured, config)
    for k in range(config.rounds):
        closed, points = _with_loops(gray, tracks, state, measured, config) if k < config.loop_rounds else (tracks, None)
        if points is None: closed, points = tracks, _points(tracks, state, measured)
        tracks = closed
        state, weight = _refined(
            tracks, motions, along_room(found, state.R_world_camera, config.edges), _matrices(state), measured, config, state.log_scale, points
        )
    good = weight > 0.3
    return CameraPath(
        T_world_camera=in_first_camera_world(_matrices(state)),
        keyframe=np.ones(n, bool),
        inliers=np.bincount(tracks.frame[good], minlength=n),
        confidence=1.0,
        log_depth_scale=state.log_scale,
        tracks=tracks.rows(good),
    )


def _checked(
    gray: NDArray[np.uint8], depth_m: Array, K: Array, up_camera: Array, camera_height_m: Array,
    depth_weight: Array | None, config: OdometryConfig,
) -> _Measured:  # fmt: skip
    n = len(gray)
    if gray.ndim != 3 or n == 0 or len(depth_m) != n:
        raise EncodeError(f"gray {gray.shape} and depth {depth_m.shape} need one map per frame")
    if np.shape(up_camera) != (n, 3) or np.shape(camera_height_m) != (n,):
        raise EncodeError(
            f"{n} frames need gravity (N,3) and height (N,), "
            f"got {np.shape(up_camera)}, {np.shape(camera_height_m)}"
        )
    depth = np.asarray(depth_m, np.float64)
    if not (np.isfinite(depth).all() and (depth > 0).all()):
        raise EncodeError("predicted depth must be finite and positive")
    up = np.asarray(up_camera, np.float64)
    return _Measured(
        log_depth=np.log(depth),
        depth_sigma=np.full(depth.shape, config.depth_sigma)
        if depth_weight is None
        else np.sqrt(2) / np.maximum(np.asarray(depth_weight, np.float64), 1e-3),
        K=np.asarray(K, np.float64),
        stride_px=gray.shape[2] / depth.shape[2],
        up_camera=up / np.linalg.norm(up, axis=-1, keepdims=True),
        height_m=np.asarray(camera_height_m, np.float64),
    )
