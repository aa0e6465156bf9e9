"""The two ways to reach wanted frames: by known packets with seeks, or in order from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import av.packet
import av.video.frame
import av.video.stream
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from spatialcode.errors import VideoLimitError
from spatialcode.video.corruption import DamageLog
from spatialcode.video.opening import OpenedVideo
from spatialcode.video.packets import PacketTable

if TYPE_CHECKING:
    VideoPacket = av.packet.Packet[av.video.stream.VideoStream]

Pixels = NDArray[np.uint8]
# Skipping fewer packets than this saves less than a seek and a restart cost.
MIN_PACKETS_TO_SKIP = 4
# A start inside a stream that shows damage is tried again from so many key frames earlier:
# with gradual refresh a marked start is not yet a clean one.
KEYS_TO_STEP_BACK = 2


class Picked:
    """The wanted frames as they come in: one row each of a single uint8 array (N, H, W, 3).

    `rows` maps a frame's index to its row, `times_s` those that are there to their times.
    """

    def __init__(
        self,
        opened: OpenedVideo,
        wanted: NDArray[np.int64],
        max_side_px: int | None,
        allocate: Callable[[tuple[int, ...]], Pixels],
    ) -> None:
        facts, self._orientation = opened.facts, opened.orientation
        width, height = facts.width_px, facts.height_px
        if max_side_px is not None and max(width, height) > max_side_px:
            scale = max_side_px / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        self.rows = {int(index): row for row, index in enumerate(np.unique(wanted))}
        shape = (len(self.rows), height, width, 3)
        if np.prod(shape, dtype=np.int64) > opened.source.limits.max_output_bytes:
            limit = opened.source.limits.max_output_bytes
            raise VideoLimitError(f"output: {shape} bytes of pixels, at most {limit}")
        self.rgb = allocate(shape)
        self._reformatter = VideoReformatter()
        self.times_s: dict[int, float] = {}

    def wants(self, index: int) -> bool:
        """Whether frame `index` is wanted and not there yet."""
        return index in self.rows and index not in self.times_s

    def put(self, index: int, frame: av.video.frame.VideoFrame, time_s: float) -> None:
        """Convert, scale and turn `frame` into its row."""
        height, width = self.rgb.shape[1:3]
        if self._orientation.swaps_sides:
            width, height = height, width
        same = (frame.width, frame.height) == (width, height)
        stored = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", threads=1,
            interpolation=Interpolation.BILINEAR if same else Interpolation.AREA,
        )  # fmt: skip
        self.rgb[self.rows[index]] = self._orientation.apply(
            stored.to_ndarray().astype(np.uint8, copy=False)
        )
        self.times_s[index] = time_s


@dataclass(frozen=True)
class Run:
    """Packets `start` to `end` (both included) to decode one after another."""

    start: int
    end: int


def plan_runs(packets: PacketTable, wanted: NDArray[np.int64]) -> list[Run]:
    """Least decoding for `wanted` (indices of shown frames): seek wherever it skips packets."""
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
    """Decode the runs of packets that `wanted` needs, seeking between them."""
    packets = opened.packets
    for run in plan_runs(packets, wanted):
        findings = _decode_run(opened, run, run.start, picked)
        if findings and run.start > 0:
            keys = np.flatnonzero(packets.key[: run.start])
            earlier = int(keys[-KEYS_TO_STEP_BACK]) if len(keys) >= KEYS_TO_STEP_BACK else 0
            findings = _decode_run(opened, run, earlier, picked)
        for finding in findings:
            log.damage(finding)


def _decode_run(opened: OpenedVideo, run: Run, start: int, picked: Picked) -> list[str]:
    """Decode from packet `start` on; findings concern what is shown from `run.start` on."""
    packets, source = opened.packets, opened.source
    first_tick = packets.pts[run.start] if run.start else packets.shown_ticks[0]
    times_s, findings = packets.times_s, list[str]()
    seen = np.zeros(len(packets.shown_ticks), bool)
    for number, packet in _packets_from(opened, start, run.end):
        counts = number >= run.start and packets.pts[number] >= first_tick
        try:
            frames = source.stream.codec_context.decode(packet)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            frames = []
            if counts or packet is None:
                findings.append(f"packet {number} does not decode: {error.strerror}")
        for frame in frames:
            if frame.pts is None or frame.pts < first_tick:
                continue
            index = int(np.searchsorted(packets.shown_ticks, frame.pts))
            if index >= len(seen) or packets.shown_ticks[index] != frame.pts:
                continue
            seen[index] = True
            time_s = float(times_s[index])
            if frame.is_corrupt:
                findings.append(f"the frame at {time_s:.3f} s is damaged")
            if picked.wants(index):
                picked.put(index, frame, time_s)
    shown = (packets.order >= run.start) & (packets.order <= run.end)
    lost = np.flatnonzero(shown & ~seen & (packets.shown_ticks >= first_tick))
    if len(lost):
        at_s = times_s[lost[0]]
        findings.append(f"{len(lost)} frames are missing, the first at {at_s:.3f} s")
    return findings


def _packets_from(
    opened: OpenedVideo, start: int, end: int
) -> Iterator[tuple[int, VideoPacket | None]]:
    """(number, packet) from `start` to `end`, then (end, None) to drain the decoder."""
    packets, source = opened.packets, opened.source
    source.container.seek(int(packets.dts[start]), stream=source.stream, backward=True)
    for attempt in ("seek", "reopen"):
        for packet in source.container.demux(source.stream):
            if not packet.size or packet.dts is None:
                continue
            number = int(np.searchsorted(packets.dts, packet.dts))
            if number > start and attempt == "seek":
                break  # the container has no usable index: go through it from the first packet
            if number < start:
                continue
            attempt = "found"
            if number > end:
                break
            yield number, packet
            if number == end:
                break
        if attempt == "found":
            break
        source.reopen()
    yield end, None


def read_in_order(
    opened: OpenedVideo, wanted: NDArray[np.int64], picked: Picked, log: DamageLog
) -> None:
    """Decode everything up to the last wanted frame; the n-th frame out is the n-th shown."""
    packets, source = opened.packets, opened.source
    source.reopen()
    times_s, last, count = packets.times_s, int(wanted.max()), 0
    for packet in source.container.demux(source.stream):
        try:
            frames = source.stream.codec_context.decode(packet if packet.size else None)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            frames = []
            log.damage(f"a packet near frame {count} does not decode: {error.strerror}")
        for frame in frames:
            if count < packets.num_frames:
                time_s = float(times_s[count])
                if frame.is_corrupt:
                    log.damage(f"the frame at {time_s:.3f} s is damaged")
                if picked.wants(count):
                    picked.put(count, frame, time_s)
            count += 1
        if count > last or not packet.size:
            break
