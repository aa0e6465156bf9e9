"""Clips as video files: a clip written as it is, or a seed's walk rendered at full rate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.schema import SpatialCode, VideoInfo
from spatialcode.synthetic.clips import FULL_WALK_FRAMES, ClipConfig, Frame, assemble, plan_shot
from spatialcode.synthetic.imaging import write_video
from spatialcode.synthetic.renderers import PRIMITIVES
from spatialcode.synthetic.truth import SyntheticClip, spatial_code

_CLEAN_CRF = 12


@dataclass(frozen=True)
class VideoConfig:
    """A full-rate recording: ``duration_s`` None takes the seed's own; ``crf`` likewise.

    ``num_truth_frames`` frames, evenly spread, come back with depth, instances and poses.
    """

    width_px: int = 640
    height_px: int = 480
    fps: float = 15.0
    duration_s: float | None = None
    crf: int | None = None
    num_truth_frames: int = 32
    moving_share: float = 0.25
    renderer: str = PRIMITIVES

    def __post_init__(self) -> None:
        for name in ("fps", "num_truth_frames"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if self.duration_s is not None and self.duration_s <= 0:
            raise ValueError(f"duration_s: expected more than 0, got {self.duration_s}")


def write_clip(clip: SyntheticClip, path: Path) -> SpatialCode:
    """Write the clip's frames as mp4 and return its exact code, which names that file.

    The frame rate is that of the clip's times.
    """
    fps = clip_fps(clip)
    # The frames have been through a codec before: this one should add nothing to be seen.
    write_video(path, iter(clip.rgb), fps, crf=_CLEAN_CRF)
    return spatial_code(clip, video_info(clip, path, fps, len(clip.times_s)))


def clip_fps(clip: SyntheticClip) -> float:
    """Frames a second of a clip's evenly spaced times; 1 for a single frame."""
    span = float(clip.times_s[-1] - clip.times_s[0])
    return (len(clip.times_s) - 1) / span if span > 0 else 1.0


def render_video(seed: int, path: Path, config: VideoConfig | None = None) -> SyntheticClip:
    """Render the walk of ``make_clip(seed)`` at full rate and size into an mp4.

    Frames are made, encoded and dropped one at a time; only the truth frames stay in memory.
    Their ``rgb`` is what the file holds, after the codec.
    """
    config = config or VideoConfig()
    size = (config.width_px, config.height_px)
    shot = plan_shot(
        seed, ClipConfig(FULL_WALK_FRAMES, *size, config.moving_share, config.renderer)
    )
    if config.duration_s is not None:
        shot.duration_s = config.duration_s
    count = max(2, round(shot.duration_s * config.fps))
    progress = np.linspace(0, 1, count)
    picks = np.unique(np.linspace(0, count - 1, min(count, config.num_truth_frames)).round()
                      .astype(int))  # fmt: skip
    wanted = set(picks.tolist())
    kept: list[Frame] = []

    def images() -> Iterator[NDArray[np.uint8]]:
        for k, frame in enumerate(shot.frames(progress)):
            if k in wanted:
                # Depth and instances are needed later, the picture comes from the file.
                kept.append(replace(frame, rgb=frame.rgb[:0]))
            yield frame.rgb

    write_video(path, images(), config.fps, crf=shot.crf if config.crf is None else config.crf)
    rgb = _read_frames(path, wanted)
    return assemble(shot, shot.poses(progress[picks]), kept, rgb, picks / config.fps)


def video_info(
    clip: SyntheticClip, path: Path, fps: float, num_frames: int, uri: str | None = None
) -> VideoInfo:
    """The schema's description of a file that holds a clip; ``uri`` None: the file's name."""
    height, width = clip.rgb.shape[1:3]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    times = tuple(float(t) for t in clip.times_s)
    return VideoInfo(uri or path.name, digest, num_frames / fps, fps, width, height, times)


def _read_frames(path: Path, wanted: set[int]) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        found = [
            frame.to_ndarray(format="rgb24")
            for k, frame in enumerate(container.decode(video=0))
            if k in wanted
        ]
    return np.stack(found)
