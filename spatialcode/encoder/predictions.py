"""What the network says about a clip, as the odometry uses it, and the problem made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.bundle_motion import RelativeMotions
from spatialcode.encoder.bundle_types import BundleProblem, BundleState
from spatialcode.encoder.depth_samples import sample_log_depth
from spatialcode.encoder.edge_directions import EdgeDirections
from spatialcode.encoder.flow import Predict, Tracks
from spatialcode.errors import EncodeError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PredictionConfig:
    """How far to trust predictions.

    ``depth_sigma``: error of the log of predicted depth where no scale is given;
    ``depth_doubt``: factor on it, since errors of one frame are alike and count less than
    their number. ``up_sigma_rad``, ``height_sigma``: error of gravity and of the log of height
    in one frame of many. ``floor_share``: of the difference between the camera's height and
    the depth of ``min_floor_cells`` cells of floor, how much is the height's fault.
    """

    depth_sigma: float = 0.12
    depth_doubt: float = 2.0
    up_sigma_rad: float = 0.06
    height_sigma: float = 0.10
    floor_share: float = 0.65
    min_floor_prob: float = 0.6
    min_floor_cells: int = 25


@dataclass(frozen=True)
class Predictions:
    """log_depth, depth_sigma (N,h,w) on cells of ``stride_px`` pixels; K (3,3) of the image;
    up_camera (N,3) unit; height_m (N,); floor_prob (N,h,w) or None.
    """

    log_depth: Array
    depth_sigma: Array
    K: Array
    stride_px: float
    up_camera: Array
    height_m: Array
    floor_prob: Array | None

    def rays(self, pixel_px: Array) -> Array:
        """K^-1 [u, v, 1] (...,3) of pixels (...,2)."""
        ones = np.ones((*pixel_px.shape[:-1], 1))
        return np.concatenate([pixel_px, ones], axis=-1) @ np.linalg.inv(self.K).T


def checked(
    gray: NDArray[np.uint8], depth_m: Array, K: Array, up_camera: Array, height_m: Array,
    depth_weight: Array | None, floor_prob: Array | None, config: PredictionConfig,
) -> Predictions:  # fmt: skip
    """``Predictions`` of a clip ``gray`` (N,H,W). Raises EncodeError naming what does not fit."""
    n = len(gray)
    if gray.ndim != 3 or n == 0 or np.ndim(depth_m) != 3 or len(depth_m) != n:
        raise EncodeError(
            f"expected gray (N,H,W) and depth_m (N,h,w) of N > 0 frames, "
            f"got {np.shape(gray)} and {np.shape(depth_m)}"
        )
    if np.shape(up_camera) != (n, 3) or np.shape(height_m) != (n,):
        raise EncodeError(
            f"expected up_camera ({n}, 3) and camera_height_m ({n},), "
            f"got {np.shape(up_camera)} and {np.shape(height_m)}"
        )
    depth, up = np.asarray(depth_m, np.float64), np.asarray(up_camera, np.float64)
    length = np.linalg.norm(up, axis=-1, keepdims=True)
    if not (np.isfinite(depth).all() and (depth > 0).all()):
        raise EncodeError("expected finite, positive depth_m")
    if not (np.isfinite(up).all() and (length > 1e-6).all() and np.isfinite(height_m).all()):
        raise EncodeError("expected finite, non-zero up_camera and finite camera_height_m")
    sigma = np.full(depth.shape, config.depth_sigma)
    if depth_weight is not None:
        # A Laplace scale b is a standard deviation of sqrt(2) b.
        sigma = np.sqrt(2) / np.maximum(np.asarray(depth_weight, np.float64), 1e-3)
    return Predictions(
        log_depth=np.log(depth),
        depth_sigma=sigma,
        K=np.asarray(K, np.float64),
        stride_px=gray.shape[2] / depth.shape[2],
        up_camera=up / length,
        height_m=np.maximum(np.asarray(height_m, np.float64), 0.1),
        floor_prob=None if floor_prob is None else np.asarray(floor_prob, np.float64),
    )


def predictor(T_second_first: Array, predictions: Predictions) -> Predict:
    """Where pixels of frame k go in frame k+1, by motions (N-1,4,4) and predicted depth."""

    def predict(frame: int, pixel_px: Array) -> Array:
        at = np.full(len(pixel_px), frame)
        z, _ = sample_log_depth(predictions.log_depth, at, pixel_px, predictions.stride_px)
        point = predictions.rays(pixel_px) * np.exp(z)[:, None]
        T = T_second_first[frame]
        seen = (point @ T[:3, :3].T + T[:3, 3]) @ predictions.K.T
        return seen[:, :2] / np.maximum(seen[:, 2:], 0.05)

    return predict


def floor_heights(
    predictions: Predictions, R_world_camera: Array, config: PredictionConfig
) -> Array:
    """Heights (N,) above the floor: those predicted, drawn to where its depth puts the floor.

    With good gravity the floor's depth tells the height better than the network's guess;
    frames that see no floor move as the clip's median frame does.
    """
    if predictions.floor_prob is None:
        return predictions.height_m
    n, h, w = predictions.log_depth.shape
    column, row = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    rays = predictions.rays(np.stack([column, row], axis=-1) * predictions.stride_px)
    below = -np.einsum("ni,hwi->nhw", R_world_camera[:, 2], rays) * np.exp(predictions.log_depth)
    is_floor = (predictions.floor_prob > config.min_floor_prob) & (below > 0.3)
    enough = np.flatnonzero(is_floor.sum((1, 2)) >= config.min_floor_cells)
    if not len(enough):
        return predictions.height_m
    seen = np.array([np.median(below[k][is_floor[k]]) for k in enough])
    ratio = np.log(seen / predictions.height_m[enough])
    shift = np.full(n, np.median(ratio))
    shift[enough] = ratio
    return predictions.height_m * np.exp(config.floor_share * shift)


def bundle_problem(
    tracks: Tracks, predictions: Predictions, motions: RelativeMotions, edges: EdgeDirections,
    config: PredictionConfig,
) -> BundleProblem:  # fmt: skip
    """Everything measured, as the bundle adjustment takes it."""
    p, n, host = predictions, len(predictions.up_camera), tracks.hosts()
    z, spread = sample_log_depth(p.log_depth, tracks.frame, tracks.pixel_px, p.stride_px)
    sigma, _ = sample_log_depth(p.depth_sigma, tracks.frame, tracks.pixel_px, p.stride_px)
    sigma = np.hypot(sigma * config.depth_doubt, spread)
    return BundleProblem(
        host=tracks.frame[host],
        host_ray=p.rays(tracks.pixel_px[host]),
        track=tracks.track[~host],
        frame=tracks.frame[~host],
        pixel_px=tracks.pixel_px[~host],
        pixel_whitening=tracks.whitening[~host],
        host_log_depth=z[host],
        host_depth_sigma=sigma[host],
        log_depth=z[~host],
        depth_sigma=sigma[~host],
        K=p.K,
        up_camera=p.up_camera,
        up_sigma_rad=np.full(n, config.up_sigma_rad),
        height_m=p.height_m,
        height_sigma_m=config.height_sigma * p.height_m,
        motions=motions,
        edges=edges,
    )


def points_in_world(tracks: Tracks, state: BundleState, predictions: Predictions) -> Array:
    """Where the tracks' points (M,3) are by an adjusted state."""
    host = tracks.hosts()
    frame = tracks.frame[host]
    arm = predictions.rays(tracks.pixel_px[host]) * np.exp(state.log_depth)[:, None]
    return np.einsum("mij,mj->mi", state.R_world_camera[frame], arm) + state.centre_m[frame]
