"""Bundle adjustment of key frames with learned depth, gravity and height as priors.

State: per frame a rotation, a centre and the log scale of its predicted depth; per track
one log depth in its first frame (its host). Tracks are eliminated by a Schur complement
(each is one scalar), so a step solves one dense system of 7 unknowns per frame.
The camera is a pinhole without distortion; rolling shutter is not modelled. Yaw and the
horizontal origin are not observable and stay where the first frame starts.

Terms, each whitened by its stated scale: ``pixel`` reprojection (Cauchy), ``depth`` and
``host`` predicted depth against the track's depth (Huber, the scale of the frame's
prediction being an unknown), ``up`` gravity and ``height`` of the camera (Huber), ``scale``
of the depth per frame, and ``step`` and ``turn`` between neighbouring frames, so weak that
they only decide where nothing was tracked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from spatialcode.encoder.odometry.edge_directions import add_edges, edge_cost, edge_error
from spatialcode.encoder.odometry.problem import (
    FRAME_DIM,
    BundleConfig,
    BundleProblem,
    BundleState,
    add_priors,
    exp_rotation,
    motion_error,
    motion_jacobian,
    prior_residuals,
    skew,
    whitening,
)

Array = NDArray[np.float64]


def _huber(size: Array, width: float) -> tuple[Array, Array]:
    inside = size <= width
    cost = np.where(inside, size**2, 2 * width * size - width**2)
    return cost, np.where(inside, 1.0, width / np.maximum(size, 1e-12))


class NormalEquations:
    """The reduced normal equations of one problem: set up once, filled at every step."""

    def __init__(self, problem: BundleProblem, config: BundleConfig) -> None:
        n = self.num_frames = len(problem.up_camera)
        pair = problem.host[problem.track] * n + problem.frame
        self.order = np.argsort(pair, kind="stable")
        names = ("track", "frame", "pixel_px", "pixel_whitening", "log_depth", "depth_sigma")
        self.problem = replace(problem, **{k: getattr(problem, k)[self.order] for k in names})
        self.config = config
        keys, first = np.unique(pair[self.order], return_index=True)
        self.pair_host, self.pair_frame = keys // n, keys % n
        bounds = 3 * np.append(first, len(pair))
        self.row_bounds = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        self.obs_host = self.problem.host[self.problem.track]
        self._whitening = whitening(problem.motions)
        self._cross = np.zeros((0, 0))
        self._track_gradient = self._track_hessian = np.zeros(0)

    def _in_camera(self, state: BundleState) -> tuple[Array, Array]:
        """Points (P,3) in the observing camera, and offsets from the host's centre (M,3), world."""
        p = self.problem
        arm = np.einsum(
            "mij,mj->mi",
            state.R_world_camera[p.host],
            p.host_ray * np.exp(state.log_depth)[:, None],
        )
        offset = (arm + state.centre_m[p.host])[p.track] - state.centre_m[p.frame]
        return np.einsum("pji,pj->pi", state.R_world_camera[p.frame], offset), arm

    def residuals(self, state: BundleState) -> dict[str, Array]:
        """Whitened residuals by term: ``pixel`` (P,2), ``motion`` (B,6), and the priors'."""
        p, c, R = self.problem, self.config, state.R_world_camera
        camera, _ = self._in_camera(state)
        # Points behind the camera get a huge but finite residual.
        z = np.maximum(camera[:, 2], 0.02)
        pixel = camera[:, :2] / z[:, None] * p.K[[0, 1], [0, 1]] + p.K[:2, 2]
        scale = state.log_scale
        moved = motion_error(p.motions, R, state.centre_m, scale)
        return {
            "edge": edge_error(p.edges, R),
            "motion": np.einsum("bij,bj->bi", self._whitening, moved),
            "pixel": np.einsum("pij,pj->pi", p.pixel_whitening, pixel - p.pixel_px),
            "depth": (np.log(z) - p.log_depth - scale[p.frame]) / p.depth_sigma,
            "host": (state.log_depth - p.host_log_depth - scale[p.host]) / p.host_depth_sigma,
            **prior_residuals(p, c, state),
        }

    def robust(self, res: dict[str, Array]) -> tuple[float, dict[str, Array]]:
        """Robust cost, and the weights of iteratively reweighted least squares."""
        c = self.config
        cost = sum(float((res[k] ** 2).sum()) for k in ("scale", "step", "turn"))
        weight = {}
        for key, width in (("pixel", c.pixel_cauchy), ("motion", c.motion_cauchy)):
            scaled = (res[key] ** 2).sum(-1) / width**2
            cost += float(width**2 * np.log1p(scaled).sum())
            weight[key] = 1 / (1 + scaled)
        for key, width in (("depth", c.depth_huber), ("host", c.depth_huber), ("height", 2.0)):
            term, weight[key] = _huber(np.abs(res[key]), width)
            cost += float(term.sum())
        term_cost, weight["edge"] = edge_cost(self.problem.edges, res["edge"])
        cost += term_cost
        for key in ("up", "steady_turn", "steady_step"):
            term, weight[key] = _huber(np.linalg.norm(res[key], axis=-1), 2.0)
            cost += float(term.sum())
        return cost, weight

    def _jacobians(self, state: BundleState) -> tuple[Array, Array]:
        """Whitened d(u, v, log z)/d(host 7, frame 7) (P,3,14) and d/d(track log depth) (P,3)."""
        p, R = self.problem, state.R_world_camera
        camera, arm = self._in_camera(state)
        z = np.maximum(camera[:, 2], 0.02)
        d_camera = np.zeros((len(z), 3, 3))
        for axis in (0, 1):
            d_camera[:, axis, axis] = p.K[axis, axis] / z
            d_camera[:, axis, 2] = -p.K[axis, axis] * camera[:, axis] / z**2
        d_camera[:, :2] = p.pixel_whitening @ d_camera[:, :2]
        d_camera[:, 2, 2] = 1 / (z * p.depth_sigma)
        d_world = d_camera @ R[p.frame].transpose(0, 2, 1)
        arm_obs = arm[p.track]
        out = np.zeros((len(z), 3, 2 * FRAME_DIM))
        # Right perturbation R exp([w]): d(R p) = -R [p] w = -[R p] R w.
        out[:, :, 0:3] = -d_world @ skew(arm_obs) @ R[self.obs_host]
        out[:, :, 3:6] = d_world
        out[:, :, 7:10] = d_camera @ skew(camera)
        out[:, :, 10:13] = -d_world
        out[:, 2, 13] = -1 / p.depth_sigma
        return out, np.einsum("pij,pj->pi", d_world, arm_obs)

    def track_information(
        self, state: BundleState, res: dict[str, Array], weight: dict[str, Array]
    ) -> Array:
        """Information (M,) of each track's log depth, the cameras held."""
        self.build(state, res, weight)
        return self._track_hessian

    def build(
        self, state: BundleState, res: dict[str, Array], weight: dict[str, Array]
    ) -> tuple[Array, Array]:
        """Reduced Hessian (7N,7N) and gradient (7N,); keeps what ``track_step`` needs."""
        p, n, d = self.problem, self.num_frames, FRAME_DIM
        jac, jac_track = self._jacobians(state)
        root = np.sqrt(np.stack([weight["pixel"], weight["pixel"], weight["depth"]], -1))
        residual = np.concatenate([res["pixel"], res["depth"][:, None]], -1) * root
        jac *= root[:, :, None]
        jac_track *= root
        # The residual rides along as a 15th column: its products are the gradient.
        rows = np.concatenate([jac, residual[:, :, None]], axis=-1).reshape(-1, 2 * d + 1)
        block = np.empty((len(self.pair_host), 2 * d + 1, 2 * d + 1))
        for k, (first, last) in enumerate(self.row_bounds):
            part = rows[first:last]
            np.matmul(part.T, part, out=block[k])
        hessian = np.zeros((n, n, d, d))
        gradient = np.zeros((n, d))
        h, f = self.pair_host, self.pair_frame
        hessian[h, f] = block[:, :d, d:-1]
        hessian[f, h] = block[:, d:-1, :d]
        np.add.at(hessian, (h, h), block[:, :d, :d])
        np.add.at(hessian, (f, f), block[:, d:-1, d:-1])
        np.add.at(gradient, h, block[:, :d, -1])
        np.add.at(gradient, f, block[:, d:-1, -1])
        self._add_motions(state, res["motion"], weight["motion"], hessian, gradient)
        system = (hessian, gradient)
        add_edges(p.edges, state.R_world_camera, res["edge"], weight["edge"], system)
        add_priors(p, self.config, state, res, weight, system=system)
        self._fill_tracks(jac, jac_track, residual, res["host"], weight["host"])
        full = hessian.transpose(0, 2, 1, 3).reshape(n * d, n * d)
        self._host_scale(full, gradient, res["host"], weight["host"])
        scaled = self._cross / self._track_hessian[:, None]
        return full - scaled.T @ self._cross, gradient.ravel() - scaled.T @ self._track_gradient

    def _add_motions(
        self, state: BundleState, res: Array, weight: Array, hessian: Array, gradient: Array
    ) -> None:
        m, d = self.problem.motions, FRAME_DIM
        jac = self._whitening @ motion_jacobian(
            m, state.R_world_camera, state.centre_m, state.log_scale
        )
        weighted = jac.transpose(0, 2, 1) * weight[:, None, None]
        block, slope = weighted @ jac, (weighted @ res[..., None])[..., 0]
        for i, row in ((m.first, slice(0, d)), (m.second, slice(d, 2 * d))):
            np.add.at(gradient, i, slope[:, row])
            for j, column in ((m.first, slice(0, d)), (m.second, slice(d, 2 * d))):
                np.add.at(hessian, (i, j), block[:, row, column])

    def _fill_tracks(
        self, jac: Array, jac_track: Array, residual: Array, host: Array, host_weight: Array
    ) -> None:
        """Track blocks: Hessian (M,), gradient (M,), cross block (M,7N)."""
        p, n, d = self.problem, self.num_frames, FRAME_DIM
        m = len(p.host)
        host_root = host_weight / p.host_depth_sigma
        self._track_hessian = np.bincount(p.track, (jac_track**2).sum(-1), m).astype(np.float64)
        self._track_hessian += host_root / p.host_depth_sigma + 1e-9
        self._track_gradient = np.bincount(p.track, (jac_track * residual).sum(-1), m).astype(
            np.float64
        )
        self._track_gradient += host_root * host
        cross = np.einsum("pij,pi->pj", jac, jac_track)
        width = n * d
        base = p.track * width
        columns = np.arange(d)
        index = np.concatenate(
            [
                (base + self.obs_host * d)[:, None] + columns,
                (base + p.frame * d)[:, None] + columns,
            ],
            axis=-1,
        )
        self._cross = (
            np.bincount(index.ravel(), cross.ravel(), m * width)
            .astype(np.float64)
            .reshape(m, width)
        )
        self._cross[np.arange(m), p.host * d + 6] -= host_root / p.host_depth_sigma

    def _host_scale(self, full: Array, gradient: Array, host: Array, weight: Array) -> None:
        p, n = self.problem, self.num_frames
        at = np.arange(n) * FRAME_DIM + 6
        full[at, at] += np.bincount(p.host, weight / p.host_depth_sigma**2, n)
        gradient[:, 6] -= np.bincount(p.host, weight * host / p.host_depth_sigma, n)

    def track_step(self, frame_step: Array) -> Array:
        """Back-substitution: the step (M,) of the tracks' log depths for a step of the frames."""
        return -(self._track_gradient + self._cross @ frame_step) / self._track_hessian


