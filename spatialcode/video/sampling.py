"""Which moments of a video to look at: by count, by rate, by explicit times.

`Sampling` is the setting that jobs, service and library share. A plan gives target times in
seconds from the first frame; the frame shown at such a time is the latest one whose presentation
time does not exceed it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.config import checked, setting

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ByCount:
    """At most `count` frames spread evenly from the first frame to the last, both included.

    Fewer come back when the video holds fewer, or when several moments show the same frame.
    """

    count: int

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"ByCount.count: expected an int >= 1, got {self.count!r}")


@dataclass(frozen=True)
class ByRate:
    """The frames shown at 0, 1/rate_hz, 2/rate_hz ... up to the last frame, each once."""

    rate_hz: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ValueError(f"ByRate.rate_hz: expected a number > 0, got {self.rate_hz!r}")


@dataclass(frozen=True)
class ByTimes:
    """One frame per time, in the order given (must not decrease), repeats included.

    A time after the last frame's shows the last frame.
    """

    times_s: tuple[float, ...]

    def __post_init__(self) -> None:
        times = self.times_s
        if not times:
            raise ValueError("ByTimes.times_s: expected at least one time, got none")
        if not all(math.isfinite(t) and t >= 0 for t in times):
            raise ValueError(f"ByTimes.times_s: expected finite times >= 0, got {times!r}")
        if any(b < a for a, b in itertools.pairwise(times)):
            raise ValueError(f"ByTimes.times_s: expected non-decreasing times, got {times!r}")


SamplePlan = ByCount | ByRate | ByTimes


@dataclass(frozen=True)
@checked
class Sampling:
    """Which frames of a video are looked at; null: as the encoder asks.

    What is then looked at, `spatialcode.api.effective_sampling`, is part of a result's work key.
    """

    num_frames: int | None = setting(
        "frames a video, spread evenly over it; null: as the encoder asks", None, at_least=1
    )
    rate_hz: float | None = setting(
        "frames a second instead of a number of frames; null: as the encoder asks,"
        " where num_frames is null too", None, above=0
    )  # fmt: skip
    max_side_px: int | None = setting(
        "frames are scaled down to this longer side; null: as the encoder asks", None, at_least=16
    )

    def plan(self) -> ByCount | ByRate:
        """The same as a plan for the decoder. ValueError where the encoder is still to be asked."""
        if self.rate_hz is not None:
            return ByRate(self.rate_hz)
        if self.num_frames is None:
            raise ValueError("Sampling.num_frames: the encoder has not been asked yet")
        return ByCount(self.num_frames)


def target_times_s(plan: SamplePlan, last_frame_s: float) -> Floats:
    """Targets of `plan`, seconds from the first frame, for a video whose last frame is shown
    at `last_frame_s`.
    """
    if isinstance(plan, ByCount):
        return np.linspace(0.0, last_frame_s, plan.count)
    if isinstance(plan, ByRate):
        # The small excess keeps k/rate_hz in when it equals the last frame's time but for rounding.
        num = math.floor(last_frame_s * plan.rate_hz + 1e-6) + 1
        return np.arange(num) / plan.rate_hz
    return np.asarray(plan.times_s, np.float64)


def num_targets(plan: SamplePlan, last_frame_s: float) -> int:
    """How many targets there are, without making them (a limit can be checked first)."""
    if isinstance(plan, ByCount):
        return plan.count
    if isinstance(plan, ByRate):
        return math.floor(last_frame_s * plan.rate_hz + 1e-6) + 1
    return len(plan.times_s)


def shown_frames(plan: SamplePlan, frame_times_s: Floats) -> NDArray[np.int64]:
    """Index into `frame_times_s` ((N,), increasing, first is 0) of the frame each target shows.

    Half a microsecond of slack keeps a target that is a frame's own time on that frame.
    """
    targets = target_times_s(plan, float(frame_times_s[-1]))
    shown = np.searchsorted(frame_times_s, targets + 5e-7, side="right") - 1
    shown = np.clip(shown, 0, len(frame_times_s) - 1).astype(np.int64)
    return shown if isinstance(plan, ByTimes) else np.unique(shown)
