"""A pinhole camera in the world: where it stands, what it sees, and through which pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32


@dataclass(frozen=True)
class Pinhole:
    """A pinhole camera: ``K`` (3, 3) for width × height pixels with centres at +0.5,
    ``T_world_camera`` (4, 4), OpenCV's axes.
    """

    K: Float[np.ndarray, "3 3"]
    T_world_camera: Float[np.ndarray, "4 4"]
    width_px: int
    height_px: int

    def rays(
        self, step_px: float = 1.0, margin_frames: float = 0.0
    ) -> tuple[Float32[np.ndarray, "1 w"], Float32[np.ndarray, "h 1"]]:
        """U (1, W) and v (H, 1) of the rays (u, v, 1) at the centres of cells of ``step_px``, also
        of so many frames' sizes around the picture.
        """
        mx, my = margin_frames * self.width_px, margin_frames * self.height_px
        x = np.arange(-mx + step_px / 2, self.width_px + mx, step_px)
        y = np.arange(-my + step_px / 2, self.height_px + my, step_px)
        u = (x - self.K[0, 2]) / self.K[0, 0]
        v = (y - self.K[1, 2]) / self.K[1, 1]
        return u.astype(np.float32)[None, :], v.astype(np.float32)[:, None]
