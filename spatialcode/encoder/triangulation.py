"""Depth from parallax, and the smooth correction of predicted depth that it supports.

With poses known (given, or from odometry), tracked points have depths far better than the
network's wherever the camera moved sideways. A network's depth errors are smooth across
the image and along surfaces, so a Gaussian process carries the correction from the tracked
points to all cells near them in the image and in depth; far from any it fades to none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from spatialcode.encoder.depth_samples import sample_log_depth
from spatialcode.encoder.flow import Tracks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TriangulationConfig:
    """``pose_px``: error of a predicted position that the poses cause, added to the tracks' own."""

    pose_px: float = 0.5
    outlier_sigmas: float = 4.0
    max_log_sigma: float = 0.15
    min_depth_m: float = 0.15
    max_depth_m: float = 30.0
    num_iterations: int = 4


@dataclass(frozen=True)
class SparseDepth:
    """z-depths of tracked points: frame (P,), pixel_px (P,2), depth_m (P,), log_sigma (P,).

    ``log_sigma`` is the standard deviation of the log of the depth.
    """

    frame: NDArray[np.int64]
    pixel_px: Array
    depth_m: Array
    log_sigma: Array


@dataclass(frozen=True)
class CorrectionConfig:
    """Standard deviations of log depth errors, and how far they reach.

    ``scale_sigma``: common to a frame; ``field_sigma``: smooth over ``reach_px`` and over
    ``reach_log_depth``; ``cell_sigma``: of one cell alone. Differences beyond
    ``outlier_sigmas`` are points on something the cell does not show, or mismatches.
    """

    scale_sigma: float = 0.07
    field_sigma: float = 0.10
    cell_sigma: float = 0.05
    reach_px: float = 28.0
    reach_log_depth: float = 0.35
    outlier_sigmas: float = 2.0
    num_iterations: int = 3
    max_points: int = 120


