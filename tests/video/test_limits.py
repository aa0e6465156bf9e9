"""What is refused, and as what, before anything is decoded."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from spatialcode.errors import (
    CorruptVideoError,
    EmptyVideoError,
    NoVideoStreamError,
    UnsupportedVideoError,
    VideoError,
    VideoLimitError,
    VideoNotFoundError,
)
from spatialcode.video.containers import sniff
from spatialcode.video.decode import decode, probe
from spatialcode.video.limits import DEFAULT_LIMITS, VideoLimits
from spatialcode.video.sampling import ByCount, ByRate
from tests.video.builders import read_index, write_noise_audio
from tests.video.conftest import Clips


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"max_bytes": 1000}, "bytes"),
        ({"max_duration_s": 1.9}, "duration"),
        ({"max_pixels": 160 * 120 - 1}, "pixels"),
        ({"max_frames": 59}, "frames"),
        ({"max_samples": 4}, "samples"),
        ({"max_output_bytes": 5 * 160 * 120 * 3 - 1}, "output"),
    ],
)
@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_each_limit(clips: Clips, extension: str, changes: dict[str, int], names: str) -> None:
    path = clips(extension)
    with pytest.raises(VideoLimitError, match=names):
        decode(path, ByCount(5), replace(DEFAULT_LIMITS, **changes))


def test_exactly_at_the_limits(clips: Clips) -> None:
    path = clips("mp4")
    limits = VideoLimits(
        max_bytes=path.stat().st_size, max_duration_s=2.0, max_pixels=160 * 120, max_frames=60,
        max_samples=5, max_output_bytes=5 * 160 * 120 * 3,
    )  # fmt: skip
    assert len(decode(path, ByCount(5), limits).rgb) == 5


def test_a_rate_beyond_reason_is_refused_without_memory(clips: Clips) -> None:
    with pytest.raises(VideoLimitError, match="samples"):
        decode(clips("mp4"), ByRate(1e15))


def test_limits_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="max_pixels"):
        VideoLimits(max_pixels=0)


def test_formats_and_codecs_not_on_the_list(clips: Clips) -> None:
    with pytest.raises(UnsupportedVideoError, match="matroska"):
        probe(clips("mkv"), replace(DEFAULT_LIMITS, formats=("mov",)))
    with pytest.raises(UnsupportedVideoError, match="hevc"):
        probe(clips("mp4", codec="hevc", open_gop=True), replace(DEFAULT_LIMITS, codecs=("h264",)))


def test_the_name_is_not_believed(clips: Clips, tmp_path: Path) -> None:
    for name in ("video.txt", "video.png", "video.m3u8", "a:b.mp4", "pipe:0", "no-extension"):
        path = tmp_path / name
        shutil.copy(clips("mp4"), path)
        assert read_index(decode(path, ByCount(1)).rgb[0]) == 0


def png_bytes() -> bytes:
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt = 8, 8, "rgb24"
    frame = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8))
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


@pytest.mark.parametrize(
    "content",
    [
        b"just some text, nothing more\n" * 50,
        b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/a.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        png_bytes(),
        b"GIF89a" + bytes(500),
        b"\xff\xd8\xff\xe0" + bytes(500),
        b"<?xml version='1.0'?><MPD></MPD>",
        b"\x00\x00\x00\x20ftypheic" + bytes(500),
        b"\x00\x00\x00\x1cftypavif" + bytes(500),
        b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(500),
        b"OggS" + bytes(500),
        bytes(4096),
        b"x",
    ],
)
def test_what_is_no_video_is_refused_by_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    with pytest.raises(UnsupportedVideoError):
        decode(path, ByCount(1))


def test_random_bytes_are_never_anything_but_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    heads = (b"", b"\x00\x00\x00\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"RIFF\x00\x08\x00\x00AVI ",
             b"\x00\x00\x01\xba", b"FLV\x01\x05\x00\x00\x00\x09")  # fmt: skip
    for head in heads:
        for seed in range(5):
            path.write_bytes(head + np.random.default_rng(seed).bytes(3000))
            with pytest.raises(VideoError):
                decode(path, ByCount(3))


def test_sound_only_and_cover_pictures(tmp_path: Path) -> None:
    with pytest.raises(NoVideoStreamError, match="audio"):
        probe(write_noise_audio(tmp_path / "sound.mp4"))
    path = write_noise_audio(tmp_path / "song.m4a", cover=png_bytes())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(NoVideoStreamError, match="audio"):
        probe(path)


def test_empty_missing_and_special_files(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(EmptyVideoError):
        probe(tmp_path / "empty.mp4")
    with pytest.raises(VideoNotFoundError):
        probe(tmp_path / "missing.mp4")
    with pytest.raises(VideoNotFoundError, match="regular"):
        probe(tmp_path)
    os.mkfifo(tmp_path / "fifo.mp4")
    with pytest.raises(VideoNotFoundError, match="regular"):
        probe(tmp_path / "fifo.mp4")


def test_an_index_that_points_nowhere(clips: Clips, tmp_path: Path) -> None:
    data = clips("mp4", faststart=True).read_bytes()
    start = data.index(b"moov")
    path = tmp_path / "bad-moov.mp4"
    path.write_bytes(data[: start + 4] + bytes(len(data) - start - 4))
    with pytest.raises((CorruptVideoError, NoVideoStreamError)):
        decode(path, ByCount(1))


def test_sniff_by_first_bytes() -> None:
    assert sniff(b"\x00\x00\x00\x20ftypisom") == "mov"
    assert sniff(b"\x00\x00\x00\x08wide\x00\x00") == "mov"
    assert sniff(b"\x1a\x45\xdf\xa3\x01") == "matroska"
    assert sniff(b"RIFF\x00\x00\x00\x00AVI LIST") == "avi"
    assert sniff((b"\x47" + bytes(187)) * 4) == "mpegts"
    with pytest.raises(UnsupportedVideoError):
        sniff((b"\x47" + bytes(187)) * 2 + bytes(400))
