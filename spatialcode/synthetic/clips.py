"""Rendered clips with exact truth: hand-held videos, and scattered frames for training.

Everything follows from (seed, config). Held-out seeds start at HELD_OUT_SEED.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.codec import through_codec
from spatialcode.synthetic.imaging import Sensor, expose, jpeg, metered_gain
from spatialcode.synthetic.layout import Interior, furnish
from spatialcode.synthetic.motion import Motion, plan_motions, swept
from spatialcode.synthetic.outline import plan_outline
from spatialcode.synthetic.paths import free_space, scattered_views, walk
from spatialcode.synthetic.renderer import View, trace
from spatialcode.synthetic.stage import Stage, build_stage, shadow_map
from spatialcode.synthetic.textures import shade

Rng = np.random.Generator
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Seeds from here on are never trained on.
HELD_OUT_SEED = 1_000_000_000


@dataclass(frozen=True)
class ClipConfig:
    """Size and length of a clip; ``moving_share`` of clips have moving objects."""

    num_frames: int = 32
    width_px: int = 160
    height_px: int = 120
    moving_share: float = 0.25

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise ValueError(f"num_frames: expected at least 1, got {self.num_frames}")
        if self.width_px < 32 or self.height_px < 24 or self.width_px % 2 or self.height_px % 2:
            raise ValueError(
                f"width_px, height_px: expected even sizes of at least 32 x 24, "
                f"got {self.width_px} x {self.height_px}"
            )


@dataclass(frozen=True)
class SyntheticClip:
    """N frames of M objects. World frame: origin on the floor under the first camera, +y its
    horizontal viewing direction. ``instance``: -1 floor, -2 wall, -3 ceiling, else the object.
    ``visibility``: visible share of the object's projected area, by frame and object."""

    seed: int
    rgb: NDArray[np.uint8]
    depth_m: F32
    instance: NDArray[np.int16]
    K: F64
    T_world_camera: F64
    times_s: F64
    labels: tuple[str, ...]
    center_m: F64
    size_m: F64
    yaw_rad: F64
    moving: NDArray[np.bool_]
    visibility: F32
    room_polygon_m: F64
    room_area_m2: float
    ceiling_z_m: float


@dataclass(frozen=True)
class Frame:
    """One rendered frame in the plan frame, before the codec."""

    rgb: NDArray[np.uint8]
    depth_m: F32
    instance: NDArray[np.int16]
    visibility: F32
    center_m: F64
    yaw_rad: F64


def make_clip(seed: int, config: ClipConfig | None = None) -> SyntheticClip:
    """A hand-held video sampled evenly: neighbours overlap, a real codec's artefacts included."""
    config = config or ClipConfig()
    shot = Shot.plan(seed, config)
    progress = np.linspace(0, 1, config.num_frames) if config.num_frames > 1 else np.zeros(1)
    T, frames = shot.poses(progress), list(shot.frames(progress))
    rgb = through_codec(np.stack([f.rgb for f in frames]), 15.0, shot.crf)
    return assemble(shot, T, frames, rgb, progress * shot.duration_s)


def make_training_frames(
    seed: int, num_frames: int = 6, config: ClipConfig | None = None
) -> SyntheticClip:
    """``num_frames`` independent views of one set of rooms, JPEG-compressed; nothing moves."""
    config = replace(config or ClipConfig(), num_frames=num_frames, moving_share=0.0)
    rng = np.random.default_rng([seed, 1])
    interior = furnish(rng)
    stage = build_stage(rng, interior)
    T = scattered_views(rng, interior, num_frames)
    sensor, K = Sensor.draw(rng), draw_intrinsics(rng, config)
    shot = Shot(seed, config, interior, stage, (), K, sensor, rng)
    frames = []
    for k in range(num_frames):
        blur = rng.exponential(1.2) * config.width_px / 160 if rng.random() < 0.5 else 0.0
        frame = shot.frame(T[k], gain_jitter=float(np.exp(rng.normal(0, 0.15))), motion_px=blur)
        rgb = jpeg(frame.rgb, int(rng.integers(45, 96)))
        frames.append(replace(frame, rgb=rgb))
    return assemble(shot, T, frames, np.stack([f.rgb for f in frames]), 0.5 * np.arange(num_frames))


