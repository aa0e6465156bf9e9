"""Hostile files: each gets its 4xx before anything is decoded, and the next video is taken."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.config import AcceptedVideoConfig, LimitConfig, ServeConfig
from serve.http.problems import HTTPProblem
from serve.intake.admission import Acceptance
from serve.intake.declared import declared
from spatialcode.errors import VideoError
from spatialcode.video.decode import decode
from spatialcode.video.sampling import ByCount
from spatialcode.video.sandbox import CHILD_VARIABLE
from tests.serve.intake import hostile_videos as hostile
from tests.video import faulty_child
from tests.video.builders import (
    VideoRecipe,
    make_video,
    plant_garbage,
    truncate,
    write_noise_audio,
)

LIMITS = {"max_duration_s": 60.0, "max_pixels": 640 * 480, "max_frames": 300}


def config(max_bytes: int = 2**31, **video: object) -> ServeConfig:
    return ServeConfig(
        video=AcceptedVideoConfig(**LIMITS | {"num_probers": 1} | video),
        limits=LimitConfig(max_upload_bytes=max_bytes),
    )


@pytest.fixture(scope="module")
def acceptance() -> Iterator[Acceptance]:
    with closing(Acceptance(config())) as acceptance:
        yield acceptance


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Small videos without a fault, by their extension."""
    folder = tmp_path_factory.mktemp("sound")
    codecs = {"mp4": "h264", "avi": "mjpeg", "mkv": "vp8", "flv": "h264", "ts": "h264"}
    return lambda extension: (
        folder / f"a.{extension}"
        if (folder / f"a.{extension}").exists()
        else make_video(
            folder / f"a.{extension}", VideoRecipe(num_frames=12, codec=codecs[extension])
        )
    )


def refusal(acceptance: Acceptance, path: Path) -> HTTPProblem:
    """The problem of a file; where it lies here is not said."""
    with pytest.raises(HTTPProblem) as caught:
        acceptance.check(path)
    assert 400 <= caught.value.status_code < 500
    assert str(path.parent) not in caught.value.detail
    return caught.value


@pytest.mark.parametrize("extension", ["mp4", "avi", "mkv", "flv", "ts"])
def test_a_sound_video_is_taken_whatever_it_is_called(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path, extension: str
) -> None:
    path = tmp_path / "upload-x.part"
    shutil.copy(sound(extension), path)
    facts = acceptance.check(path)
    assert (facts.width_px, facts.height_px, facts.num_frames) == (160, 120, 12)


PLAYLISTS = (
    b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\nhttp://127.0.0.1/a.ts\n#EXT-X-ENDLIST\n",
    b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    b"concat:/etc/passwd|/etc/hosts",
    b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 1234 RTP/AVP 96\r\n",
    b"[playlist]\nFile1=http://169.254.169.254/\n",
    b"<asx version='3.0'><entry><ref href='http://127.0.0.1/'/></entry></asx>",
    b";FFMETADATA1\n",
)
NO_VIDEOS = (
    b"x", b"\0" * 4096, b"just text\n" * 100, b"%PDF-1.7\n" + bytes(500), b"MZ" + bytes(500),
    b"\x7fELF" + bytes(500), b"GIF89a" + bytes(500), b"\x89PNG\r\n\x1a\n" + bytes(500),
    b"\xff\xd8\xff\xe0" + bytes(500), b"RIFF\x24\0\0\0WAVEfmt " + bytes(500),
    b"RIFF\x24\0\0\0WEBPVP8 " + bytes(500), b"OggS" + bytes(500), b"ID3\4" + bytes(500),
    b"fLaC" + bytes(500), b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x1f\x8b\x08" + bytes(99),
    b"\0\0\0\x20ftypheic" + bytes(500), b"\0\0\0\x1cftypavif" + bytes(500),
    b"Rar!\x1a\7\1\0" + bytes(99), b"7z\xbc\xaf\x27\x1c" + bytes(99), b"BZh91AY" + bytes(99),
)  # fmt: skip


