"""Denser grey frames beside the sampled ones: the same frames, from one pass."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from spatialcode.video.decode import decode
from spatialcode.video.dense import decode_sampled, dense_plan
from spatialcode.video.sampling import ByCount, Sampling
from spatialcode.video.sandbox import SandboxedDecoder


def test_a_whole_number_of_steps_lies_between_sampled_frames() -> None:
    assert dense_plan(Sampling(32), 96) == ByCount(94)  # three steps
    assert dense_plan(Sampling(5), 9) == ByCount(9)
    assert dense_plan(Sampling(5), 8) is None  # no room for two steps
    assert dense_plan(Sampling(1), 96) is None
    assert dense_plan(Sampling(32), None) is None
    assert dense_plan(Sampling(32, 2.0), 96) is None  # nobody knows how many there will be


@pytest.fixture(scope="module")
def video() -> Path:
    return Path(__file__).parents[2] / "spatialcode/assets/sample_room.mp4"


def test_sampled_frames_are_those_of_a_plain_decode_and_among_the_denser(video: Path) -> None:
    plain = decode(video, ByCount(5), max_side_px=320)
    both = decode_sampled(decode, video, Sampling(5, None, 320), max_dense=14)
    np.testing.assert_array_equal(both.rgb, plain.rgb)
    assert both.times_s.tolist() == plain.times_s.tolist()
    assert both.dense is not None
    assert len(both.dense.times_s) == 13
    assert both.dense.times_s[::3].tolist() == plain.times_s.tolist()
    assert both.dense.gray.dtype == np.uint8
    for gray, rgb in zip(both.dense.gray[::3], plain.rgb, strict=True):
        np.testing.assert_array_equal(gray, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))


def test_a_short_video_gives_each_of_its_frames_once(video: Path) -> None:
    plain = decode(video, ByCount(40))
    both = decode_sampled(decode, video, Sampling(40), max_dense=400)
    assert both.dense is not None
    assert len(both.dense.times_s) == 120  # all there are
    assert set(plain.times_s) <= set(both.dense.times_s)
    np.testing.assert_array_equal(both.times_s, plain.times_s)
    assert both.rgb.shape == plain.rgb.shape
    np.testing.assert_array_equal(both.rgb, plain.rgb)


def test_grey_frames_are_no_larger_than_they_are_to_be(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spatialcode.video.dense.DENSE_SIDE_PX", 64)
    both = decode_sampled(decode, video, Sampling(3, None, 320), max_dense=6)
    assert both.dense is not None
    assert both.dense.gray.shape == (5, 48, 64)
    assert both.rgb.shape == (3, 240, 320, 3)


def test_a_sandbox_gives_the_same(video: Path) -> None:
    sampling = Sampling(4, None, 160)
    here = decode_sampled(decode, video, sampling, max_dense=7)
    with SandboxedDecoder() as decoder:
        there = decode_sampled(decoder.decode, video, sampling, max_dense=7)
    assert here.dense is not None
    assert there.dense is not None
    np.testing.assert_array_equal(here.dense.gray, there.dense.gray)
    np.testing.assert_array_equal(here.rgb, there.rgb)
    assert decode_sampled(decode, video, sampling).dense is None
