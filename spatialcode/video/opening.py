"""Accept a file within limits and learn all that can be known before decoding it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from spatialcode.errors import (
    CorruptVideoError,
    TruncatedVideoError,
    UnsupportedVideoError,
    VideoLimitError,
)
from spatialcode.video.containers import check_container
from spatialcode.video.limits import VideoLimits
from spatialcode.video.packets import PacketTable, scan
from spatialcode.video.source import Orientation, VideoFile, check_file, first_frame, square_size


@dataclass(frozen=True)
class VideoProbe:
    """Facts of one video. Sizes are upright and of square pixels; `rotation_deg` is clockwise.

    `num_frames`, `duration_s` and `fps` are counted from the packets, not read from headers.
    `sha256` is empty when it was not asked for.
    """

    uri: str
    num_bytes: int
    sha256: str
    format: str
    codec: str
    duration_s: float
    fps: float
    width_px: int
    height_px: int
    rotation_deg: int
    num_frames: int | None


@dataclass(frozen=True)
class OpenedVideo:
    """An accepted video whose packets are known; `source` can open it again from the start."""

    source: VideoFile
    packets: PacketTable
    facts: VideoProbe
    orientation: Orientation
    num_indexed: int
    container_damage: CorruptVideoError | TruncatedVideoError | None


@contextlib.contextmanager
def open_video(path: str | os.PathLike[str], limits: VideoLimits) -> Iterator[OpenedVideo]:
    """Open a local file within `limits`, scan its packets, decode one frame for its orientation.

    Raises the VideoError family. Damage that leaves packets readable is not raised here.
    """
    path = Path(path)
    num_bytes, format_name = check_file(path, limits)
    damage = _container_damage(path, format_name)
    try:
        source = VideoFile(path, format_name, limits)
    except CorruptVideoError as error:
        raise damage or error from error
    with source:
        codec = _check_stream(source, limits)
        num_indexed = len(source.stream.index_entries) if format_name == "mov" else 0
        packets = scan(source.container, source.stream, limits.max_frames)
        if packets.duration_s > limits.max_duration_s:
            raise VideoLimitError(
                "duration", f"{packets.duration_s:.1f} s, at most {limits.max_duration_s:g} s"
            )
        first_tick, orientation = first_frame(source)
        packets = packets.without_undecodable_start(
            first_tick, is_broadcast=format_name in ("mpegts", "mpeg")
        )
        width, height = square_size(source.stream)
        if orientation.swaps_sides:
            width, height = height, width
        facts = VideoProbe(
            uri=str(path), num_bytes=num_bytes, sha256="", format=format_name, codec=codec,
            duration_s=packets.duration_s, fps=packets.fps, width_px=width, height_px=height,
            rotation_deg=orientation.rotation_deg, num_frames=packets.num_frames,
        )  # fmt: skip
        yield OpenedVideo(source, packets, facts, orientation, num_indexed, damage)


def _container_damage(
    path: Path, format_name: str
) -> CorruptVideoError | TruncatedVideoError | None:
    try:
        with path.open("rb") as file:
            check_container(file, format_name)
    except (CorruptVideoError, TruncatedVideoError) as error:
        return error
    return None


def _check_stream(source: VideoFile, limits: VideoLimits) -> str:
    """Codec, pixels and what the header declares; returns the codec's name."""
    context, stream = source.stream.codec_context, source.stream
    if context is None:
        raise UnsupportedVideoError("the video stream's codec is unknown")
    codec = context.codec.canonical_name
    if codec not in limits.codecs:
        raise UnsupportedVideoError(f"codec {codec} is not allowed")
    if context.width * context.height > limits.max_pixels:
        raise VideoLimitError(
            "pixels", f"{context.width} x {context.height}, at most {limits.max_pixels}"
        )
    if stream.frames > limits.max_frames:
        raise VideoLimitError("frames", f"{stream.frames}, at most {limits.max_frames}")
    declared_s = (source.container.duration or 0) / av.time_base
    if declared_s > limits.max_duration_s:
        found = f"{declared_s:.1f} s, at most {limits.max_duration_s:g} s"
        raise VideoLimitError("duration", found)
    return codec
