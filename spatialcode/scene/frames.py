"""Rotations, quaternions and the pinhole camera, vectorised over leading axes.

Quaternions are (w, x, y, z), unit, first non-zero component positive. ``T_a_b`` maps
coordinates of frame b to frame a. Cameras are OpenCV: x right, y down, z forward; depth is
the z coordinate, not the length of the ray; the centre of the top-left pixel is (0.5, 0.5).
There is no lens distortion here: callers undistort first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatialcode.errors import SchemaError

Array = NDArray[np.floating]

#: Below this horizontal length a camera looks straight up or down and has no azimuth.
_VERTICAL_VIEW = 1e-6


def _array(name: str, value: ArrayLike, *tail: int) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape[array.ndim - len(tail) :] != tail or array.ndim < len(tail):
        expected = "(..., " + ", ".join(map(str, tail)) + ")"
        raise SchemaError(name, f"an array of shape {expected}", array.shape)
    return array


def canonical_quaternion(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Unit length, first non-zero component positive (so w >= 0). (..., 4) -> (..., 4)."""
    q = _array("quaternion", quaternion, 4)
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    if not np.all(norm > 1e-12):
        raise SchemaError("quaternion", "non-zero, finite quaternions", q)
    q = q / norm
    first = np.argmax(q != 0.0, axis=-1)[..., None]
    return q * np.where(np.take_along_axis(q, first, axis=-1) < 0.0, -1.0, 1.0) + 0.0


def matrix_from_quaternion(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), normalised first."""
    q = canonical_quaternion(quaternion)
    w, x, y, z = (q[..., i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_matrix(matrix: ArrayLike) -> NDArray[np.float64]:
    """Quaternions (..., 4) of rotation matrices (..., 3, 3).

    Shepperd, "Quaternion from rotation matrix" (1978): of the four equivalent formulas, the
    one whose leading component is largest, so that nothing small is divided by.
    """
    m = _array("matrix", matrix, 3, 3)
    a, b, c = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    d21, d02, d10 = m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]
    d12, d20, d01 = m[..., 1, 2], m[..., 2, 0], m[..., 0, 1]
    # Row k is 4 q_k (w, x, y, z).
    rows = [
        [1 + a + b + c, d21 - d12, d02 - d20, d10 - d01],
        [d21 - d12, 1 + a - b - c, d10 + d01, d02 + d20],
        [d02 - d20, d10 + d01, 1 - a + b - c, d21 + d12],
        [d10 - d01, d02 + d20, d21 + d12, 1 - a - b + c],
    ]
    table = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    best = np.argmax(np.diagonal(table, axis1=-2, axis2=-1), axis=-1)
    return canonical_quaternion(
        np.take_along_axis(table, best[..., None, None], axis=-2)[..., 0, :]
    )


def quaternion_from_yaw(yaw_rad: ArrayLike) -> NDArray[np.float64]:
    """Rotations about +z, counter-clockwise seen from above. (...) -> (..., 4)."""
    half = np.asarray(yaw_rad, dtype=np.float64) / 2.0
    zero = np.zeros_like(half)
    return canonical_quaternion(np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1))


def yaw_from_quaternion(quaternion: ArrayLike) -> NDArray[np.float64]:
    """Turn about +z in (-pi, pi], radians. (..., 4) -> (...).

    For a tilted box it is the azimuth of the box's x axis, the swing left out (x vertical: 0).
    """
    m = matrix_from_quaternion(quaternion)
    yaw = np.arctan2(m[..., 1, 0], m[..., 0, 0])
    return np.where(yaw <= -np.pi, np.pi, yaw)


def project(points_camera: ArrayLike, K: ArrayLike) -> tuple[Array, Array]:
    """Camera points (..., 3) to pixels (..., 2) and z-depth (...).

    Pixels of points with depth <= 0 mean nothing; test the depth. Depth 0 gives inf or NaN
    without a warning.
    """
    p, k = _array("points_camera", points_camera, 3), _array("K", K, 3, 3)
    depth = p[..., 2]
    image = np.einsum("...ij,...j->...i", k, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        return image[..., :2] / image[..., 2:], depth


def unproject(pixels: ArrayLike, depth_m: ArrayLike, K: ArrayLike) -> Array:
    """Pixels (..., 2) at z-depth (...) metres to camera points (..., 3). K: no skew needed."""
    uv, k = _array("pixels", pixels, 2), _array("K", K, 3, 3)
    homogeneous = np.concatenate([uv, np.ones_like(uv[..., :1])], axis=-1)
    rays = np.einsum("...ij,...j->...i", np.linalg.inv(k), homogeneous)
    return rays * np.asarray(depth_m, dtype=np.float64)[..., None]


def pixel_centres(width_px: int, height_px: int) -> NDArray[np.float64]:
    """(height, width, 2): (u, v) of every pixel's centre, the first at (0.5, 0.5)."""
    u, v = np.meshgrid(np.arange(width_px) + 0.5, np.arange(height_px) + 0.5)
    return np.stack([u, v], axis=-1)


def level_rotation(up_camera: ArrayLike) -> NDArray[np.float64]:
    """R_level_camera (..., 3, 3) from gravity-up in camera coordinates (..., 3).

    The level frame stands at the camera with z up along gravity, +y the horizontal viewing
    direction and +x right. A camera that looks straight down takes the image's top as its
    viewing direction, one that looks straight up the image's bottom: the limits of tilting.
    """
    up = _array("up_camera", up_camera, 3)
    norm = np.linalg.norm(up, axis=-1, keepdims=True)
    if not np.all(norm > 1e-12):
        raise SchemaError("up_camera", "non-zero, finite vectors", up)
    up = up / norm
    forward = -up * up[..., 2:] + (0.0, 0.0, 1.0)
    length = np.linalg.norm(forward, axis=-1, keepdims=True)
    image_top = np.stack(np.broadcast_arrays(0.0, np.sign(up[..., 2]), 0.0), axis=-1)
    forward = np.where(length > _VERTICAL_VIEW, forward, image_top)
    forward = forward - up * np.sum(forward * up, axis=-1, keepdims=True)
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    return np.stack([np.cross(forward, up), forward, up], axis=-2)
