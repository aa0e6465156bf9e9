"""The decoding child: `python -m spatialcode.video.sandbox_child FD PARENT_PID LIMITS`.

Serves one request after another over the socket FD until it closes. Light on imports so that
a restart costs little.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import DecodeMemoryError, VideoError
from spatialcode.video import faults, wire
from spatialcode.video.decode import decode_rows
from spatialcode.video.probe import probe

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def main(arguments: list[str]) -> None:
    """Confine this process, say so, serve."""
    connection = socket.socket(fileno=int(arguments[0]))
    limits = json.loads(arguments[2])
    _die_with_parent(int(arguments[1]))
    _confine(limits)
    wire.send(connection, {"kind": "ready", "pid": os.getpid()})
    while True:
        try:
            message = wire.receive(connection)
        except wire.ConnectionLostError:
            return
        wire.send(connection, {"kind": "accepted"})
        _allow_cpu(limits["cpu_s"])
        reply = _serve(connection, message)
        wire.send(connection, reply)
        if reply.get("code") == DecodeMemoryError.code:
            # Whatever filled the memory may still hold some of it.
            return


def _serve(connection: socket.socket, message: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request; every Python error becomes one."""
    try:
        return _answer(connection, message)
    except VideoError as error:
        return {"kind": "error"} | wire.error_to_dict(error)
    except MemoryError:
        text = "the decoder reached its memory limit"
        return {"kind": "error", "code": DecodeMemoryError.code, "message": text}
    except wire.ConnectionLostError:
        raise
    except Exception as error:  # the boundary: one video's bug is its own error
        what = getattr(error, "strerror", None) or error  # errors of files add the path to it
        return {"kind": "error", "code": "", "message": f"{type(error).__name__}: {what}"}


def _answer(connection: socket.socket, message: dict[str, Any]) -> dict[str, Any]:
    request = wire.request_from_dict(message["request"])
    if faults.enabled():
        faults.inject(request.path)
    if message["kind"] == "probe":
        facts = probe(request.path, request.limits, with_sha256=request.sha256 is None)
        return {"kind": "probe", "probe": asdict(facts)}
    rows = decode_rows(request, lambda shape: _shared_array(connection, shape))
    return {
        "kind": "frames", "shape": list(rows.rgb.shape), "rows": list(rows.rows),
        "times_s": list(rows.times_s), "probe": asdict(rows.probe),
        "warnings": list(rows.warnings),
    }  # fmt: skip


def _shared_array(connection: socket.socket, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array in memory that the parent makes (this process may create no file) and shares."""
    num_bytes = int(np.prod(shape, dtype=np.int64))
    wire.send(connection, {"kind": "allocate", "num_bytes": num_bytes})
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    if not descriptors:
        raise wire.ConnectionLostError("no memory came")
    try:
        shared = mmap.mmap(descriptors[0], num_bytes)
    except OSError as error:
        raise DecodeMemoryError(f"no room for {num_bytes} bytes of frames: {error}") from error
    finally:
        os.close(descriptors[0])
    return np.frombuffer(shared, np.uint8).reshape(shape)


def _die_with_parent(parent: int) -> None:
    """SIGKILL to this process when the thread that started it ends, however that comes."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent ended before the child was ready")


def _confine(limits: dict[str, int]) -> None:
    """Limits for the rest of this process' life; memory counts on top of what is mapped now."""
    mapped_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    total = mapped_pages * mmap.PAGESIZE + limits["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (total, total))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits["num_open_files"],) * 2)


def _allow_cpu(cpu_s: int) -> None:
    """`cpu_s` more seconds of processor time than used so far, then SIGXCPU."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + cpu_s
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


if __name__ == "__main__":
    main(sys.argv[1:])
