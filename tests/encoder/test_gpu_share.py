"""What share of a GPU an encoder reserves: arithmetic, and the largest windows that it is fed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.encoder import gpu_share
from spatialcode.encoder.gpu_share import (
    GpuPeak,
    largest_clip,
    measured_peak,
    peak_bytes_of,
    with_full_frames,
)
from spatialcode.encoder.gpu_share import gpu_share as share_of
from spatialcode.encoder.protocol import ClipInput, FrameRequest
from spatialcode.encoder.registry import make_encoder
from spatialcode.errors import EncodeError
from spatialcode.workkey import EncoderIdentity
from tests.encoder import tiny_settings

GIB = 2**30


@pytest.mark.parametrize(
    ("peak_gib", "total_gib", "share"),
    [
        # 8 · 1.15 + 1 = 10.2 of 80: 0.1275
        (8, 80, 0.15),
        # 9.565… · 1.15 + 1 = 12 of 80: 0.15 to the bit or a bit more, which is no further step
        (11 / 1.15, 80, 0.15),
        (11 / 1.15 + 0.01, 80, 0.2),
        # 2 · 1.15 + 1 = 3.3 of 24: 0.1375
        (2, 24, 0.15),
        # 40 · 1.15 + 1 = 47 of 80: 0.5875
        (40, 80, 0.6),
        (0, 80, 0.05),
        # 70 · 1.15 + 1 = 81.5: more than there is
        (70, 80, 1.0),
    ],
)
def test_a_share_is_peak_and_reserve_over_the_card(
    peak_gib: float, total_gib: float, share: float
) -> None:
    assert share_of(int(peak_gib * GIB), int(total_gib * GIB)) == share
    assert GpuPeak("a card", int(peak_gib * GIB), int(total_gib * GIB)).share == share


@given(st.integers(0, 200 * GIB), st.integers(2 * GIB, 200 * GIB))
def test_encoders_that_fit_by_their_shares_fit_the_card(peak: int, total: int) -> None:
    share = share_of(peak, total)
    assert 0 < share <= 1
    together = int(1 / share + 1e-9)
    if share < 1:
        assert together * (1.15 * peak + GIB) <= total * (1 + 1e-6)
    assert share_of(peak + GIB, total) >= share
    assert (share / 0.05) == pytest.approx(round(share / 0.05))


def test_without_a_card_there_is_no_share() -> None:
    assert GpuPeak("", 0, 0).share == 0.0


def test_a_cpu_runs_what_is_measured_and_counts_nothing() -> None:
    ran = []
    assert peak_bytes_of(lambda: ran.append(1), "cpu") == 0
    assert ran == [1]


def test_the_largest_clip_is_a_whole_window_of_pictures_that_move() -> None:
    clip = largest_clip(FrameRequest(count=64, side_px=96, window=5, overlap=1), 0.5)
    assert clip.rgb.shape == (5, 48, 96, 3)
    assert np.array_equal(clip.rgb[1][:, :-4], clip.rgb[0][:, 4:])
    assert clip.rgb[0].std() > 20
    assert len(largest_clip(FrameRequest(count=7, side_px=64), 1.0).rgb) == 7


class Counting:
    """An encoder that notes what it is given; its second clip of a batch fails."""

    identity = EncoderIdentity("counting", "0" * 64, "1" * 64)
    frames = FrameRequest(count=3, side_px=32)

    def __init__(self) -> None:
        self.given: list[list[tuple[int, ...]]] = []
        self.devices: list[str] = []
        self.results: tuple[Any, ...] = ()

    def load(self, device: str) -> Counting:
        self.devices.append(device)
        return self

    def session(self, clip: Any) -> Any:
        raise NotImplementedError

    def encode_batch(self, clips: Sequence[ClipInput], on_share: Any = None) -> list[Any]:
        self.given.append([clip.rgb.shape for clip in clips])
        return list(self.results) or [None] * len(clips)


def test_it_is_measured_square_and_wide_with_as_many_clips_as_come_together() -> None:
    encoder = Counting()
    assert measured_peak(encoder, num_clips=2) == GpuPeak("", 0, 0)
    assert encoder.given == [[(3, 32, 32, 3)] * 2, [(3, 18, 32, 3)] * 2]
    assert encoder.devices == ["cpu"]


def test_a_card_is_measured_once_for_each_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SimpleNamespace(name="a card", total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(gpu_share, "peak_bytes_of", lambda run, device: run() or 8 * GIB)
    encoder = Counting()
    peak = measured_peak(encoder, 1, tmp_path)
    assert (peak, peak.share) == (GpuPeak("a card", 8 * GIB, 80 * GIB), 0.15)
    assert measured_peak(encoder, 1, tmp_path) == peak
    assert encoder.devices == ["cuda"], "the second answer is a remembered one"
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["card"] == "a card"
    measured_peak(encoder, 2, tmp_path)
    card.name = "another card"
    measured_peak(encoder, 1, tmp_path)
    other = Counting()
    other.identity = EncoderIdentity("counting", "0" * 64, "2" * 64)
    measured_peak(other, 1, tmp_path)
    assert len(encoder.devices) == 3
    assert len(other.devices) == 1
    assert len(list(tmp_path.iterdir())) == 4
    larger = replace(other.frames, side_px=64)
    for _ in range(2):
        measured_peak(other, 1, tmp_path, larger)
    assert other.given[-1] == [(3, 36, 64, 3)]
    more = replace(other.frames, count=5)
    for _ in range(2):
        measured_peak(other, 1, tmp_path, more)
    assert other.given[-1] == [(5, 18, 32, 3)]
    measured_peak(other, 1, tmp_path, other.frames)
    assert len(other.devices) == 3
    assert len(list(tmp_path.iterdir())) == 6


def test_what_could_not_be_measured_takes_a_whole_card_and_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = SimpleNamespace(name="a card", total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(gpu_share, "peak_bytes_of", lambda run, device: run() or GIB)
    encoder = Counting()
    encoder.results = (EncodeError("no room"),)
    assert measured_peak(encoder, 1, tmp_path).share == 1.0
    encoder.results = ()
    assert measured_peak(encoder, 1, tmp_path).share < 1.0
    assert len(encoder.devices) == 2


@pytest.mark.parametrize("name", sorted(tiny_settings.SETTINGS))
def test_frames_are_full_of_things_that_a_random_network_does_not_find(
    name: str, tmp_path: Path
) -> None:
    own = tiny_settings.SETTINGS[name](tmp_path)
    unsure = own["detector"] | {"settings": {"choice": {"min_score": 1.0}}}
    if name == "unified":  # the tiny detector does not take single square pictures
        own["key_frames"] = {"every": 1, "at_least": 1, "new_area": None}
    encoder = make_encoder(name, own | {"detector": unsure})
    loaded = encoder.load("cpu")
    clip = largest_clip(encoder.frames, 9 / 16)
    (empty,) = loaded.encode_batch([clip])
    (full,) = with_full_frames(loaded).encode_batch([clip])
    assert empty.objects == ()
    assert full.objects
    assert measured_peak(encoder) == GpuPeak("", 0, 0)


def test_an_encoder_without_a_detector_is_measured_as_it_is() -> None:
    encoder = Counting()
    assert with_full_frames(encoder) is encoder
