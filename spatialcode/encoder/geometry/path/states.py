"""Where the frames of a path are, and at which scale their depth is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.encoder.odometry.path import in_first_camera_world
from spatialcode.encoder.odometry.problem import exp_rotation

Array = NDArray[np.float64]

#: Unknowns of a frame: turn in the camera, shift in the world, log scale.
FRAME_UNKNOWNS = 7


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

    @classmethod
    def none(cls) -> FrameStates:
        """Of no frame."""
        return cls(np.zeros((0, 3, 3)), np.zeros((0, 3)), np.zeros(0))

    @classmethod
    def joined(cls, parts: Sequence[FrameStates]) -> FrameStates:
        """The frames of several one after another."""
        return cls(
            np.concatenate([part.R_world_camera for part in parts]),
            np.concatenate([part.centre for part in parts]),
            np.concatenate([part.log_scale for part in parts]),
        )

    def rows(self, rows: slice) -> FrameStates:
        """Some of the frames."""
        return FrameStates(self.R_world_camera[rows], self.centre[rows], self.log_scale[rows])

    def in_first_camera_world(self) -> FrameStates:
        """The same path in the world under its first camera, in whose direction y points."""
        T = in_first_camera_world(self.T_world_camera)
        return FrameStates(T[:, :3, :3], T[:, :3, 3], self.log_scale)

    def moved(self, step: Array) -> FrameStates:
        """After a step (N, 7): turn in the camera, shift in the world, log scale."""
        return FrameStates(
            self.R_world_camera @ exp_rotation(step[:, :3]),
            self.centre + step[:, 3:6],
            self.log_scale + step[:, 6],
        )
