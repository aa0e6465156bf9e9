"""Recordings of rooms of real furniture, as `clips` makes clips of them.

Everything follows from (seed, size) and the catalogues installed. Seeds of held-out rooms take the
models that no other room has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.pinhole import Pinhole
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.synthetic.camera.exposure import adapted
from spatialcode.synthetic.camera.phone import Phone, Shutter, taken, wanted_gain
from spatialcode.synthetic.camera.rolling_shutter import turning
from spatialcode.synthetic.catalogue.models import catalogue, split_models
from spatialcode.synthetic.furnished.arranging import furnish_with
from spatialcode.synthetic.furnished.pieces import Stock
from spatialcode.synthetic.furnished.staging import moved_items, stage_scene
from spatialcode.synthetic.layout import Interior
from spatialcode.synthetic.paths import (
    Motion,
    Walk,
    free_space,
    plan_motions,
    scattered_views,
    swept,
    walk,
)
from spatialcode.synthetic.placement import Footprint, Placed, footprint_of
from spatialcode.synthetic.raster.rasteriser import Picture, Rasteriser, rasteriser
from spatialcode.synthetic.raster.staged import Staging
from spatialcode.synthetic.renderer import NEAR_M

if TYPE_CHECKING:
    from spatialcode.synthetic.clips import ClipConfig, Frame

Rng = np.random.Generator
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Streams of random numbers of a seed: the primitives' renderer has 1 and 2.
_VIDEO_STREAM, _FRAMES_STREAM = 3, 4
#: What hangs higher than this is in nobody's way.
_HEAD_M = 1.95
_SPEED_STEP = 1e-3
_EXPOSURE_RATE = 0.35
#: A wide frame for objects that the picture cuts: frames to each side, and cells across a frame.
_MARGIN_FRAMES, _COARSE_CELLS = 1, 40


@cache
def stock(held_out: bool) -> Stock:
    """What rooms to train on hold, or held-out ones. Raises FurnitureError."""
    train, kept = split_models(catalogue())
    return Stock(kept if held_out else train)


def furnished_room(rng: Rng, seed: int) -> Interior:
    """The interior of a seed, drawn from ``rng``."""
    return furnish_with(rng, stock(seed in HELD_OUT_ROOMS))


def in_the_way(interior: Interior) -> tuple[Interior, tuple[Footprint, ...]]:
    """The interior less what hangs overhead, and the places of its clutter: what a walk sees."""
    low = tuple(p for p in interior.objects if p.center_m[2] - p.model.size_m[2] / 2 < _HEAD_M)
    return replace(interior, objects=low), tuple(footprint_of(p) for p in interior.decor)


@dataclass
class FurnishedShot:
    """A recording of a room of real furniture: as `clips.Shot`, drawn by the rasteriser."""

    seed: int
    config: ClipConfig
    interior: Interior
    scene: Staging
    K: F64
    phone: Phone
    rng: Rng
    motions: tuple[Motion, ...] = ()
    path: Walk | None = None
    duration_s: float = 0.0
    crf: int = 23
    shutter_s: float = 0.0

    @classmethod
    def plan(cls, seed: int, config: ClipConfig) -> FurnishedShot:
        """The video of a seed: the same rooms and walk at any size and frame rate."""
        from spatialcode.synthetic.clips import FULL_WALK_FRAMES, draw_intrinsics

        rng = np.random.default_rng([seed, _VIDEO_STREAM])
        interior = furnished_room(rng, seed)
        scene = stage_scene(rng, interior)
        low, clutter = in_the_way(interior)
        moves = rng.random() < config.moving_share
        motions = plan_motions(rng, interior, clutter) if moves else ()
        K, phone = draw_intrinsics(rng, config), Phone.draw(rng)
        space = free_space(low, (*swept(interior, motions), *clutter))
        duration_s = rng.uniform(9.0, 20.0)
        crf = int(rng.integers(15, 30))
        shutter_s = rng.uniform(0.004, 0.025)
        path = walk(rng, low, space, min(1.0, config.num_frames / FULL_WALK_FRAMES))
        return cls(seed, config, interior, scene, K, phone, rng, motions, path,
                   duration_s, crf, shutter_s)  # fmt: skip

    @classmethod
    def scattered(cls, seed: int, num_frames: int, config: ClipConfig) -> tuple[FurnishedShot, F64]:
        """A room and ``num_frames`` independent poses in it, (num_frames,4,4)."""
        from spatialcode.synthetic.clips import draw_intrinsics

        rng = np.random.default_rng([seed, _FRAMES_STREAM])
        interior = furnished_room(rng, seed)
        scene = stage_scene(rng, interior)
        low, clutter = in_the_way(interior)
        poses = scattered_views(rng, low, num_frames, clutter)
        K, phone = draw_intrinsics(rng, config), Phone.draw(rng)
        return cls(seed, config, interior, scene, K, phone, rng), poses

    def poses(self, progress: F64) -> F64:
        """T_plan_camera (n,4,4) at progress (n,) in [0, 1]."""
        assert self.path is not None
        return self.path.at(progress)

    def frames(self, progress: F64) -> Iterator[Frame]:
        """Pictures in order; exposure adapts from one to the next."""
        gain = None
        for s, pose in zip(progress, self.poses(progress), strict=True):
            objects = self._objects_at(float(s))
            picture = self.picture(pose, objects)
            gain = adapted(gain, wanted_gain(picture, self.phone), _EXPOSURE_RATE)
            shutter = Shutter(self._turning(float(s)), self.shutter_s, gain)
            yield self._frame(pose, objects, picture, shutter)

    def still(self, T_plan_camera: F64) -> Frame:
        """One picture of the rooms at rest, with its own exposure error and a shaking hand."""
        objects = self.interior.objects
        picture = self.picture(T_plan_camera, objects)
        rate = self.rng.normal(0, 0.25, 3) * (0.0 if self.rng.random() < 0.4 else 1.0)
        gain = wanted_gain(picture, self.phone) * float(np.exp(self.rng.normal(0, 0.15)))
        shutter = Shutter(rate, float(self.rng.uniform(0.004, 0.03)), gain)
        return self._frame(T_plan_camera, objects, picture, shutter)

    def view(self, T_plan_camera: F64) -> Pinhole:
        """The pinhole of a pose."""
        return Pinhole(self.K, T_plan_camera, self.config.width_px, self.config.height_px)

    def picture(self, T_plan_camera: F64, objects: tuple[Placed, ...]) -> Picture:
        """What the rasteriser draws: exact, before the camera's effects."""
        return self._loaded(objects).draw(self.view(T_plan_camera))

    def _loaded(self, objects: tuple[Placed, ...]) -> Rasteriser:
        raster = rasteriser(self.config.width_px, self.config.height_px)
        if raster.scene is not self.scene:
            raster.load(self.scene)
        if self.motions:
            raster.move(moved_items(self.scene, objects, {m.index for m in self.motions}))
        return raster

    def _objects_at(self, s: float) -> tuple[Placed, ...]:
        objects = list(self.interior.objects)
        for motion in self.motions:
            objects[motion.index] = motion.place(objects[motion.index], s)
        return tuple(objects)

    def _turning(self, s: float) -> F64:
        low, high = max(0.0, s - _SPEED_STEP), min(1.0, s + _SPEED_STEP)
        before, after = self.poses(np.array([low, high]))
        return turning(before, after, (high - low) * self.duration_s)

    def _frame(
        self, pose: F64, objects: tuple[Placed, ...], picture: Picture, shutter: Shutter
    ) -> Frame:
        from spatialcode.synthetic.clips import Frame

        visibility = self.visibility(pose, objects, picture)
        rgb, seen = taken(picture, self.K, self.phone, shutter, self.rng)
        return Frame(
            rgb=rgb,
            depth_m=seen.depth_m,
            instance=seen.instance,
            visibility=visibility,
            center_m=np.array([p.center_m for p in objects]).reshape(-1, 3),
            yaw_rad=np.array([p.yaw_rad for p in objects]),
        )

    def visibility(self, pose: F64, objects: tuple[Placed, ...], picture: Picture) -> F32:
        """(M,) visible share of each object's projected area, past the frame's edge too."""
        out = np.zeros(len(objects), np.float32)
        inside = picture.instance[picture.instance >= 0]
        counts = np.bincount(inside, minlength=len(objects))
        seen = np.flatnonzero(counts).tolist()
        raster, view = self._loaded(objects), self.view(pose)
        whole = raster.alone(view, seen, raster.size).astype(np.float64)
        cut = [k for k in range(len(seen)) if leaves_frame(view, objects[seen[k]])]
        wide, cells = _wide(view)
        size = (wide.width_px, wide.height_px)
        beyond = raster.alone(wide, [seen[k] for k in cut], size) * cells
        for k, area in zip(cut, beyond, strict=True):
            whole[k] = max(whole[k], float(area))
        out[seen] = counts[seen] / np.maximum(np.maximum(whole, counts[seen]), 1.0)
        return out