def draw_intrinsics(rng: Rng, config: ClipConfig) -> F64:
    """Square pixels, horizontal field of view 50–80 degrees, principal point near the middle."""
    w, h = config.width_px, config.height_px
    f = w / 2 / np.tan(np.radians(rng.uniform(50, 80)) / 2)
    cx, cy = w * (0.5 + rng.normal(0, 0.01)), h * (0.5 + rng.normal(0, 0.01))
    return np.array([[f, 0.0, cx], [0.0, f, cy], [0.0, 0.0, 1.0]])


class Shot:
    """A furnished, lit room with a camera: renders frames one at a time."""

    def __init__(
        self, seed: int, config: ClipConfig, interior: Interior, stage: Stage,
        motions: tuple[Motion, ...], K: F64, sensor: Sensor, rng: Rng,
    ) -> None:  # fmt: skip
        self.seed, self.config, self.interior, self.stage = seed, config, interior, stage
        self.motions, self.K, self.sensor, self.rng = motions, K, sensor, rng
        self.duration_s, self.crf, self.shutter_s, self.path = 0.0, 23, 0.0, None

    @classmethod
    def plan(cls, seed: int, config: ClipConfig) -> Shot:
        """Everything random about a video of ``seed`` but the sensor's noise."""
        rng = np.random.default_rng([seed, 2])
        interior = furnish(rng)
        stage = build_stage(rng, interior)
        moves = rng.random() < config.moving_share
        motions = plan_motions(rng, interior) if moves else ()
        shot = cls(seed, config, interior, stage, motions, draw_intrinsics(rng, config),
                   Sensor.draw(rng), rng)  # fmt: skip
        space = free_space(interior, swept(interior, motions))
        shot.duration_s = rng.uniform(9.0, 20.0)
        shot.crf = int(rng.integers(15, 30))
        shot.shutter_s = rng.uniform(0.004, 0.025)
        shot.path = walk(rng, interior, space, min(1.0, config.num_frames / 32))
        return shot

    def poses(self, progress: F64) -> F64:
        """T_plan_camera (n,4,4)."""
        assert self.path is not None
        return self.path.at(progress)

    def frames(self, progress: F64) -> Iterator[Frame]:
        """Rendered frames in order."""
        T = self.poses(progress)
        gain = None
        eps = 1e-3
        for k, s in enumerate(progress):
            pair = self.poses(np.array([max(0.0, s - eps), min(1.0, s + eps)]))
            span = (min(1.0, s + eps) - max(0.0, s - eps)) * self.duration_s
            cosine = float(pair[0, :3, 2] @ pair[1, :3, 2])
            speed = np.arccos(min(1.0, cosine)) / span
            blur = speed * self.shutter_s * self.K[0, 0]
            frame, gain = self._frame(T[k], float(s), gain, blur)
            yield frame

    def frame(self, T: F64, *, gain_jitter: float, motion_px: float) -> Frame:
        """One frame of the rooms at rest."""
        return self._frame(T, 0.0, None, motion_px, gain_jitter)[0]

    def _frame(
        self, T: F64, s: float, gain: float | None, motion_px: float, jitter: float = 1.0
    ) -> tuple[Frame, float]:
        stage, interior, config = self.stage, self.interior, self.config
        objects = list(interior.objects)
        for motion in self.motions:
            placed = motion.place(objects[motion.index], s)
            objects[motion.index] = placed
            stage.pose(motion.index, placed.center_m, placed.yaw_rad)
        if self.motions:
            stage.shadow = shadow_map(interior, tuple(objects))
        view = View(self.K, T, config.width_px, config.height_px)
        traced = trace(stage, view, len(objects))
        linear = shade(stage, view, traced)
        wanted = metered_gain(linear, self.sensor) * jitter
        # Phones adapt over several frames.
        gain = wanted if gain is None else gain * (wanted / gain) ** 0.35
        rgb = expose(linear, self.sensor, self.rng, gain=gain, motion_px=motion_px)
        center = np.array([p.center_m for p in objects]).reshape(-1, 3)
        yaw = np.array([p.yaw_rad for p in objects])
        instance = stage.owner[traced.primitive].astype(np.int16)
        return Frame(rgb, traced.depth_m, instance, traced.visibility, center, yaw), gain


def assemble(
    shot: Shot, T_plan_camera: F64, frames: list[Frame], rgb: NDArray[np.uint8], times_s: F64
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
