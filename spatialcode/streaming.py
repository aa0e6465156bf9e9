"""Clips of any length, read a window at a time while the window before is encoded.

Where recordings and long videos meet an encoder's sessions; memory holds two windows, whatever the
clip's length. It does not know where a clip comes from in the end, nor who encodes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from spatialcode.encoder.protocol import ClipHeader, FrameRequest, Window, WindowedClip
from spatialcode.recordings.recording import Recording
from spatialcode.video.sampling import Sampling, shown_frames


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

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        """Windows as asked for, but of the sampling's frames and size."""
        times_s = np.asarray(self.recording.video.sampled_s)
        rows = shown_frames(self.sampling.plan(), times_s - times_s[0])
        request = replace(request, side_px=self.sampling.max_side_px or request.side_px)
        return self.recording.windows(request, rows.tolist())


class ReadAhead:
    """A clip whose next window is read in a thread of its own while the present one is encoded.

    At most two windows are in memory. ``read_s``: seconds spent in reading so far; what is read
    again, because the clip began anew, counts again.
    """

    def __init__(self, clip: WindowedClip) -> None:
        self._clip = clip
        self.read_s = 0.0

    @property
    def header(self) -> ClipHeader:
        return self._clip.header

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        """The clip's windows. An error in reading is raised where its window would come."""
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


def _closed(windows: Iterator[Window]) -> None:
    """End an iterator in the thread that reads it: what it holds open is let go of."""
    close = getattr(windows, "close", None)
    if close is not None:
        close()
