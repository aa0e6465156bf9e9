"""The lines and faces by which a box, its front and a camera are drawn, in world metres.

Both the page and the overlay draw from here, so they cannot disagree about where a box's
front is.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.boxes import corners
from spatialcode.scene.categories import CATEGORIES
from spatialcode.scene.frames import matrix_from_quaternion

FloatArray = NDArray[np.float64]

_IDENTITY_WXYZ = np.array([1.0, 0.0, 0.0, 0.0])
#: (8, 3) which side of the box, along its own axes, each corner is on: -1 or +1.
CORNER_SIDES = np.sign(corners(np.zeros(3), np.ones(3), _IDENTITY_WXYZ)).astype(int)

#: The 12 pairs of corners that differ along one axis only.
EDGES: tuple[tuple[int, int], ...] = tuple(
    (a, b)
    for a, b in combinations(range(8), 2)
    if np.count_nonzero(CORNER_SIDES[a] != CORNER_SIDES[b]) == 1
)

#: Edges of the front's arrow among the points that ``box_points`` adds to the corners.
FRONT_EDGES: tuple[tuple[int, int], ...] = ((8, 9), (9, 10), (9, 11))

#: Edges of a camera's pyramid: point 0 is the camera, 1–4 its image's corners, 5 marks up.
FRUSTUM_EDGES: tuple[tuple[int, int], ...] = (
    *((0, corner) for corner in (1, 2, 3, 4)),
    *((1, 2), (2, 3), (3, 4), (4, 1)),
    *((1, 5), (2, 5)),
)

_FRONT_LABELS = frozenset(category.label for category in CATEGORIES if category.has_front)


def _triangles() -> tuple[tuple[int, int, int], ...]:
    triangles = []
    for axis in range(3):
        for side in (-1, 1):
            face = [i for i in range(8) if CORNER_SIDES[i, axis] == side]
            across = [i for i in face[1:] if np.sum(CORNER_SIDES[i] != CORNER_SIDES[face[0]]) == 2]
            others = [i for i in face[1:] if i not in across]
            triangles += [_turned((face[0], across[0], other), axis, side) for other in others]
    return tuple(triangles)


def _turned(triangle: tuple[int, int, int], axis: int, side: int) -> tuple[int, int, int]:
    """The triangle with its corners counter-clockwise as seen from outside the box."""
    a, b, c = (CORNER_SIDES[corner] for corner in triangle)
    outwards = np.cross(b - a, c - a)[axis] * side > 0
    return triangle if outwards else (triangle[0], triangle[2], triangle[1])


#: Two triangles for each of the six faces, as corner numbers, counter-clockwise from outside.
TRIANGLES: tuple[tuple[int, int, int], ...] = _triangles()


def has_front(label: str) -> bool:
    """Whether boxes of this label carry a front (+y of the box); unknown labels do not."""
    return label in _FRONT_LABELS


def box_points(
    center_m: FloatArray, size_m: FloatArray, quaternion_wxyz: FloatArray, front: bool
) -> FloatArray:
    """Points (..., 8, 3) of a box, (..., 12, 3) with its front's arrow, world frame, metres.

    ``center_m`` (..., 3), ``size_m`` (3,), ``quaternion_wxyz`` (..., 4). The arrow of ``front``
    comes in the order of ``FRONT_EDGES``: it leaves the middle of the box's +y face, straight
    outwards.
    """
    points = corners(center_m, np.broadcast_to(size_m, center_m.shape), quaternion_wxyz)
    if not front:
        return points
    length = 0.2 + 0.2 * float(min(size_m[0], size_m[1]))
    face_y = size_m[1] / 2
    arrow = np.array(
        [
            (0.0, face_y, 0.0),
            (0.0, face_y + length, 0.0),
            (-0.4 * length, face_y + 0.6 * length, 0.0),
            (0.4 * length, face_y + 0.6 * length, 0.0),
        ]
    )
    rotation = matrix_from_quaternion(quaternion_wxyz)
    arrow_world = arrow @ np.swapaxes(rotation, -1, -2) + center_m[..., None, :]
    return np.concatenate([points, arrow_world], axis=-2)


def frustum_points(
    T_world_camera: FloatArray, K: FloatArray, image_size_px: tuple[int, int], depth_m: float
) -> FloatArray:
    """Pyramid of a camera: (..., 6, 3) in the world, in the order of ``FRUSTUM_EDGES``.

    ``T_world_camera`` (..., 4, 4), pinhole matrices ``K`` (..., 3, 3) in pixels of an image of
    ``image_size_px`` (width, height), whose corners are put at z-depth ``depth_m``.
    """
    width, height = image_size_px
    pixels = np.array([(0, 0), (width, 0), (width, height), (0, height), (width / 2, -height / 4)])
    focal = np.stack([K[..., 0, 0], K[..., 1, 1]], axis=-1)[..., None, :]
    slopes = (pixels - K[..., None, :2, 2]) / focal
    rays = np.concatenate([slopes, np.ones((*slopes.shape[:-1], 1))], axis=-1) * depth_m
    points = np.concatenate([np.zeros((*rays.shape[:-2], 1, 3)), rays], axis=-2)
    rotation, position = T_world_camera[..., :3, :3], T_world_camera[..., None, :3, 3]
    return points @ np.swapaxes(rotation, -1, -2) + position
