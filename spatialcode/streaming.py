"""Clips of any length, read a window at a time while the window before is encoded.

Where recordings and long videos meet an encoder's sessions; memory holds two windows, whatever the
clip's length. It does not know where a clip comes from in the end, nor who encodes it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.protocol import (
    ClipHeader,
    FrameGeometry,
    FrameRequest,
    Window,
    WindowedClip,
)
from spatialcode.recordings.recording import Recording
from spatialcode.scene.schema import VideoInfo
from spatialcode.video.decode import DecodedVideo
from spatialcode.video.limits import DEFAULT_LIMITS, VideoLimits
from spatialcode.video.sampling import Sampling, shown_frames
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.video.source import VideoProbe

#: Frames a decoder hands over at once: few enough for memory, enough to be worth the talk.
_PIECE, _LEAST_PIECE = 64, 8
#: Frames that are held, and passed on, all at once: 64 at 640 px are 60 MB.
MAX_CLIP_FRAMES = 64


def is_long(sampling: Sampling) -> bool:
    """Whether a video's frames go to an encoder a window at a time: there are more than
    `MAX_CLIP_FRAMES`, or nobody knows how many. ``sampling`` names all it needs.
    """
    num_frames = None if sampling.rate_hz is not None else sampling.num_frames
    return num_frames is None or num_frames > MAX_CLIP_FRAMES


@dataclass(frozen=True, eq=False)
class RecordedClip:
    """A recording's frames by a sampling that names all it needs (`effective_sampling`), with the
    geometry that was recorded of them.
    """

    recording: Recording
    sampling: Sampling
    work_key: str = ""

    @property
    def header(self) -> ClipHeader:
        return self.recording.header(self.work_key)

    def decoded_by(self, decoder: Callable[..., DecodedVideo]) -> RecordedClip:
        """The same, its video read by `SandboxedDecoder.decode`, say, in the place of `decode`."""
        return replace(self, recording=self.recording.decoded_by(decoder))

    @property
    def warnings(self) -> Sequence[str]:
        """None: what is wrong with a capture is an error."""
        return ()

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        """Windows as asked for, but of the sampling's frames and size."""
        times_s = np.asarray(self.recording.video.sampled_s)
        rows = shown_frames(self.sampling.plan(), times_s - times_s[0])
        request = replace(request, side_px=self.sampling.max_side_px or request.side_px)
        return self.recording.windows(request, rows.tolist())


@dataclass(frozen=True, eq=False)
class StreamedVideo:
    """A video's frames by a sampling that names all it needs, decoded a piece at a time.

    ``probe``: the video's facts, with the name and hash that its code is to have. ``warnings``:
    what decoding found that did not stop it, once all windows are there.
    """

    decoder: SandboxedDecoder
    path: Path
    probe: VideoProbe
    sampling: Sampling
    limits: VideoLimits = DEFAULT_LIMITS
    work_key: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def header(self) -> ClipHeader:
        return ClipHeader(video_info(self.probe), self.work_key)

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        """Windows as asked for, but of the sampling's frames and size. Raises the VideoError
        family, where a window cannot be decoded.
        """
        fresh = _PIECE if request.window is None else request.window - request.overlap
        pieces = self.decoder.pieces(
            self.path,
            self.sampling.plan(),
            self.limits,
            frames_a_piece=min(max(fresh, _LEAST_PIECE), _PIECE),
            max_side_px=self.sampling.max_side_px,
            sha256=self.probe.sha256,
        )
        with contextlib.closing(pieces):
            geometry = FrameGeometry(lens=self.probe.lens)
            yield from _windows_of(self._noted(pieces), request, geometry)

    def _noted(self, pieces: Iterator[DecodedVideo]) -> Iterator[DecodedVideo]:
        for piece in pieces:
            self.warnings[:] = piece.warnings
            yield piece
            del piece  # while the next is decoded


