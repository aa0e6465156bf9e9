"""Rendered clips with exact truth: hand-held videos, and scattered frames for training.

Everything follows from (seed, config). Held-out seeds are in `spatialcode.seeds`.

A clip is made of shots: a furnished, lit room and a camera, rendered a frame at a time in the plan
frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.pinhole import Pinhole
from spatialcode.synthetic.imaging import Sensor, expose, jpeg, metered_gain, through_codec
from spatialcode.synthetic.layout import Interior, furnish
from spatialcode.synthetic.paths import (
    Motion,
    Walk,
    free_space,
    plan_motions,
    scattered_views,
    swept,
    walk,
)
from spatialcode.synthetic.placement import Placed
from spatialcode.synthetic.renderer import Traced, trace
from spatialcode.synthetic.renderers import PRIMITIVES, RENDERERS
from spatialcode.synthetic.rooms import plan_outline
from spatialcode.synthetic.stage import Stage, build_stage, shadow_map
from spatialcode.synthetic.textures import shade
from spatialcode.synthetic.truth import SyntheticClip

if TYPE_CHECKING:
    from spatialcode.synthetic.furnished.shots import FurnishedShot

__all__ = [
    "ClipConfig",
    "SyntheticClip",
    "assemble",
    "make_clip",
    "make_training_frames",
]

F64 = NDArray[np.float64]

_CLIP_CODEC_FPS = 15.0
_TRAINING_SPACING_S = 0.5


def make_clip(seed: int, config: ClipConfig | None = None) -> SyntheticClip:
    """A hand-held video sampled evenly: neighbours overlap, a real codec's artefacts included.

    Raises FurnitureError where the config asks for a renderer that cannot run here.
    """
    config = config or ClipConfig()
    shot = plan_shot(seed, config)
    progress = np.linspace(0, 1, config.num_frames) if config.num_frames > 1 else np.zeros(1)
    frames = list(shot.frames(progress))
    rgb = through_codec(np.stack([f.rgb for f in frames]), _CLIP_CODEC_FPS, shot.crf)
    return assemble(shot, shot.poses(progress), frames, rgb, progress * shot.duration_s)


def make_training_frames(
    seed: int, num_frames: int = 6, config: ClipConfig | None = None
) -> SyntheticClip:
    """``num_frames`` independent views of one set of rooms, JPEG-compressed; nothing moves."""
    config = replace(config or ClipConfig(), num_frames=num_frames, moving_share=0.0)
    shot, T = _shot_type(config).scattered(seed, num_frames, config)
    frames, rgb = [], []
    for pose in T:
        frames.append(shot.still(pose))
        rgb.append(jpeg(frames[-1].rgb, int(shot.rng.integers(45, 96))))
    times_s = _TRAINING_SPACING_S * np.arange(num_frames, dtype=np.float64)
    return assemble(shot, T, frames, np.stack(rgb), times_s)


def plan_shot(seed: int, config: ClipConfig) -> Shot | FurnishedShot:
    """The video of a seed by the config's renderer. Raises FurnitureError."""
    return _shot_type(config).plan(seed, config)


def _shot_type(config: ClipConfig) -> type[Shot | FurnishedShot]:
    if config.renderer == "furniture":
        from spatialcode.synthetic.furnished.shots import FurnishedShot

        return FurnishedShot
    return Shot


def assemble(
    shot: Shot | FurnishedShot,
    T_plan_camera: F64,
    frames: list[Frame],
    rgb: NDArray[np.uint8],
    times_s: F64,
) -> SyntheticClip:
    """Truth moved from the plan frame to the world frame."""
    forward = T_plan_camera[0, :3, 2]
    turn = np.pi / 2 - np.arctan2(forward[1], forward[0])
    c, s = np.cos(turn), np.sin(turn)
    W = np.eye(4)
    W[:2, :2] = [[c, -s], [s, c]]
    W[:2, 3] = -W[:2, :2] @ T_plan_camera[0, :2, 3]
    center = np.stack([f.center_m for f in frames])
    yaw = np.stack([f.yaw_rad for f in frames]) + turn
    plan = shot.interior.plan
    rooms = _rooms_with(plan.rects, T_plan_camera[:, :2, 3])
    polygon, area = plan_outline(plan, rooms)
    objects = shot.interior.objects
    moving = np.zeros(len(objects), bool)
    moving[[m.index for m in shot.motions]] = True
    return SyntheticClip(
        seed=shot.seed,
        rgb=rgb,
        depth_m=np.stack([f.depth_m for f in frames]),
        instance=np.stack([f.instance for f in frames]),
        K=shot.K,
        T_world_camera=W @ T_plan_camera,
        times_s=times_s,
        labels=tuple(p.model.label for p in objects),
        center_m=center @ W[:3, :3].T + W[:3, 3],
        size_m=np.array([p.model.size_m for p in objects]).reshape(-1, 3),
        yaw_rad=(yaw + np.pi) % (2 * np.pi) - np.pi,
        moving=moving,
        visibility=np.stack([f.visibility for f in frames]),
        room_polygon_m=polygon @ W[:2, :2].T + W[:2, 3],
        room_area_m2=area,
        ceiling_z_m=plan.ceiling_m,
    )


