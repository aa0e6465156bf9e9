"""Damage that FFmpeg decodes without complaint must be an error here, and clean files none."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from spatialcode.errors import CorruptVideoError, TruncatedVideoError, VideoError
from spatialcode.video.containers import read_id, read_vint
from spatialcode.video.decode import decode, probe
from spatialcode.video.limits import DEFAULT_LIMITS
from spatialcode.video.reading import timestamp_gaps
from spatialcode.video.sampling import ByCount, ByTimes
from spatialcode.video.source import open_video
from tests.video.builders import copy_packets, plant_garbage, read_index, truncate
from tests.video.conftest import Clips

ALL = ByCount(1000)
LARGE = {"width_px": 256, "height_px": 192, "noise": 15}
# (container, codec) whose altered payloads are noticed wherever they are.
NOTICED = [
    ("mp4", "h264"), ("mkv", "h264"), ("ts", "h264"), ("flv", "h264"), ("mp4", "mpeg4"),
    ("avi", "mpeg4"), ("mpg", "mpeg2video"), ("avi", "mjpeg"),
]  # fmt: skip


@pytest.mark.parametrize(("extension", "codec"), NOTICED)
def test_garbage_in_the_middle(clips: Clips, tmp_path: Path, extension: str, codec: str) -> None:
    path = clips(extension, codec=codec, **LARGE)
    for at in (0.3, 0.5, 0.7):
        damaged = plant_garbage(path, tmp_path / f"{at}.{extension}", 4096, at)
        with pytest.raises(CorruptVideoError):
            decode(damaged, ALL)


def test_ffmpeg_alone_conceals_such_garbage(clips: Clips, tmp_path: Path) -> None:
    """Why the checks exist: read in the usual way, a damaged file gives frames and no error."""
    damaged = plant_garbage(clips("mkv", **LARGE), tmp_path / "damaged.mkv")
    with av.open(str(damaged)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 40
    with pytest.raises(CorruptVideoError):
        decode(damaged, ALL)


def test_sixteen_bytes_are_enough(clips: Clips, tmp_path: Path) -> None:
    path = clips("mp4", **LARGE)
    for at in (0.2, 0.45, 0.6, 0.9):
        damaged = plant_garbage(path, tmp_path / "damaged.mp4", 16, float(at))
        with pytest.raises(CorruptVideoError):
            decode(damaged, ALL)


def test_a_matroska_checksum_covers_codecs_without_redundancy(clips: Clips, tmp_path: Path) -> None:
    path = clips("mkv", codec="vp9", **LARGE)
    for at in (0.3, 0.5, 0.7):
        damaged = plant_garbage(path, tmp_path / "damaged.mkv", 8, at)
        with pytest.raises(CorruptVideoError, match="checksum"):
            decode(damaged, ByTimes((0.0,)))


def test_damage_to_the_webm_structure(clips: Clips, tmp_path: Path) -> None:
    path = clips("webm", codec="libvpx")
    for at in (0.3, 0.5, 0.7):
        damaged = plant_garbage(path, tmp_path / "damaged.webm", 4096, at)
        with pytest.raises(CorruptVideoError, match=r"Matroska|longer than its parent"):
            decode(damaged, ByTimes((0.0,)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(
    ("extension", "fields"),
    [
        ("mp4", {}),
        ("mp4", {"faststart": True}),
        ("mp4", {"muxer": (("movflags", "frag_keyframe+empty_moov"),)}),
        ("mkv", {}),
        ("avi", {"codec": "mpeg4"}),
    ],
    ids=str,
)
def test_truncation(clips: Clips, tmp_path: Path, extension, fields, share: float) -> None:
    cut = truncate(clips(extension, **fields), tmp_path / f"cut.{extension}", share)
    with pytest.raises(TruncatedVideoError):
        decode(cut, ALL)
    with pytest.raises(TruncatedVideoError):
        probe(cut)


def test_truncation_inside_a_transport_stream_packet(clips: Clips, tmp_path: Path) -> None:
    cut = truncate(clips("ts", **LARGE), tmp_path / "cut.ts", 0.501)
    assert cut.stat().st_size % 188
    with pytest.raises((CorruptVideoError, TruncatedVideoError)):
        decode(cut, ALL)


def test_lost_transport_stream_packet(clips: Clips, tmp_path: Path) -> None:
    data = clips("ts", **LARGE).read_bytes()
    middle = len(data) // 2 // 188 * 188
    (tmp_path / "lost.ts").write_bytes(data[:middle] + data[middle + 188 :])
    with pytest.raises(CorruptVideoError):
        decode(tmp_path / "lost.ts", ALL)


def test_lost_reference_picture(clips: Clips, tmp_path: Path) -> None:
    path = clips("mp4", b_frames=0, width_px=64, height_px=48)
    for number in range(13, 23):
        lost = copy_packets(path, tmp_path / "lost.mp4", drop=frozenset({number}))
        with pytest.raises(CorruptVideoError, match="reference picture"):
            decode(lost, ALL)
    # The group of pictures with the hole is not needed for these.
    video = decode(lost, ByTimes((0.1, 1.9)))
    assert [read_index(picture) for picture in video.rgb] == [3, 57]
    assert any("missing" in text for text in video.warnings)


def test_lost_picture_that_nothing_refers_to_is_a_warning(clips: Clips, tmp_path: Path) -> None:
    path = clips("mp4", codec="mjpeg")
    lost = copy_packets(path, tmp_path / "lost.mp4", drop=frozenset({30, 31}))
    video = decode(lost, ALL)
    assert len(video.rgb) == 58
    assert len(video.warnings) == 1
    assert "0.100 s after 0.967 s" in video.warnings[0]


def test_only_what_must_be_decoded_is_judged(clips: Clips, tmp_path: Path) -> None:
    damaged = plant_garbage(clips("mp4", **LARGE), tmp_path / "damaged.mp4", 4096, 0.5)
    assert read_index(decode(damaged, ByTimes((0.1,))).rgb[0]) == 3
    assert read_index(decode(damaged, ByTimes((1.9,))).rgb[0]) == 57
    with pytest.raises(CorruptVideoError):
        decode(damaged, ByTimes((1.0,)))


def test_reporting_instead_of_raising(clips: Clips, tmp_path: Path) -> None:
    damaged = plant_garbage(clips("mp4", **LARGE), tmp_path / "damaged.mp4", 4096, 0.5)
    video = decode(damaged, ALL, on_damage="report")
    assert video.warnings
    assert 50 <= len(video.rgb) <= 60
    assert read_index(video.rgb[0]) == 0
    cut = truncate(clips("mp4", faststart=True, **LARGE), tmp_path / "cut.mp4", 0.5)
    video = decode(cut, ALL, on_damage="report")
    assert any("ends" in text for text in video.warnings)
    assert [read_index(picture) for picture in video.rgb][:20] == list(range(20))
    hopeless = truncate(clips("mp4", **LARGE), tmp_path / "hopeless.mp4", 0.5)
    with pytest.raises(TruncatedVideoError):
        decode(hopeless, ALL, on_damage="report")


def test_damage_at_the_very_start_is_not_mistaken_for_a_late_start(
    clips: Clips, tmp_path: Path
) -> None:
    data = bytearray(clips("mp4", faststart=True, **LARGE).read_bytes())
    start = data.index(b"mdat") + 4
    data[start : start + 4096] = np.random.default_rng(1).bytes(4096)
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(VideoError):
        decode(tmp_path / "damaged.mp4", ByTimes((0.0,)))


def test_gaps_are_told_from_a_variable_rate(clips: Clips) -> None:
    steady = [i / 30 for i in range(60)]
    hole = [t if i < 40 else t + 0.5 for i, t in enumerate(steady)]
    wild = list(np.cumsum(np.random.default_rng(5).uniform(0.01, 0.3, 60)))
    for pts_s, num_gaps in ((steady, 0), (hole, 1), (wild, 0)):
        path = clips("mp4", pts_s=tuple(float(t) for t in pts_s), num_frames=60)
        with open_video(path, DEFAULT_LIMITS) as opened:
            assert len(timestamp_gaps(opened.packets)) == num_gaps


def test_ebml_numbers() -> None:
    # Examples of RFC 8794: one and two byte sizes, the reserved unknown, a four byte id.
    assert read_vint(b"\x81", 0) == (1, 1)
    assert read_vint(b"\x40\x02", 0) == (2, 2)
    assert read_vint(b"\xff", 0) == (None, 1)
    assert read_vint(b"\x01\xff\xff\xff\xff\xff\xff\xff", 0) == (None, 8)
    assert read_id(b"\x1f\x43\xb6\x75\x81") == (0x1F43B675, 4)
    assert read_id(b"\xa3\x81") == (0xA3, 1)
