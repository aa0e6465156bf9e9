"""Camera path and gravity of a clip from pictures, predicted depth and predicted gravity.

Direct alignment of neighbouring frames gives a first path; feature tracks, the alignments,
gravity, height, depth and the directions of edges are then adjusted together, twice: first
with vertical edges alone, then with those along the room's two horizontal directions.
Metric scale is that of the predicted depth and camera height: nothing else here knows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.odometry.alignment import AlignmentConfig, align
from spatialcode.encoder.odometry.bundle import adjust
from spatialcode.encoder.odometry.edge_directions import (
    EdgeConfig,
    EdgeDirections,
    along_room,
    find_edges,
    upright,
)
from spatialcode.encoder.odometry.flow import (
    FlowConfig,
    Predict,
    Tracks,
    sample_log_depth,
    track_features,
)
from spatialcode.encoder.odometry.problem import (
    BundleConfig,
    BundleProblem,
    BundleState,
    RelativeMotions,
)
from spatialcode.errors import EncodeError
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]

#: Points that fit, in one frame, from which on more would tell little.
ENOUGH_INLIERS = 30


@dataclass(frozen=True)
class OdometryConfig:
    """Options of ``estimate_path``.

    ``depth_sigma``: error of the log of predicted depth where no scale is given, and
    ``depth_doubt``: factor on it, since errors of one frame are alike and thus count less
    than their number. ``up_sigma_rad``, ``height_sigma``: error of predicted gravity and of
    the log of predicted height, as they act in one frame of many.
    """

    flow: FlowConfig = field(default_factory=FlowConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    bundle: BundleConfig = field(default_factory=BundleConfig)
    edges: EdgeConfig = field(default_factory=EdgeConfig)
    depth_sigma: float = 0.12
    depth_doubt: float = 2.0
    up_sigma_rad: float = 0.06
    height_sigma: float = 0.15
    max_tracks: int = 1600


@dataclass(frozen=True)
class EstimatedPath:
    """Cameras of a clip in the world frame, and what they rest on.

    T_world_camera (N,4,4); inliers (N,): points seen in a frame that fit the path; confidence in
    [0, 1]: how many such points frames have, ENOUGH_INLIERS being enough; log_depth_scale (N,):
    log of believed over predicted depth, per frame; tracks: the observations that fit.
    """

    T_world_camera: Array
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
    tracks: Tracks,
    measured: _Measured,
    motions: RelativeMotions,
    edges: EdgeDirections,
    config: OdometryConfig,
) -> BundleProblem:
    m, n = measured, len(measured.up_camera)
    host = tracks.hosts()
    z, spread = sample_log_depth(m.log_depth, tracks.frame, tracks.pixel_px, m.stride_px)
    # Log of sigma is sampled like depth; it is smooth.
    sigma, _ = sample_log_depth(np.log(m.depth_sigma), tracks.frame, tracks.pixel_px, m.stride_px)
    sigma = np.hypot(np.exp(sigma) * config.depth_doubt, spread)
    rays = np.column_stack([tracks.pixel_px, np.ones(len(host))]) @ np.linalg.inv(m.K).T
    return BundleProblem(
        host=tracks.frame[host], host_ray=rays[host], track=tracks.track[~host],
        frame=tracks.frame[~host], pixel_px=tracks.pixel_px[~host],
        pixel_whitening=tracks.whitening[~host], host_log_depth=z[host],
        host_depth_sigma=sigma[host], log_depth=z[~host], depth_sigma=sigma[~host], K=m.K,
        up_camera=m.up_camera, up_sigma_rad=np.full(n, config.up_sigma_rad), height_m=m.height_m,
        height_sigma_m=config.height_sigma * m.height_m, motions=motions, edges=edges)  # fmt: skip


@dataclass(frozen=True)
class _Believed:
    """Where an adjustment starts: poses (N,4,4), log depth scales (N,), points (M,3) if known."""

    poses: Array
    log_scale: Array
    points_m: Array | None


def _refined(
    tracks: Tracks, problem: BundleProblem, believed: _Believed, config: OdometryConfig
) -> tuple[BundleState, NDArray[np.float64]]:
    """Adjusted state, and the weight (P,) of each row of ``tracks`` (1 for host rows)."""
    log_depth, poses = problem.host_log_depth, believed.poses
    if believed.points_m is not None:
        host = poses[problem.host]
        ahead = np.einsum("mi,mi->m", believed.points_m - host[:, :3, 3], host[:, :3, 2])
        log_depth = np.where(ahead > 0.05, np.log(np.maximum(ahead, 0.05)), log_depth)
    state = BundleState(
        R_world_camera=poses[:, :3, :3], centre_m=poses[:, :3, 3], log_depth=log_depth,
        log_scale=believed.log_scale)  # fmt: skip
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


def estimate_path(
    gray: NDArray[np.uint8], depth_m: Array, K: Array, up_camera: Array, camera_height_m: Array,
    *, depth_weight: Array | None = None, config: OdometryConfig | None = None,
) -> EstimatedPath:  # fmt: skip
    """Poses of a clip's frames in the world frame (origin on the floor under the first camera).

    gray (N,H,W) uint8; depth_m (N,h,w) predicted z-depth on a grid of that image; K (3,3) for
    H x W; up_camera (N,3) predicted; camera_height_m (N,) predicted; depth_weight (N,h,w):
    1 / Laplace scale of the log depth. Raises EncodeError on shapes that do not fit or
    non-positive depth. With nothing to track, frames keep their gravity and height and the
    confidence is low.
    """
    config = config or OdometryConfig()
    _check_shapes(gray, depth_m, up_camera, camera_height_m)
    sigma = np.full(np.shape(depth_m), config.depth_sigma)
    if depth_weight is not None:
        sigma = np.sqrt(2) / np.maximum(np.asarray(depth_weight, np.float64), 1e-3)
    up = np.asarray(up_camera, np.float64)
    measured = _Measured(
        log_depth=np.log(np.asarray(depth_m, np.float64)),
        depth_sigma=sigma,
        K=np.asarray(K, np.float64),
        stride_px=gray.shape[2] / np.shape(depth_m)[2],
        up_camera=up / np.linalg.norm(up, axis=-1, keepdims=True),
        height_m=np.asarray(camera_height_m, np.float64),
    )
    return _adjusted_path(gray, measured, config)


def _adjusted_path(
    gray: NDArray[np.uint8], measured: _Measured, config: OdometryConfig
) -> EstimatedPath:
    n = len(gray)
    here = np.arange(n - 1)
    depth = np.exp(measured.log_depth)
    motions = align(gray, depth, measured.K, here, here + 1, config=config.alignment)
    steps = motions.T_second_first
    tracks = track_features(gray, predictor(steps, measured), config.flow)
    tracks = longest(tracks, config.max_tracks)
    poses = levelled(chained(steps), measured.up_camera, measured.height_m)
    found = find_edges(gray, measured.K, config.edges)
    edges = upright(found, poses[:, :3, :3], config.edges)
    believed = _Believed(poses, np.zeros(n), None)
    problem = _problem(tracks, measured, motions, edges, config)
    state, weight = _refined(tracks, problem, believed, config)
    # with the path nearly level and straight, edges tell the room's directions
    edges = along_room(found, state.R_world_camera, config.edges)
    believed = _Believed(_matrices(state), state.log_scale, _points(tracks, state, measured))
    problem = _problem(tracks, measured, motions, edges, config)
    state, weight = _refined(tracks, problem, believed, config)
    good = weight > 0.3
    inliers = np.bincount(tracks.frame[good], minlength=n)
    return EstimatedPath(
        T_world_camera=in_first_camera_world(_matrices(state)),
        inliers=inliers,
        confidence=float(np.minimum(inliers / ENOUGH_INLIERS, 1.0).mean()),
        log_depth_scale=state.log_scale,
        tracks=tracks.rows(good),
    )


def _check_shapes(
    gray: NDArray[np.uint8], depth_m: Array, up_camera: Array, camera_height_m: Array
) -> None:
    n = len(gray)
    if gray.ndim != 3 or n == 0 or len(depth_m) != n:
        raise EncodeError(f"gray {gray.shape} and depth {np.shape(depth_m)}: one map per frame")
    if np.shape(up_camera) != (n, 3) or np.shape(camera_height_m) != (n,):
        raise EncodeError(
            f"{n} frames need gravity (N,3) and height (N,), "
            f"got {np.shape(up_camera)}, {np.shape(camera_height_m)}"
        )
    depth = np.asarray(depth_m, np.float64)
    if not (np.isfinite(depth).all() and (depth > 0).all()):
        raise EncodeError("predicted depth must be finite and positive")
