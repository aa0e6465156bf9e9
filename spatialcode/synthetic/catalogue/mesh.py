"""Meshes as the rasteriser draws them: in their own box's frame, few triangles, small textures.

The frame is that of a `scene` box: origin at its centre, +y the front, +z up, metres. A catalogue's
models have y up and their front along +z after their rotation, so that x is mirrored on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.catalogue.wavefront import Soup
from spatialcode.synthetic.primitives import Support

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

#: Models of more triangles are simplified; those of fewer are drawn whole.
MAX_TRIANGLES = 12_000
#: Clustering starts from cells of this share of the longest side.
_FIRST_CELL = 1 / 160
#: Faces that lean further than 30° from the mean about a point keep their own normal there.
_CREASE_COS = 0.87
#: Simplified surfaces are rough, so that only sharper creases of theirs are meant.
_ROUGH_CREASE_COS = 0.55
_HEIGHT_CELLS = 32
_HEIGHT_SAMPLES = 24_000
#: A top is flat where it keeps within this of its height.
_FLAT_M = 0.02


@dataclass(frozen=True, eq=False)
class Surface:
    """How a part looks: gamma-encoded colour, opacity, gloss and glow in [0, 1], texture
    (h,w,4) or None. The texture is multiplied with the colour.
    """

    color: tuple[float, float, float]
    opacity: float = 1.0
    gloss: float = 0.0
    glow: float = 0.0
    texture: U8 | None = None


@dataclass(frozen=True, eq=False)
class Mesh:
    """``position`` and ``normal`` (V,3), ``uv`` (V,2), ``surface`` (V,) rows of ``surfaces``,
    ``triangles`` (T,3) rows of vertices. ``supports``: level tops that things can stand on.
    """

    position: F32
    normal: F32
    uv: F32
    surface: NDArray[np.int16]
    triangles: NDArray[np.uint32]
    surfaces: tuple[Surface, ...]
    supports: tuple[Support, ...] = ()


def box_frame(
    points: F64,
    used: NDArray[np.int64],
    rotation: tuple[float, ...] | None,
    size_m: tuple[float, float, float],
) -> tuple[F64, F64]:
    """Points (V,3) of a file in the frame of their box of ``size_m``, and the matrix (3,3) that
    turned and stretched them. The box is that of the points that are used.
    """
    turn = np.eye(3) if rotation is None else np.asarray(rotation).reshape(3, 3)
    swap = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    turned = points @ (swap @ turn).T
    low, high = turned[used].min(axis=0), turned[used].max(axis=0)
    stretch = np.asarray(size_m) / np.maximum(high - low, 1e-9)
    return (turned - (low + high) / 2) * stretch, stretch[:, None] * (swap @ turn)


def clustered(points: F64, triangles: NDArray[np.int64], cell: float) -> tuple[F64, F64]:
    """Every point moved to the mean of its cell's, and (T,) whether a triangle still has an area.

    Source: Rossignac and Borrel, "Multi-resolution 3D approximations for rendering complex
    scenes", 1993. Surfaces that meet stay together, as all points are clustered at once.
    """
    keys = np.floor(points / cell).astype(np.int64)
    _, row = np.unique(keys, axis=0, return_inverse=True)
    row = row.ravel()
    count = np.bincount(row)
    mean = np.stack([np.bincount(row, points[:, k]) / count for k in range(3)], axis=1)
    a, b, c = row[triangles].T
    return mean[row], (a != b) & (b != c) & (a != c)


def simplified(points: F64, triangles: NDArray[np.int64], limit: int) -> tuple[F64, NDArray]:
    """Points and which triangles to keep, so that at most ``limit`` are left."""
    keep = np.ones(len(triangles), bool)
    cell = float(np.ptp(points[np.unique(triangles)], axis=0).max()) * _FIRST_CELL
    moved = points
    while keep.sum() > limit:
        moved, keep = clustered(points, triangles, cell)
        cell *= 1.25
    return moved, keep


def creased_normals(
    points: F64, triangles: NDArray[np.int64], crease_cos: float = _CREASE_COS
) -> F64:
    """(T,3,3) normals of corners: the mean over welded points by area, a face's own where the
    cosine between the two is below ``crease_cos``.
    """
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)
    flat = area / np.maximum(np.linalg.norm(area, axis=1, keepdims=True), 1e-12)
    _, weld = np.unique(np.round(points, 5), axis=0, return_inverse=True)
    weld = weld.ravel()
    total = np.zeros((weld.max() + 1, 3))
    for k in range(3):
        np.add.at(total, weld[triangles[:, k]], area)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    smooth = total[weld[triangles]]
    sharp = (smooth * flat[:, None]).sum(axis=-1) < crease_cos
    return np.where(sharp[..., None], flat[:, None], smooth)


def mesh_of(
    soup: Soup,
    textures: dict[str, U8],
    size_m: tuple[float, float, float],
    rotation: tuple[float, ...] | None = None,
    drop_m: float | None = None,
) -> Mesh:
    """The soup's triangles in the frame of a box of ``size_m``, simplified where there are many.

    ``textures``: pictures (h,w,4) by member. ``drop_m``: where things are put on it, over its
    bottom.
    """
    rows = soup.corners[:, :, 0]
    points, linear = box_frame(soup.points, np.unique(rows), rotation, size_m)
    points, keep = simplified(points, rows, MAX_TRIANGLES)
    corners, finish = soup.corners[keep], soup.finish[keep]
    rows = corners[:, :, 0]
    given = (corners[:, :, 2] >= 0).all() and len(soup.normals) > corners[:, :, 2].max()
    if keep.all() and given:
        normal = soup.normals[corners[:, :, 2]] @ np.linalg.inv(linear)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    else:
        normal = creased_normals(points, rows, _CREASE_COS if keep.all() else _ROUGH_CREASE_COS)
    has_uv = (corners[:, :, 1] >= 0) & (corners[:, :, 1] < max(len(soup.uv), 1))
    uv = np.zeros((len(rows), 3, 2))
    if len(soup.uv):
        uv = np.where(has_uv[..., None], soup.uv[corners[:, :, 1].clip(0, len(soup.uv) - 1)], 0.0)
    surfaces = []
    for one in soup.finishes:
        texture = None if one.texture is None else textures.get(one.texture)
        color = (1.0, 1.0, 1.0) if texture is not None else one.diffuse
        surfaces.append(Surface(
            color, one.opacity, min(1.0, float(np.mean(one.specular))),
            1.0 if max(one.emitted) > 0.3 else 0.0, texture,
        ))  # fmt: skip
    supports = () if drop_m is None else tops(points, rows, size_m, drop_m)
    flat = np.concatenate([
        points[rows].reshape(-1, 3), normal.reshape(-1, 3), uv.reshape(-1, 2),
        np.repeat(finish, 3)[:, None],
    ], axis=1).astype(np.float32)  # fmt: skip
    unique, inverse = np.unique(flat, axis=0, return_inverse=True)
    return Mesh(
        position=np.ascontiguousarray(unique[:, :3]),
        normal=np.ascontiguousarray(unique[:, 3:6]),
        uv=np.ascontiguousarray(unique[:, 6:8]),
        surface=unique[:, 8].astype(np.int16),
        triangles=inverse.reshape(-1, 3).astype(np.uint32),
        surfaces=tuple(surfaces),
        supports=supports,
    )


def height_field(
    points: F64, triangles: NDArray[np.int64], size_m: tuple[float, float, float]
) -> F64:
    """(n,n) highest z over each cell of the footprint, rows along y; -inf where nothing is."""
    rng = np.random.default_rng(0)
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    pick = rng.choice(len(area), _HEIGHT_SAMPLES, p=area / area.sum())
    u, v = rng.random((2, _HEIGHT_SAMPLES, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    at = a[pick] + u * (b - a)[pick] + v * (c - a)[pick]
    n = _HEIGHT_CELLS
    column = ((at[:, 0] / size_m[0] + 0.5) * n).astype(int).clip(0, n - 1)
    row = ((at[:, 1] / size_m[1] + 0.5) * n).astype(int).clip(0, n - 1)
    out = np.full((n, n), -np.inf)
    np.maximum.at(out, (row, column), at[:, 2])
    return out


def tops(
    points: F64, triangles: NDArray[np.int64], size_m: tuple[float, float, float], drop_m: float
) -> tuple[Support, ...]:
    """The largest level rectangle near the height at which the catalogue puts things.

    Where the catalogue's height meets no part of the top, the commonest height is taken.
    """
    field = height_field(points, triangles, size_m)
    z = drop_m - size_m[2] / 2
    level = np.abs(field - z) < _FLAT_M
    if level.mean() < 0.1:
        finite = field[np.isfinite(field)]
        counts, edges = np.histogram(finite, bins=40)
        z = float(edges[int(counts.argmax())] + edges[int(counts.argmax()) + 1]) / 2
        level = np.abs(field - z) < _FLAT_M
    if not level.any():
        return ()
    z = float(np.median(field[level]))
    # one empty cell in a sampled top is no hole
    filled = level.copy()
    filled[1:-1, 1:-1] |= (level[:-2, 1:-1] & level[2:, 1:-1]) | (
        level[1:-1, :-2] & level[1:-1, 2:]
    )
    y0, y1, x0, x1 = largest_rectangle(filled)
    n = _HEIGHT_CELLS
    size = ((x1 - x0) / n * size_m[0], (y1 - y0) / n * size_m[1])
    if min(size) < 0.08:
        return ()
    x, y = ((x0 + x1) / 2 / n - 0.5) * size_m[0], ((y0 + y1) / 2 / n - 0.5) * size_m[1]
    return (Support((x, y, z), size),)


def largest_rectangle(filled: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """First and past-the-last row and column of the largest rectangle of true cells."""
    best, area = (0, 0, 0, 0), 0
    height = np.zeros(filled.shape[1], int)
    for i, row in enumerate(filled):
        height = np.where(row, height + 1, 0)
        for x0 in range(len(row)):
            low = height[x0]
            for x1 in range(x0, len(row)):
                low = min(low, height[x1])
                if low == 0:
                    break
                if low * (x1 - x0 + 1) > area:
                    area = int(low) * (x1 - x0 + 1)
                    best = (i + 1 - int(low), i + 1, x0, x1 + 1)
    return best
