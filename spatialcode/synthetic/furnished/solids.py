"""Meshes from plain solids: boxes and cushions, each with its own surface."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.catalogue.mesh import Mesh, Surface
from spatialcode.synthetic.primitives import Support, Vec3

F64 = NDArray[np.float64]

#: A cushion's grid.
_CUSHION_COLUMNS, _CUSHION_ROWS = 18, 14


@dataclass
class Solids:
    """Collects parts; `mesh` moves them to the frame of the box about them all."""

    position: list[F64] = field(default_factory=list)
    normal: list[F64] = field(default_factory=list)
    uv: list[F64] = field(default_factory=list)
    surface: list[NDArray[np.int16]] = field(default_factory=list)
    triangles: list[NDArray[np.int64]] = field(default_factory=list)
    surfaces: list[Surface] = field(default_factory=list)
    count: int = 0

    def add(
        self, position: F64, normal: F64, uv: F64, triangles: NDArray[np.int64], surface: Surface
    ) -> None:
        """A part: vertices (V,3), normals, texture coordinates (V,2), triangles (T,3)."""
        row = next((k for k, s in enumerate(self.surfaces) if s is surface), None)
        if row is None:
            row = len(self.surfaces)
            self.surfaces.append(surface)
        self.position.append(position)
        self.normal.append(normal)
        self.uv.append(uv)
        self.surface.append(np.full(len(position), row, np.int16))
        self.triangles.append(triangles + self.count)
        self.count += len(position)

    def quad(self, corners: F64, normal: Vec3, surface: Surface, uv: F64 | None = None) -> None:
        """A rectangle by its four corners (4,3) in order round it."""
        square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
        self.add(corners, np.tile(normal, (4, 1)).astype(float), square if uv is None else uv,
                 np.array([[0, 1, 2], [0, 2, 3]]), surface)  # fmt: skip

    def box(self, base_m: Vec3, size_m: Vec3, surface: Surface, tile_m: float = 1.0) -> None:
        """A box by the middle of its bottom; the texture repeats every ``tile_m``."""
        center = np.array([base_m[0], base_m[1], base_m[2] + size_m[2] / 2])
        half = np.array(size_m) / 2
        for axis in range(3):
            a, b = (axis + 1) % 3, (axis + 2) % 3
            for sign in (-1.0, 1.0):
                corners = np.zeros((4, 3))
                for k, (s, t) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
                    corners[k, axis] = sign * half[axis]
                    corners[k, a], corners[k, b] = s * half[a], t * half[b]
                normal = np.zeros(3)
                normal[axis] = sign
                # z upwards in the texture, so that grain and rows lie level
                u, v = (b, a) if a == 2 else (a, b)
                uv = (corners[:, (u, v)] + half[[u, v]]) / tile_m
                self.quad(corners + center, (normal[0], normal[1], normal[2]), surface, uv)

    def cushion(self, size_m: Vec3, surface: Surface) -> None:
        """A stuffed cushion about the origin, thin at its edge."""
        n, m = _CUSHION_COLUMNS, _CUSHION_ROWS
        u, v = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, m))
        pinch = 1 - 0.07 * (1 - u**2) * v**2 - 0.07 * (1 - v**2) * u**2
        swell = (1 - np.abs(u) ** 3) ** 0.5 * (1 - np.abs(v) ** 3) ** 0.5
        grid = np.arange(n * m).reshape(m, n)
        a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
        cells = np.concatenate([
            np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)
        ])  # fmt: skip
        uv = np.stack([u.ravel() + 1, v.ravel() + 1], axis=1) / 2
        for side in (1.0, -1.0):
            z = side * swell * size_m[2] / 2
            at = np.stack([u * pinch * size_m[0] / 2, v * pinch * size_m[1] / 2, z], axis=-1)
            dx, dy = np.gradient(at, axis=1), np.gradient(at, axis=0)
            normal = np.cross(dx, dy) * side
            normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
            self.add(at.reshape(-1, 3), normal.reshape(-1, 3), uv, cells, surface)

    def mesh(self, top_support: bool = False) -> tuple[Mesh, Vec3]:
        """The mesh about the centre of its box, and the box's size. ``top_support``: things may
        stand anywhere on its top.
        """
        position = np.concatenate(self.position)
        low, high = position.min(axis=0), position.max(axis=0)
        size = high - low
        supports = (Support((0.0, 0.0, size[2] / 2), (size[0], size[1])),) if top_support else ()
        made = Mesh(
            position=(position - (low + high) / 2).astype(np.float32),
            normal=np.concatenate(self.normal).astype(np.float32),
            uv=np.concatenate(self.uv).astype(np.float32),
            surface=np.concatenate(self.surface),
            triangles=np.concatenate(self.triangles).astype(np.uint32),
            surfaces=tuple(self.surfaces),
            supports=supports,
        )
        return made, (float(size[0]), float(size[1]), float(size[2]))

    def in_place(self) -> Mesh:
        """The mesh as its parts were given, not moved."""
        return Mesh(
            position=np.concatenate(self.position).astype(np.float32),
            normal=np.concatenate(self.normal).astype(np.float32),
            uv=np.concatenate(self.uv).astype(np.float32),
            surface=np.concatenate(self.surface),
            triangles=np.concatenate(self.triangles).astype(np.uint32),
            surfaces=tuple(self.surfaces),
        )
