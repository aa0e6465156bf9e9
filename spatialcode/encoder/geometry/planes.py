"""Directions of a room's surfaces from depth: up, the walls' heading, the floor.

A plane's inverse depth is linear over the picture, so a plane is fitted in every patch by sums
alone; the scale of a frame's depth does not change its direction. Most surfaces of a room lie flat
or stand upright, and most walls keep to two perpendicular headings: that gives gravity and a
heading that does not drift. Rooms without flat surfaces tell nothing.

Source: the Manhattan-world assumption, Coughlan & Yuille 1999; the search: none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Width to which maps are averaged down, and there pixels between patches and their half width.
_WIDTH, _STEP, _HALF = 160, 4, 4
#: Surfaces that a search looks at, about: enough for a direction that more are refined from; and
#: directions that it tries.
_SEARCHED, _REFINED, _TRIED = 1200, 4000, 120
#: Relative depth by which a patch may depart from its plane before it counts for little.
_ROUGH = 0.03
#: Patches that are no plane at all are left out.
_LEAST_WEIGHT = 0.3
#: How far from the picture's up gravity may lie: a camera may look down steeply, not hang sideways.
_MAX_TILT_RAD = 1.05
#: Angles beyond which a surface counts as along another direction: first search, then refinement.
_SEARCH_RAD, _REFINE_RAD = 0.12, 0.08
_NUM_REFINEMENTS = 8
#: A heading must be shared by so much more than chance to be believed.
_MIN_HEADING_SHARE = 0.5
#: Floors lie so far below a camera, and ceilings above; what is level and nearer may be a table.
_FROM_CAMERA_M = (0.3, 3.5)
_FLOOR_BIN_M = 0.03
#: The floor is the lowest level that holds this share of the largest level's area.
_FLOOR_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Patches:
    """Planes fitted in patches of depth: ``frame`` (Q,), ``normal`` (Q, 3) unit vectors towards the
    camera and ``point`` (Q, 3) in camera coordinates and units of the depth, ``weight`` (Q,).
    """

    frame: NDArray[np.int64]
    normal: Float[np.ndarray, "q 3"]
    point: Float[np.ndarray, "q 3"]
    weight: Float[np.ndarray, " q"]

    @classmethod
    def none(cls) -> Patches:
        """No patch."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))

    def select(self, rows: Bool[np.ndarray, " q"]) -> Patches:
        """Some of the patches."""
        return Patches(*(getattr(self, f.name)[rows] for f in fields(self)))


def find_patches(
    depth_m: Float[np.ndarray, "n h w"], K: Float[np.ndarray, "n 3 3"], step_px: int = _STEP
) -> Patches:
    """Planes in depth maps (not finite or <= 0 where unknown); ``K`` belongs to the maps.
    ``step_px``: between patches, of maps `_WIDTH` wide.
    """
    found = [_in_frame(depth, K[k], step_px) for k, depth in enumerate(depth_m)]
    frame = np.repeat(np.arange(len(found)), [len(part[2]) for part in found])
    normal, point, weight = (np.concatenate([part[i] for part in found]) for i in range(3))
    return Patches(frame, normal, point, weight)


def _in_frame(depth_m: np.ndarray, K: Array, step_px: int) -> tuple[Array, Array, Array]:
    known, inverse = _averaged(depth_m)
    height, width = known.shape
    sums = _Sums(known, inverse, _HALF)
    row, column = np.mgrid[_HALF : height - _HALF : step_px, _HALF : width - _HALF : step_px]
    row, column = row.ravel(), column.ravel()
    coefficients, rough, share = sums.planes(row, column)
    # 1/z = a x + b y + c in offsets from the patch's middle; n . X = 1 on the plane
    a, b, c = coefficients.T
    at_origin = c - a * (column + 0.5) - b * (row + 0.5)
    K = K.copy()
    K[0] *= width / depth_m.shape[1]
    K[1] *= height / depth_m.shape[0]
    normal = np.column_stack((a, b, at_origin)) @ K
    length = np.linalg.norm(normal, axis=1)
    weight = 1 / (1 + (rough / _ROUGH) ** 2)
    good = (share > 0.8) & (c > 1e-3) & (length > 1e-9) & (weight > _LEAST_WEIGHT)
    ray = np.column_stack((column + 0.5, row + 0.5, np.ones(len(row)))) @ np.linalg.inv(K).T
    normal = -normal[good] / length[good, None]
    return normal, ray[good] / c[good, None], weight[good]