@pytest.mark.parametrize("content", PLAYLISTS + NO_VIDEOS)
def test_what_is_no_video_is_415(acceptance: Acceptance, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(content)
    problem = refusal(acceptance, path)
    assert (problem.status_code, problem.code) == (415, "video_unsupported")


def test_archives_are_not_looked_into(acceptance: Acceptance, tmp_path: Path) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("video.mp4", bytes(50 * 2**20))
    link = tarfile.TarInfo("video.mp4")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    linked = io.BytesIO()
    with tarfile.open(fileobj=linked, mode="w") as archive:
        archive.addfile(link)
    for content in (bomb.getvalue(), linked.getvalue()):
        path = tmp_path / "video.mp4"
        path.write_bytes(content)
        assert refusal(acceptance, path).status_code == 415


def test_nothing_and_a_gigabyte_of_nothing(acceptance: Acceptance, tmp_path: Path) -> None:
    empty, zeros = tmp_path / "empty", tmp_path / "zeros"
    empty.touch()
    assert refusal(acceptance, empty).code == "video_empty"
    with zeros.open("wb") as file:
        file.truncate(2**30)
    started_s = time.monotonic()
    assert refusal(acceptance, zeros).status_code == 415
    assert time.monotonic() - started_s < 5
    with zeros.open("r+b") as file:  # with the first bytes of a video
        file.write(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
    assert refusal(acceptance, zeros).status_code == 422
    assert time.monotonic() - started_s < 30


def test_links_devices_and_folders(acceptance: Acceptance, tmp_path: Path) -> None:
    (tmp_path / "to-text").symlink_to("/etc/passwd")
    (tmp_path / "to-nothing").symlink_to(tmp_path / "nothing")
    (tmp_path / "to-zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    assert refusal(acceptance, tmp_path / "to-text").status_code == 415
    for name in ("to-nothing", "to-zero", "folder", "missing"):
        problem = refusal(acceptance, tmp_path / name)
        assert (problem.status_code, problem.code) == (422, "video_not_found")


@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
def test_a_video_cut_off(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path, extension: str,
    share: float,
) -> None:  # fmt: skip
    problem = refusal(acceptance, truncate(sound(extension), tmp_path / "cut", share))
    assert problem.code in {"video_truncated", "video_corrupt", "video_no_stream", "video_empty"}
    assert problem.status_code == 422


def test_a_damaged_index(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path
) -> None:
    data = sound("mp4").read_bytes()
    start = data.index(b"moov") + 4
    path = tmp_path / "damaged"
    path.write_bytes(data[:start] + bytes(len(data) - start))
    assert refusal(acceptance, path).status_code == 422


def test_damage_to_a_picture_shows_when_it_is_decoded(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path
) -> None:
    path = plant_garbage(sound("mp4"), tmp_path / "damaged", num_bytes=9000, at=0.6)
    assert acceptance.check(path).num_frames == 12
    with pytest.raises(VideoError):
        decode(path, ByCount(12))


def test_sound_without_pictures(acceptance: Acceptance, tmp_path: Path) -> None:
    problem = refusal(acceptance, write_noise_audio(tmp_path / "sound.mp4"))
    assert (problem.status_code, problem.code) == (422, "video_no_stream")


@pytest.mark.parametrize("side", [0, 65535])
def test_a_size_that_an_mp4_header_states(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path, side: int
) -> None:
    path = hostile.with_mp4_size(sound("mp4"), tmp_path / "x", side, side)
    problem = refusal(acceptance, path)
    assert (problem.status_code, problem.code) == (422, "video_limit")
    assert f"{side} x {side}" in problem.detail


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("side", [0, 100_000])
def test_a_size_that_an_avi_header_states(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path, side: int, blank: bool
) -> None:
    path = hostile.with_avi_size(sound("avi"), tmp_path / "x", side, side, blank=blank)
    problem = refusal(acceptance, path)
    assert problem.code == "video_limit"
    assert f"{side} x {side}" in problem.detail


def test_no_size_in_a_matroska_header(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path
) -> None:
    path = hostile.with_mkv_size(sound("mkv"), tmp_path / "x", 0, 0)
    assert refusal(acceptance, path).code == "video_limit"


def test_a_size_that_only_the_stream_states(acceptance: Acceptance, tmp_path: Path) -> None:
    for number, side_mbs in enumerate((6250, 1000)):
        path = hostile.h264_of_size(tmp_path / f"{number}.ts", side_mbs, side_mbs)
        assert refusal(acceptance, path).status_code == 422


@pytest.mark.parametrize("box", [b"mvhd", b"mdhd"])
def test_ten_hours_in_an_mp4_header(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path, box: bytes
) -> None:
    path = hostile.with_mp4_hours(sound("mp4"), tmp_path / "x", box, 10.0)
    problem = refusal(acceptance, path)
    assert (problem.status_code, problem.code) == (422, "video_limit")
    assert "36000.0 s" in problem.detail


def test_hours_in_other_headers(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path
) -> None:
    avi = hostile.with_avi_hours(sound("avi"), tmp_path / "a", 10.0)
    mkv = hostile.with_mkv_hours(sound("mkv"), tmp_path / "m", 10.0)
    for path in (avi, mkv):
        problem = refusal(acceptance, path)
        assert problem.code == "video_limit"
        assert "duration" in problem.detail


@pytest.mark.parametrize(("count", "ticks"), [(12, 2**26), (2**31 - 1, 1), (2**31 - 1, 2**31)])
def test_a_sample_table_without_end(
    acceptance: Acceptance, sound: Callable[[str], Path], tmp_path: Path, count: int, ticks: int
) -> None:
    path = hostile.with_mp4_samples(sound("mp4"), tmp_path / "x", count, ticks)
    assert refusal(acceptance, path).status_code == 422


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"max_duration_s": 0.3}, "duration"),
        ({"max_pixels": 160 * 120 - 1}, "pixels"),
        ({"max_frames": 11}, "frames"),
        ({"min_side_px": 121}, "pixels"),
        ({"formats": ("matroska",)}, "mov"),
        ({"codecs": ("hevc",)}, "h264"),
    ],
)
def test_limits_of_the_configuration(
    sound: Callable[[str], Path], changes: dict[str, object], names: str
) -> None:
    with closing(Acceptance(config(**changes))) as acceptance:
        problem = refusal(acceptance, sound("mp4"))
    assert problem.status_code in {415, 422}
    assert names in problem.detail


