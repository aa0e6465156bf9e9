"""Boxes, cylinders and ellipsoids that furniture is made of, and models built from them.

Every primitive is one affine map of a unit shape: the cube [-1, 1]^3, the cylinder of
radius 1 about z between z = -1 and 1, or the unit ball. Their bounds under any rotation
have closed forms, so a model's box is exact and needs no mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

BOX, CYLINDER, ELLIPSOID = 0, 1, 2
PLAIN, WOOD, TILES, CHECKER, STRIPES, NOISE, PLANKS = range(7)

Vec3 = tuple[float, float, float]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Linear RGB in [0, 1], a second colour, and the pattern that mixes the two.

    ``scale_m`` is the pattern's period; ``emission`` is light given off, whatever falls on it.
    """

    color: Color
    color2: Color = (0.0, 0.0, 0.0)
    pattern: int = PLAIN
    scale_m: float = 0.2
    emission: float = 0.0


@dataclass(frozen=True)
class Primitive:
    """One unit shape scaled by ``half_m``, turned by ``rotation`` (rows), moved to ``center_m``."""

    kind: int
    center_m: Vec3
    half_m: Vec3
    material: Material
    rotation: tuple[Vec3, Vec3, Vec3] | None = None

    def reach_m(self) -> Vec3:
        """Half extents of the exact axis-aligned bounds."""
        if self.rotation is None:
            return self.half_m
        scaled = np.abs(np.asarray(self.rotation) * np.asarray(self.half_m))
        if self.kind == BOX:
            reach = scaled.sum(axis=1)
        elif self.kind == CYLINDER:
            reach = np.hypot(scaled[:, 0], scaled[:, 1]) + scaled[:, 2]
        else:
            reach = np.sqrt((scaled**2).sum(axis=1))
        return (float(reach[0]), float(reach[1]), float(reach[2]))


@dataclass(frozen=True)
class Support:
    """A horizontal surface things may stand on: centre and full extents in the model's frame."""

    center_m: Vec3
    size_m: tuple[float, float]


@dataclass(frozen=True)
class Model:
    """Furniture about the centre of its box: primitives, the box's size, its supports."""

    label: str
    primitives: tuple[Primitive, ...]
    size_m: Vec3
    supports: tuple[Support, ...] = ()


@dataclass
class Builder:
    """Collects primitives given by the centre of their bottom, then makes a model of them."""

    parts: list[Primitive] = field(default_factory=list)
    surfaces: list[Support] = field(default_factory=list)

    def add(
        self,
        kind: int,
        at: Vec3,
        size: Vec3,
        material: Material,
        rotation: tuple[Vec3, Vec3, Vec3] | None = None,
    ) -> None:
        """``at``: x, y of the centre, z of the bottom before rotation; ``size``: full extents."""
        center = (at[0], at[1], at[2] + size[2] / 2)
        half = (size[0] / 2, size[1] / 2, size[2] / 2)
        self.parts.append(Primitive(kind, center, half, material, rotation))

    def box(self, at: Vec3, size: Vec3, material: Material) -> None:
        """An upright box."""
        self.add(BOX, at, size, material)

    def cylinder(self, at: Vec3, size: Vec3, material: Material) -> None:
        """An upright (elliptic) cylinder."""
        self.add(CYLINDER, at, size, material)

    def ellipsoid(self, at: Vec3, size: Vec3, material: Material) -> None:
        """An axis-aligned ellipsoid."""
        self.add(ELLIPSOID, at, size, material)

    def rod(self, start: Vec3, end: Vec3, diameter: float, material: Material) -> None:
        """A round rod between two points (its caps are square to its axis)."""
        a, b = np.asarray(start), np.asarray(end)
        length = float(np.linalg.norm(b - a))
        z = (b - a) / length
        x = np.cross((0.0, 1.0, 0.0) if abs(z[1]) < 0.9 else (1.0, 0.0, 0.0), z)
        x /= np.linalg.norm(x)
        y = np.cross(z, x)
        rows = np.stack([x, y, z], axis=1)
        middle = (a + b) / 2
        at = (float(middle[0]), float(middle[1]), float(middle[2]) - length / 2)
        size = (diameter, diameter, length)
        self.add(CYLINDER, at, size, material, tuple(map(tuple, rows.tolist())))  # type: ignore[arg-type]

    def legs(self, size: Vec3, width: float, material: Material, *, round_: bool = False) -> None:
        """Four legs under a rectangle of ``size`` x, y from the floor to its z."""
        dx, dy = (size[0] - width) / 2, (size[1] - width) / 2
        for sx in (-1, 1):
            for sy in (-1, 1):
                at = (sx * dx, sy * dy, 0.0)
                kind = CYLINDER if round_ else BOX
                self.add(kind, at, (width, width, size[2]), material)

    def support(self, center: Vec3, size: tuple[float, float]) -> None:
        """Declare a surface in the builder's own coordinates."""
        self.surfaces.append(Support(center, size))

    def model(self, label: str, *, thickness_m: float | None = None) -> Model:
        """Recentre on the exact bounds; ``thickness_m`` fixes y to ± half of it about y = 0."""
        low, high = bounds(self.parts)
        if thickness_m is not None:
            assert max(-low[1], high[1]) <= thickness_m / 2, label
            low[1], high[1] = -thickness_m / 2, thickness_m / 2
        mid = (low + high) / 2
        moved = tuple(
            Primitive(p.kind, _minus(p.center_m, mid), p.half_m, p.material, p.rotation)
            for p in self.parts
        )
        supports = tuple(Support(_minus(s.center_m, mid), s.size_m) for s in self.surfaces)
        size = tuple((high - low).tolist())
        return Model(label, moved, size, supports)  # type: ignore[arg-type]


def _minus(point: Vec3, shift: np.ndarray) -> Vec3:
    return (point[0] - float(shift[0]), point[1] - float(shift[1]), point[2] - float(shift[2]))


def bounds(parts: list[Primitive]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) of the exact axis-aligned bounds of all parts."""
    center = np.array([p.center_m for p in parts])
    reach = np.array([p.reach_m() for p in parts])
    return (center - reach).min(axis=0), (center + reach).max(axis=0)


def turn_z(angle_rad: float) -> tuple[Vec3, Vec3, Vec3]:
    """Rotation about z as rows."""
    c, s = float(np.cos(angle_rad)), float(np.sin(angle_rad))
    return ((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0))


def turn_x(angle_rad: float) -> tuple[Vec3, Vec3, Vec3]:
    """Rotation about x as rows."""
    c, s = float(np.cos(angle_rad)), float(np.sin(angle_rad))
    return ((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c))


#: A cylinder lying along y: unit z becomes y.
ALONG_Y = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