def _averaged(depth_m: np.ndarray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The known share of each pixel and its inverse depth times that, at no more than `_WIDTH`: a
    plane stays a plane.
    """
    with np.errstate(invalid="ignore"):
        known = np.isfinite(depth_m) & (depth_m > 0)
    inverse = np.where(known, 1 / np.where(known, depth_m, 1), 0).astype(np.float32)
    share = known.astype(np.float32)
    height, width = depth_m.shape
    if width <= _WIDTH:
        return share, inverse
    size = (_WIDTH, max(1, round(height * _WIDTH / width)))
    known_small, inverse_small = (
        cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (share, inverse)
    )
    return np.asarray(known_small, np.float32), np.asarray(inverse_small, np.float32)


class _Sums:
    """Sums over square patches that a plane's least squares need."""

    def __init__(self, known: NDArray[np.float32], inverse: NDArray[np.float32], half: int) -> None:
        self.half = half
        self.area = float((2 * half + 1) ** 2)
        offset = np.arange(-half, half + 1, dtype=np.float32)
        one = np.ones_like(offset)
        kernels = {"1": (one, one), "x": (offset, one), "y": (one, offset)}
        moments = {"xx": (offset**2, one), "yy": (one, offset**2), "xy": (offset, offset)}
        filtered = {
            name: cv2.sepFilter2D(known, cv2.CV_32F, *kernel)
            for name, kernel in {**kernels, **moments}.items()
        }
        self.known = filtered
        self.value = {
            name: cv2.sepFilter2D(inverse, cv2.CV_32F, *kernel) for name, kernel in kernels.items()
        }
        square = inverse * inverse / np.maximum(known, 1e-6)
        self.square = cv2.sepFilter2D(square, cv2.CV_32F, one, one)

    def planes(self, row: NDArray[np.int64], column: NDArray[np.int64]) -> tuple[Any, ...]:
        """Coefficients (Q, 3) of x, y, 1; relative residual (Q,); share of known pixels (Q,)."""
        known = {name: value[row, column].astype(np.float64) for name, value in self.known.items()}
        right = np.stack([self.value[name][row, column] for name in ("x", "y", "1")], -1)
        names = (("xx", "xy", "x"), ("xy", "yy", "y"), ("x", "y", "1"))
        left = np.stack([np.stack([known[name] for name in line], -1) for line in names], -2)
        left = left + 1e-6 * np.eye(3)
        right = right.astype(np.float64)
        coefficients = np.linalg.solve(left, right[..., None])[..., 0]
        square = self.square[row, column] - (coefficients * right).sum(-1)
        count = np.maximum(known["1"], 1)
        mean = np.maximum(right[:, 2] / count, 1e-6)
        rough = np.sqrt(np.maximum(square, 0) / count) / mean
        return coefficients, rough, known["1"] / self.area


def find_up(
    patches: Patches,
    R_world_camera: Float[np.ndarray, "n 3 3"],
    near: Float[np.ndarray, " 3"] | None = None,
) -> Float[np.ndarray, " 3"] | None:
    """The direction, in the path's world, to which most surfaces are level or upright, of those
    near the pictures' up; None where surfaces do not tell. ``near``: where it is about known.
    """
    some = slice(None, None, max(1, len(patches.frame) // _REFINED))
    frame, normal, weight = patches.frame[some], patches.normal[some], patches.weight[some]
    world = (R_world_camera[frame] @ normal[:, :, None])[..., 0]
    if near is not None:
        return _refined_up(near, world, weight)
    up_pictures = -R_world_camera[:, :, 1].mean(axis=0)
    up_pictures /= max(np.linalg.norm(up_pictures), 1e-9)
    flat = np.flatnonzero(world @ up_pictures > np.cos(_MAX_TILT_RAD))
    if len(flat) < 3 or weight[flat].sum() < 1:
        return None
    tried = world[flat[:: max(1, len(flat) // _TRIED)]]
    fewer = slice(None, None, max(1, len(world) // _SEARCHED))
    cosine = np.abs(tried @ world[fewer].T)
    # of small angles between a normal and the direction, or the plane across it
    level = np.exp((cosine - 1) / _SEARCH_RAD**2)
    stands = np.exp(-0.5 * (cosine / _SEARCH_RAD) ** 2)
    # a surface stands upright by chance far more often than it lies level by chance
    score = (level + 0.3 * stands) @ weight[fewer]
    return _refined_up(tried[np.argmax(score)], world, weight)


def _refined_up(up: Array, world: Array, weight: Array) -> Array:
    for _ in range(_NUM_REFINEMENTS):
        cosine = world @ up
        off = np.where(np.abs(cosine) > 0.7, np.linalg.norm(np.cross(world, up), axis=1), cosine)
        robust = weight / (1 + (off / _REFINE_RAD) ** 2) ** 2
        level = np.abs(cosine) > 0.7
        # level surfaces pull up towards their normals, upright ones push it out of theirs
        spread = (world * np.where(level, robust, -robust)[:, None]).T @ world
        up_new = np.linalg.eigh(spread)[1][:, -1]
        up = up_new if up_new @ up > 0 else -up_new
    return up


def find_heading(patches: Patches, R_world_camera: Float[np.ndarray, "n 3 3"]) -> float | None:
    """The heading, radians mod 90 degrees, that most upright surfaces share in a world with z up;
    None where they do not share one.
    """
    world = (R_world_camera[patches.frame] @ patches.normal[:, :, None])[..., 0]
    upright = np.abs(world[:, 2]) < 0.2
    if patches.weight[upright].sum() < 20:
        return None
    upright[upright] = np.arange(upright.sum()) % max(1, upright.sum() // _REFINED) == 0
    heading = np.arctan2(world[upright, 1], world[upright, 0])
    weight = patches.weight[upright]
    starts = np.linspace(0, np.pi / 2, 45, endpoint=False)
    some = slice(None, None, max(1, len(heading) // _SEARCHED))
    off = _quarter(heading[some] - starts[:, None])
    score = np.exp(-0.5 * (off / _SEARCH_RAD) ** 2) @ weight[some]
    best = float(starts[np.argmax(score)])
    if score.max() < _MIN_HEADING_SHARE * weight[some].sum():
        return None
    for _ in range(_NUM_REFINEMENTS):
        off = _quarter(heading - best)
        robust = weight / (1 + (off / _REFINE_RAD) ** 2) ** 2
        best += float((robust * off).sum() / robust.sum())
    return best


def _quarter(angle_rad: Array) -> Array:
    """Modulo a quarter turn, to -45..45 degrees."""
    return (angle_rad + np.pi / 4) % (np.pi / 2) - np.pi / 4


def find_floor(patches: Patches, T_world_camera: Float[np.ndarray, "n 4 4"]) -> float | None:
    """Height of the floor in a metric world with z up: the lowest level on which much lies flat.

    None where nothing level is seen below the cameras.
    """
    return lowest_level(*level_heights(patches, T_world_camera, 1.0))


def lowest_level(z: Float[np.ndarray, " l"], area: Float[np.ndarray, " l"]) -> float | None:
    """The lowest height that holds much of the area of level patches; None where there is little.

    ``area``: what each stands for; see `level_heights`.
    """
    if area.sum() < 5:
        return None
    low = z.min()
    index = np.floor((z - low) / _FLOOR_BIN_M).astype(int)
    count = np.convolve(np.bincount(index, area), (0.5, 1, 0.5), "same")
    first = int(np.flatnonzero(count >= _FLOOR_SHARE * count.max())[0])
    # from there to the top of that level
    while first + 1 < len(count) and count[first + 1] > count[first]:
        first += 1
    near = np.abs(z - (low + (first + 0.5) * _FLOOR_BIN_M)) < 2 * _FLOOR_BIN_M
    return float(np.average(z[near], weights=area[near]))


def level_heights(
    patches: Patches, T_world_camera: Float[np.ndarray, "n 4 4"], side: float
) -> tuple[Float[np.ndarray, " l"], Float[np.ndarray, " l"]]:
    """Heights (L,) of patches that look up from below the cameras (``side`` 1) or down from above
    them (-1), in metres of a world with z up, and the areas (L,) that each stands for.
    """
    T = T_world_camera[patches.frame]
    z = np.einsum("qi,qi->q", T[:, 2, :3], patches.point) + T[:, 2, 3]
    up = side * np.einsum("qi,qi->q", T[:, 2, :3], patches.normal)
    away = side * (T[:, 2, 3] - z)
    rows = (up > np.cos(0.15)) & (away > _FROM_CAMERA_M[0]) & (away < _FROM_CAMERA_M[1])
    facing = np.abs(np.einsum("qi,qi->q", patches.normal, patches.point))
    far = np.linalg.norm(patches.point, axis=1)
    # a patch of fixed size in the picture covers far^3 / facing of a surface
    area = patches.weight * np.minimum(far**3 / np.maximum(facing, 1e-3), 50.0)
    return z[rows], area[rows]
