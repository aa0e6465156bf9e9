"""Keeps away from the terminal what Ray's native code says of Ray Data's own actors.

Ray's core warns, as an error, whenever an actor that may be restarted is given an object to its
constructor. Ray Data gives two to each of its actors and holds them itself for as long as the
actors live, so that they cannot be lost while a run goes on (ray-project/ray issues 57733 and
53727). No setting turns that line off without turning off all others.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

RAY_DATA_ACTORS = b"has constructor arguments in the object store and max_restarts > 0"
_STDERR = 2
_CHUNK_BYTES = 2**16
#: The pipe may be held open by a child process that has inherited it.
_WAIT_S = 1.0


@contextlib.contextmanager
def without_lines(text: bytes = RAY_DATA_ACTORS) -> Iterator[None]:
    """What native code of this process writes to stderr, but for lines that hold ``text``.

    `sys.stderr` writes past this, straight to where stderr led: a terminal stays one. A line that
    native code writes piece by piece is let through.
    """
    before = sys.stderr
    before.flush()
    kept = os.dup(_STDERR)
    read_end, write_end = os.pipe()
    os.dup2(write_end, _STDERR)
    os.close(write_end)
    reader = threading.Thread(target=_pass_on, args=(read_end, kept, text), daemon=True)
    reader.start()
    straight = _opened(kept) if _leads_to_stderr(before) else before
    sys.stderr = straight
    try:
        yield
    finally:
        straight.flush()
        sys.stderr = before
        os.dup2(kept, _STDERR)  # closes the pipe's end: the reader comes to its own
        reader.join(_WAIT_S)
        if not reader.is_alive():
            os.close(kept)


def _leads_to_stderr(stream: TextIO) -> bool:
    """Whether a stream writes to the file descriptor, rather than to what a test put there."""
    try:
        return stream.fileno() == _STDERR
    except (OSError, ValueError, AttributeError):
        return False


def _opened(descriptor: int) -> TextIO:
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )


def _pass_on(read_end: int, target: int, text: bytes) -> None:
    with contextlib.closing(os.fdopen(read_end, "rb", buffering=0)) as pipe:
        while chunk := pipe.read(_CHUNK_BYTES):
            lines = [line for line in chunk.splitlines(keepends=True) if text not in line]
            for line in lines:
                os.write(target, line)
