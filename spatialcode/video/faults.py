"""Planted faults, for tests of whatever must survive a decoder that dies, hangs or swells.

Nothing here is reached unless SPATIALCODE_DECODE_FAULTS=1 was in the environment when the
decoding child started. A file then asks for a fault by one of the markers below, in its name
or in its last 64 bytes.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

ENVIRONMENT_VARIABLE = "SPATIALCODE_DECODE_FAULTS"
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


def enabled() -> bool:
    """Whether this process honours markers."""
    return os.environ.get(ENVIRONMENT_VARIABLE) == "1"


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
