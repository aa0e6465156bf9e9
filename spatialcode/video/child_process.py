"""Start a decoding child, share memory with it, end it."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import DecodeCrashError
from spatialcode.video import wire


@dataclass(frozen=True)
class SandboxLimits:
    """Per request: seconds of wall clock and of processor time. For the child: bytes of memory
    beyond the bare interpreter (frames included), open files, seconds to start.
    """

    wall_s: float = 120.0
    cpu_s: int = 240
    memory_bytes: int = 4 * 2**30
    num_open_files: int = 64
    start_s: float = 60.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"SandboxLimits.{name}: expected > 0, got {value!r}")


DEFAULT_SANDBOX_LIMITS = SandboxLimits()


@dataclass(frozen=True)
class Child:
    """A running child and the socket to it; only the process that started it may end it."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    owner_pid: int

    def kill(self) -> int | None:
        """End it, whatever it does; the exit status (negative: the signal)."""
        self.connection.close()
        if self.owner_pid != os.getpid():
            return None
        self.process.kill()
        return self.process.wait()


def share(connection: socket.socket, num_bytes: int) -> NDArray[np.uint8]:
    """Memory without a name, hence never left over, of which the child gets a descriptor."""
    descriptor = os.memfd_create("frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, num_bytes)
        # Shrunk by the child, it would turn the parent's reads into SIGBUS.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        shared = mmap.mmap(descriptor, num_bytes)
        try:
            socket.send_fds(connection, [b"m"], [descriptor])
        except OSError as error:
            raise wire.ConnectionLostError(f"cannot send: {error}") from error
    finally:
        os.close(descriptor)
    return np.frombuffer(shared, np.uint8)


def start_child(limits: SandboxLimits) -> Child:
    """Start a child and wait until it is confined; DecodeCrashError when it does not come up."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        command = [
            sys.executable, "-m", "spatialcode.video.sandbox_child", str(theirs.fileno()),
            str(os.getpid()), json.dumps(asdict(limits)),
        ]  # fmt: skip
        process = _spawner().submit(_spawn, command, theirs.fileno()).result()
    child = Child(process, ours, os.getpid())
    try:
        wire.receive(ours, time.monotonic() + limits.start_s)
    except (TimeoutError, wire.ConnectionLostError) as error:
        status = child.kill()
        raise DecodeCrashError(f"the decoder did not start (status {status}): {error}") from error
    return child


def _spawn(command: list[str], descriptor: int) -> subprocess.Popen[bytes]:
    # Each OpenBLAS thread reserves address space, which is limited; none is needed here.
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    return subprocess.Popen(
        command,
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | single | {"PYTHONPATH": paths},
    )


_spawners: dict[int, ThreadPoolExecutor] = {}
_spawners_lock = threading.Lock()


def _spawner() -> ThreadPoolExecutor:
    """The thread that starts all children of this process and ends with it.

    The kernel tells a child of the end of the thread that started it, not of the process: a
    caller's own short-lived thread would take the child along.
    """
    with _spawners_lock:
        pid = os.getpid()
        if pid not in _spawners:
            _spawners.clear()
            _spawners[pid] = ThreadPoolExecutor(1, thread_name_prefix="decoder-spawner")
        return _spawners[pid]