def _rooms_with(rects: tuple[tuple[float, float, float, float], ...], points: F64) -> list[int]:
    """Rooms that hold a point, in order; the first room if none does."""
    found = [
        k for k, (x0, y0, x1, y1) in enumerate(rects)
        if ((points[:, 0] >= x0) & (points[:, 0] <= x1)
            & (points[:, 1] >= y0) & (points[:, 1] <= y1)).any()
    ]  # fmt: skip
    return found or [0]


Rng = np.random.Generator
F32 = NDArray[np.float32]

#: Frames a full walk needs so that neighbours overlap (at most about 15 degrees apart).
FULL_WALK_FRAMES = 32
#: Progress between the two poses whose difference gives the camera's speed.
_SPEED_STEP = 1e-3
#: How much of the way to the right exposure a phone goes from frame to frame.
_EXPOSURE_RATE = 0.35


@dataclass(frozen=True)
class ClipConfig:
    """Size and length of a clip; ``moving_share`` of clips have moving objects.

    ``renderer``: one of `renderers.RENDERERS`.
    """

    num_frames: int = 32
    width_px: int = 160
    height_px: int = 120
    moving_share: float = 0.25
    renderer: str = PRIMITIVES

    def __post_init__(self) -> None:
        if self.renderer not in RENDERERS:
            raise ValueError(f"renderer: expected one of {RENDERERS}, got {self.renderer!r}")
        if self.num_frames < 1:
            raise ValueError(f"num_frames: expected at least 1, got {self.num_frames}")
        if self.width_px < 32 or self.height_px < 24 or self.width_px % 2 or self.height_px % 2:
            raise ValueError(
                f"width_px, height_px: expected even sizes of at least 32 x 24, "
                f"got {self.width_px} x {self.height_px}"
            )


@dataclass(frozen=True)
class Frame:
    """One rendered frame in the plan frame, before compression."""

    rgb: NDArray[np.uint8]
    depth_m: F32
    instance: NDArray[np.int16]
    visibility: F32
    center_m: F64
    yaw_rad: F64

    @classmethod
    def of(
        cls, rgb: NDArray[np.uint8], traced: Traced, stage: Stage, objects: tuple[Placed, ...]
    ) -> Frame:
        """What was traced, with the objects where they were."""
        return cls(
            rgb=rgb,
            depth_m=traced.depth_m,
            instance=stage.owner[traced.primitive].astype(np.int16),
            visibility=traced.visibility,
            center_m=np.array([p.center_m for p in objects]).reshape(-1, 3),
            yaw_rad=np.array([p.yaw_rad for p in objects]),
        )


def draw_intrinsics(rng: Rng, config: ClipConfig) -> F64:
    """Square pixels, horizontal field of view 50–80 degrees, principal point near the middle."""
    w, h = config.width_px, config.height_px
    f = w / 2 / np.tan(np.radians(rng.uniform(50, 80)) / 2)
    cx, cy = w * (0.5 + rng.normal(0, 0.01)), h * (0.5 + rng.normal(0, 0.01))
    return np.array([[f, 0.0, cx], [0.0, f, cy], [0.0, 0.0, 1.0]])


