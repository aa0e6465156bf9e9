from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.encoder.parsing.keyframes import (
    KeyFrames,
    KeyFrameSettings,
    SinceKeyFrame,
    small_grey,
)
from spatialcode.encoder.protocol import Window
from spatialcode.errors import ConfigError


def panorama() -> np.ndarray:
    """A wide picture with detail of every size."""
    rng = np.random.default_rng(0)
    parts = [
        cv2.resize(rng.random((k, 4 * k, 3)).astype(np.float32), (960, 240)) * (16 / k)
        for k in (4, 8, 16, 32, 64)
    ]
    summed = np.sum(parts, axis=0)
    return (255 * (summed - summed.min()) / np.ptp(summed)).astype(np.uint8)


WIDE = panorama()


def turning(*x_px: int) -> np.ndarray:
    """Views 200 px wide into the panorama."""
    return np.stack([WIDE[:, x : x + 200] for x in x_px])


def chosen_in(rgb: np.ndarray, limits: KeyFrameSettings, window: int | None = None) -> list[int]:
    keys, rows = KeyFrames(limits), []
    size = window or len(rgb)
    for start in range(0, len(rgb), size):
        repeated = min(start, size // 3)
        part = rgb[start - repeated : start + size]
        times_s = np.arange(float(len(part)))
        view = Window(part, times_s, num_repeated=repeated, start=start - repeated)
        rows += [view.start + row for row in keys.rows(view)]
    return rows


def test_of_a_still_camera_every_so_manyth_frame() -> None:
    assert chosen_in(turning(*[50] * 12), KeyFrameSettings(every=5)) == [0, 5, 10]


def test_without_flow_every_so_manyth_frame_too() -> None:
    limits = KeyFrameSettings(every=4, new_area=None)
    assert chosen_in(turning(*range(0, 700, 70)), limits) == [0, 4, 8]


def test_a_turn_uncovers_area_and_brings_a_key_frame_forward() -> None:
    # 16 px a frame: after three 24 % of the view is new, after four 32 %.
    rows = chosen_in(turning(*range(0, 144, 16)), KeyFrameSettings(every=9, new_area=0.28))
    assert rows == [0, 4, 8]


def test_a_cut_brings_a_key_frame_at_once_unless_one_was_just_taken() -> None:
    cut = turning(0, 0, 0, 0, 700, 700, 700)
    assert chosen_in(cut, KeyFrameSettings(every=6, at_least=2)) == [0, 4]
    early = turning(0, 700, 700, 700)
    assert chosen_in(early, KeyFrameSettings(every=6, at_least=2)) == [0, 2]


def test_the_share_that_is_new_is_what_came_into_view() -> None:
    since = SinceKeyFrame(small_grey(turning(0)[0], 160))
    # Flow is sought with patches 8 px wide, which are 6 % of these pictures' width: what is new
    # may seem wider by so much.
    for shift in range(0, 70, 10):
        share = since.new_share(small_grey(turning(shift)[0], 160), 1.5)
        assert shift / 200 - 0.01 <= share <= shift / 200 + 0.06, shift


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=14), st.integers(1, 9))
def test_one_window_or_many_choose_the_same(places: list[int], window: int) -> None:
    rgb = turning(*places)
    limits = KeyFrameSettings(every=5, at_least=2)
    whole = chosen_in(rgb, limits)
    assert chosen_in(rgb, limits, window) == whole
    assert whole[0] == 0
    gaps = np.diff([*whole, len(rgb)])
    assert gaps[:-1].min(initial=2) >= 2
    assert gaps.max() <= 5


def test_the_first_frame_is_taken_however_small() -> None:
    window = Window(np.zeros((2, 1, 1, 3), np.uint8), np.arange(2.0))
    assert KeyFrames(KeyFrameSettings(every=2, at_least=1)).rows(window) == (0,)


def test_gaps_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="at_least"):
        KeyFrameSettings(every=2, at_least=3)
