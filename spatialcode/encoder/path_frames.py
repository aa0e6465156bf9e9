"""Chains of motions as paths, and the world frame that a path is given in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.rotations import exp_rotation, log_rotation
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]


def chained(T_second_first: Array) -> Array:
    """T_first_camera (N,4,4) from the motions (N-1,4,4) from each frame to the next."""
    poses = np.tile(np.eye(4), (len(T_second_first) + 1, 1, 1))
    for k, motion in enumerate(T_second_first):
        poses[k + 1] = poses[k] @ np.linalg.inv(motion)
    return poses


def levelled(poses: Array, up_camera: Array, height_m: Array) -> Array:
    """The path turned so that the frames' gravities (N,3) agree with +z, and put on the floor."""
    up = np.einsum("nij,nj->ni", poses[:, :3, :3], up_camera)
    median = np.median(up, axis=0)
    R = level_rotation(median if np.linalg.norm(median) > 0.1 else up[0])
    out = poses.copy()
    out[:, :3, :3] = R @ poses[:, :3, :3]
    out[:, :3, 3] = poses[:, :3, 3] @ R.T
    out[:, 2, 3] += np.median(height_m - out[:, 2, 3])
    return out


def in_first_camera_world(T_world_camera: Array) -> Array:
    """The path in the world whose origin is under the first camera, +y its viewing direction.

    Heights stay: the floor is where it was.
    """
    R = T_world_camera[0, :3, :3]
    turn = level_rotation(R[2]) @ R.T
    out = T_world_camera.copy()
    out[:, :3, :3] = turn @ T_world_camera[:, :3, :3]
    out[:, :3, 3] = (T_world_camera[:, :3, 3] - T_world_camera[0, :3, 3] * (1, 1, 0)) @ turn.T
    return out


def interpolated(poses: Array, at: NDArray[np.int64], num_frames: int) -> Array:
    """Poses of all frames from those (K,4,4) of frames ``at`` (K,), ascending: even turns and
    steps between; the last known pose after the end.
    """
    frame = np.arange(num_frames)
    left = np.clip(np.searchsorted(at, frame, side="right") - 1, 0, len(at) - 1)
    right = np.minimum(left + 1, len(at) - 1)
    span = np.maximum(at[right] - at[left], 1)
    share = np.clip((frame - at[left]) / span, 0, 1)[:, None]
    R = poses[left, :3, :3]
    turn = log_rotation(R.transpose(0, 2, 1) @ poses[right, :3, :3])
    out = np.tile(np.eye(4), (num_frames, 1, 1))
    out[:, :3, :3] = R @ exp_rotation(share * turn)
    out[:, :3, 3] = (1 - share) * poses[left, :3, 3] + share * poses[right, :3, 3]
    return out
