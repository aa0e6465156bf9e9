"""Turn, shift and scale between two worlds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Similarity:
    """``scale`` · ``R`` (3, 3) · point + ``t`` (3,)."""

    scale: float
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, " 3"]

    @classmethod
    def between(
        cls, before: Float[np.ndarray, "4 4"], after: Float[np.ndarray, "4 4"], scale: float
    ) -> Similarity:
        """What takes things seen from a camera that was thought to be at one pose to where they
        are when it is at another, that many times as far from it.
        """
        R = after[:3, :3] @ before[:3, :3].T
        return cls(scale, R, after[:3, 3] - scale * R @ before[:3, 3])

    @classmethod
    def fitted(
        cls,
        points: Float[np.ndarray, "n 3"],
        target: Float[np.ndarray, "n 3"],
        with_scale: bool = True,
    ) -> Similarity:
        """What takes points nearest to their targets, by least squares; without scale, a motion.

        Points that all coincide have no scale: theirs is 0. Source: Umeyama, "Least-squares
        estimation of transformation parameters between two point patterns", PAMI 1991, eqs. 39–42.
        """
        center, target_center = points.mean(axis=0), target.mean(axis=0)
        own, wanted = points - center, target - target_center
        u, singular, vt = np.linalg.svd(wanted.T @ own)
        flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        R = (u * flip) @ vt
        spread = float((own**2).sum())
        scale = 1.0 if not with_scale else float(singular @ flip) / spread if spread > 0 else 0.0
        return cls(scale, R, target_center - scale * R @ center)

    def points(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the world that it leads to."""
        return self.scale * points @ self.R.T + self.t

    def poses(self, T_world_camera: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
        """Cameras (N, 4, 4) of the world that it leads to."""
        T = T_world_camera.copy()
        T[:, :3, :3] = self.R @ T_world_camera[:, :3, :3]
        T[:, :3, 3] = self.scale * T_world_camera[:, :3, 3] @ self.R.T + self.t
        return T
