"""What models, recordings and videos draw: colours, and the lines and faces of boxes, cameras and
floors, in world metres.

The pages in a browser draw the same from ``assets/viewer``; both read ``palette.json`` there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene import pairs
from spatialcode.scene.boxes import corners
from spatialcode.scene.categories import CATEGORIES
from spatialcode.scene.frames import matrix_from_quaternion

FloatArray = NDArray[np.float64]
Point = tuple[float, float]
RGB = tuple[int, int, int]

_PALETTE = json.loads(
    (resources.files("spatialcode") / "assets" / "viewer" / "palette.json").read_text("utf-8")
)
CAMERA_RGB: RGB = tuple(_PALETTE["camera"])
OUTLINE_RGB: RGB = tuple(_PALETTE["outline"])
FLOOR_RGB: RGB = tuple(_PALETTE["floor"])

#: Pairs of corners, in the numbering of `spatialcode.scene.pairs`.
EDGES: tuple[tuple[int, int], ...] = tuple((a, b) for a, b in pairs.EDGES.tolist())

#: Two triangles for each of the six faces, as corner numbers, counter-clockwise from outside.
TRIANGLES: tuple[tuple[int, int, int], ...] = tuple(
    triangle for a, b, c, d in pairs.FACES.tolist() for triangle in ((a, b, c), (a, c, d))
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


def label_rgb(label: str) -> RGB:
    """Colour of ``label`` as 8-bit red, green, blue.

    Categories that the small encoder knows have fixed colours; any other label gets one
    from a hash of its text, so it is stable over runs and machines too (two unknown
    labels may come out alike).
    """
    if label in _PALETTE["labels"]:
        red, green, blue = _PALETTE["labels"][label]
        return red, green, blue
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).digest()
    red, green, blue = (60 + value % 160 for value in digest[:3])
    return red, green, blue


def triangulate(polygon: Sequence[Point]) -> list[tuple[int, int, int]]:
    """Index triples that tile a simple polygon, by ear clipping.

    ``polygon``: corners in order, either way round, not repeated at the end. The result is
    n - 2 triples for n corners; fewer where corners lie on one line, or where the outline
    crosses itself (then what could be clipped until no ear was left).
    """
    doubled_area = sum(
        ax * by - bx * ay
        for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    )
    left = list(range(len(polygon)))
    if doubled_area < 0:
        left.reverse()
    triangles = []
    while len(left) >= 3:
        ears = (i for i in range(len(left)) if _is_ear(polygon, left, i))
        flats = (i for i in range(len(left)) if _turn_at(polygon, left, i) == 0)
        ear = next(ears, None)
        cut = next(flats, None) if ear is None else ear
        if cut is None:
            break
        if ear is not None:
            triangles.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        left.pop(cut)
    return triangles


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the signed area of a, b, c: positive for a left turn."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _turn_at(polygon: Sequence[Point], left: Sequence[int], i: int) -> float:
    before, here, after = left[i - 1], left[i], left[(i + 1) % len(left)]
    return _turn(polygon[before], polygon[here], polygon[after])


def _is_ear(polygon: Sequence[Point], left: Sequence[int], i: int) -> bool:
    """Whether the i-th remaining corner is convex and its triangle holds no other corner."""
    if _turn_at(polygon, left, i) <= 0:
        return False
    triangle = [polygon[j] for j in (left[i - 1], left[i], left[(i + 1) % len(left)])]
    others = (polygon[j] for j in left if polygon[j] not in triangle)
    return not any(_inside(point, triangle) for point in others)


def _inside(point: Point, triangle: Sequence[Point]) -> bool:
    a, b, c = triangle
    return min(_turn(a, b, point), _turn(b, c, point), _turn(c, a, point)) >= 0
