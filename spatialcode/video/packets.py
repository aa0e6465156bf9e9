"""Every packet of a video stream, read without decoding: times, key frames, damage marks.

One pass over the compressed bytes costs a small fraction of decoding them and gives what
containers often do not declare or declare wrongly: the exact number of frames, each one's
presentation time, where decoding can start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import av
import av.container
import av.video.stream
import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import CorruptVideoError, EmptyVideoError, VideoLimitError
from spatialcode.video.h264 import PictureNumbers

NONE = np.iinfo(np.int64).min
# VP8 keeps reference pictures that are never shown as packets of their own (RFC 6386, 9.1).
VP8_SHOW_FRAME = 0x10


@dataclass(frozen=True)
class PacketTable:
    """Packets in decoding order; times in ticks of `time_base` seconds.

    `order` lists the packets that are shown, by presentation time. Without `has_exact_pts`
    (AVI, missing or repeated stamps) times come from the decoder as frames appear, and
    `shown_ticks` is only the best guess before decoding. `holes` are packets before which a
    reference picture is missing.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    key: NDArray[np.bool_]
    order: NDArray[np.int64]
    shown_ticks: NDArray[np.int64]
    time_base: Fraction
    last_duration: int
    has_exact_pts: bool
    num_corrupt: int
    holes: tuple[int, ...]
    damage: str | None

    @property
    def num_frames(self) -> int:
        return len(self.shown_ticks)

    @cached_property
    def times_s(self) -> NDArray[np.float64]:
        """Presentation times of the shown frames, seconds from the first, (N,)."""
        ticks: NDArray[np.int64] = self.shown_ticks - self.shown_ticks[0]
        return ticks.astype(np.float64) * float(self.time_base)

    @property
    def duration_s(self) -> float:
        """From the first frame's presentation to the end of the last one's."""
        span = int(self.shown_ticks[-1] - self.shown_ticks[0])
        return float((span + self.last_duration) * self.time_base)

    @property
    def fps(self) -> float:
        """Mean rate: exact for a constant one, the average for a variable one."""
        return self.num_frames / self.duration_s if self.duration_s > 0 else 0.0

    def without_undecodable_start(
        self, first_tick: int | None, *, is_broadcast: bool
    ) -> PacketTable:
        """Leave out frames that no decoder can show because what they refer to was cut off.

        They come before the first key packet (in broadcast formats, which are tuned into at
        any moment; elsewhere that is damage), or after it but are shown before it (a cut in an
        open GOP). `first_tick` is the presentation time of the first frame that decodes.
        """
        keys = np.flatnonzero(self.key)
        if not self.has_exact_pts or not len(keys):
            return self
        first = int(keys[0])
        early = (self.order < first) & is_broadcast
        if first_tick is not None:
            leading = (self.order > first) & (self.pts[self.order] < self.pts[first])
            early |= leading & (self.pts[self.order] < first_tick)
        order = self.order[~early]
        return replace(self, order=order, shown_ticks=self.pts[order])

    def start_for(self, packet: int) -> int:
        """The key packet to start from so that `packet` decodes exactly.

        A picture stored after a key frame but shown before it (open GOP) refers to what
        precedes the key frame, so it needs the key frame before that.
        """
        keys = np.flatnonzero(self.key[: packet + 1])
        for key in keys[::-1]:
            if self.pts[key] <= self.pts[packet]:
                return int(key)
        return 0


@dataclass
class _Reading:
    """What one pass over the packets collects."""

    rows: list[tuple[int, int, bool, bool, int]]
    holes: list[int]
    num_corrupt: int = 0
    damage: str | None = None


def scan(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    max_frames: int,
) -> PacketTable:
    """Read all packets of `stream`. Stops with VideoLimitError past `max_frames`."""
    reading = _Reading([], [])
    try:
        _read(container, stream, max_frames, reading)
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError as error:
        reading.damage = f"reading packets stopped after {len(reading.rows)}: {error.strerror}"
    if not reading.rows:
        if reading.damage:
            raise CorruptVideoError(reading.damage)
        raise EmptyVideoError("the video stream holds no packets")
    assert stream.time_base is not None
    return _table(reading, container.format.name, stream.time_base)


def _read(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    max_frames: int,
    reading: _Reading,
) -> None:
    numbers = _picture_numbers(stream)
    is_vp8 = stream.codec_context.codec.canonical_name == "vp8"
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        hidden = packet.is_discard or (is_vp8 and not bytes(packet)[0] & VP8_SHOW_FRAME)
        pts = NONE if packet.pts is None else packet.pts
        dts = NONE if packet.dts is None else packet.dts
        if numbers and numbers.follows_hole(bytes(packet), is_key=packet.is_keyframe):
            reading.holes.append(len(reading.rows))
        reading.rows.append((pts, dts, packet.is_keyframe, hidden, packet.duration or 0))
        reading.num_corrupt += packet.is_corrupt
        if len(reading.rows) > max_frames:
            raise VideoLimitError("frames", f"more than {max_frames}")


def _table(reading: _Reading, format_name: str, time_base: Fraction) -> PacketTable:
    fields = zip(*reading.rows, strict=True)
    pts, dts, key, hidden, durations = (np.asarray(field) for field in fields)
    exact = _has_exact_pts(format_name, pts, dts)
    shown = np.flatnonzero(~hidden.astype(bool))
    if not len(shown):
        raise EmptyVideoError("every packet of the video stream is marked as not to be shown")
    if exact:
        order = shown[np.argsort(pts[shown], kind="stable")]
        ticks = pts[order]
    else:
        order = shown
        stamps = dts if format_name == "avi" else np.where(pts == NONE, dts, pts)
        ticks = np.sort(_filled(stamps[shown]))
    last = int(durations[order[-1]]) or _median_step(ticks)
    return PacketTable(
        pts=pts, dts=dts, key=key.astype(bool), order=order, shown_ticks=ticks,
        time_base=time_base, last_duration=last, has_exact_pts=exact,
        num_corrupt=reading.num_corrupt, holes=tuple(reading.holes), damage=reading.damage,
    )  # fmt: skip


def _picture_numbers(stream: av.video.stream.VideoStream) -> PictureNumbers | None:
    if stream.codec_context.codec.canonical_name != "h264":
        return None
    return PictureNumbers(stream.codec_context.extradata)


def _has_exact_pts(format_name: str, pts: NDArray[np.int64], dts: NDArray[np.int64]) -> bool:
    # AVI stores no presentation times; FFmpeg's guesses are wrong with B-frames.
    complete = bool((pts != NONE).all() and (dts != NONE).all())
    return (
        format_name != "avi"
        and complete
        and len(np.unique(pts)) == len(pts)
        and bool((np.diff(dts) > 0).all())
    )


def _filled(ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Missing stamps replaced by the previous one plus the usual step."""
    known = ticks[ticks != NONE]
    step = _median_step(np.sort(known))
    filled, last = ticks.copy(), (int(known[0]) if len(known) else 0) - step
    for i, tick in enumerate(filled):
        filled[i] = last + step if tick == NONE else tick
        last = int(filled[i])
    return filled


def _median_step(ticks: NDArray[np.int64]) -> int:
    steps = np.diff(ticks)
    steps = steps[steps > 0]
    return int(np.median(steps)) if len(steps) else 1
