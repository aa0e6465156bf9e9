"""A video handed over in pieces: the frames of one call, whatever the pieces' size."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spatialcode import errors
from spatialcode.video import sandbox
from spatialcode.video.decode import Request, decode, decode_rows
from spatialcode.video.limits import VideoLimits
from spatialcode.video.sampling import ByCount, ByRate, ByTimes
from spatialcode.video.sandbox import SandboxedDecoder, SandboxLimits
from tests.video.builders import VideoRecipe, make_video, plant_garbage, read_index, truncate
from tests.video.conftest import Clips

RECIPES = {
    "h264": ("mp4", {}),
    "open gop": ("mp4", {"codec": "hevc", "open_gop": True}),
    "no key frames but the first": ("mp4", {"intra_refresh": True}),
    "vp9": ("webm", {"codec": "vp9"}),
    "avi": ("avi", {"codec": "mpeg4"}),
    "on its side": ("mp4", {"rotation_deg": 90}),
    "uneven times": ("mp4", {"pts_s": tuple(0.04 * n + 0.01 * (n % 3) for n in range(60))}),
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    with SandboxedDecoder() as shared:
        yield shared


def in_pieces(path, plan, size, **more):
    """Pixels and times of a video decoded in pieces, in this process; and the pieces' lengths."""
    found = []
    request = Request(str(path), plan, frames_a_piece=size, **more)
    last = decode_rows(request, lambda s: np.zeros(s, np.uint8), lambda r: found.append(r.result()))
    found.append(last.result())
    rgb = np.concatenate([piece.rgb for piece in found])
    return rgb, np.concatenate([piece.times_s for piece in found]), [len(p.rgb) for p in found]


@pytest.mark.parametrize("plan", [ByCount(60), ByCount(9), ByRate(7.0), ByTimes((0.1, 0.1, 0.5))])
@pytest.mark.parametrize("recipe", RECIPES)
def test_pieces_are_the_frames_of_one_call(clips: Clips, recipe: str, plan) -> None:
    suffix, fields = RECIPES[recipe]
    path = clips(suffix, **fields)
    whole = decode(path, plan, max_side_px=96)
    for size in (1, 7, 100):
        rgb, times_s, lengths = in_pieces(path, plan, size, max_side_px=96)
        assert np.array_equal(rgb, whole.rgb)
        assert np.array_equal(times_s, whole.times_s)
        assert max(lengths) <= max(size, 2)  # a time that is asked for twice is one row


def test_the_child_hands_over_what_this_process_decodes(
    clips: Clips, decoder: SandboxedDecoder
) -> None:
    path = clips("mp4")
    pieces = list(decoder.pieces(path, ByCount(60), frames_a_piece=16))
    assert [len(piece.rgb) for piece in pieces] == [16, 16, 16, 12]
    whole = decode(path, ByCount(60))
    assert np.array_equal(np.concatenate([piece.rgb for piece in pieces]), whole.rgb)
    assert {piece.probe for piece in pieces} == {whole.probe}
    assert read_index(pieces[2].rgb[0]) == 32
    assert decoder.num_starts == 1


@pytest.mark.parametrize(
    ("damage", "error"),
    [(truncate, errors.TruncatedVideoError), (plant_garbage, errors.CorruptVideoError)],
)
def test_damage_is_the_error_that_one_call_raises(
    tmp_path: Path, decoder: SandboxedDecoder, damage, error
) -> None:
    sound = make_video(tmp_path / "sound.mp4", VideoRecipe(num_frames=60, faststart=True))
    path = tmp_path / "damaged.mp4"
    damage(sound, path, 0.5) if damage is truncate else damage(sound, path)
    with pytest.raises(error):
        decode(path, ByCount(60))
    with pytest.raises(error):
        list(decoder.pieces(path, ByCount(60), frames_a_piece=8))
    assert len(list(decoder.pieces(sound, ByCount(60), frames_a_piece=30))) == 2


def test_a_child_killed_between_pieces_is_a_typed_error_and_the_next_video_decodes(
    clips: Clips,
) -> None:
    with SandboxedDecoder() as decoder:
        pieces = decoder.pieces(clips("mp4"), ByCount(60), frames_a_piece=10)
        seen = [next(pieces) for _ in range(3)]
        os.kill(decoder.child_pid, signal.SIGKILL)
        with pytest.raises(errors.DecodeMemoryError, match="killed from outside"):
            list(pieces)
        assert [read_index(piece.rgb[0]) for piece in seen] == [0, 10, 20]
        assert len(decoder.decode(clips("mp4"), ByCount(5)).rgb) == 5
        assert decoder.num_starts == 2


def test_the_wall_clock_runs_for_each_piece(clips: Clips) -> None:
    with SandboxedDecoder(SandboxLimits(wall_s=1.0)) as decoder:
        pieces = decoder.pieces(clips("mp4"), ByCount(60), frames_a_piece=10)
        next(pieces)
        os.kill(decoder.child_pid, signal.SIGSTOP)
        with pytest.raises(errors.DecodeTimeoutError, match="1 s"):
            next(pieces)


def test_a_reader_that_stops_early_frees_the_decoder(clips: Clips) -> None:
    with SandboxedDecoder() as decoder:
        pieces = decoder.pieces(clips("mp4"), ByCount(60), frames_a_piece=10)
        next(pieces)
        pieces.close()
        assert decoder.child_pid is None
        assert len(decoder.decode(clips("mp4"), ByCount(5)).rgb) == 5


def test_memory_holds_a_piece_and_limits_hold_for_one(
    clips: Clips, decoder: SandboxedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = []
    real = sandbox._share

    def counted(connection, num_bytes):
        gc.collect()
        alive = [ref for ref in shared if ref() is not None]
        array = real(connection, num_bytes)
        shared.append(weakref.ref(array))
        assert len(alive) <= 1, "the piece that was given last, at most"
        return array

    monkeypatch.setattr(sandbox, "_share", counted)
    limits = VideoLimits(max_output_bytes=10 * 160 * 120 * 3)
    for piece in decoder.pieces(clips("mp4"), ByCount(60), limits, frames_a_piece=10):
        assert len(piece.rgb) == 10
    assert len(shared) == 6
    with pytest.raises(errors.VideoLimitError, match="output"):
        list(decoder.pieces(clips("mp4"), ByCount(60), limits, frames_a_piece=11))


def test_frames_after_a_seek_to_no_full_picture_are_not_handed_over_too_early(clips: Clips) -> None:
    """From packet 30 on the first pictures are not shown: they refresh bit by bit."""
    path = clips("mp4", intra_refresh=True, b_frames=0, gop=30)
    plan = ByTimes((0.0, 33 / 30, 45 / 30))
    rgb, _, lengths = in_pieces(path, plan, 1)
    assert lengths == [1, 1, 1]
    assert np.array_equal(rgb, decode(path, plan).rgb)
    assert [read_index(frame) for frame in rgb] == [0, 33, 45]
