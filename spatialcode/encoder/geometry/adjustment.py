"""Poses and depth scales of all frames together, from points seen in pairs of frames.

A point of one frame is put at its depth, carried into another frame by the poses, and must fall
where it was followed to, at the depth that is known there. The error of its depth moves it along
a line in the other picture, and counts there as much as it is stated to be: so points need no
unknowns of their own, and a step solves seven unknowns a frame. Surfaces that lie level, stand
along the walls, or are floor hold gravity, heading and height.

Not modelled: lens distortion, rolling shutter. Errors of one point's depth in several pairs are
taken to be independent.

Source: Levenberg-Marquardt on reweighted least squares; Sim(3) by frame as in Strasdat et al.,
"Scale drift-aware large scale monocular SLAM", RSS 2010, with the scale on depth alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from spatialcode.encoder.odometry.problem import (
    RelativeMotions,
    exp_rotation,
    log_rotation,
    motion_error,
    motion_jacobian,
    skew,
    whitening,
)

Array = NDArray[np.float64]

_DIM = 7
#: Levenberg-Marquardt gives up above this damping.
_MAX_DAMPING = 1e6


@dataclass(frozen=True, eq=False)
class FrameStates:
    """``R_world_camera`` (N, 3, 3), ``centre`` (N, 3), ``log_scale`` (N,): of true over given."""

    R_world_camera: Float[np.ndarray, "n 3 3"]
    centre: Float[np.ndarray, "n 3"]
    log_scale: Float[np.ndarray, " n"]

    @property
    def T_world_camera(self) -> Float[np.ndarray, "n 4 4"]:
        T = np.tile(np.eye(4), (len(self.centre), 1, 1))
        T[:, :3, :3], T[:, :3, 3] = self.R_world_camera, self.centre
        return T

    def moved(self, step: Array) -> FrameStates:
        """After a step (N, 7): turn in the camera, shift in the world, log scale."""
        return FrameStates(
            self.R_world_camera @ exp_rotation(step[:, :3]),
            self.centre + step[:, 3:6],
            self.log_scale + step[:, 6],
        )


@dataclass(frozen=True, eq=False)
class PairObservations:
    """Points of frames ``first`` (P,) seen in frames ``second``, sorted by both.

    ``point`` (P, 3): in the first camera at the given depth; ``pixel_px`` (P, 2) in the second
    frame, ``whitening`` (P, 2, 2): times an error there, that in standard deviations;
    ``log_depth`` (P,): given there, NaN where unknown; ``depth_sigma`` (P,),
    ``second_sigma`` (P,): of the logs of both depths; ``K`` (N, 3, 3).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    point: Float[np.ndarray, "p 3"]
    pixel_px: Float[np.ndarray, "p 2"]
    whitening: Float[np.ndarray, "p 2 2"]
    log_depth: Float[np.ndarray, " p"]
    depth_sigma: Float[np.ndarray, " p"]
    second_sigma: Float[np.ndarray, " p"]
    K: Float[np.ndarray, "n 3 3"]