@dataclass
class Shot:
    """Everything random about a recording; rendering draws only the sensor's noise from ``rng``."""

    seed: int
    config: ClipConfig
    interior: Interior
    stage: Stage
    K: F64
    sensor: Sensor
    rng: Rng
    motions: tuple[Motion, ...] = ()
    path: Walk | None = None
    duration_s: float = 0.0
    crf: int = 23
    shutter_s: float = 0.0

    @classmethod
    def plan(cls, seed: int, config: ClipConfig) -> Shot:
        """The video of a seed: the same rooms and walk at any size and frame rate."""
        rng = np.random.default_rng([seed, 2])
        interior = furnish(rng)
        stage = build_stage(rng, interior)
        moves = rng.random() < config.moving_share
        motions = plan_motions(rng, interior) if moves else ()
        K, sensor = draw_intrinsics(rng, config), Sensor.draw(rng)
        space = free_space(interior, swept(interior, motions))
        duration_s = rng.uniform(9.0, 20.0)
        crf = int(rng.integers(15, 30))
        shutter_s = rng.uniform(0.004, 0.025)
        path = walk(rng, interior, space, min(1.0, config.num_frames / FULL_WALK_FRAMES))
        return cls(seed, config, interior, stage, K, sensor, rng, motions, path,
                   duration_s, crf, shutter_s)  # fmt: skip

    @classmethod
    def scattered(cls, seed: int, num_frames: int, config: ClipConfig) -> tuple[Shot, F64]:
        """A room and ``num_frames`` independent poses in it, (num_frames,4,4)."""
        rng = np.random.default_rng([seed, 1])
        interior = furnish(rng)
        stage = build_stage(rng, interior)
        T = scattered_views(rng, interior, num_frames)
        sensor, K = Sensor.draw(rng), draw_intrinsics(rng, config)
        return cls(seed, config, interior, stage, K, sensor, rng), T

    def poses(self, progress: F64) -> F64:
        """T_plan_camera (n,4,4) at progress (n,) in [0, 1]."""
        assert self.path is not None
        return self.path.at(progress)

    def frames(self, progress: F64) -> Iterator[Frame]:
        """Rendered frames in order; exposure adapts from one to the next."""
        gain = None
        for s, T in zip(progress, self.poses(progress), strict=True):
            objects = self._objects_at(float(s))
            traced, linear = self._render(T, objects)
            wanted = metered_gain(linear, self.sensor)
            gain = wanted if gain is None else gain * (wanted / gain) ** _EXPOSURE_RATE
            rgb = expose(
                linear, self.sensor, self.rng, gain=gain, motion_px=self._blur_px(float(s))
            )
            yield Frame.of(rgb, traced, self.stage, objects)

    def still(self, T_plan_camera: F64) -> Frame:
        """One frame of the rooms at rest, with its own exposure error and camera shake."""
        scale = self.config.width_px / 160
        blur = self.rng.exponential(1.2) * scale if self.rng.random() < 0.5 else 0.0
        jitter = float(np.exp(self.rng.normal(0, 0.15)))
        traced, linear = self._render(T_plan_camera, self.interior.objects)
        gain = metered_gain(linear, self.sensor) * jitter
        rgb = expose(linear, self.sensor, self.rng, gain=gain, motion_px=blur)
        return Frame.of(rgb, traced, self.stage, self.interior.objects)

    def _objects_at(self, s: float) -> tuple[Placed, ...]:
        objects = list(self.interior.objects)
        for motion in self.motions:
            placed = motion.place(objects[motion.index], s)
            objects[motion.index] = placed
            self.stage.pose(motion.index, placed.center_m, placed.yaw_rad)
        if self.motions:
            self.stage.shadow = shadow_map(self.interior, tuple(objects))
        return tuple(objects)

    def _render(self, T: F64, objects: tuple[Placed, ...]) -> tuple[Traced, F32]:
        view = Pinhole(self.K, T, self.config.width_px, self.config.height_px)
        traced = trace(self.stage, view, len(objects))
        return traced, shade(self.stage, view, traced)

    def _blur_px(self, s: float) -> float:
        """How far the picture turns while the shutter is open."""
        low, high = max(0.0, s - _SPEED_STEP), min(1.0, s + _SPEED_STEP)
        before, after = self.poses(np.array([low, high]))[:, :3, 2]
        angle = float(np.arccos(min(1.0, float(before @ after))))
        return angle / ((high - low) * self.duration_s) * self.shutter_s * float(self.K[0, 0])