@dataclass(frozen=True)
class BundleResult:
    """The refined state; of each observation its reprojection error (P,2) in standard
    deviations and its weight (P,).

    ``track_sigma`` (M,): standard deviation of a track's log depth with the cameras held.
    """

    state: BundleState
    residual: Array
    weight: NDArray[np.float64]
    track_sigma: Array
    cost: float
    num_iterations: int


def _moved(state: BundleState, frame_step: Array, track_step: Array) -> BundleState:
    turn, shift, scale = frame_step[:, :3], frame_step[:, 3:6], frame_step[:, 6]
    return BundleState(
        R_world_camera=state.R_world_camera @ exp_rotation(turn),
        centre_m=state.centre_m + shift,
        log_scale=state.log_scale + scale,
        log_depth=state.log_depth + np.clip(track_step, -0.7, 0.7),
    )


def adjust(
    problem: BundleProblem, start: BundleState, config: BundleConfig | None = None
) -> BundleResult:
    """Minimise by Levenberg-Marquardt from ``start``; the cost never rises.

    Frames without observations are held by gravity, height and their neighbours alone.
    """
    config = config or BundleConfig()
    system = NormalEquations(problem, config)
    state, damping = start, config.damping
    residuals = system.residuals(state)
    cost, weight = system.robust(residuals)
    iteration = 0
    for iteration in range(1, config.max_iterations + 1):  # noqa: B007  reported below
        hessian, gradient = system.build(state, residuals, weight)
        accepted = False
        while not accepted and damping < 1e6:
            diagonal = np.maximum(np.diag(hessian), 1e-6)
            try:
                factor = cho_factor(hessian + np.diag(damping * diagonal), check_finite=False)
            except LinAlgError:
                damping *= 10
                continue
            step = -cho_solve(factor, gradient, check_finite=False)
            trial = _moved(state, step.reshape(-1, 7), system.track_step(step))
            trial_residuals = system.residuals(trial)
            trial_cost, trial_weight = system.robust(trial_residuals)
            accepted = trial_cost <= cost
            damping = max(damping / 10, 1e-9) if accepted else damping * 10
        if not accepted:
            break
        gain = cost - trial_cost
        state, residuals, cost, weight = trial, trial_residuals, trial_cost, trial_weight
        if gain <= config.tolerance * cost:
            break
    pixel = np.empty_like(residuals["pixel"])
    pixel_weight = np.empty(len(pixel))
    pixel[system.order] = residuals["pixel"]
    pixel_weight[system.order] = weight["pixel"]
    track_sigma = 1 / np.sqrt(np.maximum(system.track_information(state, residuals, weight), 1e-12))
    return BundleResult(state, pixel, pixel_weight, track_sigma, cost, iteration)
