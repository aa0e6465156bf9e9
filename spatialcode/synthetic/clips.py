"""Rendered clips with exact truth: hand-held videos, and scattered frames for training.

Everything follows from (seed, config). Held-out seeds are in `spatialcode.seeds`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spatialcode.synthetic.codec import through_codec
from spatialcode.synthetic.imaging import Sensor, jpeg
from spatialcode.synthetic.layout import furnish
from spatialcode.synthetic.paths import scattered_views
from spatialcode.synthetic.rooms import plan_outline
from spatialcode.synthetic.shots import ClipConfig, Frame, Shot, draw_intrinsics
from spatialcode.synthetic.stage import build_stage
from spatialcode.synthetic.truth import SyntheticClip

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
    """A hand-held video sampled evenly: neighbours overlap, a real codec's artefacts included."""
    config = config or ClipConfig()
    shot = Shot.plan(seed, config)
    progress = np.linspace(0, 1, config.num_frames) if config.num_frames > 1 else np.zeros(1)
    frames = list(shot.frames(progress))
    rgb = through_codec(np.stack([f.rgb for f in frames]), _CLIP_CODEC_FPS, shot.crf)
    return assemble(shot, shot.poses(progress), frames, rgb, progress * shot.duration_s)


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
    shot = Shot(seed, config, interior, stage, K, sensor, rng)
    frames, rgb = [], []
    for pose in T:
        frames.append(shot.still(pose))
        rgb.append(jpeg(frames[-1].rgb, int(rng.integers(45, 96))))
    times_s = _TRAINING_SPACING_S * np.arange(num_frames, dtype=np.float64)
    return assemble(shot, T, frames, np.stack(rgb), times_s)


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
