"""What the bundle adjustment is asked: measurements, state, and the terms that are not pictures.

Measured motions between two frames are one term. Priors are the others: gravity, height, depth
scale, and how people move a camera. A hand-held camera's speed and turning rate change little
between frames (``steady``), which carries the path over views of nothing; ``step`` and ``turn`` are
so weak that they only decide where nothing else does.

Rotation vectors and matrices stand here too, since measurements and state are made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.odometry.edge_directions import EdgeDirections

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RelativeMotions:
    """Measured motions of B pairs of frames.

    first, second (B,); T_second_first (B,4,4), its translation to the scale of the first
    frame's predicted depth; information (B,6,6) of the error e (rotation 3, translation 3)
    with measured = true . exp(e), in the first camera's coordinates.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    T_second_first: Array
    information: Array

    @staticmethod
    def none() -> RelativeMotions:
        """No pairs."""
        empty = np.zeros(0, np.int64)
        return RelativeMotions(empty, empty, np.zeros((0, 4, 4)), np.zeros((0, 6, 6)))

    @staticmethod
    def joined(parts: Sequence[RelativeMotions]) -> RelativeMotions:
        """Those of several in one."""
        return RelativeMotions(
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
            np.concatenate([part.T_second_first for part in parts]),
            np.concatenate([part.information for part in parts]),
        )


def whitening(motions: RelativeMotions) -> Array:
    """Upper factors (B,6,6) with factor^T factor = information."""
    stiff = motions.information + 1e-9 * np.eye(6)
    try:
        lower = np.linalg.cholesky(stiff)
    except np.linalg.LinAlgError:
        # sums in float32 can leave a weak motion's information a little below positive definite
        margin = 1e-5 * np.trace(stiff, axis1=1, axis2=2) + 1e-6
        lower = np.linalg.cholesky(stiff + margin[:, None, None] * np.eye(6))
    return np.asarray(lower.transpose(0, 2, 1), np.float64)


def motion_error(
    motions: RelativeMotions, R_world_camera: Array, centre_m: Array, log_scale: Array
) -> Array:
    """Errors (B,6) of the motions given the path: rotation, then translation."""
    a, b = motions.first, motions.second
    R_first_second = R_world_camera[a].transpose(0, 2, 1) @ R_world_camera[b]
    measured = motions.T_second_first
    turn = log_rotation(R_first_second @ measured[:, :3, :3])
    apart = centre_m[a] - centre_m[b]
    seen = np.einsum("bij,bj->bi", R_first_second, measured[:, :3, 3])
    # The frame's depth, and with it the motion, is too small by exp(log_scale).
    shift = seen * np.exp(log_scale[a])[:, None]
    shift = shift - np.einsum("bji,bj->bi", R_world_camera[a], apart)
    return np.concatenate([turn, shift], axis=-1)


def motion_jacobian(
    motions: RelativeMotions, R_world_camera: Array, centre_m: Array, log_scale: Array
) -> Array:
    """Derivative (B,6,14) of ``motion_error`` by (turn, centre, scale) of both frames.

    To first order in the rotation error.
    """
    a, b = motions.first, motions.second
    to_first = R_world_camera[a].transpose(0, 2, 1)
    R_first_second = to_first @ R_world_camera[b]
    shift = motions.T_second_first[:, :3, 3] * np.exp(log_scale[a])[:, None]
    seen = np.einsum("bij,bj->bi", R_first_second, shift)
    apart = np.einsum("bij,bj->bi", to_first, centre_m[a] - centre_m[b])
    out = np.zeros((len(a), 6, 14))
    # R_a -> R_a exp[w]: the error turns by -R_ab R_ba,measured ... = -w to first order.
    out[:, :3, 0:3] = -np.eye(3)
    out[:, :3, 7:10] = motions.T_second_first[:, :3, :3].transpose(0, 2, 1)
    out[:, 3:, 0:3] = skew(seen - apart)
    out[:, 3:, 3:6] = -to_first
    out[:, 3:, 6] = seen
    out[:, 3:, 7:10] = -R_first_second @ skew(shift)
    out[:, 3:, 10:13] = to_first
    return out


FRAME_DIM = 7  # rotation 3, centre 3, log depth scale 1


@dataclass(frozen=True)
class BundleConfig:
    """Scales of the residuals: metres, radians, pixels of the images given."""

    pixel_cauchy: float = 1.0
    motion_cauchy: float = 3.0
    depth_huber: float = 1.0
    scale_sigma: float = 0.06
    step_sigma_m: float = 0.6
    turn_sigma_rad: float = 0.6
    steady_sigma_m: float = 0.08
    steady_sigma_rad: float = 0.06
    gauge_sigma: float = 1e-3
    damping: float = 1e-3
    max_iterations: int = 8
    tolerance: float = 1e-4


@dataclass(frozen=True)
class BundleProblem:
    """What was measured. Observations leave out a track's first (host) frame.

    host (M,), host_ray (M,3): K^-1 [u, v, 1]; track, frame (P,); pixel_px (P,2);
    pixel_whitening (P,2,2): times a pixel error, that error in standard deviations;
    host_log_depth, host_depth_sigma (M,), log_depth, depth_sigma (P,): predicted log z-depth
    at the observation, sigma inf where there is none; K (3,3); up_camera (N,3) unit;
    up_sigma_rad, height_m, height_sigma_m (N,), sigma inf where unknown.
    """

    host: NDArray[np.int64]
    host_ray: Array
    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    pixel_px: Array
    pixel_whitening: Array
    host_log_depth: Array
    host_depth_sigma: Array
    log_depth: Array
    depth_sigma: Array
    K: Array
    up_camera: Array
    up_sigma_rad: Array
    height_m: Array
    height_sigma_m: Array
    motions: RelativeMotions = field(default_factory=RelativeMotions.none)
    edges: EdgeDirections = field(default_factory=EdgeDirections.none)


@dataclass(frozen=True)
class BundleState:
    """R_world_camera (N,3,3), centre_m (N,3), log_scale (N,), log_depth (M,) in the host."""

    R_world_camera: Array
    centre_m: Array
    log_scale: Array
    log_depth: Array


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


def skew(v: Array) -> Array:
    """Cross-product matrices (...,3,3) of vectors (...,3)."""
    out = np.zeros((*v.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = v[..., 2], -v[..., 1], v[..., 0]
    return out


def exp_rotation(omega: Array) -> Array:
    """Rotation matrices (...,3,3) of rotation vectors (...,3) in radians (Rodrigues)."""
    angle = np.linalg.norm(omega, axis=-1)[..., None, None]
    safe = np.maximum(angle, 1e-9)
    k = skew(omega)
    # (1 - cos a) / a^2 as 2 sin^2(a/2) / a^2: no cancellation at small angles.
    return np.eye(3) + np.sinc(angle / np.pi) * k + 2 * (np.sin(safe / 2) / safe) ** 2 * (k @ k)


def log_rotation(R: Array) -> Array:
    """Rotation vectors (...,3) of rotation matrices (...,3,3); not defined at 180 degrees."""
    axis = np.stack(
        [
            R[..., 2, 1] - R[..., 1, 2],
            R[..., 0, 2] - R[..., 2, 0],
            R[..., 1, 0] - R[..., 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(axis, axis=-1) / 2
    angle = np.arctan2(sine, (np.trace(R, axis1=-2, axis2=-1) - 1) / 2)
    return axis * (angle / np.maximum(2 * sine, 1e-12))[..., None]