def test_too_many_bytes_are_413(sound: Callable[[str], Path]) -> None:
    path = sound("mp4")
    with closing(Acceptance(config(max_bytes=path.stat().st_size - 1))) as acceptance:
        assert refusal(acceptance, path).status_code == 413


@pytest.mark.parametrize(
    ("fault", "code"),
    [("crash", "decode_crash"), ("hang", "decode_timeout"), ("oom", "decode_memory"),
     ("bug", "decode_crash")],
)  # fmt: skip
def test_a_file_that_kills_its_reader_kills_nothing_else(
    sound: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str,
    code: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(CHILD_VARIABLE, faulty_child.MODULE)
    bad = Path(shutil.copy(sound("mp4"), tmp_path / f"x__{fault}__.mp4"))
    with closing(Acceptance(config(probe_timeout_s=5.0))) as acceptance:
        problem = refusal(acceptance, bad)
        assert problem.status_code == 422
        assert problem.code == code or fault == "bug"
        assert acceptance.check(sound("mp4")).num_frames == 12


def test_when_all_readers_are_busy_one_is_asked_to_come_again(
    acceptance: Acceptance, sound: Callable[[str], Path]
) -> None:
    with acceptance._prober(0.0):
        with pytest.raises(HTTPProblem) as caught:
            acceptance.check(sound("mp4"), timeout_s=0.05)
        assert caught.value.status_code == 429
        assert caught.value.headers == {"Retry-After": "2"}
    assert acceptance.check(sound("mp4"), timeout_s=0.0).num_frames == 12


@given(
    st.sampled_from(["mov", "matroska", "avi"]),
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"\0\0\0\x10moov", b"\0\0\0\x20mvhd\1", b"\0\0\0\1mdat" + b"\xff" * 8,
                             b"\0\0\0\0trak", b"\0\0\0\x0cstsd", b"\x1a\x45\xdf\xa3\x80",
                             b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", b"\xe0\x80",
                             b"\x44\x89\x88", b"RIFF\0\0\0\0AVI LIST\0\0\0\0hdrlavih"]),
        ),
        max_size=12,
    ),
)  # fmt: skip
def test_reading_headers_never_fails(format_name: str, pieces: list[bytes]) -> None:
    found = declared(io.BytesIO(b"".join(pieces)), format_name)
    assert all(width >= 0 and height >= 0 for width, height in found.sizes_px)


def test_what_sound_headers_declare(sound: Callable[[str], Path]) -> None:
    for extension, name in (("mp4", "mov"), ("avi", "avi"), ("mkv", "matroska")):
        with sound(extension).open("rb") as file:
            found = declared(file, name)
        assert set(found.sizes_px) == {(160, 120)}
        assert max(found.durations_s) == pytest.approx(0.4, abs=0.04)
