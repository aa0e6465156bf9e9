"""What the rasteriser draws: meshes with poses and instances, lights, and the world outside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.catalogue.mesh import Mesh, Surface
from spatialcode.synthetic.raster.shaders import PLAIN

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
Vec3 = tuple[float, float, float]


@dataclass(frozen=True)
class Item:
    """A mesh in the room: where its box's centre is, its yaw, which instance its pixels are.

    ``tint`` multiplies its colours; ``stretch`` its mesh along the box's own axes. ``kind``: how
    the shaders draw it (`shaders.PLAIN`, ``OUTSIDE`` or ``MIRROR``).
    """

    mesh: Mesh
    center_m: Vec3
    yaw_rad: float
    instance: int
    tint: Vec3 = (1.0, 1.0, 1.0)
    stretch: Vec3 = (1.0, 1.0, 1.0)
    kind: int = PLAIN

    def pose(self) -> F64:
        """(3,4) from the mesh's frame to the plan frame."""
        c, s = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) * np.asarray(self.stretch)
        return np.column_stack([turn, np.asarray(self.center_m)])


@dataclass(frozen=True)
class Lamp:
    """A light: where, which way it faces, how much of it follows that direction's cosine (0: it
    shines all round), its radiance, and the angle that its shadow map spans.

    ``softening_m2`` keeps it from growing without end close by. Beyond its map a ``boxed`` light
    shines on nothing, another one on everything.
    """

    position_m: Vec3
    direction: Vec3
    radiance: Vec3
    lobe: float = 1.0
    softening_m2: float = 0.1
    angle_rad: float = 2.5
    far_m: float = 14.0
    boxed: bool = False


@dataclass(frozen=True, eq=False)
class Lighting:
    """Lamps, ambient light from above and below, and the panorama outside (h,w,3) with its gain.

    The panorama's columns go by azimuth from +y clockwise, its rows from zenith to nadir.
    """

    lamps: tuple[Lamp, ...]
    ambient_up: Vec3
    ambient_down: Vec3
    outside: U8
    outside_gain: float


@dataclass(frozen=True)
class MirrorPlane:
    """A mirror's middle, its normal, and the instance whose pane it is."""

    point_m: Vec3
    normal: Vec3
    instance: int

    @property
    def plane(self) -> tuple[float, float, float, float]:
        """Coefficients: positive in front of the mirror."""
        n, p = self.normal, self.point_m
        return (*n, -sum(a * b for a, b in zip(n, p, strict=True)))


@dataclass(frozen=True, eq=False)
class Staging:
    """A room to draw, with its light.

    Items whose instance is at least 0 are the room's objects; an object may have several items.
    """

    items: tuple[Item, ...]
    lighting: Lighting
    mirrors: tuple[MirrorPlane, ...] = ()


NO_STAGING = Staging(
    (), Lighting((), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), np.zeros((1, 1, 3), np.uint8), 0.0)
)


@dataclass(frozen=True, eq=False)
class Buffers:
    """A scene as arrays. ``vertices`` (V,10): position, normal, uv, item, surface; ``opaque`` and
    ``glass``: rows of vertices; ``spans``: first index and number of an item's, in each.
    """

    vertices: F32
    opaque: NDArray[np.uint32]
    glass: NDArray[np.uint32]
    spans: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    surfaces: F32
    layers: U8


def _surface_rows(surface: Surface, layer: int, kind: int) -> list[float]:
    return [*surface.color, surface.opacity, layer, surface.glow, surface.gloss, kind]


def buffers_of(items: tuple[Item, ...]) -> Buffers:
    """All items' geometry and looks."""
    vertices, opaque, glass, spans = [], [], [], []
    rows: list[list[float]] = []
    layers: list[U8] = []
    layer_of: dict[int, int] = {}
    base, num_opaque, num_glass = 0, 0, 0
    for k, item in enumerate(items):
        mesh = item.mesh
        first = len(rows)
        for s in mesh.surfaces:
            layer = -1
            if s.texture is not None:
                layer = layer_of.setdefault(id(s.texture), len(layers))
                if layer == len(layers):
                    layers.append(s.texture)
            rows.append(_surface_rows(s, layer, item.kind))
        block = np.empty((len(mesh.position), 10), np.float32)
        block[:, :3], block[:, 3:6], block[:, 6:8] = mesh.position, mesh.normal, mesh.uv
        block[:, 8], block[:, 9] = k, mesh.surface + first
        vertices.append(block)
        clear = np.array([s.opacity < 0.95 for s in mesh.surfaces])[mesh.surface]
        see_through = clear[mesh.triangles[:, 0]]
        solid, pane = mesh.triangles[~see_through] + base, mesh.triangles[see_through] + base
        opaque.append(solid.ravel())
        glass.append(pane.ravel())
        spans.append(((num_opaque, solid.size), (num_glass, pane.size)))
        num_opaque, num_glass = num_opaque + solid.size, num_glass + pane.size
        base += len(mesh.position)
    return Buffers(
        vertices=np.concatenate(vertices),
        opaque=np.concatenate(opaque).astype(np.uint32),
        glass=np.concatenate(glass).astype(np.uint32),
        spans=tuple(spans),
        surfaces=np.array(rows, np.float32).reshape(-1, 2, 4),
        layers=np.stack(layers) if layers else np.full((1, 8, 8, 4), 255, np.uint8),
    )


def item_rows(items: tuple[Item, ...]) -> F32:
    """(n,4,4): three rows of pose, then tint and instance."""
    out = np.empty((len(items), 4, 4), np.float32)
    for k, item in enumerate(items):
        out[k, :3] = item.pose()
        out[k, 3] = (*item.tint, item.instance)
    return out
