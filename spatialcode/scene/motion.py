"""Where the camera and the moving objects are between the times a code knows them at.

Positions are interpolated linearly, rotations by slerp; before the first and after the
last known time the pose is held. What really happened between two samples is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from spatialcode.errors import SchemaError
from spatialcode.scene.schema import SceneObject, SpatialCode

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PosePath:
    """Poses known at increasing times: ``times_s`` (N,), ``positions_m`` (N, 3), rotations."""

    times_s: FloatArray
    positions_m: FloatArray
    rotations: Rotation

    def at(self, times_s: FloatArray) -> tuple[FloatArray, Rotation]:
        """Positions (T, 3) in metres and rotations at ``times_s`` (T,)."""
        if len(self.times_s) == 1:
            chosen = np.zeros(len(times_s), dtype=int)
            return self.positions_m[chosen], self.rotations[chosen]
        held_s = np.clip(times_s, self.times_s[0], self.times_s[-1])
        positions = [np.interp(held_s, self.times_s, column) for column in self.positions_m.T]
        return np.stack(positions, axis=-1), Slerp(self.times_s, self.rotations)(held_s)

    @classmethod
    def of(cls, times_s: FloatArray, T: FloatArray) -> PosePath:
        """From transforms (N, 4, 4)."""
        return cls(times_s, T[:, :3, 3], Rotation.from_matrix(T[:, :3, :3]))

    def matrices_at(self, times_s: FloatArray) -> FloatArray:
        """Transforms (T, 4, 4) at ``times_s`` (T,)."""
        positions, rotations = self.at(times_s)
        transforms = np.tile(np.eye(4), (len(times_s), 1, 1))
        transforms[:, :3, :3], transforms[:, :3, 3] = rotations.as_matrix(), positions
        return transforms


def object_poses(item: SceneObject, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centres (T, 3) in metres and quaternions wxyz (T, 4) of ``item`` at ``times_s`` (T,).

    An object without a track stays where it is.
    """
    if item.motion == "static" or not item.track:
        num = len(times_s)
        center = np.tile(np.asarray(item.center_m, dtype=float), (num, 1))
        return center, np.tile(np.asarray(item.quaternion_wxyz, dtype=float), (num, 1))
    path = PosePath(
        times_s=np.array([point.t_s for point in item.track]),
        positions_m=np.array([point.center_m for point in item.track], dtype=float),
        rotations=Rotation.from_quat(
            np.array([point.quaternion_wxyz for point in item.track], dtype=float),
            scalar_first=True,
        ),
    )
    positions, rotations = path.at(times_s)
    return positions, rotations.as_quat(canonical=True, scalar_first=True)


@dataclass(frozen=True)
class CameraMotion:
    """A code's camera at any time: its poses, and its pinhole matrices flattened to (N, 9)."""

    poses: PosePath
    intrinsics: FloatArray

    @classmethod
    def of(cls, code: SpatialCode) -> CameraMotion:
        """The path of the code's cameras. SchemaError if it has none."""
        if not code.cameras:
            raise SchemaError("cameras", "at least one camera to look through", code.cameras)
        # Times never decrease in a code, but frames may share one; the first of them counts.
        times_s, first = np.unique([camera.t_s for camera in code.cameras], return_index=True)
        cameras = [code.cameras[i] for i in first]
        poses = PosePath.of(times_s, np.stack([camera.matrix() for camera in cameras]))
        return cls(poses, np.stack([camera.intrinsics().ravel() for camera in cameras]))

    def at(self, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``T_world_camera`` (T, 4, 4) and K (T, 3, 3), for the video's full size."""
        columns = [np.interp(times_s, self.poses.times_s, column) for column in self.intrinsics.T]
        return self.poses.matrices_at(times_s), np.stack(columns, axis=-1).reshape(-1, 3, 3)
