"""A local file opened by FFmpeg: named demuxer, file protocol only, capped threads.

It is accepted within limits, and all that can be known before decoding is learned. Its display
matrix says how stored pictures must be turned and mirrored to stand upright.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Self, cast

import av
import av.container
import av.stream
import av.video.frame
import av.video.stream
import numpy as np
from av.buffer import Buffer
from numpy.typing import NDArray

from spatialcode.errors import (
    CorruptVideoError,
    EmptyVideoError,
    NoVideoStreamError,
    TruncatedVideoError,
    UnsupportedVideoError,
    VideoLimitError,
    VideoNotFoundError,
)
from spatialcode.scene.lens import Lens
from spatialcode.video.atoms import mov_metadata
from spatialcode.video.containers import HEAD_BYTES, check_container, sniff
from spatialcode.video.lens import FileMetadata, lens_of
from spatialcode.video.limits import VideoLimits
from spatialcode.video.packets import PacketTable, scan

# These mark no frame as damaged when they patch it up: a failed check must raise instead.
UNMARKED_CODECS = frozenset(("mjpeg", "mpeg1video", "mpeg2video"))
MAX_PACKETS_TO_FIRST_FRAME = 256


class VideoFile:
    """Container and picture stream of one file; `reopen` starts again from the first packet."""

    container: av.container.InputContainer
    stream: av.video.stream.VideoStream

    def __init__(self, path: Path, format_name: str, limits: VideoLimits) -> None:
        self.path = path
        self.format_name = format_name
        self.limits = limits
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def reopen(self) -> None:
        """A fresh container and decoder at the first packet."""
        self.container.close()
        self._open()

    def _open(self) -> None:
        try:
            # The prefix keeps a name with a colon from being read as a protocol.
            self.container = av.open(
                f"file:{self.path.absolute()}",
                format=self.format_name,
                options={"protocol_whitelist": "file"},
                metadata_errors="replace",  # names and places need not be UTF-8
            )
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            raise CorruptVideoError(
                f"unreadable {self.format_name} container: {error.strerror}"
            ) from error
        try:
            self.stream = _picture_stream(self.container)
        except NoVideoStreamError:
            self.container.close()
            raise
        context = self.stream.codec_context
        if context is None:
            return
        context.thread_count = self.limits.num_threads
        context.thread_type = "SLICE"
        # FFmpeg counts the padding of its buffers, too: this only keeps a stream that grows
        # half-way from taking memory before its first large frame is refused.
        options = {"max_pixels": str(2 * self.limits.max_pixels + 65_536)}
        if context.codec.canonical_name in UNMARKED_CODECS:
            options["err_detect"] = "crccheck+bitstream+buffer+explode"
        context.options = options


def check_file(path: Path, limits: VideoLimits) -> tuple[int, str]:
    """Size and format (by content, never by name) of a regular file within the limits."""
    try:
        status = path.stat()
    except OSError as error:
        raise VideoNotFoundError(str(error.strerror), path) from error
    if not S_ISREG(status.st_mode):
        raise VideoNotFoundError("not a regular file", path)
    if status.st_size == 0:
        raise EmptyVideoError("the file is empty", path)
    if status.st_size > limits.max_bytes:
        raise VideoLimitError("bytes", f"{status.st_size}, at most {limits.max_bytes}")
    try:
        with path.open("rb") as file:
            format_name = sniff(file.read(HEAD_BYTES))
            if format_name not in limits.formats:
                raise UnsupportedVideoError(f"format {format_name} is not allowed")
    except PermissionError as error:
        raise VideoNotFoundError(str(error.strerror), path) from error
    return status.st_size, format_name


def _picture_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    for stream in container.streams.video:
        # A cover picture of an audio file is a video stream of one frame.
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
    raise NoVideoStreamError(f"no video stream; streams: {kinds}")


def first_frame(source: VideoFile) -> tuple[int | None, Orientation]:
    """Presentation tick and orientation of the first frame that decodes; (None, upright) if
    none of the first packets gives one. Leaves `source` at the start.
    """
    source.reopen()
    found: tuple[int | None, Orientation] = (None, Orientation())
    num_packets = 0
    try:
        for packet in source.container.demux(source.stream):
            num_packets += 1
            if not packet.size and packet.dts is not None:
                continue
            try:
                frames = source.stream.codec_context.decode(packet if packet.size else None)
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                frames = []  # judged when the wanted frames are decoded
            if frames:
                found = frames[0].pts, frame_orientation(frames[0])
                break
            if num_packets > MAX_PACKETS_TO_FIRST_FRAME or not packet.size:
                break
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError:
        found = (None, Orientation())  # the packet scan reports it
    source.reopen()
    return found


def frame_orientation(frame: av.video.frame.VideoFrame) -> Orientation:
    """How `frame` must be turned, from its display matrix."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know all kinds of side data, such as Exif
        return Orientation(-round(frame.rotation / 90) % 4 * 90)
    return orientation_of(bytes(cast(Buffer, data))) if data is not None else Orientation()