def triangulated_depth(
    tracks: Tracks, T_world_camera: Array, K: Array, config: TriangulationConfig | None = None
) -> SparseDepth:
    """Depths of the tracked points in every frame that sees them, from parallax alone.

    T_world_camera (N,4,4), K (3,3). Each track's inverse depth in its first frame is fitted
    to all its observations by reweighted least squares; points with too little parallax,
    behind a camera, or that fit no single place (moving things) are left out.
    """
    config = config or TriangulationConfig()
    if not len(tracks.track):
        return SparseDepth(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    host_row = np.flatnonzero(tracks.hosts())[tracks.track]
    rays = np.column_stack([tracks.pixel_px, np.ones(len(host_row))]) @ np.linalg.inv(K).T
    R, centre = T_world_camera[:, :3, :3], T_world_camera[:, :3, 3]
    host_frame = tracks.frame[host_row]
    # In the observing camera the point lies along turned + inverse_depth * shift.
    turned = np.einsum(
        "pji,pj->pi", R[tracks.frame], np.einsum("pij,pj->pi", R[host_frame], rays[host_row])
    )
    shift = np.einsum("pji,pj->pi", R[tracks.frame], centre[host_frame] - centre[tracks.frame])
    own = tracks.hosts()
    inverse, information, misfit = _fit(tracks, own, rays, turned, shift, K, config)
    z_scaled = turned[:, 2] + inverse[tracks.track] * shift[:, 2]
    depth = z_scaled / np.maximum(inverse[tracks.track], 1e-6)
    # d log z = -(turned_z / z_scaled) d log(inverse)
    sigma_inverse = 1 / np.sqrt(np.maximum(information, 1e-12)) / np.maximum(inverse, 1e-6)
    log_sigma = sigma_inverse[tracks.track] * np.abs(turned[:, 2]) / np.maximum(z_scaled, 1e-6)
    keep = (inverse[tracks.track] > 0) & (log_sigma < config.max_log_sigma) & (z_scaled > 0)
    keep &= (depth > config.min_depth_m) & (depth < config.max_depth_m)
    keep &= misfit < config.outlier_sigmas
    return SparseDepth(
        tracks.frame[keep], tracks.pixel_px[keep], depth[keep], np.maximum(log_sigma[keep], 0.01)
    )


def _fit(
    tracks: Tracks, own: NDArray[np.bool_], rays: Array, turned: Array, shift: Array, K: Array,
    config: TriangulationConfig,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Inverse depths (M,) in the host, their information (M,), misfit (P,) in standard
    deviations."""
    focal, m = K[[0, 1], [0, 1]], tracks.num_tracks
    # Reprojection times depth is linear in the inverse depth: offset + inverse * slope = 0.
    # Rows of the whitening are orthogonal: widening each is adding an isotropic error.
    length = np.linalg.norm(tracks.whitening, axis=-1, keepdims=True)
    whitening = tracks.whitening / np.sqrt(1 + (config.pose_px * length) ** 2)
    offset = (turned[:, :2] - rays[:, :2] * turned[:, 2:]) * focal
    slope = (shift[:, :2] - rays[:, :2] * shift[:, 2:]) * focal
    offset, slope = (np.einsum("pij,pj->pi", whitening, v) for v in (offset, slope))
    inverse, z, robust = np.full(m, 0.3), turned[:, 2], np.where(own, 0.0, 1.0)
    information, misfit = np.zeros(m), np.zeros(len(z))
    for _ in range(config.num_iterations):
        weight = robust / np.maximum(z, 0.05) ** 2
        information = np.bincount(tracks.track, weight * (slope**2).sum(-1), m)
        moment = np.bincount(tracks.track, weight * (slope * offset).sum(-1), m)
        inverse = -moment / np.maximum(information, 1e-12)
        z = turned[:, 2] + inverse[tracks.track] * shift[:, 2]
        miss = offset + inverse[tracks.track, None] * slope
        misfit = np.where(own, 0.0, np.linalg.norm(miss, axis=-1) / np.maximum(z, 0.05))
        robust = np.where(own, 0.0, 1 / (1 + (misfit / 2) ** 2))
    return inverse, information, misfit


def depth_correction(
    depth_m: Array, sparse: SparseDepth, stride_px: float, config: CorrectionConfig | None = None
) -> Array:
    """Factors (N,h,w), smooth, that bring predicted depth (N,h,w) to the sparse depths.

    Cells are ``stride_px`` pixels of the image that ``sparse`` refers to. Posterior mean of a
    Gaussian process on the log of true over predicted depth, with outliers reweighted.
    """
    config = config or CorrectionConfig()
    log_depth = np.log(np.asarray(depth_m, np.float64))
    n, h, w = log_depth.shape
    predicted, spread = sample_log_depth(log_depth, sparse.frame, sparse.pixel_px, stride_px)
    error = np.log(sparse.depth_m) - predicted
    variance = sparse.log_sigma**2 + spread**2 + config.cell_sigma**2
    column, row = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    cells = np.stack([column, row], -1).reshape(-1, 2) * (stride_px / config.reach_px)
    factors = np.ones((n, h, w))
    for k in range(n):
        rows = np.flatnonzero(sparse.frame == k)
        if not len(rows):
            continue
        rows = rows[np.argsort(variance[rows], kind="stable")[: config.max_points]]
        at = np.column_stack(
            [sparse.pixel_px[rows] / config.reach_px, predicted[rows] / config.reach_log_depth]
        )
        to = np.column_stack([cells, log_depth[k].ravel() / config.reach_log_depth])
        mean = _posterior_mean(at, error[rows], variance[rows], to, config)
        factors[k] = np.exp(mean).reshape(h, w)
    return factors


def _kernel(a: Array, b: Array, config: CorrectionConfig) -> Array:
    square = (a**2).sum(-1)[:, None] + (b**2).sum(-1) - 2 * a @ b.T
    return config.scale_sigma**2 + config.field_sigma**2 * np.exp(-0.5 * np.maximum(square, 0))


def _posterior_mean(
    at: Array, error: Array, variance: Array, to: Array, config: CorrectionConfig
) -> Array:
    between = _kernel(at, at, config)
    weight = np.ones(len(error))
    alpha = np.zeros(len(error))
    for _ in range(config.num_iterations):
        noise = variance / weight
        alpha = cho_solve(cho_factor(between + np.diag(noise), check_finite=False), error)
        # The leave-one-out residual of a point judges it: its own pull does not hide it.
        left = np.abs(noise * alpha) / np.sqrt(variance)
        weight = 1 / (1 + (left / config.outlier_sigmas) ** 2)
    return _kernel(to, at, config) @ alpha
