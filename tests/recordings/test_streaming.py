"""Recordings stream: a window is read when it is asked for, and they travel as rows on Ray."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest

from spatialcode.encoder.protocol import FrameRequest
from spatialcode.recordings.recording import RecordedCameras, Recording
from spatialcode.scene.schema import VideoInfo


@dataclass
class CountedFrames:
    """Grey frames that say their number; remembers what was asked of it."""

    asked: list[list[int]] = field(default_factory=list)

    def rgb(self, rows, side_px):
        self.asked.append(list(rows))
        return np.stack([np.full((4, 6, 3), row, np.uint8) for row in rows])

    def depth_m(self, rows):
        return None


def recording(num_frames=100):
    times_s = tuple(0.1 * n for n in range(num_frames))
    video = VideoInfo("walk", "", times_s[-1], 10.0, 6, 4, times_s)
    return Recording("walk", CountedFrames(), video, RecordedCameras())


def test_a_window_is_read_when_it_is_asked_for():
    one = recording()
    windows = one.windows(FrameRequest(window=10, overlap=2))
    assert one.frames.asked == []
    next(windows)
    assert one.frames.asked == [list(range(10))]
    second = next(windows)
    assert one.frames.asked[1] == list(range(8, 18))
    assert second.rgb[0, 0, 0, 0] == 8
    assert second.times_s[second.num_repeated] == pytest.approx(1.0)


def test_chosen_frames_in_windows():
    windows = list(recording().windows(FrameRequest(window=4), rows=range(0, 100, 20)))
    assert [w.rgb[:, 0, 0, 0].tolist() for w in windows] == [[0, 20, 40, 60], [80]]
    assert [w.start for w in windows] == [0, 4]


@pytest.mark.slow
def test_recordings_travel_as_rows_on_ray():
    """Every frame of every recording arrives once, window by window, in a worker's stream."""
    ray = pytest.importorskip("ray")
    is_ours = not ray.is_initialized()  # another test of this process may have started it
    if is_ours:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = [{"recording": pickle.dumps(recording(30 + n))} for n in range(3)]

        def windows(row):
            one = pickle.loads(row["recording"])
            for window in one.windows(FrameRequest(window=8, overlap=2)):
                fresh = window.fresh()
                yield {"length": one.num_frames, "seen": int(fresh.rgb[:, 0, 0, 0].sum())}

        found = ray.data.from_items(rows).flat_map(windows).take_all()
    finally:
        if is_ours:
            ray.shutdown()
    sums = {}
    for row in found:
        sums[row["length"]] = sums.get(row["length"], 0) + row["seen"]
    assert sums == {n: n * (n - 1) // 2 for n in (30, 31, 32)}
