"""Clips of any length, a window at a time: the same windows as of a whole clip, and few alive."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.api import clip_of
from spatialcode.encoder.protocol import ClipHeader, FrameRequest, Window, encode_windows
from spatialcode.scene.schema import VideoInfo
from spatialcode.streaming import ReadAhead, StreamedVideo, WatchedClip
from spatialcode.video.decode import decode, probe
from spatialcode.video.sampling import Sampling
from spatialcode.video.sandbox import SandboxedDecoder
from tests.video.builders import VideoRecipe, make_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = VideoRecipe(num_frames=90, width_px=64, height_px=48)
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", recipe)


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    with SandboxedDecoder() as shared:
        yield shared


def same_windows(found: list[Window], expected: list[Window]) -> bool:
    assert [(w.start, w.num_repeated) for w in found] == [
        (w.start, w.num_repeated) for w in expected
    ]
    return all(
        np.array_equal(a.rgb, b.rgb) and np.array_equal(a.times_s, b.times_s)
        for a, b in zip(found, expected, strict=True)
    )


@settings(max_examples=25)
@given(num=st.integers(1, 90), window=st.integers(1, 40), data=st.data())
def test_windows_are_those_of_the_whole_clip(video, decoder, num, window, data) -> None:
    request = FrameRequest(window=window, overlap=data.draw(st.integers(0, window - 1)))
    sampling = Sampling(num_frames=num, max_side_px=48)
    streamed = StreamedVideo(decoder, video, probe(video), sampling)
    whole = clip_of(decode(video, sampling.plan(), max_side_px=48))
    assert streamed.header == whole.header
    assert same_windows(list(streamed.windows(request)), list(whole.windows(request)))


def test_an_encoder_that_wants_all_at_once_gets_one_window(video, decoder) -> None:
    sampling = Sampling(num_frames=90, max_side_px=48)
    [window] = StreamedVideo(decoder, video, probe(video), sampling).windows(FrameRequest())
    assert np.array_equal(window.rgb, decode(video, sampling.plan(), max_side_px=48).rgb)


class Numbered:
    """A clip whose windows say their number, and which knows how many of them are alive."""

    header = ClipHeader(VideoInfo("numbered", "", 1.0, 1.0, 2, 2))

    def __init__(self, num_windows: int, fails_at: int = -1) -> None:
        self.num_windows, self.fails_at = num_windows, fails_at
        self.made: list[weakref.ref[Window]] = []
        self.most_alive = 0
        self.begun = threading.Condition()
        self.num_begun = 0

    def windows(self, request: FrameRequest) -> Iterator[Window]:
        for n in range(self.num_windows):
            with self.begun:
                self.num_begun = n + 1
                self.begun.notify_all()
            if n == self.fails_at:
                raise OSError("disk")
            yield self._window(n)

    def _window(self, n: int) -> Window:
        window = Window(np.full((1, 2, 2, 3), n % 256, np.uint8), np.array([float(n)]), start=n)
        self.made.append(weakref.ref(window))
        self.most_alive = max(self.most_alive, sum(ref() is not None for ref in self.made))
        return window

    def wait_for(self, num: int) -> bool:
        with self.begun:
            return self.begun.wait_for(lambda: self.num_begun >= num, timeout=20)


def test_the_next_window_is_read_while_the_present_one_is_held() -> None:
    clip = Numbered(3)
    with ReadAhead(clip) as ahead:
        windows = ahead.windows(FrameRequest())
        first = next(windows)
        assert first.start == 0
        assert clip.wait_for(2), "the second is begun though nobody has asked for it"
        assert [window.start for window in windows] == [1, 2]


def test_two_windows_are_alive_at_most_however_long_the_clip() -> None:
    clip = Numbered(500)
    with ReadAhead(clip) as ahead:
        assert [window.start for window in ahead.windows(FrameRequest())] == list(range(500))
    assert clip.most_alive <= 3  # and the one that a loop's name still holds


class Taking:
    """An encoder of windows that keeps none."""

    def session(self, clip: ClipHeader) -> Taking:
        return self

    def push(self, window: Window) -> None:
        """Nothing."""

    def finish(self) -> str:
        return "code"


def test_who_watches_is_told_what_the_encoder_has_taken() -> None:
    clip, told = Numbered(300), []
    with ReadAhead(clip) as ahead:
        watched = WatchedClip(ahead, told.append)
        assert watched.header is clip.header
        assert encode_windows(Taking(), watched, FrameRequest()) == "code"
    assert told == list(range(1, 301))
    assert clip.most_alive <= 4  # and the one that each loop's name still holds


def test_who_watches_can_end_the_encoding() -> None:
    def tell(num_frames: int) -> None:
        if num_frames == 3:
            raise KeyboardInterrupt

    clip = Numbered(300)
    with pytest.raises(KeyboardInterrupt), ReadAhead(clip) as ahead:
        encode_windows(Taking(), WatchedClip(ahead, tell), FrameRequest())
    assert clip.num_begun <= 5


def test_an_error_in_reading_comes_in_its_windows_place() -> None:
    with ReadAhead(Numbered(5, fails_at=2)) as ahead:
        windows = ahead.windows(FrameRequest())
        assert [next(windows).start, next(windows).start] == [0, 1]
        with pytest.raises(OSError, match="disk"):
            next(windows)


def test_a_clip_begins_anew_on_the_decoder_that_it_had(video, decoder) -> None:
    """As where a device's memory ends: the first iterator still holds the decoder."""
    sampling = Sampling(num_frames=90, max_side_px=48)
    with ReadAhead(StreamedVideo(decoder, video, probe(video), sampling)) as ahead:
        abandoned = ahead.windows(FrameRequest(window=32, overlap=8))
        next(abandoned)
        lengths = [len(w.rgb) for w in ahead.windows(FrameRequest(window=16, overlap=4))]
    assert lengths == [16] * 7 + [6]
