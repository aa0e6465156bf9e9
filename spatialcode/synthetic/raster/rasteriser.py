"""Draws a scene: linear light, depth and instances of a pinhole camera's pixels.

Light is drawn finer than the picture and averaged; depth and instances are those of the triangle
that a ray through the pixel's centre meets first, panes of glass included. Lighting is deferred:
lamps with shadow maps, ambient light with occlusion in screen space, panes blended over it, and one
mirror a view, the nearest, by a second picture of the mirrored world. Not modelled: light that
falls through glass in its colour, reflections but the mirror's, light bounced by furniture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.pinhole import Pinhole
from spatialcode.synthetic.raster import shaders
from spatialcode.synthetic.raster.device import context
from spatialcode.synthetic.raster.staged import (
    NO_STAGING,
    Buffers,
    Item,
    Lamp,
    MirrorPlane,
    Staging,
    buffers_of,
    item_rows,
)
from spatialcode.synthetic.renderer import NEAR_M

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FAR_M = 60.0
_SHADOW_PX = 512
_SHADOW_TILES = 4
_OCCLUSION_SAMPLES = 8
#: Mask tiles of the atlas in which objects are drawn alone.
_MASK_COLUMNS = 4
_VERTEX = ("3f 3f 2f 2f", "p", "n", "uv", "row")
#: Nothing: what a view without a mirror cuts off.
_NO_PLANE = (0.0, 0.0, 0.0, 1.0)
_NO_INSTANCE = -99
_PANE_M = 0.002


@dataclass(frozen=True, eq=False)
class Picture:
    """``linear`` (H,W,3) light, ``depth_m`` (H,W) along z, ``instance`` (H,W)."""

    linear: F32
    depth_m: F32
    instance: NDArray[np.int16]


def clip_matrix(view: Pinhole) -> F64:
    """(4,4) from camera coordinates to clip space; rows of the frame count downwards."""
    K, w, h = view.K, view.width_px, view.height_px
    a = (FAR_M + NEAR_M) / (FAR_M - NEAR_M)
    return np.array([
        [2 * K[0, 0] / w, 0.0, 2 * K[0, 2] / w - 1, 0.0],
        [0.0, 2 * K[1, 1] / h, 2 * K[1, 2] / h - 1, 0.0],
        [0.0, 0.0, a, -2 * FAR_M * NEAR_M / (FAR_M - NEAR_M)],
        [0.0, 0.0, 1.0, 0.0],
    ])  # fmt: skip


def light_matrix(lamp: Lamp) -> F64:
    """(4,4) from plan coordinates to the clip space of a lamp's shadow map."""
    forward = np.asarray(lamp.direction, float)
    forward = forward / np.linalg.norm(forward)
    up = np.array([1.0, 0, 0]) if abs(forward[2]) > 0.9 else np.array([0, 0, 1.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = rotation, -rotation @ np.asarray(lamp.position_m)
    f = 1.0 / np.tan(lamp.angle_rad / 2)
    near = 0.05 if lamp.far_m < 30 else lamp.far_m / 3
    a = (lamp.far_m + near) / (lamp.far_m - near)
    b = -2 * lamp.far_m * near / (lamp.far_m - near)
    return np.array([[f, 0, 0, 0], [0, f, 0, 0], [0, 0, a, b], [0, 0, 1.0, 0]]) @ world


@cache
def rasteriser(width_px: int, height_px: int, fineness: int = 2) -> Rasteriser:
    """The rasteriser of a size, one a process. Raises FurnitureError without OpenGL."""
    return Rasteriser(width_px, height_px, fineness)


@dataclass(eq=False)
class _Target:
    """Where a view is drawn: surfaces, then light."""

    surfaces: Any
    textures: list[Any]
    light: Any
    light_texture: Any
    size: tuple[int, int]


class Rasteriser:
    """Programs and frame buffers for one size; holds one scene at a time."""

    def __init__(self, width_px: int, height_px: int, fineness: int) -> None:
        gl = context()
        self.gl, self.size, self.fineness = gl, (width_px, height_px), fineness
        sources = {
            "truth": (shaders.GEOMETRY_VERTEX, shaders.TRUTH_FRAGMENT),
            "mask": (shaders.GEOMETRY_VERTEX, shaders.MASK_FRAGMENT),
            "surface": (shaders.GEOMETRY_VERTEX, shaders.SURFACE_FRAGMENT),
            "glass": (shaders.GEOMETRY_VERTEX, shaders.GLASS_FRAGMENT),
            "shadow": (shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT),
            "light": (shaders.SCREEN_VERTEX, shaders.LIGHT_FRAGMENT),
            "shrink": (shaders.SCREEN_VERTEX, shaders.SHRINK_FRAGMENT),
        }
        self.programs = {name: gl.program(*pair) for name, pair in sources.items()}
        self.fine = self._target((width_px * fineness, height_px * fineness))
        self.mirrored = self._target(self.size)
        self.truth = gl.framebuffer(
            [gl.texture(self.size, 2, dtype="f4")], gl.depth_renderbuffer(self.size)
        )
        self.small = gl.framebuffer([gl.texture(self.size, 4, dtype="f4")])
        side = _SHADOW_PX * _SHADOW_TILES
        self.shadows = gl.depth_texture((side, side))
        self.shadows.compare_func = "<="
        self.shadows.filter = (gl.LINEAR, gl.LINEAR)
        self.shadow_frame = gl.framebuffer(depth_attachment=self.shadows)
        self.screens = {n: gl.vertex_array(self.programs[n], []) for n in ("light", "shrink")}
        self.scene: Staging = NO_STAGING
        self.owned: list[Any] = []
        self.masks: dict[tuple[int, int], Any] = {}

    def _target(self, size: tuple[int, int]) -> _Target:
        gl = self.gl
        textures = [gl.texture(size, 4), gl.texture(size, 4), gl.texture(size, 2, dtype="f4")]
        light = gl.texture(size, 4, dtype="f2")
        for texture in (*textures, light):
            texture.filter = (gl.NEAREST, gl.NEAREST)
            texture.repeat_x = texture.repeat_y = False
        depth = gl.depth_renderbuffer(size)
        return _Target(
            gl.framebuffer(textures, depth), textures, gl.framebuffer([light], depth), light, size
        )

    def load(self, scene: Staging) -> None:
        """Take a scene: its geometry, textures and shadows."""
        for thing in self.owned:
            thing.release()
        gl, self.scene = self.gl, scene
        self.buffers: Buffers = buffers_of(scene.items)
        data = gl.buffer(self.buffers.vertices.tobytes())
        index = {
            name: gl.buffer(getattr(self.buffers, name).tobytes() or b"\0" * 12)
            for name in ("opaque", "glass")
        }
        self.arrays = {
            (name, part): gl.vertex_array(
                self.programs[name], [(data, *_format(self.programs[name]))], index[part], 4
            )
            for name in ("truth", "mask", "surface", "glass", "shadow")
            for part in ("opaque", "glass")
        }
        self.items = _table(gl, (shaders.ITEM_TEXELS, len(scene.items)))
        rows = self.buffers.surfaces
        self.surfaces = _table(gl, (shaders.SURFACE_TEXELS, len(rows)))
        self.surfaces.write(rows.tobytes())
        layers = self.buffers.layers
        self.textures = gl.texture_array(
            (layers.shape[2], layers.shape[1], len(layers)), 4, layers.tobytes()
        )
        self.textures.build_mipmaps()
        self.textures.filter = (gl.LINEAR_MIPMAP_LINEAR, gl.LINEAR)
        outside = scene.lighting.outside
        self.outside = gl.texture(
            (outside.shape[1], outside.shape[0]), 3, outside.tobytes(), alignment=1
        )
        self.outside.filter = (gl.LINEAR, gl.LINEAR)
        self.outside.repeat_y = False
        self.owned = [data, *index.values(), *self.arrays.values(), self.items, self.surfaces,
                      self.textures, self.outside]  # fmt: skip
        self.move(scene.items)

    def move(self, items: tuple[Item, ...]) -> None:
        """Put the scene's items, the same ones, somewhere else; draws the shadows anew."""
        self.items.write(item_rows(items).tobytes())
        gl, program = self.gl, self.programs["shadow"]
        self._tables(program)
        self.shadow_frame.use()
        gl.enable_only(gl.DEPTH_TEST)
        self.shadow_frame.viewport = (0, 0, *self.shadows.size)
        self.shadow_frame.clear(depth=1.0)
        for k, lamp in enumerate(self.scene.lighting.lamps):
            x, y = k % _SHADOW_TILES, k // _SHADOW_TILES
            self.shadow_frame.viewport = (x * _SHADOW_PX, y * _SHADOW_PX, _SHADOW_PX, _SHADOW_PX)
            _put(program, clip_world=light_matrix(lamp).T)
            self._render("shadow", "opaque")

    def draw(self, view: Pinhole) -> Picture:
        """The picture of one camera pose in the plan frame."""
        mirror = self._visible_mirror(view)
        if mirror is not None:
            n = np.asarray(mirror.plane[:3])
            reflect = np.eye(4)
            reflect[:3, :3] -= 2 * np.outer(n, n)
            reflect[:3, 3] = -2 * mirror.plane[3] * n
            # a little before the pane, which would hide everything else
            before = (*mirror.plane[:3], mirror.plane[3] - _PANE_M)
            self._light(view, self.mirrored, reflect, before)
        shown = _NO_INSTANCE if mirror is None else mirror.instance
        self._light(view, self.fine, np.eye(4), _NO_PLANE, shown)
        self.small.use()
        self.gl.enable_only(self.gl.NOTHING)
        self.fine.light_texture.use(0)
        _put(self.programs["shrink"], fine=0, factor=self.fineness)
        self.screens["shrink"].render(self.gl.TRIANGLES, 3)
        width, height = self.size
        raw = np.frombuffer(self.small.read(components=3, dtype="f4"), np.float32)
        depth, instance = self._truth(view)
        return Picture(raw.reshape(height, width, 3).copy(), depth, instance)

    def _truth(self, view: Pinhole) -> tuple[F32, NDArray[np.int16]]:
        program = self.programs["truth"]
        self._view(program, view, np.eye(4), _NO_PLANE)
        self.truth.use()
        self.gl.enable_only(self.gl.DEPTH_TEST)
        self.truth.clear(FAR_M, -2.0, 0.0, 0.0, depth=1.0)
        for part in ("opaque", "glass"):
            self._render("truth", part)
        width, height = self.size
        raw = np.frombuffer(self.truth.read(components=2, dtype="f4"), np.float32)
        pairs = raw.reshape(height, width, 2)
        return pairs[..., 0].copy(), np.round(pairs[..., 1]).astype(np.int16)

    def _light(
        self,
        view: Pinhole,
        target: _Target,
        reflect: F64,
        plane: tuple[float, ...],
        mirror: int = _NO_INSTANCE,
    ) -> None:
        """Draw the light of a view, mirrored by ``reflect``, of what is before ``plane``."""
        gl, lighting = self.gl, self.scene.lighting
        program = self.programs["surface"]
        eye = (reflect @ view.T_world_camera)[:3, 3]
        self._view(program, view, reflect, plane)
        _put(program, eye=eye, mirror=float(mirror))
        target.surfaces.use()
        gl.enable_only(gl.DEPTH_TEST)
        gl.enable_direct(_CLIP_DISTANCE)
        target.surfaces.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        self._render("surface", "opaque")
        gl.disable_direct(_CLIP_DISTANCE)
        gl.enable_only(gl.NOTHING)
        target.light.use()
        self._shade(view, target, reflect)
        program = self.programs["glass"]
        self._view(program, view, reflect, plane)
        _put(program, eye=eye, ambient_up=lighting.ambient_up)
        gl.enable_only(gl.DEPTH_TEST | gl.BLEND)
        gl.enable_direct(_CLIP_DISTANCE)
        gl.blend_func = gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA
        target.light.depth_mask = False
        self._render("glass", "glass")
        target.light.depth_mask = True
        gl.disable_direct(_CLIP_DISTANCE)

    def _shade(self, view: Pinhole, target: _Target, reflect: F64) -> None:
        program, lighting = self.programs["light"], self.scene.lighting
        lamps = lighting.lamps
        blank = shaders.NUM_LIGHTS - len(lamps)
        bound = (*target.textures, self.outside, self.mirrored.light_texture, self.shadows)
        names = ("albedo", "facing", "place", "outside", "mirrored", "shadows")
        for k, (name, texture) in enumerate(zip(names, bound, strict=True)):
            if name == "mirrored" and target is self.mirrored:
                texture = self.outside  # a target cannot be read while it is drawn
            texture.use(k)
            _put(program, **{name: k})

        def four(rows: Sequence[Sequence[float]]) -> F32:
            return np.array([*rows, *[[0.0] * 4] * blank], np.float32)

        share = 1 / _SHADOW_TILES
        _put(
            program,
            clip_light=np.stack([*(light_matrix(a).T for a in lamps), *[np.eye(4)] * blank]),
            position=four([(*a.position_m, 0.0) for a in lamps]),
            direction=four([(*_unit(a.direction), a.lobe) for a in lamps]),
            radiance=four([(*a.radiance, a.softening_m2) for a in lamps]),
            tile=four([
                ((k % _SHADOW_TILES) * share, (k // _SHADOW_TILES) * share, share,
                 -1.0 if a.boxed else 1.0) for k, a in enumerate(lamps)
            ]),
            num_lights=len(lamps),
            world_camera=(reflect @ view.T_world_camera).T,
            ray_scale=(view.width_px / view.K[0, 0], view.height_px / view.K[1, 1]),
            ray_shift=(-view.K[0, 2] / view.K[0, 0], -view.K[1, 2] / view.K[1, 1]),
            ambient_up=lighting.ambient_up,
            ambient_down=lighting.ambient_down,
            outside_gain=lighting.outside_gain,
            num_samples=_OCCLUSION_SAMPLES,
        )  # fmt: skip
        self.screens["light"].render(self.gl.TRIANGLES, 3)

    def _view(self, program: Any, view: Pinhole, reflect: F64, plane: tuple[float, ...]) -> None:
        camera = np.linalg.inv(view.T_world_camera) @ reflect
        self._tables(program)
        _put(program, clip_world=(clip_matrix(view) @ camera).T, camera_world=camera.T, plane=plane)

    def _tables(self, program: Any) -> None:
        for k, (name, table) in enumerate(
            (("items", self.items), ("surfaces", self.surfaces), ("textures", self.textures))
        ):
            table.use(k)
            _put(program, **{name: k})

    def _render(self, name: str, part: str) -> None:
        if len(getattr(self.buffers, part)):
            self.arrays[name, part].render(self.gl.TRIANGLES)

    def _visible_mirror(self, view: Pinhole) -> MirrorPlane | None:
        """The nearest mirror before the camera that faces it and reaches into the frame."""
        eye = view.T_world_camera[:3, 3]
        best, nearest = None, np.inf
        for mirror in self.scene.mirrors:
            offset = np.asarray(mirror.point_m) - eye
            if float(np.asarray(mirror.normal) @ offset) > -0.05:
                continue
            local = view.T_world_camera[:3, :3].T @ offset
            away = float(np.linalg.norm(offset))
            if local[2] > -0.5 and away < nearest:
                best, nearest = mirror, away
        return best

    def alone(
        self, view: Pinhole, instances: Sequence[int], size: tuple[int, int]
    ) -> NDArray[np.int64]:
        """Pixels that each instance covers with nothing else there, in a frame of ``size``."""
        if not instances:
            return np.zeros(0, np.int64)
        gl, program = self.gl, self.programs["mask"]
        self._view(program, view, np.eye(4), _NO_PLANE)
        rows = -(-len(instances) // _MASK_COLUMNS)
        frame = self._mask_frame((size[0] * _MASK_COLUMNS, size[1] * rows))
        frame.use()
        frame.viewport = (0, 0, *frame.size)
        frame.clear()
        gl.enable_only(gl.NOTHING)
        spans = self._spans_of(instances)
        for k in range(len(instances)):
            corner = (k % _MASK_COLUMNS * size[0], k // _MASK_COLUMNS * size[1])
            frame.viewport = (*corner, *size)
            for part, first, number in spans[k]:
                self.arrays["mask", part].render(gl.TRIANGLES, vertices=number, first=first)
        frame.viewport = (0, 0, *frame.size)
        raw = np.frombuffer(frame.read(components=1, alignment=1), np.uint8)
        width = size[0] * _MASK_COLUMNS
        used = raw.reshape(-1, width)[: rows * size[1]]
        tiles = used.reshape(rows, size[1], _MASK_COLUMNS, size[0]) > 0
        return tiles.sum(axis=(1, 3)).ravel()[: len(instances)]

    def _spans_of(self, instances: Sequence[int]) -> list[list[tuple[str, int, int]]]:
        place = {instance: k for k, instance in enumerate(instances)}
        out: list[list[tuple[str, int, int]]] = [[] for _ in instances]
        for item, spans in zip(self.scene.items, self.buffers.spans, strict=True):
            if item.instance in place:
                for part, (first, number) in zip(("opaque", "glass"), spans, strict=True):
                    if number:
                        out[place[item.instance]].append((part, first, number))
        return out

    def _mask_frame(self, size: tuple[int, int]) -> Any:
        """A frame of exactly this width and at least this height."""
        for (width, height), frame in self.masks.items():
            if width == size[0] and height >= size[1]:
                return frame
        self.masks[size] = self.gl.framebuffer([self.gl.texture(size, 1)])
        return self.masks[size]


#: GL_CLIP_DISTANCE0.
_CLIP_DISTANCE = 0x3000


def _unit(direction: tuple[float, float, float]) -> F64:
    return np.asarray(direction) / np.linalg.norm(direction)


def _format(program: Any) -> tuple[str, ...]:
    """The vertex format with only what the program reads, the rest skipped."""
    formats, names = [], []
    for size, name in zip(_VERTEX[0].split(), _VERTEX[1:], strict=True):
        if name in program:
            formats.append(size)
            names.append(name)
        else:
            formats.append(f"{4 * int(size[0])}x")
    return (" ".join(formats), *names)


def _table(gl: Any, size: tuple[int, int]) -> Any:
    texture = gl.texture(size, 4, dtype="f4")
    texture.filter = (gl.NEAREST, gl.NEAREST)
    return texture


def _put(program: Any, **values: Any) -> None:
    """Set those uniforms that the program has kept."""
    for name, value in values.items():
        if name not in program:
            continue
        if isinstance(value, int):
            program[name].value = value
        else:
            program[name].write(np.ascontiguousarray(value, np.float32).tobytes())
