"""The two ways to reach wanted frames: by known packets with seeks, or in order from the start.

On the way signs of damage are noticed, those included that FFmpeg conceals: whether the container
is as long as it says (`containers`), whether packets arrive whole and as many as the index lists,
whether every packet on the way to a wanted frame decodes without an error and without a frame that
the decoder marks as damaged or patched up, and whether the wanted frames appear at all.

What is not known here: codecs without redundancy (VP8, VP9) can decode altered bytes inside one
packet without noticing, and so can any codec for a change of a few bits; packets that no wanted
frame needs are checked as packets only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av
import av.packet
import av.video.frame
import av.video.stream
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from spatialcode.errors import CorruptVideoError, TruncatedVideoError, VideoLimitError
from spatialcode.video.packets import PacketTable
from spatialcode.video.source import OpenedVideo

if TYPE_CHECKING:
    VideoPacket = av.packet.Packet[av.video.stream.VideoStream]

Pixels = NDArray[np.uint8]
# Skipping fewer packets than this saves less than a seek and a restart cost.
MIN_PACKETS_TO_SKIP = 4
# Old MPEG-4 files in AVI end in packets that carry no picture of their own.
MAX_SWALLOWED_FRAMES = 2


@dataclass(frozen=True)
class Output:
    """Where pixels go. ``allocate`` gives a uint8 array of a shape (N, H, W, 3).

    ``num_frames``: so many frames an array at most, None: all in one. ``deliver`` is called when an
    array's last frame is in and another array is needed.
    """

    allocate: Callable[[tuple[int, ...]], Pixels]
    num_frames: int | None = None
    deliver: Callable[[Picked], None] = lambda _: None


class Picked:
    """The wanted frames as they come in: one row each of an array (N, H, W, 3), piece by piece.

    `rgb` is the present piece, all there is where pieces have no bound. `times_s` maps the indices
    of frames that are there, in this piece or one before, to their times.
    """

    def __init__(
        self,
        opened: OpenedVideo,
        wanted: NDArray[np.int64],
        max_side_px: int | None,
        output: Output,
    ) -> None:
        facts, self._orientation = opened.facts, opened.orientation
        width, height = facts.width_px, facts.height_px
        if max_side_px is not None and max(width, height) > max_side_px:
            scale = max_side_px / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        self._rows = {int(index): row for row, index in enumerate(np.unique(wanted))}
        self._output = output
        self._size = min(output.num_frames or len(self._rows), len(self._rows))
        shape = (self._size, height, width, 3)
        if np.prod(shape, dtype=np.int64) > opened.source.limits.max_output_bytes:
            limit = opened.source.limits.max_output_bytes
            raise VideoLimitError("output", f"{shape} bytes of pixels, at most {limit}")
        self._piece = 0
        self.rgb = output.allocate(shape)
        self._max_pixels = opened.source.limits.max_pixels
        self._reformatter = VideoReformatter()
        self.times_s: dict[int, float] = {}

    @property
    def is_whole(self) -> bool:
        """Whether all frames lie in one piece: until the end none of them is out of reach."""
        return self._size == len(self._rows)

    def row(self, index: int) -> int | None:
        """The row of a frame that is there in the present piece; None for others."""
        piece, row = divmod(self._rows[index], self._size)
        return row if piece == self._piece and index in self.times_s else None

    def _begin(self, piece: int) -> None:
        """Hand over the present piece and those up to another, which is begun."""
        while self._piece < piece:
            self._output.deliver(self)
            self._piece += 1
            num_frames = min(self._size, len(self._rows) - self._piece * self._size)
            shape = (num_frames, *self.rgb.shape[1:])
            del self.rgb  # a piece at a time
            self.rgb = self._output.allocate(shape)

    def put_span(self, span: range, frame: av.video.frame.VideoFrame, time_s: float) -> None:
        """Put `frame` into the rows of all wanted indices in `span`, over which it is shown."""
        for index in span:
            self.put(index, frame, time_s)

    def put(self, index: int, frame: av.video.frame.VideoFrame, time_s: float) -> None:
        """Convert, scale and turn `frame` into its row, if frame `index` is wanted and its piece
        was not handed over yet.
        """
        if index not in self._rows:
            return
        piece, row = divmod(self._rows[index], self._size)
        if piece < self._piece:
            return
        if frame.width * frame.height > self._max_pixels:
            size = f"{frame.width} x {frame.height}"
            raise VideoLimitError("pixels", f"{size} at {time_s:.3f} s, at most {self._max_pixels}")
        self._begin(piece)
        height, width = self.rgb.shape[1:3]
        if self._orientation.swaps_sides:
            width, height = height, width
        same = (frame.width, frame.height) == (width, height)
        stored = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", threads=1,
            interpolation=Interpolation.BILINEAR if same else Interpolation.AREA,
        )  # fmt: skip
        self.rgb[row] = self._orientation.apply(stored.to_ndarray().astype(np.uint8, copy=False))
        self.times_s[index] = time_s


@dataclass(frozen=True)
class Run:
    """Packets `start` to `end` (both included) to decode one after another."""

    start: int
    end: int


def plan_runs(packets: PacketTable, wanted: NDArray[np.int64]) -> list[Run]:
    """The runs that decode least for `wanted` (indices of shown frames): seek wherever that skips
    packets.
    """
    runs: list[Run] = []
    for packet in packets.order[np.unique(wanted)].tolist():
        start = packets.start_for(packet)
        if runs and start <= runs[-1].end + MIN_PACKETS_TO_SKIP:
            runs[-1] = Run(min(runs[-1].start, start), max(runs[-1].end, packet))
        else:
            runs.append(Run(start, packet))
    return runs


def read_exact(
    opened: OpenedVideo, wanted: NDArray[np.int64], picked: Picked, log: DamageLog
) -> None:
    """Decode the runs of packets that `wanted` needs, seeking between them.

    Trouble after a seek to something that turns out to be no full picture (an index that
    marks every packet as a key frame, gradual refresh) is no damage yet: everything is then
    decoded again from the first packet on. Where frames are handed over before the run ends, that
    happens as soon as the run does not begin with a full picture.
    """
    runs = plan_runs(opened.packets, wanted)
    for run in runs:
        findings, clean_start = _decode_run(opened, run, picked)
        if findings and not clean_start and run.start > 0:
            findings, _ = _decode_run(opened, Run(0, runs[-1].end), picked)
            runs = []
        for finding in findings:
            log.damage(finding)
        if not runs:
            break


def _decode_run(opened: OpenedVideo, run: Run, picked: Picked) -> tuple[list[str], bool]:
    """Findings about what is shown from the run's first packet on (what an open GOP shows
    before it cannot be whole), and whether that packet gave a picture coded by itself.
    """
    packets, source = opened.packets, opened.source
    first_tick = packets.pts[run.start] if run.start else packets.shown_ticks[0]
    times_s, findings, clean_start = packets.times_s, list[str](), False
    holes = frozenset(packets.holes) - {run.start}
    seen = np.zeros(len(packets.shown_ticks), bool)
    for number, packet in _packets_from(opened, run):
        if number in holes and packet is not None and packets.pts[number] >= first_tick:
            findings.append(f"a reference picture before packet {number} is missing")
        try:
            frames = source.stream.codec_context.decode(packet)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            frames = []
            if packet is None or packets.pts[number] >= first_tick:
                findings.append(f"packet {number} does not decode: {error.strerror}")
        for frame in frames:
            if frame.pts is None or frame.pts < first_tick:
                continue
            index = int(np.searchsorted(packets.shown_ticks, frame.pts))
            if index >= len(seen) or packets.shown_ticks[index] != frame.pts:
                continue
            seen[index] = True
            time_s = float(times_s[index])
            if frame.pts == packets.pts[run.start]:
                clean_start = frame.pict_type == PictureType.I and not frame.is_corrupt
            if not (clean_start or picked.is_whole or run.start == 0):
                return [f"packet {run.start} is no full picture"], False
            if frame.is_corrupt:
                findings.append(f"the frame at {time_s:.3f} s is damaged")
            picked.put(index, frame, time_s)
    shown = (packets.order >= run.start) & (packets.order <= run.end)
    lost = np.flatnonzero(shown & ~seen & (packets.shown_ticks >= first_tick))
    if len(lost):
        at_s = times_s[lost[0]]
        findings.append(f"{len(lost)} frames are missing, the first at {at_s:.3f} s")
    return findings, clean_start


def _packets_from(opened: OpenedVideo, run: Run) -> Iterator[tuple[int, VideoPacket | None]]:
    """(number, packet) of the run, then (its end, None) to drain the decoder."""
    packets, source = opened.packets, opened.source
    source.container.seek(int(packets.dts[run.start]), stream=source.stream, backward=True)
    for attempt in ("seek", "reopen"):
        for packet in source.container.demux(source.stream):
            if not packet.size or packet.dts is None:
                continue
            number = int(np.searchsorted(packets.dts, packet.dts))
            if number > run.start and attempt == "seek":
                break  # the container has no usable index: go through it from the first packet
            if number < run.start:
                continue
            attempt = "found"
            if number <= run.end:
                yield number, packet
            if number >= run.end:
                break
        if attempt == "found":
            break
        source.reopen()
    yield run.end, None


def read_in_order(
    opened: OpenedVideo, wanted: NDArray[np.int64], picked: Picked, log: DamageLog
) -> None:
    """Decode everything up to the last wanted frame; a frame is shown until the next one is.

    Frames say themselves when they are shown, but for AVI, where the n-th frame out is the
    n-th shown.
    """
    packets, source = opened.packets, opened.source
    own_times = source.format_name != "avi"
    shown: tuple[int, av.video.frame.VideoFrame] | None = None
    last = int(wanted.max())
    for frame in _all_frames(opened, log):
        index = 0 if shown is None else shown[0] + 1
        if own_times and frame.pts is not None:
            found = int(np.searchsorted(packets.shown_ticks, frame.pts, side="right")) - 1
            index = max(index, found)
        if shown is not None:
            picked.put_span(range(shown[0], index), shown[1], float(packets.times_s[shown[0]]))
        if index >= packets.num_frames or (shown is not None and shown[0] >= last):
            return
        if frame.is_corrupt:
            log.damage(f"the frame at {packets.times_s[index]:.3f} s is damaged")
        shown = index, frame
    if shown is None:
        return
    missing = packets.num_frames - 1 - shown[0]
    if missing > MAX_SWALLOWED_FRAMES:
        log.damage(f"{missing} of {packets.num_frames} frames are missing at the end")
    else:
        span = range(shown[0], packets.num_frames)
        picked.put_span(span, shown[1], float(packets.times_s[shown[0]]))


def _all_frames(opened: OpenedVideo, log: DamageLog) -> Iterator[av.video.frame.VideoFrame]:
    source = opened.source
    source.reopen()
    for packet in source.container.demux(source.stream):
        if not packet.size and packet.dts is not None:
            continue  # AVI repeats a frame by an empty packet
        try:
            yield from source.stream.codec_context.decode(packet if packet.size else None)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            log.damage(f"the packet at byte {packet.pos} does not decode: {error.strerror}")
        if not packet.size:
            break


GAP_FACTOR = 1.5
Damage = CorruptVideoError | TruncatedVideoError


@dataclass
class DamageLog:
    """Collects findings; strict raises at the first, otherwise they become warnings."""

    strict: bool
    warnings: list[str] = field(default_factory=list)

    def found(self, error: Damage) -> None:
        """Raise `error` when strict, note it otherwise."""
        if self.strict:
            raise error
        self.note(str(error))

    def damage(self, message: str) -> None:
        """Something that must decode does not: CorruptVideoError when strict."""
        self.found(CorruptVideoError(message))

    def note(self, message: str) -> None:
        """Keep a warning that is never an error."""
        if message not in self.warnings:
            self.warnings.append(message)


def check_packets(opened: OpenedVideo, log: DamageLog) -> None:
    """Findings of the packet scan."""
    packets, num_indexed = opened.packets, opened.num_indexed
    if opened.container_damage:
        log.found(opened.container_damage)
    if packets.damage:
        log.damage(packets.damage)
    if packets.num_corrupt:
        log.damage(f"{packets.num_corrupt} packets are incomplete or marked as damaged")
    if num_indexed > len(packets.pts):
        text = f"the index lists {num_indexed} packets, {len(packets.pts)} are there"
        log.found(TruncatedVideoError(text))
    if packets.holes:
        log.note(f"{len(packets.holes)} times a reference picture is missing")
    for message in timestamp_gaps(packets):
        log.note(message)


def timestamp_gaps(packets: PacketTable) -> list[str]:
    """Holes in an otherwise constant frame rate: frames lost, or never recorded.

    Only a hint: cameras drop frames too, and a variable rate has no holes by definition (at
    least nine tenths of the steps must agree within 20 %).
    """
    steps_s = np.diff(packets.times_s)
    if len(steps_s) < 10:
        return []
    usual_s = float(np.median(steps_s))
    regular = np.abs(steps_s - usual_s) <= max(0.2 * usual_s, 1.1 * float(packets.time_base))
    gaps = np.flatnonzero(steps_s > GAP_FACTOR * usual_s)
    gaps = gaps if np.mean(regular) >= 0.9 else gaps[:0]
    return [
        f"no frame for {steps_s[gap]:.3f} s after {packets.times_s[gap]:.3f} s" for gap in gaps[:3]
    ]
