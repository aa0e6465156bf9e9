"""A decoding child with planted faults, for tests of what must survive one that dies or hangs.

It runs in place of the real one where SPATIALCODE_DECODING_CHILD names it. A file then asks for a
fault by one of the markers below, in its name or in its last 64 bytes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spatialcode.video import sandbox_child
from spatialcode.video.decode import Request, request_from_dict

MODULE = "tests.video.faulty_child"
TAIL_BYTES = 64


def crash() -> None:
    """A read through a null pointer in native code."""
    ctypes.string_at(0)


def abort() -> None:
    """What glibc does on a damaged heap."""
    os.abort()


def hang() -> None:
    """Native code that does not return, keeps Python's lock and cannot be asked to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        ctypes.PyDLL(None).sleep(1_000_000)


def spin() -> None:
    """Busy until the processor-time limit."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


def out_of_memory() -> None:
    """Allocate until the address-space limit."""
    hoard: list[object] = []
    while True:
        # Never touched: fills the address space, not the machine.
        hoard.append(np.empty(64 * 2**20, np.uint8))


def bug() -> None:
    """An error that nobody foresaw."""
    raise ZeroDivisionError("planted")


FAULTS: dict[str, Callable[[], None]] = {
    "__crash__": crash,
    "__abort__": abort,
    "__hang__": hang,
    "__spin__": spin,
    "__oom__": out_of_memory,
    "__bug__": bug,
}


def inject(path: str) -> None:
    """Commit the fault that the name or the end of `path` asks for, if any."""
    name, tail = Path(path).name, b""
    if Path(path).is_file():
        with Path(path).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            tail = file.read()
    for marker, fault in FAULTS.items():
        if marker in name or marker.encode() in tail:
            fault()


def obeying(message: dict[str, Any]) -> Request:
    """A request as the real child reads it, once its fault has been committed."""
    request = request_from_dict(message)
    inject(request.path)
    return request


if __name__ == "__main__":
    sandbox_child.request_from_dict = obeying
    sandbox_child.main(sys.argv[1:])
