"""Native lines on stderr: those that are named go, others stay, Python's own go straight."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.native_stderr import RAY_DATA_ACTORS, without_lines

OPEN_FILES = Path("/proc/self/fd")
NOISE = b"[E 12] Actor 'MapWorker' " + RAY_DATA_ACTORS + b". See elsewhere.\n"


def test_only_the_named_lines_are_kept_away(capfd: pytest.CaptureFixture[str]) -> None:
    with without_lines():
        os.write(2, b"before\n" + NOISE + b"after\n")
        os.write(2, NOISE)
        os.write(2, b"unended")
    os.write(2, b" later " + NOISE)
    assert capfd.readouterr().err == "before\nafter\nunended later " + NOISE.decode()


def test_stderr_is_as_it_was_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    before, descriptors = sys.stderr, len(list(OPEN_FILES.iterdir()))
    with pytest.raises(KeyError), without_lines():
        raise KeyError(os.write(2, NOISE))
    assert sys.stderr is before
    assert len(list(OPEN_FILES.iterdir())) == descriptors
    assert capfd.readouterr().err == ""


def test_pythons_own_lines_reach_a_terminal_as_a_terminal() -> None:
    ours, theirs = pty.openpty()
    program = (
        "import os, sys; from cluster.native_stderr import RAY_DATA_ACTORS, without_lines\n"
        "with without_lines():\n"
        "    print('live:', sys.stderr.isatty(), end='\\r', file=sys.stderr, flush=True)\n"
        "    os.write(2, RAY_DATA_ACTORS + b'\\n')\n"
        "    os.write(2, b'native\\n')\n"
    )
    process = subprocess.run([sys.executable, "-c", program], stderr=theirs, check=False)
    os.close(theirs)
    seen = os.read(ours, 4096)
    os.close(ours)
    assert process.returncode == 0, seen
    assert seen == b"live: True\rnative\r\n"
