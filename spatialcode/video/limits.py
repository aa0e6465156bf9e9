"""What kind of video is accepted, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

FORMATS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv")
CODECS = (
    "h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "h263",
    "flv1", "prores",
)  # fmt: skip
#: What names of video files end in, where a folder is searched for them.
VIDEO_SUFFIXES = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".wmv", ".flv", ".ogv"),
        *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    }
)


def is_video_name(name: str) -> bool:
    """Whether a file of that name is taken for a video."""
    return PurePath(name).suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class VideoLimits:
    """What is accepted, checked before any frame is decoded; `num_threads` caps the decoder."""

    max_bytes: int = 8 * 2**30
    max_duration_s: float = 4 * 3600.0
    max_pixels: int = 4096 * 2304
    max_frames: int = 1_000_000
    max_samples: int = 4096
    max_output_bytes: int = 2 * 2**30
    num_threads: int = 1
    formats: tuple[str, ...] = FORMATS
    codecs: tuple[str, ...] = CODECS

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_duration_s", "max_pixels", "max_frames", "max_samples",
                     "max_output_bytes", "num_threads"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"VideoLimits.{name}: expected > 0, got {getattr(self, name)!r}")


DEFAULT_LIMITS = VideoLimits()
