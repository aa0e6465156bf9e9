"""Bundle adjustment of key frames with learned depth, gravity and height as priors.

State: per frame a rotation, a centre and the log scale of its predicted depth; per track
one log depth in its first frame (its host). Tracks are eliminated by a Schur complement
(each is one scalar), so a step solves one dense system of 7 unknowns per frame; the
normal equations are in ``bundle_system``.
The camera is a pinhole without distortion; rolling shutter is not modelled. Yaw and the
horizontal origin are not observable and stay where the first frame starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from spatialcode.encoder.odometry.bundle_system import NormalEquations
from spatialcode.encoder.odometry.bundle_types import BundleConfig, BundleProblem, BundleState
from spatialcode.encoder.odometry.rotations import exp_rotation

Array = NDArray[np.float64]

__all__ = ["BundleConfig", "BundleProblem", "BundleResult", "BundleState", "adjust"]


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