def square_size(stream: av.video.stream.VideoStream) -> tuple[int, int]:
    """Stored width and height once pixels are made square; odd ratios are not believed."""
    width, height = stream.codec_context.width, stream.codec_context.height
    ratio = stream.sample_aspect_ratio
    if ratio and 0.25 <= ratio <= 4:
        width = max(1, round(width * ratio))
    return width, height


@dataclass(frozen=True)
class Orientation:
    """Mirror left to right first (if `mirrored`), then turn clockwise by `rotation_deg`."""

    rotation_deg: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        return self.rotation_deg % 180 == 90

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright picture of a stored one, (H, W, 3); a view where possible."""
        if self.mirrored:
            picture = picture[:, ::-1]
        return np.rot90(picture, k=-self.rotation_deg // 90)


def orientation_of(matrix: bytes | None) -> Orientation:
    """From the nine native-endian int32 of an FFmpeg display matrix; None means upright.

    Angles that are no multiple of 90 degrees go to the nearest one. Source: the matrix maps a
    stored point (x, y) to the display point (a x + c y, b x + d y), x right and y down
    (ISO/IEC 14496-12, 8.2.2 and libavutil/display.h).
    """
    if matrix is None:
        return Orientation()
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    mirrored = a * d - b * c < 0
    if mirrored:
        # Undo the mirroring applied first: it negates what stored x contributes.
        a, b = -a, -b
    angle_deg = float(np.degrees(np.arctan2(b, a)))
    return Orientation(round(angle_deg / 90) % 4 * 90, mirrored)


@dataclass(frozen=True)
class VideoProbe:
    """Facts of one video. Sizes are upright and of square pixels; `rotation_deg` is clockwise.

    `num_frames`, `duration_s` and `fps` are counted from the packets, not read from headers.
    `sha256` is empty when it was not asked for. `lens`: what the file says of it.
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
    lens: Lens | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> VideoProbe:
        """From what `dataclasses.asdict` makes of one."""
        lens = facts.get("lens")
        return cls(**{**facts, "lens": None if lens is None else Lens(**lens)})


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
        metadata = file_metadata(source)
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
            lens=lens_of(metadata, (width, height)),
        )  # fmt: skip
        yield OpenedVideo(source, packets, facts, orientation, num_indexed, damage)


def file_metadata(source: VideoFile) -> FileMetadata:
    """What the file says beside its pictures; one packet is read where pictures are JPEG files.

    Leaves `source` somewhere in the file.
    """
    tags = {**source.container.metadata, **source.stream.metadata}
    if source.format_name == "mov":
        with source.path.open("rb") as file:
            return FileMetadata.of(tags, mov_metadata(file), _first_jpeg(source))
    return FileMetadata.of(tags, jpeg=_first_jpeg(source))


def _first_jpeg(source: VideoFile) -> bytes:
    """The first packet where it holds a JPEG picture, else nothing."""
    if source.stream.codec_context.codec.canonical_name != "mjpeg":
        return b""
    source.reopen()
    try:
        return next((bytes(p) for p in source.container.demux(source.stream) if p.size), b"")
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError:
        return b""  # the packet scan reports it


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
