"""Rotation vectors and matrices, vectorised over leading axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
