"""Measured motions between two frames, as a term of the bundle adjustment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.odometry.rotations import log_rotation, skew

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
