"""The child may die in any way; the caller gets a typed error and the next video decodes."""

from __future__ import annotations

import gc
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from spatialcode import errors
from spatialcode.video.decode import (
    Request,
    decode,
    error_from_dict,
    error_to_dict,
    probe,
    request_from_dict,
    request_to_dict,
)
from spatialcode.video.limits import DEFAULT_LIMITS, VideoLimits
from spatialcode.video.sampling import ByCount, ByRate, ByTimes
from spatialcode.video.sandbox import CHILD_VARIABLE, SandboxedDecoder, SandboxLimits
from tests.video import faulty_child
from tests.video.builders import read_index, truncate, write_noise_audio
from tests.video.conftest import Clips

ROOT = Path(__file__).parents[2]


@pytest.fixture
def faulty(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`faulty("crash")`: a fine video that makes the child crash."""
    monkeypatch.setenv(CHILD_VARIABLE, faulty_child.MODULE)

    def make(fault: str) -> Path:
        return Path(shutil.copy(clips("mp4"), tmp_path / f"x__{fault}__.mp4"))

    return make


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    with SandboxedDecoder() as shared:
        yield shared


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("plan", [ByCount(7), ByRate(4.0), ByTimes((0.1, 0.1, 1.5))], ids=str)
def test_same_result_as_in_process(clips: Clips, decoder: SandboxedDecoder, plan) -> None:
    path = clips("mp4", rotation_deg=90)
    inside, here = decoder.decode(path, plan, max_side_px=64), decode(path, plan, max_side_px=64)
    assert inside.rgb.dtype == np.uint8
    assert (inside.rgb == here.rgb).all()
    assert (inside.times_s == here.times_s).all()
    assert inside.probe == here.probe == probe(path) == decoder.probe(path)
    assert inside.warnings == here.warnings
    assert decoder.num_starts == 1


def test_same_errors_as_in_process(clips: Clips, tmp_path: Path, decoder: SandboxedDecoder) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video" * 100)
    cases = [
        tmp_path / "missing.mp4",
        tmp_path / "empty.mp4",
        tmp_path / "text.mp4",
        write_noise_audio(tmp_path / "sound.mp4"),
        truncate(clips("mp4"), tmp_path / "cut.mp4", 0.5),
    ]
    pid = decoder.child_pid
    for path in cases:
        with pytest.raises(errors.VideoError) as here:
            decode(path, ByCount(2))
        with pytest.raises(errors.VideoError) as inside:
            decoder.decode(path, ByCount(2))
        assert type(inside.value) is type(here.value)
        assert str(inside.value) == str(here.value)
    limits = VideoLimits(max_pixels=100)
    with pytest.raises(errors.VideoLimitError, match="pixels"):
        decoder.decode(clips("mp4"), ByCount(2), limits)
    assert decoder.child_pid == pid


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ("crash", errors.DecodeCrashError, "SIGSEGV"),
        ("abort", errors.DecodeCrashError, "SIGABRT"),
        ("bug", errors.DecodeCrashError, "ZeroDivisionError"),
        ("oom", errors.DecodeMemoryError, "memory"),
        ("hang", errors.DecodeTimeoutError, "no answer in 2 s"),
    ],
)
def test_a_fault_costs_one_video_only(clips: Clips, faulty, fault, error, text) -> None:
    with SandboxedDecoder(SandboxLimits(wall_s=2.0)) as decoder:
        before = decoder.decode(clips("mp4"), ByCount(2))
        pid = decoder.child_pid
        start = time.monotonic()
        with pytest.raises(error, match=text):
            decoder.decode(faulty(fault), ByCount(2))
        assert time.monotonic() - start < 20
        with SandboxedDecoder(SandboxLimits(wall_s=60.0)) as patient:
            assert patient.decode(clips("mp4"), ByCount(2)).rgb.shape == before.rgb.shape
        if fault != "bug":
            assert pid is not None
            assert not is_alive(pid)
        assert read_index(before.rgb[1]) == 59  # outlives the child that made it


def test_the_same_decoder_goes_on_after_each_fault(clips: Clips, faulty) -> None:
    with SandboxedDecoder() as decoder:
        for fault in ("crash", "oom", "abort"):
            with pytest.raises(errors.VideoError):
                decoder.decode(faulty(fault), ByCount(1))
            assert read_index(decoder.decode(clips("mp4"), ByCount(2)).rgb[1]) == 59
        assert decoder.num_starts == 4


def test_processor_time_is_limited_per_request(clips: Clips, faulty) -> None:
    with SandboxedDecoder(SandboxLimits(cpu_s=1)) as decoder:
        with pytest.raises(errors.DecodeTimeoutError, match="processor time"):
            decoder.decode(faulty("spin"), ByCount(1))
        assert len(decoder.decode(clips("mp4"), ByCount(2)).rgb) == 2


def test_memory_of_a_real_video_is_limited(clips: Clips) -> None:
    large = clips("mp4", width_px=1920, height_px=1088, num_frames=3, b_frames=0)
    with SandboxedDecoder(SandboxLimits(memory_bytes=24 * 2**20)) as decoder:
        with pytest.raises(errors.DecodeMemoryError):
            decoder.decode(large, ByCount(3))
        assert len(decoder.decode(clips("mp4"), ByCount(2)).rgb) == 2


def test_markers_are_ignored_unless_asked_for(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CHILD_VARIABLE, raising=False)
    path = Path(shutil.copy(clips("mp4"), tmp_path / "x__crash__.mp4"))
    with path.open("ab") as file:
        file.write(b"\x00\x00\x00\x11free__hang__.")
    with SandboxedDecoder() as decoder:
        assert len(decoder.decode(path, ByCount(2)).rgb) == 2


def test_a_marker_in_the_last_bytes(clips: Clips, faulty, tmp_path: Path) -> None:
    path = Path(shutil.copy(clips("mp4"), tmp_path / "harmless.mp4"))
    with path.open("ab") as file:
        file.write(b"\x00\x00\x00\x13free__crash__..")
    with SandboxedDecoder() as decoder, pytest.raises(errors.DecodeCrashError):
        decoder.decode(path, ByCount(2))


def test_a_child_killed_between_requests_is_replaced(clips: Clips) -> None:
    with SandboxedDecoder() as decoder:
        decoder.start()
        os.kill(decoder.child_pid, signal.SIGKILL)
        assert len(decoder.decode(clips("mp4"), ByCount(2)).rgb) == 2


def test_threads_take_turns(clips: Clips, decoder: SandboxedDecoder) -> None:
    found: dict[int, list[int]] = {}

    def work(n: int) -> None:
        video = decoder.decode(clips("mp4"), ByTimes((n / 10, n / 10 + 0.5)))
        found[n] = [read_index(picture) for picture in video.rgb]

    clips("mp4")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [3 * n, 3 * n + 15] for n in range(8)}


def test_the_child_outlives_the_thread_that_first_asked(clips: Clips) -> None:
    path = clips("mp4")
    with SandboxedDecoder() as decoder:
        thread = threading.Thread(target=decoder.decode, args=(path, ByCount(1)))
        thread.start()
        thread.join()
        pid = decoder.child_pid
        time.sleep(0.2)
        assert len(decoder.decode(path, ByCount(2)).rgb) == 2
        assert decoder.child_pid == pid
        assert decoder.num_starts == 1


def test_a_forked_process_gets_its_own_child(clips: Clips) -> None:
    path = clips("mp4")
    with SandboxedDecoder() as decoder:
        decoder.decode(path, ByCount(1))
        pid = decoder.child_pid
        forked = os.fork()
        if forked == 0:
            fine = len(decoder.decode(path, ByCount(2)).rgb) == 2 and decoder.child_pid != pid
            decoder.close()
            os._exit(0 if fine else 1)
        assert os.waitpid(forked, 0)[1] == 0
        assert len(decoder.decode(path, ByCount(2)).rgb) == 2
        assert decoder.child_pid == pid


def test_nothing_is_left_open(clips: Clips, faulty) -> None:
    def held() -> tuple[int, set[Path], str]:
        gc.collect()
        maps = Path("/proc/self/maps").read_text()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        return descriptors, set(Path("/dev/shm").iterdir()), maps

    clips("mp4")
    with SandboxedDecoder() as decoder:
        decoder.decode(clips("mp4"), ByCount(2))
    before = held()
    pids = []
    for _ in range(2):
        with SandboxedDecoder() as decoder:
            decoder.decode(clips("mp4"), ByCount(2))
            pids.append(decoder.child_pid)
            with pytest.raises(errors.DecodeCrashError):
                decoder.decode(faulty("crash"), ByCount(2))
            decoder.decode(clips("mp4"), ByCount(2))
            pids.append(decoder.child_pid)
    after = held()
    assert after[0] == before[0]
    assert after[1] <= before[1]
    assert "memfd:frames" not in after[2]
    assert not any(is_alive(pid) for pid in pids)


PARENT = """
import sys, time
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.video.sampling import ByCount
decoder = SandboxedDecoder()
decoder.start()
print(decoder.child_pid, flush=True)
{then}
"""


@pytest.mark.parametrize(
    "then",
    ["time.sleep(600)", "decoder.decode(sys.argv[1], ByCount(1))"],
    ids=["idle", "hanging"],
)
def test_no_child_outlives_a_parent_killed_outright(faulty, then: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(then=then), str(faulty("hang"))],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    assert is_alive(child)
    parent.kill()
    parent.communicate()
    assert wait_for(lambda: not is_alive(child))


def test_a_decoder_nobody_closed_ends_with_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT.format(then="")],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    assert wait_for(lambda: not is_alive(int(done.stdout)))


def test_the_child_is_confined(decoder: SandboxedDecoder) -> None:
    decoder.start()
    limits = Path(f"/proc/{decoder.child_pid}/limits").read_text()
    values = {line[:25].strip(): line[25:].split() for line in limits.splitlines()[1:]}
    assert values["Max core file size"][:2] == ["0", "0"]
    assert values["Max file size"][:2] == ["0", "0"]
    assert values["Max open files"][:2] == ["64", "64"]
    assert values["Max address space"][0] != "unlimited"
    maps = Path(f"/proc/{decoder.child_pid}/maps").read_text()
    assert "torch" not in maps
    assert "ray" not in {Path(line.split()[-1]).name for line in maps.splitlines()}


@pytest.mark.parametrize("plan", [ByCount(3), ByRate(0.1), ByTimes((0.0, 0.1, 1 / 3))])
def test_requests_cross_the_wire_unchanged(plan) -> None:
    limits = VideoLimits(max_pixels=7, codecs=("h264",))
    request = Request("/a/\udce9 b.mp4", plan, limits, 99, "report", "ab")
    assert request_from_dict(request_to_dict(request)) == request


def test_every_video_error_crosses_the_wire_as_itself() -> None:
    kinds = [
        value for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.VideoError)
    ]  # fmt: skip
    assert len(kinds) >= 11
    for kind in kinds:
        one, other = ("what happened", "/a/b.mp4"), ("what happened", None)
        if kind is errors.VideoLimitError:
            one, other = ("bytes", "9, at most 8"), ("pixels", "9 x 9, at most 80")
        for error in (kind(*one), kind(*other)):
            for back in (
                error_from_dict(json.loads(json.dumps(error_to_dict(error)))),
                pickle.loads(pickle.dumps(error)),
            ):
                assert type(back) is kind
                assert (str(back), vars(back)) == (str(error), vars(error))
    assert type(error_from_dict({"code": "?"})) is errors.DecodeCrashError


def test_limits_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="wall_s"):
        SandboxLimits(wall_s=0)
    assert DEFAULT_LIMITS.num_threads == 1
