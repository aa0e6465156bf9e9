"""A child process is asked, confined, timed and killed; each end of it is told apart."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spatialcode.child import Child, ChildSpec, ChildStartError, ConnectionLostError
from spatialcode.threads import thread_environment

SPEC = ChildSpec("tests.toy_child", (str(64 * 2**20),), thread_environment(3))


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child.start(SPEC, start_s=60.0)
    yield child
    child.kill()


def ask(child: Child, do: str, seconds: float = 60.0, **more: Any) -> dict[str, Any]:
    return child.ask({"do": do, **more}, time.monotonic() + seconds)


def test_questions_of_any_length_are_answered_in_turn(child: Child) -> None:
    text = "\udce9é" + "x" * 2**20
    assert ask(child, "echo", text=text)["echo"] == {"do": "echo", "text": text}
    assert ask(child, "echo")["threads"] == "3"
    assert child.kill() == -signal.SIGKILL


def test_a_child_that_gives_no_answer_in_time_can_be_killed(child: Child) -> None:
    begun_s = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(child, "sleep", seconds=0.2)
    assert child.kill() == -signal.SIGKILL
    assert time.monotonic() - begun_s < 5.0


def test_a_child_that_dies_says_of_what(child: Child) -> None:
    with pytest.raises(ConnectionLostError):
        ask(child, "die")
    assert child.ended() == -signal.SIGSEGV


def test_memory_and_files_are_limited(child: Child, tmp_path: Path) -> None:
    assert ask(child, "swell", num_bytes=256 * 2**20) == {"out_of_memory": True}
    path = str(tmp_path / "a")
    assert "echo" in ask(child, "write", path=path, num_bytes=1000)
    with pytest.raises(ConnectionLostError):
        ask(child, "write", path=path, num_bytes=1001)
    assert child.ended() == -signal.SIGXFSZ


def test_a_child_that_does_not_come_up_says_why() -> None:
    with pytest.raises(ChildStartError, match="no memory at all"):
        Child.start(ChildSpec("tests.toy_child", ("none",)), start_s=60.0)
    with pytest.raises(ChildStartError, match="status 1: closed by the other side"):
        Child.start(ChildSpec("tests.no_such_child"), start_s=60.0)
