"""Structure from motion in a child: it may hang, crash or be killed, and dies with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil
import pytest

from spatialcode.encoder.structure import process
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.mapping import reconstruct
from spatialcode.encoder.structure.process import structure_of, structure_to_dict
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.encoder.structure.structure import StructureError
from tests.encoder.structure.rooms import K, frames_of, walked

SETTINGS = StructureSettings(num_features=300, overlap=3)


@pytest.fixture(scope="module")
def frames() -> DenseFrames:
    return frames_of(walked()[:6])


def children(pid: int | None = None) -> list[psutil.Process]:
    """Processes below this one that look for structure."""
    below = psutil.Process(pid).children(recursive=True)
    return [child for child in below if "structure.process_child" in " ".join(child.cmdline())]


def in_a_while(happens: Callable[[], bool], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if happens():
            return True
        time.sleep(0.02)
    return False


def test_a_child_finds_what_this_process_finds(frames: DenseFrames) -> None:
    hidden = np.zeros(frames.gray.shape, bool)
    hidden[:, :60] = True
    masked = DenseFrames(frames.gray, frames.times_s, hidden)
    found = structure_of(masked, K, SETTINGS)
    assert structure_to_dict(found) == structure_to_dict(reconstruct(masked, K, SETTINGS))
    assert found.track_px[:, 1].min() >= 60
    assert not children()


def test_a_refusal_comes_back_in_words(frames: DenseFrames) -> None:
    with pytest.raises(StructureError, match="stood still"):
        structure_of(DenseFrames(frames.gray[[0, 0, 0, 0]], np.arange(4.0)), K, SETTINGS)


def test_only_so_many_frames_are_looked_at() -> None:
    many = np.random.default_rng(0).integers(0, 255, (20, 64, 64)).astype(np.uint8)
    few = replace(SETTINGS, max_frames=8)
    with pytest.raises(StructureError, match="of 7 pairs"):
        structure_of(DenseFrames(many, np.arange(20.0)), None, few)


def test_a_child_that_is_killed_is_an_error_and_no_more(frames: DenseFrames) -> None:
    def kill() -> None:
        assert in_a_while(lambda: bool(children()))
        children()[0].send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(StructureError, match=r"SIGKILL|did not start"):
            structure_of(frames, K, SETTINGS)
    finally:
        killer.join()
    assert structure_of(frames, K, SETTINGS).registered == 1.0


def test_a_child_that_is_late_is_killed(frames: DenseFrames) -> None:
    begun_s = time.monotonic()
    with pytest.raises(StructureError, match=r"within 0\.5 seconds|no message"):
        structure_of(frames, K, replace(SETTINGS, max_seconds=0.5))
    assert time.monotonic() - begun_s < 20.0
    assert not children()


def test_a_child_without_memory_is_an_error(frames: DenseFrames) -> None:
    big = DenseFrames(np.tile(frames.gray, (1, 8, 8)), frames.times_s)
    with pytest.raises(StructureError, match=r"MemoryError|bad_alloc|SIG|status"):
        structure_of(big, K, replace(SETTINGS, memory_bytes=2**29, num_features=100_000))


@pytest.mark.parametrize("answer", [{}, {"structure": {}}, {"structure": {"size_px": 3}}])
def test_an_answer_that_makes_no_sense_is_an_error(
    frames: DenseFrames, answer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "receive", lambda *_: answer)
    with pytest.raises(StructureError, match="nonsense"):
        structure_of(frames, K, SETTINGS)


_PARENT = """
import numpy as np
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.process import structure_of
noise = np.random.default_rng(0).integers(0, 255, (90, 480, 640)).astype(np.uint8)
structure_of(DenseFrames(noise, np.arange(90.0)))
"""


def test_a_child_dies_with_its_parent_however_that_ends() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], env=dict(os.environ))
    try:
        assert in_a_while(lambda: bool(children(parent.pid)))
        (child,) = children(parent.pid)
        parent.kill()
        assert in_a_while(lambda: not child.is_running() or child.status() == "zombie")
    finally:
        parent.kill()
        parent.wait()