def _wide(view: Pinhole) -> tuple[Pinhole, float]:
    """The view over its margins too, coarsely, and how many pixels one of its cells covers."""
    step = view.width_px / _COARSE_CELLS
    across = 2 * _MARGIN_FRAMES + 1
    columns, rows = _COARSE_CELLS * across, round(view.height_px / step) * across
    K = view.K.copy()
    K[0, 2] += _MARGIN_FRAMES * view.width_px
    K[1, 2] += _MARGIN_FRAMES * view.height_px
    K[:2] /= step
    return Pinhole(K, view.T_world_camera, columns, rows), step * step


def leaves_frame(view: Pinhole, placed: Placed) -> bool:
    """Whether a placed box reaches past the frame's edge or behind the camera."""
    w, d, h = placed.model.size_m
    c, s = np.cos(placed.yaw_rad), np.sin(placed.yaw_rad)
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    local = signs * (w / 2, d / 2, h / 2)
    corners = local @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + np.asarray(placed.center_m)
    at = (corners - view.T_world_camera[:3, 3]) @ view.T_world_camera[:3, :3]
    if at[:, 2].min() < NEAR_M:
        return True
    u = view.K[0, 0] * at[:, 0] / at[:, 2] + view.K[0, 2]
    v = view.K[1, 1] * at[:, 1] / at[:, 2] + view.K[1, 2]
    outside = (u.min() < 0, v.min() < 0, u.max() > view.width_px, v.max() > view.height_px)
    return any(outside)