def video_info(probe: VideoProbe, times_s: Iterable[float] = ()) -> VideoInfo:
    """What a code says of a video, of which frames at some times were looked at."""
    return VideoInfo(
        uri=probe.uri,
        sha256=probe.sha256,
        duration_s=probe.duration_s,
        fps=probe.fps,
        width_px=probe.width_px,
        height_px=probe.height_px,
        sampled_s=tuple(times_s),
    )


def _windows_of(
    pieces: Iterator[DecodedVideo], request: FrameRequest, geometry: FrameGeometry
) -> Iterator[Window]:
    """The windows of `ClipInput.windows`, of frames that come in pieces of any size; ``geometry``:
    of all of them alike.
    """
    kept = _Frames()
    start = num_repeated = 0
    for piece in pieces:
        kept.add(piece.rgb, piece.times_s)
        del piece
        while request.window is not None and kept.num_frames >= request.window:
            rgb, times_s = kept.take(request.window, request.overlap)
            yield Window(rgb, times_s, geometry, num_repeated, start)
            del rgb
            start, num_repeated = start + request.window - request.overlap, request.overlap
    if kept.num_frames > num_repeated:
        rgb, times_s = kept.take(kept.num_frames, 0)
        yield Window(rgb, times_s, geometry, num_repeated, start)


class _Frames:
    """Frames that were decoded and are not in a window yet, or will be repeated."""

    def __init__(self) -> None:
        self._rgb: list[NDArray[np.uint8]] = []
        self._times_s: list[NDArray[np.float64]] = []

    @property
    def num_frames(self) -> int:
        return sum(map(len, self._times_s))

    def add(self, rgb: NDArray[np.uint8], times_s: NDArray[np.float64]) -> None:
        """Put frames behind those that are here."""
        if len(times_s):
            self._rgb.append(rgb)
            self._times_s.append(times_s)

    def take(self, count: int, overlap: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The first frames, which go; but for the last ``overlap`` of them, which stay."""
        rgb, times_s = np.concatenate(self._rgb), np.concatenate(self._times_s)
        rest = slice(count - overlap, None)
        # a copy, lest what stays keeps alive what goes
        self._rgb, self._times_s = [rgb[rest].copy()], [times_s[rest].copy()]
        return rgb[:count], times_s[:count]


class ReadAhead:
    """A clip whose next window is read in a thread of its own while the present one is encoded.

    At most two windows are in memory. ``read_s``: seconds spent in reading so far; what is read
    again, because the clip began anew, counts again.
    """

    def __init__(self, clip: WindowedClip) -> None:
        self._clip = clip
        self._given: Generator[Window, None, None] | None = None
        self.read_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def header(self) -> ClipHeader:
        return self._clip.header

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        """The clip's windows, from the first on; iterators that were given before end. An error in
        reading is raised where its window would come.
        """
        self.close()
        self._given = self._windows(request)
        return self._given

    def close(self) -> None:
        """End the iterator that was given, and whatever it reads from."""
        if self._given is not None:
            self._given.close()

    def _windows(self, request: FrameRequest) -> Generator[Window, None, None]:
        windows = self._clip.windows(request)
        with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
            try:
                coming = reader.submit(self._next, windows)
                while (window := coming.result()) is not None:
                    coming = reader.submit(self._next, windows)
                    yield window
                    del window  # while the next is waited for
            finally:
                reader.submit(_closed, windows)

    def _next(self, windows: Iterator[Window]) -> Window | None:
        start_s = time.perf_counter()
        window = next(windows, None)
        self.read_s += time.perf_counter() - start_s
        return window


@dataclass(frozen=True, eq=False)
class WatchedClip:
    """A clip that says after each window how many of its frames the encoder has taken.

    ``tell`` may raise, which ends the encoding.
    """

    clip: WindowedClip
    tell: Callable[[int], None]

    @property
    def header(self) -> ClipHeader:
        return self.clip.header

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        for window in self.clip.windows(request):
            num_frames = window.start + len(window.times_s)
            yield window
            self.tell(num_frames)  # who asks for the next has taken this one


def _closed(windows: Iterator[Window]) -> None:
    """End an iterator in the thread that reads it: what it holds open is let go of."""
    close = getattr(windows, "close", None)
    if close is not None:
        close()
