"""A child process that may hang, crash or swell: started, confined, talked to, and killed.

Both sides send JSON objects, each after its length, over a Unix socket. JSON and not pickle: a
child may have read what nobody vouches for, so nothing that it says may run code in its parent.
The child dies with its parent. What it does is known to the module that it runs alone.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = struct.Struct("!I")
#: What a parent reads of a child at most: it is the child that is not trusted.
MAX_MESSAGE_BYTES = 32 * 2**20

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class ConnectionLostError(ConnectionError):
    """The other side is gone or does not speak this protocol."""


class ChildStartError(RuntimeError):
    """A child did not come up; says its exit status (negative: the signal) and why."""


@dataclass(frozen=True)
class ChildSpec:
    """What runs as a child: ``module`` is run as ``python -m module FD PARENT_PID *arguments``.

    ``environment``: variables beside this process's own. ``quiet``: what it writes to stderr is
    dropped; stdout always is.
    """

    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = True


@dataclass(frozen=True)
class Child:
    """A running child and the socket to it; only the process that started it may end it."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    owner_pid: int

    @classmethod
    def start(cls, spec: ChildSpec, start_s: float) -> Child:
        """Start a child and wait up to ``start_s`` seconds for its first message.

        ChildStartError where none comes, or where it says an ``error``.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            process = _spawner().submit(_spawn, spec, theirs.fileno()).result()
        child = cls(process, ours, os.getpid())
        try:
            hello = receive(ours, time.monotonic() + start_s)
        except (TimeoutError, ConnectionLostError) as error:
            raise ChildStartError(f"status {child.kill()}: {error}") from error
        if hello.get("error") is not None:
            child.kill()
            raise ChildStartError(str(hello["error"]))
        return child

    def ask(self, message: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        """Send a message; the child's next one. TimeoutError past ``deadline_s``, a time of
        `time.monotonic`; ConnectionLostError where the child is gone.
        """
        self.connection.settimeout(max(1e-3, deadline_s - time.monotonic()))
        send(self.connection, message)
        return receive(self.connection, deadline_s)

    def kill(self) -> int | None:
        """End it, whatever it does; its exit status (negative: the signal)."""
        self.connection.close()
        if self.owner_pid != os.getpid():
            return None
        self.process.kill()
        return self.process.wait()

    def ended(self) -> int | None:
        """The exit status of a child that closed its connection; None if it had to be killed."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        return status


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message; ConnectionLostError where the other side is gone."""
    body = json.dumps(message).encode("ascii")
    try:
        connection.sendall(HEADER.pack(len(body)) + body)
    except TimeoutError:
        raise
    except OSError as error:
        raise ConnectionLostError(f"cannot send: {error}") from error


def receive(
    connection: socket.socket,
    deadline_s: float | None = None,
    max_bytes: int = MAX_MESSAGE_BYTES,
) -> dict[str, Any]:
    """The next message; TimeoutError past ``deadline_s``, a time of `time.monotonic`."""
    (length,) = HEADER.unpack(_read(connection, HEADER.size, deadline_s))
    if length > max_bytes:
        raise ConnectionLostError(f"a message of {length} bytes")
    try:
        message = json.loads(_read(connection, length, deadline_s))
    except ValueError as error:
        raise ConnectionLostError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ConnectionLostError("not a JSON object")
    return message


def parent_connection(arguments: list[str]) -> tuple[socket.socket, list[str]]:
    """For the child: the socket to its parent, and the arguments of its own.

    From here on SIGKILL ends this process when the parent ends, however that comes about, and
    it can gain no privileges.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != int(arguments[1]):
        sys.exit("the parent ended before the child was ready")
    return socket.socket(fileno=int(arguments[0])), arguments[2:]


def requests_of(connection: socket.socket) -> Any:
    """For the child: the messages of its parent, of any length, until that is gone."""
    while True:
        try:
            message = receive(connection, max_bytes=2**32)
        except ConnectionLostError:
            return
        yield message


def confine(memory_bytes: int, *, max_file_bytes: int, num_open_files: int | None = None) -> None:
    """For the child: limits for the rest of its life. Memory counts on top of what is mapped now;
    a file that it writes holds at most ``max_file_bytes``.
    """
    mapped_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    total = mapped_pages * mmap.PAGESIZE + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (total, total))
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if num_open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_open_files, num_open_files))


def allow_cpu(cpu_s: int) -> None:
    """For the child: ``cpu_s`` more seconds of processor time than used so far, then SIGXCPU."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + cpu_s
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _read(connection: socket.socket, num_bytes: int, deadline_s: float | None) -> bytes:
    pieces, missing = [], num_bytes
    while missing:
        if deadline_s is not None:
            connection.settimeout(max(1e-3, deadline_s - time.monotonic()))
        try:
            piece = connection.recv(min(missing, 1 << 20))
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionLostError(f"cannot receive: {error}") from error
        if not piece:
            raise ConnectionLostError("closed by the other side")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _spawn(spec: ChildSpec, descriptor: int) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    return subprocess.Popen(
        [sys.executable, "-m", spec.module, str(descriptor), str(os.getpid()), *spec.arguments],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if spec.quiet else None,
        start_new_session=True,
        env={**os.environ, **spec.environment, "PYTHONPATH": paths},
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
            _spawners[pid] = ThreadPoolExecutor(1, thread_name_prefix="child-spawner")
        return _spawners[pid]