@dataclass(frozen=True, eq=False)
class SurfaceHints:
    """Directions of surfaces: ``frame`` (Q,), ``normal`` (Q, 3) unit in the camera, ``axis`` (Q, 3)
    the world direction it should have, ``information`` (Q,) 1 / rad²; and floors: ``floor_frame``
    (F,), ``floor_point`` (F, 3) in the camera, whose height should be 0, ``floor_sigma_m`` (F,).
    """

    frame: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    normal: Float[np.ndarray, "q 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    axis: Float[np.ndarray, "q 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    information: Float[np.ndarray, " q"] = field(default_factory=lambda: np.zeros(0))
    floor_frame: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    floor_point: Float[np.ndarray, "f 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    floor_sigma_m: Float[np.ndarray, " f"] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class AdjustmentConfig:
    """``pixel_cauchy``, ``depth_cauchy``: in standard
    deviations; ``scale_sigma``: of a frame's log scale; ``steady_m``, ``steady_rad``: of the change
    of velocity and of turning rate between frames, which carries the path over blank ones.
    """

    pixel_cauchy: float = 2.0
    depth_cauchy: float = 1.5
    scale_sigma: float = 0.05
    motion_cauchy: float = 3.0
    steady_m: float = 0.15
    steady_rad: float = 0.06
    steady_cauchy: float = 2.0
    gauge_sigma: float = 1e-3
    max_iterations: int = 10
    tolerance: float = 1e-4


@dataclass(frozen=True, eq=False)
class Adjusted:
    """The states, of each observation its miss (P,) in pixels and its weight (P,) in 0..1."""

    states: FrameStates
    missed_px: Float[np.ndarray, " p"]
    weight: Float[np.ndarray, " p"]


@dataclass(frozen=True, eq=False)
class _Residuals:
    pixel_px: Array
    whitening: Array
    pixel: Array
    depth: Array
    camera: Array
    arm: Array


class _System:
    """The normal equations of one problem."""

    def __init__(
        self,
        seen: PairObservations,
        hints: SurfaceHints,
        motions: RelativeMotions,
        config: AdjustmentConfig,
    ) -> None:
        self.seen, self.hints, self.config = seen, hints, config
        self.motions, self.motion_root = motions, whitening(motions)
        num = self.num = len(seen.K)
        keys, start = np.unique(seen.first * num + seen.second, return_index=True)
        self.pair_first, self.pair_second = keys // num, keys % num
        bounds = 3 * np.append(start, len(seen.first))
        self.bounds = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        self.has_depth = np.isfinite(seen.log_depth)
        self.log_depth = np.where(self.has_depth, seen.log_depth, 0.0)
        self.focal = seen.K[seen.second][:, [0, 1], [0, 1]]
        self.middle = seen.K[seen.second][:, :2, 2]

    def residuals(self, at: FrameStates) -> _Residuals:
        s = self.seen
        grown = s.point * np.exp(at.log_scale[s.first])[:, None]
        arm = np.einsum("pij,pj->pi", at.R_world_camera[s.first], grown)
        offset = arm + at.centre[s.first] - at.centre[s.second]
        camera = np.einsum("pji,pj->pi", at.R_world_camera[s.second], offset)
        z = np.maximum(camera[:, 2], 0.05)
        pixel_px = camera[:, :2] / z[:, None] * self.focal + self.middle - s.pixel_px
        # where the point goes as its depth grows: there its error counts less
        turned = np.einsum("pji,pj->pi", at.R_world_camera[s.second], arm)
        line = (turned[:, :2] - camera[:, :2] / z[:, None] * turned[:, 2:]) / z[:, None]
        line = line * self.focal * s.depth_sigma[:, None]
        line = np.einsum("pij,pj->pi", s.whitening, line)
        square = (line**2).sum(-1)
        shrink = (1 - 1 / np.sqrt(1 + square)) / np.maximum(square, 1e-12)
        whitening = np.eye(2) - shrink[:, None, None] * line[:, :, None] * line[:, None, :]
        whitening = whitening @ s.whitening
        depth = np.log(z) - self.log_depth - at.log_scale[s.second]
        depth = np.where(self.has_depth, depth / np.hypot(s.depth_sigma, s.second_sigma), 0)
        pixel = np.einsum("pij,pj->pi", whitening, pixel_px)
        return _Residuals(pixel_px, whitening, pixel, depth, camera, arm)

    def cost(self, at: FrameStates, res: _Residuals) -> tuple[float, Array, Array]:
        """Robust cost, and the weights of pixels and depths."""
        c = self.config
        square = (res.pixel**2).sum(-1) / c.pixel_cauchy**2
        cost = float(c.pixel_cauchy**2 * np.log1p(square).sum())
        scaled = (res.depth / c.depth_cauchy) ** 2
        cost += float(c.depth_cauchy**2 * np.log1p(scaled).sum())
        turn, floor = self._hint_errors(at)
        cost += float((self.hints.information * (turn**2).sum(-1)).sum())
        cost += float(((floor / self.hints.floor_sigma_m) ** 2).sum())
        cost += float((at.log_scale**2).sum() / c.scale_sigma**2)
        cost += float((np.diff(at.centre, n=2, axis=0) ** 2).sum() / c.steady_m**2)
        for error, cauchy in (
            (self._motion_error(at), c.motion_cauchy),
            (self._unsteady(at), c.steady_cauchy),
        ):
            cost += float(cauchy**2 * np.log1p((error**2).sum(-1) / cauchy**2).sum())
        return cost, 1 / (1 + square), 1 / (1 + scaled)

    def _motion_error(self, at: FrameStates) -> Array:
        """Whitened (B, 6)."""
        error = motion_error(self.motions, at.R_world_camera, at.centre, at.log_scale)
        return np.einsum("bij,bj->bi", self.motion_root, error)

    def _unsteady(self, at: FrameStates) -> Array:
        """Whitened changes (N-2, 3) of the turn from frame to frame, in world coordinates."""
        R = at.R_world_camera
        turn = log_rotation(R[:-1].transpose(0, 2, 1) @ R[1:])
        return np.diff(np.einsum("nij,nj->ni", R[:-1], turn), axis=0) / self.config.steady_rad

    def _hint_errors(self, at: FrameStates) -> tuple[Array, Array]:
        h = self.hints
        turn = np.einsum("qij,qj->qi", at.R_world_camera[h.frame], h.normal) - h.axis
        grown = h.floor_point * np.exp(at.log_scale[h.floor_frame])[:, None]
        up = at.R_world_camera[h.floor_frame][:, 2]
        return turn, np.einsum("fi,fi->f", up, grown) + at.centre[h.floor_frame, 2]

    def build(
        self, at: FrameStates, res: _Residuals, pixel_weight: Array, depth_weight: Array
    ) -> tuple[Array, Array]:
        """Hessian (7N, 7N) and gradient (7N,)."""
        num, d = self.num, _DIM
        rows = self._rows(at, res, pixel_weight, depth_weight)
        block = np.empty((len(self.bounds), 2 * d + 1, 2 * d + 1))
        for k, (first, last) in enumerate(self.bounds):
            part = rows[first:last]
            np.matmul(part.T, part, out=block[k])
        hessian, gradient = np.zeros((num, num, d, d)), np.zeros((num, d))
        a, b = self.pair_first, self.pair_second
        np.add.at(hessian, (a, b), block[:, :d, d:-1])
        np.add.at(hessian, (b, a), block[:, d:-1, :d])
        np.add.at(hessian, (a, a), block[:, :d, :d])
        np.add.at(hessian, (b, b), block[:, d:-1, d:-1])
        np.add.at(gradient, a, block[:, :d, -1])
        np.add.at(gradient, b, block[:, d:-1, -1])
        self._add_hints(at, hessian, gradient)
        self._add_motions(at, hessian, gradient)
        self._add_steadiness(at, hessian, gradient)
        self._add_priors(at, hessian, gradient)
        return hessian.transpose(0, 2, 1, 3).reshape(num * d, num * d), gradient.ravel()

    def _rows(
        self, at: FrameStates, res: _Residuals, pixel_weight: Array, depth_weight: Array
    ) -> Array:
        """Whitened rows (3P, 15): by both frames' unknowns, and the residual."""
        s = self.seen
        z = np.maximum(res.camera[:, 2], 0.05)
        d_camera = np.zeros((len(z), 3, 3))
        for axis in (0, 1):
            d_camera[:, axis, axis] = self.focal[:, axis] / z
            d_camera[:, axis, 2] = -self.focal[:, axis] * res.camera[:, axis] / z**2
        root = np.sqrt(pixel_weight)[:, None, None] * res.whitening
        d_camera[:, :2] = root @ d_camera[:, :2]
        depth_root = np.sqrt(depth_weight) / np.hypot(s.depth_sigma, s.second_sigma)
        depth_root = np.where(self.has_depth, depth_root, 0)
        d_camera[:, 2, 2] = depth_root / z
        d_world = d_camera @ at.R_world_camera[s.second].transpose(0, 2, 1)
        rows = np.empty((len(z), 3, 2 * _DIM + 1))
        # R exp([w]) p moves by -[R p] R w
        rows[:, :, 0:3] = -d_world @ skew(res.arm) @ at.R_world_camera[s.first]
        rows[:, :, 3:6] = d_world
        rows[:, :, 6] = np.einsum("pij,pj->pi", d_world, res.arm)
        rows[:, :, 7:10] = d_camera @ skew(res.camera)
        rows[:, :, 10:13] = -d_world
        rows[:, :2, 13] = 0
        rows[:, 2, 13] = -depth_root
        rows[:, :2, 14] = np.sqrt(pixel_weight)[:, None] * res.pixel
        rows[:, 2, 14] = np.sqrt(depth_weight) * res.depth
        return rows.reshape(-1, 2 * _DIM + 1)

    def _add_hints(self, at: FrameStates, hessian: Array, gradient: Array) -> None:
        h = self.hints
        turn, floor = self._hint_errors(at)
        jacobian = -at.R_world_camera[h.frame] @ skew(h.normal)
        weighted = jacobian * h.information[:, None, None]
        np.add.at(hessian[:, :, :3, :3], (h.frame, h.frame), weighted.transpose(0, 2, 1) @ jacobian)
        np.add.at(gradient[:, :3], h.frame, np.einsum("qij,qi->qj", weighted, turn))
        grown = h.floor_point * np.exp(at.log_scale[h.floor_frame])[:, None]
        up = at.R_world_camera[h.floor_frame][:, 2]
        row = np.zeros((len(floor), _DIM))
        row[:, :3] = np.cross(grown, up)
        row[:, 5] = 1
        row[:, 6] = (up * grown).sum(-1)
        row /= h.floor_sigma_m[:, None]
        np.add.at(hessian, (h.floor_frame, h.floor_frame), row[:, :, None] * row[:, None])
        np.add.at(gradient, h.floor_frame, row * (floor / h.floor_sigma_m)[:, None])

    def _add_motions(self, at: FrameStates, hessian: Array, gradient: Array) -> None:
        m, d = self.motions, _DIM
        error = self._motion_error(at)
        jacobian = self.motion_root @ motion_jacobian(
            m, at.R_world_camera, at.centre, at.log_scale
        )  # fmt: skip
        weight = 1 / (1 + (error**2).sum(-1) / self.config.motion_cauchy**2)
        weighted = jacobian.transpose(0, 2, 1) * weight[:, None, None]
        block, slope = weighted @ jacobian, (weighted @ error[..., None])[..., 0]
        ends = ((m.first, slice(0, d)), (m.second, slice(d, 2 * d)))
        for i, row in ends:
            np.add.at(gradient, i, slope[:, row])
            for j, column in ends:
                np.add.at(hessian, (i, j), block[:, row, column])

    def _add_steadiness(self, at: FrameStates, hessian: Array, gradient: Array) -> None:
        """Of turning; to first order a turn w in the camera acts as R w in the world."""
        error, R = self._unsteady(at), at.R_world_camera
        weight = 1 / (1 + (error**2).sum(-1) / self.config.steady_cauchy**2)
        jacobians = [factor * R[k : k + len(error)] / self.config.steady_rad
                     for k, factor in enumerate((1, -2, 1))]  # fmt: skip
        every = np.arange(len(error))
        for i, first in enumerate(jacobians):
            gradient[every + i, :3] += np.einsum("n,nki,nk->ni", weight, first, error)
            for j, second in enumerate(jacobians):
                hessian[every + i, every + j, :3, :3] += np.einsum(
                    "n,nki,nkj->nij", weight, first, second
                )

    def _add_priors(self, at: FrameStates, hessian: Array, gradient: Array) -> None:
        c, every = self.config, np.arange(self.num)
        hessian[every, every, 6, 6] += 1 / c.scale_sigma**2
        gradient[:, 6] += at.log_scale / c.scale_sigma**2
        change = np.diff(at.centre, n=2, axis=0) / c.steady_m**2
        for i, first in enumerate((1, -2, 1)):
            a = np.arange(len(change)) + i
            gradient[a, 3:6] += first * change
            for j, second in enumerate((1, -2, 1)):
                for axis in (3, 4, 5):
                    hessian[a, a - i + j, axis, axis] += first * second / c.steady_m**2
        # the first frame's place and heading are free to choose
        gauge = 1 / c.gauge_sigma**2
        hessian[0, 0, 3:6, 3:6] += gauge * np.diag((1, 1, 0 if len(self.hints.floor_frame) else 1))
        vertical = at.R_world_camera[0, 2]
        if not (np.abs(self.hints.axis[:, 2]) < 0.5).any():
            hessian[0, 0, :3, :3] += gauge * np.outer(vertical, vertical)
        if not len(self.hints.axis):
            hessian[0, 0, :3, :3] += gauge * np.eye(3)


def adjust_pairs(
    seen: PairObservations,
    start: FrameStates,
    hints: SurfaceHints | None = None,
    motions: RelativeMotions | None = None,
    config: AdjustmentConfig | None = None,
) -> Adjusted:
    """Minimise from ``start``; the robust cost never rises. Units are those of the depth.

    ``motions``: measured between frames beside the points.
    """
    config = config or AdjustmentConfig()
    system = _System(
        seen, hints or SurfaceHints(), motions or RelativeMotions.none(), config
    )  # fmt: skip
    states, damping = start, 1e-4
    res = system.residuals(states)
    cost, pixel_weight, depth_weight = system.cost(states, res)
    for _ in range(config.max_iterations):
        hessian, gradient = system.build(states, res, pixel_weight, depth_weight)
        diagonal = np.maximum(np.diag(hessian), 1e-6)
        accepted = False
        while not accepted and damping < _MAX_DAMPING:
            try:
                factor = cho_factor(hessian + np.diag(damping * diagonal), check_finite=False)
            except LinAlgError:
                damping *= 10
                continue
            trial = states.moved(-cho_solve(factor, gradient, check_finite=False).reshape(-1, _DIM))
            trial_res = system.residuals(trial)
            trial_cost, *weights = system.cost(trial, trial_res)
            accepted = trial_cost <= cost
            damping = max(damping / 10, 1e-9) if accepted else damping * 10
        if not accepted:
            break
        gain = cost - trial_cost
        states, res, cost = trial, trial_res, trial_cost
        pixel_weight, depth_weight = weights
        if gain <= config.tolerance * cost:
            break
    return Adjusted(states, np.linalg.norm(res.pixel_px, axis=-1), pixel_weight)
