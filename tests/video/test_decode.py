"""Which frame came back is read from its pixels; when, is known from how it was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spatialcode.video.decode import decode, hash_file, probe
from spatialcode.video.limits import DEFAULT_LIMITS
from spatialcode.video.reading import plan_runs
from spatialcode.video.sampling import ByCount, ByRate, ByTimes, shown_frames
from spatialcode.video.source import open_video
from tests.video.builders import VideoRecipe, copy_packets, is_upright, make_video, read_index
from tests.video.conftest import Clips

ALL = ByCount(1000)
CONTAINERS = [
    ("mp4", {}),
    ("mp4", {"b_frames": 0}),
    ("mp4", {"faststart": True}),
    ("mp4", {"open_gop": True}),
    ("mp4", {"muxer": (("movflags", "frag_keyframe+empty_moov"),)}),
    ("mp4", {"intra_refresh": True, "b_frames": 0}),
    ("mp4", {"codec": "hevc", "open_gop": True}),
    ("mp4", {"codec": "mpeg4"}),
    ("mp4", {"codec": "av1"}),
    ("mp4", {"codec": "mjpeg"}),
    ("mkv", {}),
    ("mkv", {"open_gop": True}),
    ("mkv", {"muxer": (("live", "1"),)}),
    ("webm", {"codec": "vp9"}),
    ("webm", {"codec": "libvpx"}),
    ("webm", {"codec": "libvpx", "extra": (("auto-alt-ref", "1"), ("lag-in-frames", "16"))}),
    ("avi", {"codec": "mpeg4"}),
    ("avi", {"codec": "mjpeg"}),
    ("avi", {}),
    ("ts", {}),
    ("ts", {"open_gop": True}),
    ("mpg", {"codec": "mpeg2video"}),
    ("flv", {}),
]


def indices(video) -> list[int]:
    return [read_index(picture) for picture in video.rgb]


@pytest.mark.parametrize(("extension", "fields"), CONTAINERS, ids=str)
def test_every_frame_and_sparse_frames_of_clean_files(clips: Clips, extension, fields) -> None:
    path = clips(extension, **fields)
    video = decode(path, ALL)
    assert indices(video) == list(range(60))
    np.testing.assert_allclose(video.times_s, np.arange(60) / 30, atol=1.1e-3)
    assert video.warnings == ()
    assert all(is_upright(picture) for picture in video.rgb)

    sparse = decode(path, ByTimes((0.5, 0.71, 1.9)))
    assert indices(sparse) == [15, 21, 57]
    assert sparse.warnings == ()

    facts = probe(path)
    assert (facts.num_frames, facts.width_px, facts.height_px) == (60, 160, 120)
    assert facts.duration_s == pytest.approx(2.0, abs=0.002)
    assert facts.fps == pytest.approx(30.0, abs=0.03)
    assert facts == video.probe


def test_times_of_a_variable_rate_are_the_written_ones(clips: Clips) -> None:
    pts_s = (0.4, *(0.4 + np.cumsum(np.random.default_rng(3).uniform(0.01, 0.15, 59))))
    for extension in ("mp4", "mkv", "ts"):
        path = clips(extension, pts_s=tuple(float(t) for t in pts_s))
        video = decode(path, ALL)
        assert indices(video) == list(range(60))
        np.testing.assert_allclose(video.times_s, np.asarray(pts_s) - 0.4, atol=1.1e-3)
        between = (pts_s[20] + pts_s[21]) / 2 - 0.4
        assert indices(decode(path, ByTimes((between,)))) == [20]
        assert video.warnings == ()


def test_frames_hidden_by_an_edit_list_do_not_appear(clips: Clips, tmp_path: Path) -> None:
    path = copy_packets(
        clips("mp4"), tmp_path / "cut.mp4", shift_frames=-5, muxer={"avoid_negative_ts": "disabled"}
    )
    video = decode(path, ALL)
    assert indices(video) == list(range(5, 60))
    assert video.times_s[:2] == pytest.approx([0, 1 / 30], abs=1e-4)
    assert video.warnings == ()


def test_a_recording_that_starts_in_the_middle_of_a_group(clips: Clips, tmp_path: Path) -> None:
    for open_gop in (False, True):
        data = clips("ts", open_gop=open_gop).read_bytes()
        path = tmp_path / "tuned-in.ts"
        path.write_bytes(data[len(data) // 3 // 188 * 188 :])
        video = decode(path, ALL)
        found = indices(video)
        assert found == list(range(found[0], 60))
        assert found[0] % 12 == 0
        assert video.times_s[0] == 0


def test_an_index_that_calls_every_packet_a_key_frame(clips: Clips, tmp_path: Path) -> None:
    data = clips("mp4").read_bytes()
    assert data.count(b"stss") == 1
    path = tmp_path / "no-sync-table.mp4"
    path.write_bytes(data.replace(b"stss", b"free"))
    video = decode(path, ByTimes((0.5, 1.0, 1.9)))
    assert indices(video) == [15, 30, 57]
    assert video.warnings == ()


def test_an_avi_without_its_index(clips: Clips, tmp_path: Path) -> None:
    data = clips("avi", codec="mpeg4").read_bytes()
    path = tmp_path / "no-index.avi"
    path.write_bytes(data.replace(b"idx1", b"JUNK"))
    assert indices(decode(path, ByTimes((0.5, 1.9)))) == [15, 57]


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_come_upright(clips: Clips, rotation_deg: int, mirrored: bool) -> None:
    path = clips("mp4", rotation_deg=rotation_deg, mirrored=mirrored, num_frames=8)
    video = decode(path, ALL)
    assert video.rgb.shape == (8, 120, 160, 3)
    assert all(is_upright(picture) for picture in video.rgb)
    assert indices(video) == list(range(8))
    if not mirrored:
        assert video.probe.rotation_deg == rotation_deg
    small = decode(path, ALL, max_side_px=80)
    assert small.rgb.shape == (8, 60, 80, 3)
    assert indices(small) == list(range(8))


def test_size_is_scaled_down_and_never_up(clips: Clips) -> None:
    path = clips("mp4", width_px=320, height_px=180, num_frames=4)
    assert decode(path, ALL, max_side_px=100).rgb.shape == (4, 56, 100, 3)
    assert decode(path, ALL, max_side_px=1000).rgb.shape == (4, 180, 320, 3)


def test_colours_survive(clips: Clips) -> None:
    picture = decode(clips("mp4"), ByTimes((0.0,))).rgb[0].astype(int)
    red, green, blue = picture[20, 20], picture[20, 60], picture[20, 100]
    assert np.abs(red - (220, 30, 30)).max() < 12
    assert np.abs(green - (30, 200, 30)).max() < 12
    assert np.abs(blue - (30, 30, 220)).max() < 12


def test_pixels_that_are_not_square_are_made_so(clips: Clips) -> None:
    path = clips("mp4", num_frames=4, extra=(("aspect", "2:1"),))
    facts = probe(path)
    assert (facts.width_px, facts.height_px) == (320, 120)
    assert decode(path, ALL).rgb.shape == (4, 120, 320, 3)


@pytest.mark.parametrize("fields", [{}, {"open_gop": True}], ids=str)
@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_sparse_frames_of_a_long_video_decode_little(clips: Clips, extension, fields) -> None:
    path = clips(extension, num_frames=1500, gop=25, width_px=64, height_px=48, **fields)
    video = decode(path, ByCount(8))
    assert indices(video) == [1499 * i // 7 for i in range(8)]
    assert video.warnings == ()
    with open_video(path, DEFAULT_LIMITS) as opened:
        runs = plan_runs(opened.packets, shown_frames(ByCount(8), opened.packets.times_s))
    decoded = sum(run.end - run.start + 1 for run in runs)
    assert decoded <= 8 * 2 * 25  # at most two groups of pictures for each wanted frame


def test_rate_and_counts(clips: Clips) -> None:
    path = clips("mp4")
    assert indices(decode(path, ByRate(10.0))) == list(range(0, 60, 3))
    assert indices(decode(path, ByCount(5))) == [0, 14, 29, 44, 59]
    repeated = decode(path, ByTimes((0.1, 0.1, 0.2)))
    assert indices(repeated) == [3, 3, 6]
    assert repeated.times_s == pytest.approx([0.1, 0.1, 0.2], abs=1e-4)


def test_several_threads_give_the_same_pixels(clips: Clips) -> None:
    one = decode(clips("mp4"), ByCount(9))
    two = decode(clips("mp4"), ByCount(9), replace(DEFAULT_LIMITS, num_threads=2))
    assert (one.rgb == two.rgb).all()


def test_sha256_is_of_the_bytes_and_can_be_given(tmp_path: Path) -> None:
    text = tmp_path / "abc"
    text.write_bytes(b"abc")
    assert hash_file(text).startswith("ba7816bf8f01cfea414140de5dae2223")
    path = make_video(tmp_path / "v.mp4", VideoRecipe(num_frames=4))
    assert probe(path).sha256 == hash_file(path) == decode(path, ALL).probe.sha256
    assert decode(path, ALL, sha256="known").probe.sha256 == "known"
    assert probe(path, with_sha256=False).sha256 == ""


def test_real_videos_are_clean(data_dir: Path) -> None:
    for name, num_frames in (("bedroom.mp4", 200), ("unitree.mp4", 174)):
        path = data_dir / "videos" / name
        whole = decode(path, ALL, max_side_px=96)
        assert len(whole.rgb) == num_frames
        assert (np.diff(whole.times_s) > 0).all()
        assert whole.warnings == ()
        sparse = decode(path, ByCount(5), max_side_px=96)
        rows = [int(np.flatnonzero(whole.times_s == t)[0]) for t in sparse.times_s]
        assert (sparse.rgb == whole.rgb[rows]).all()
