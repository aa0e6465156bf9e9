"""Priors of the bundle adjustment: gravity, height, depth scale, and how people move a camera.

A hand-held camera's speed and turning rate change little between frames (``steady``), which
carries the path over views of nothing; ``step`` and ``turn`` are so weak that they only
decide where nothing else does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.odometry.bundle_types import BundleConfig, BundleProblem, BundleState
from spatialcode.encoder.odometry.rotations import log_rotation, skew

Array = NDArray[np.float64]


def prior_residuals(p: BundleProblem, c: BundleConfig, state: BundleState) -> dict[str, Array]:
    """Whitened: ``up`` (N,2), ``height``, ``scale`` (N,), ``step``, ``turn`` (N-1,3), and
    ``steady_step``, ``steady_turn`` (N-2,3).
    """
    R = state.R_world_camera
    up = np.einsum("nij,nj->ni", R, p.up_camera)
    step = np.diff(state.centre_m, axis=0)
    turn = log_rotation(R[:-1].transpose(0, 2, 1) @ R[1:])
    turn_world = np.einsum("nij,nj->ni", R[:-1], turn)
    return {
        "up": up[:, :2] / p.up_sigma_rad[:, None],
        "height": (state.centre_m[:, 2] - p.height_m) / p.height_sigma_m,
        "scale": state.log_scale / c.scale_sigma,
        "step": step / c.step_sigma_m,
        "turn": turn / c.turn_sigma_rad,
        "steady_step": np.diff(step, axis=0) / c.steady_sigma_m,
        "steady_turn": np.diff(turn_world, axis=0) / c.steady_sigma_rad,
    }


def add_priors(
    p: BundleProblem, c: BundleConfig, state: BundleState, res: dict[str, Array],
    weight: dict[str, Array], *, system: tuple[Array, Array],
) -> None:  # fmt: skip
    """Add the priors' part to the normal equations: Hessian (N,N,7,7) and gradient (N,7)."""
    hessian, gradient = system
    every = np.arange(len(gradient))
    R = state.R_world_camera
    tilt = -(R @ skew(p.up_camera))[:, :2] / p.up_sigma_rad[:, None, None]
    hessian[every, every, :3, :3] += np.einsum("n,nki,nkj->nij", weight["up"], tilt, tilt)
    gradient[:, :3] += np.einsum("n,nki,nk->ni", weight["up"], tilt, res["up"])
    hessian[every, every, 5, 5] += weight["height"] / p.height_sigma_m**2
    gradient[:, 5] += weight["height"] * res["height"] / p.height_sigma_m
    hessian[every, every, 6, 6] += 1 / c.scale_sigma**2
    gradient[:, 6] += res["scale"] / c.scale_sigma
    relative = R[:-1].transpose(0, 2, 1) @ R[1:]
    still = np.broadcast_to(np.eye(3), R.shape)
    # To first order in the turn, log(Ra^T Rb) moves by w_b - Rab^T w_a.
    _add_linear(system, slice(0, 3), c.turn_sigma_rad, res["turn"], None,
                jacobians=(-relative.transpose(0, 2, 1), still[1:]))  # fmt: skip
    _add_linear(system, slice(3, 6), c.step_sigma_m, res["step"], None,
                jacobians=(-still[1:], still[1:]))  # fmt: skip
    _add_linear(system, slice(3, 6), c.steady_sigma_m, res["steady_step"], weight["steady_step"],
                jacobians=(still[2:], -2 * still[2:], still[2:]))  # fmt: skip
    # Turns in world coordinates: a perturbation R exp[w] acts there as R w.
    _add_linear(system, slice(0, 3), c.steady_sigma_rad, res["steady_turn"], weight["steady_turn"],
                jacobians=(R[:-2], -2 * R[1:-1], R[2:]))  # fmt: skip
    # Gauge: the first frame keeps its horizontal place and, unless the walls' heading holds the
    # path, its turn about the vertical.
    vertical = R[0, 2]
    if not p.edges.fix_heading:
        hessian[0, 0, :3, :3] += np.outer(vertical, vertical) / c.gauge_sigma**2
    hessian[0, 0, 3:5, 3:5] += np.eye(2) / c.gauge_sigma**2


def _add_linear(
    system: tuple[Array, Array], part: slice, sigma: float, res: Array, weight: Array | None,
    *, jacobians: tuple[Array, ...],
) -> None:  # fmt: skip
    """Add residuals (K,3) that depend on frames k, k+1, ... through (K,3,3) each."""
    hessian, gradient = system
    root = np.ones(len(res)) if weight is None else weight
    for i, first in enumerate(jacobians):
        a = np.arange(len(res)) + i
        gradient[a, part] += np.einsum("n,nki,nk->ni", root, first, res) / sigma
        for j, second in enumerate(jacobians):
            b = np.arange(len(res)) + j
            block = np.einsum("n,nki,nkj->nij", root, first, second) / sigma**2
            hessian[a, b, part, part] += block
