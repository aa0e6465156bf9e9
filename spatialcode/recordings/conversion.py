"""Every change of frames between recorded data sets and this project, in one place.

Ours: OpenCV cameras (x right, y down, z forward), pixel centres at +0.5, a right-handed world in
metres with z up, its floor at z = 0, its origin under the first camera, which looks along +y.
Boxes: extents along the box's own axes, the third of which is its up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatialcode.errors import FormatError
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]

#: Columns of an OpenGL camera (x right, y up, z backward) that an OpenCV one has the other way.
_GL_TO_CV = np.diag([1.0, -1.0, -1.0, 1.0])
#: Rotations that turn a world whose up is the named axis into one with z up.
_Z_UP_FROM: dict[str, Array] = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
#: Largest entry of R Rᵀ − I of a recorded rotation that is still taken for one, rounded.
_ROUNDING = 0.02


@dataclass(frozen=True, eq=False)
class GivenBox:
    """A box as a data set gives it, in the data set's world.

    ``size`` (3,): full extents along the columns of ``rotation`` (3, 3), box to world; metres.
    """

    label: str
    center: Array
    size: Array
    rotation: Array


def opencv_from_opengl(T_world_camera: ArrayLike) -> Array:
    """Poses (..., 4, 4) of OpenCV cameras from those of OpenGL ones (x right, y up, z backward)."""
    return np.asarray(T_world_camera, np.float64) @ _GL_TO_CV


def turned_camera(K: ArrayLike, T_world_camera: ArrayLike, width_px: int) -> tuple[Array, Array]:
    """Cameras (..., 3, 3) and (..., 4, 4) whose pictures were turned left by a right angle.

    ``width_px``: of the pictures before. A pixel (u, v) comes to (v, width - u).
    """
    K = np.asarray(K, np.float64)
    turned = np.zeros_like(K)
    turned[..., 0, 0], turned[..., 1, 1], turned[..., 2, 2] = K[..., 1, 1], K[..., 0, 0], 1.0
    turned[..., 0, 2], turned[..., 1, 2] = K[..., 1, 2], width_px - K[..., 0, 2]
    old_from_new = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return turned, np.asarray(T_world_camera, np.float64) @ old_from_new


def turns_to_upright(ups_camera: ArrayLike) -> int:
    """How often pictures must be turned left by a right angle for up (N, 3) to be at their top."""
    x, y = np.asarray(ups_camera, np.float64)[:, :2].mean(axis=0)
    if abs(x) > abs(y):
        return 1 if x > 0 else 3
    return 2 if y > 0 else 0


def rigid(T: ArrayLike, where: str) -> Array:
    """A recorded pose (4, 4) as an exact rigid transform: rounding in its rotation is removed.

    FormatError, beginning with ``where``, where it is not finite or its rotation is none.
    """
    array = np.asarray(T, np.float64)
    if array.shape != (4, 4) or not np.isfinite(array).all():
        raise FormatError(f"{where}: expected a finite 4x4 matrix, got shape {array.shape}")
    rotation = array[:3, :3]
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > _ROUNDING or np.linalg.det(rotation) < 0:
        raise FormatError(f"{where}: expected a rotation, got {rotation.tolist()}")
    exact = np.eye(4)
    u, _, vt = np.linalg.svd(rotation)
    exact[:3, :3], exact[:3, 3] = u @ vt, array[:3, 3]
    return exact


def up_vector(axis: str) -> Array:
    """The unit vector (3,) of a named up axis: "z", "y" or "-y"."""
    return _Z_UP_FROM[axis].T @ np.array([0.0, 0.0, 1.0])


def house_transform(first_camera: ArrayLike, up: ArrayLike, floor_height_m: float) -> Array:
    """``T_house_world`` (4, 4): from a data set's world to ours.

    ``first_camera``: ``T_world_camera`` (4, 4) of the first frame, OpenCV. ``up`` (3,): unit vector
    against gravity in the data set's world. ``floor_height_m``: of the floor along ``up``.
    """
    camera = np.asarray(first_camera, np.float64)
    up = np.asarray(up, np.float64) / np.linalg.norm(up)
    R_level_camera = level_rotation(camera[:3, :3].T @ up)
    T = np.eye(4)
    T[:3, :3] = R_level_camera @ camera[:3, :3].T
    height = float(up @ camera[:3, 3]) - floor_height_m
    T[:3, 3] = np.array([0.0, 0.0, height]) - T[:3, :3] @ camera[:3, 3]
    return T


def moved_box(T_house_world: ArrayLike, box: GivenBox, where: str) -> tuple[Array, Array, Array]:
    """Centre (3,), size (3,) and rotation (3, 3) of a box in our world, its third axis up.

    The axis nearest to up becomes the third, pointing up; the others keep their cyclic order, so
    that the box stays right-handed. FormatError where the box is none.
    """
    size, center = np.asarray(box.size, np.float64), np.asarray(box.center, np.float64)
    if size.shape != (3,) or not np.isfinite(size).all() or (size <= 0).any():
        raise FormatError(f"{where}: expected three extents > 0, got {size.tolist()}")
    if center.shape != (3,) or not np.isfinite(center).all():
        raise FormatError(f"{where}: expected a finite centre, got {center.tolist()}")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.asarray(box.rotation, np.float64), center
    if np.linalg.det(pose[:3, :3]) < 0:  # a mirrored axis names the same box
        pose[:3, 0] *= -1.0
    moved = np.asarray(T_house_world, np.float64) @ rigid(pose, f"{where} rotation")
    rotation = moved[:3, :3]
    third = int(np.argmax(np.abs(rotation[2])))
    order = [(third + 1) % 3, (third + 2) % 3, third]
    rotation, size = rotation[:, order], size[order]
    if rotation[2, 2] < 0:
        rotation = rotation * np.array([-1.0, 1.0, -1.0])
    return moved[:3, 3], size, rotation


def inverse(T: ArrayLike) -> Array:
    """The inverse of a rigid transform (4, 4)."""
    array = np.asarray(T, np.float64)
    result = np.eye(4)
    result[:3, :3] = array[:3, :3].T
    result[:3, 3] = -array[:3, :3].T @ array[:3, 3]
    return result
