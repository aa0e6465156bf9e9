"""Decoding in a child process that may crash, hang or swell without harm to the caller.

The child is persistent (a start costs as much as decoding a short clip), confined by resource
limits, watched by the wall clock of the caller and dies with it. What it does not do: keep a
decoder that was taken over by a hostile file from reading files or the network; run untrusted
uploads in a container without either.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import mmap
import os
import signal
import socket
import threading
import time
import weakref
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from spatialcode.child import (
    Child,
    ChildSpec,
    ChildStartError,
    ConnectionLostError,
    receive,
    send,
)
from spatialcode.errors import DecodeCrashError, DecodeMemoryError, DecodeTimeoutError, VideoError
from spatialcode.threads import thread_environment
from spatialcode.video.decode import (
    DecodedVideo,
    OnDamage,
    Request,
    Rows,
    error_from_dict,
    request_to_dict,
)
from spatialcode.video.limits import DEFAULT_LIMITS, VideoLimits
from spatialcode.video.sampling import ByCount, SamplePlan
from spatialcode.video.source import VideoProbe

_CHILD = "spatialcode.video.sandbox_child"
#: The environment variable with another module to run as the child: tests plant faults in one.
CHILD_VARIABLE = "SPATIALCODE_DECODING_CHILD"


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


class SandboxedDecoder:
    """`decode` and `probe` in a child process: same results, same typed errors, and on top
    DecodeCrashError, DecodeTimeoutError and DecodeMemoryError for the video that caused them.

    Starts on first use and again after a failure. Calls from several threads take turns; a
    forked copy of this process gets a child of its own.
    """

    def __init__(self, limits: SandboxLimits = DEFAULT_SANDBOX_LIMITS) -> None:
        self.limits = limits
        self.num_starts = 0
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._finalizer: weakref.finalize[..., SandboxedDecoder] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._child.process.pid if self._child else None

    def start(self) -> None:
        """Start the child now rather than at the first request."""
        with self._lock:
            self._ready_child()

    def close(self) -> None:
        """End the child; a later call starts another."""
        with self._lock:
            self._end_child()

    def decode(
        self,
        path: str | os.PathLike[str],
        plan: SamplePlan,
        limits: VideoLimits = DEFAULT_LIMITS,
        *,
        max_side_px: int | None = None,
        on_damage: OnDamage = "raise",
        sha256: str | None = None,
    ) -> DecodedVideo:
        """As `spatialcode.video.decode.decode`; frames lie in shared memory until collected."""
        request = Request(str(Path(path).absolute()), plan, limits, max_side_px, on_damage, sha256)
        (video,) = self._decoded(request, str(path))
        return video

    def pieces(
        self,
        path: str | os.PathLike[str],
        plan: SamplePlan,
        limits: VideoLimits = DEFAULT_LIMITS,
        *,
        frames_a_piece: int,
        max_side_px: int | None = None,
        sha256: str | None = None,
    ) -> Generator[DecodedVideo, None, None]:
        """The frames that `decode` gives, at most so many at a time: memory does not depend on how
        many there are. The child decodes the next piece when it is asked for.

        Limits of time, and of bytes of pixels, hold for each piece. The decoder is taken until the
        iterator is exhausted or closed; closed before, it ends the child. The last piece has all
        warnings; its place is where errors are raised that show at the end only.
        """
        request = Request(
            str(Path(path).absolute()), plan, limits, max_side_px, "raise", sha256, frames_a_piece
        )
        yield from self._decoded(request, str(path))

    def _decoded(self, request: Request, uri: str) -> Generator[DecodedVideo, None, None]:
        with contextlib.closing(self._replies("decode", request)) as replies:
            for reply, shared in replies:
                with self._protocol_errors():
                    rows = Rows(
                        rgb=shared.reshape(reply["shape"]),
                        rows=tuple(int(row) for row in reply["rows"]),
                        times_s=tuple(float(t) for t in reply["times_s"]),
                        probe=replace(VideoProbe.of(reply["probe"]), uri=uri),
                        warnings=tuple(str(text) for text in reply["warnings"]),
                    )
                    video = rows.result()
                del shared
                yield video

    def probe(
        self,
        path: str | os.PathLike[str],
        limits: VideoLimits = DEFAULT_LIMITS,
        *,
        with_sha256: bool = True,
    ) -> VideoProbe:
        """As `spatialcode.video.decode.probe`."""
        known = None if with_sha256 else ""
        request = Request(str(Path(path).absolute()), ByCount(1), limits, sha256=known)
        ((reply, _),) = self._replies("probe", request)
        with self._protocol_errors():
            return replace(VideoProbe.of(reply["probe"]), uri=str(path))

    @contextlib.contextmanager
    def _protocol_errors(self) -> Any:
        try:
            yield
        except (KeyError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, VideoError):
                raise
            raise DecodeCrashError(f"the decoder's answer makes no sense: {error!r}") from error

    def _replies(
        self, kind: str, request: Request
    ) -> Generator[tuple[dict[str, Any], NDArray[np.uint8]], None, None]:
        """The answers to one request, pieces and then the last. The child is ended unless all are
        well formed and asked for.
        """
        num_pieces_left = 0
        if request.frames_a_piece:
            num_pieces_left = math.ceil(request.limits.max_samples / request.frames_a_piece)
        with self._lock:
            child = self._handed_over(kind, request)
            try:
                reply, shared = self._converse(child, request)
                while reply.get("kind") == "piece":
                    num_pieces_left -= 1
                    if num_pieces_left < 0:
                        raise ConnectionLostError("sends more pieces than there can be")
                    yield reply, shared
                    del shared  # a piece at a time
                    send(child.connection, {"kind": "more"})
                    reply, shared = self._converse(child, request)
            except TimeoutError:
                self._end_child()
                raise DecodeTimeoutError(f"no answer in {self.limits.wall_s:g} s") from None
            except ConnectionLostError as error:
                raise self._death_of(child, str(error)) from None
            except BaseException:
                self._end_child()
                raise
            if reply.get("code") == DecodeMemoryError.code:
                self._end_child()
        if reply.get("kind") == "error":
            raise error_from_dict(reply)
        yield reply, shared

    def _handed_over(self, kind: str, request: Request) -> Child:
        """A child that has accepted `request`. One that died while idle is replaced, once."""
        message = {"kind": kind, "request": request_to_dict(request)}
        for attempt in (1, 2):
            child = self._ready_child()
            try:
                child.ask(message, time.monotonic() + self.limits.start_s)
                return child
            except (ConnectionLostError, TimeoutError) as error:
                self._end_child()
                if attempt == 2:
                    raise DecodeCrashError(f"the decoder takes no request: {error}") from error
            except BaseException:
                self._end_child()
                raise
        raise AssertionError("unreachable")

    def _converse(self, child: Child, request: Request) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        """The child's answer, after giving it the memory it asks for."""
        deadline = time.monotonic() + self.limits.wall_s
        child.connection.settimeout(self.limits.wall_s)
        shared = np.empty(0, np.uint8)
        while True:
            reply = receive(child.connection, deadline)
            if reply.get("kind") != "allocate":
                return reply, shared
            num_bytes = reply.get("num_bytes")
            limit = request.limits.max_output_bytes
            if not isinstance(num_bytes, int) or not 0 < num_bytes <= limit or shared.size:
                raise ConnectionLostError("asked for memory it may not have")
            shared = _share(child.connection, num_bytes)

    def _ready_child(self) -> Child:
        child = self._child
        # A fork copies this object, but the child belongs to the original process.
        if child and (child.owner_pid != os.getpid() or child.process.poll() is not None):
            self._end_child()
        if not self._child:
            self._child = _start_child(self.limits)
            self._finalizer = weakref.finalize(self, self._child.kill)
            self.num_starts += 1
        return self._child

    def _end_child(self) -> int | None:
        status = self._child.kill() if self._child else None
        if self._finalizer:
            self._finalizer.detach()
        self._child, self._finalizer = None, None
        return status

    def _death_of(self, child: Child, what: str) -> VideoError:
        """The error that stands for the way in which the child ended."""
        status = child.ended() or 0
        self._end_child()
        if status == -signal.SIGXCPU:
            return DecodeTimeoutError(f"more than {self.limits.cpu_s} s of processor time")
        if status == -signal.SIGKILL:
            return DecodeMemoryError("killed from outside, as the kernel does when memory is short")
        if status < 0:
            return DecodeCrashError(f"the decoder died of {signal.Signals(-status).name}")
        return DecodeCrashError(f"the decoder ended with status {status}: {what}")


def _start_child(limits: SandboxLimits) -> Child:
    """A child that is confined; DecodeCrashError when it does not come up."""
    # Each thread of OpenBLAS reserves address space, which is limited; none is needed here.
    arguments, environment = (json.dumps(asdict(limits)),), thread_environment(1)
    module = os.environ.get(CHILD_VARIABLE, _CHILD)
    try:
        return Child.start(ChildSpec(module, arguments, environment), limits.start_s)
    except ChildStartError as error:
        raise DecodeCrashError(f"the decoder did not start: {error}") from error


def _share(connection: socket.socket, num_bytes: int) -> NDArray[np.uint8]:
    """Anonymous memory, so that none is left over; the child gets a descriptor of it."""
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
            raise ConnectionLostError(f"cannot send: {error}") from error
    finally:
        os.close(descriptor)
    return np.frombuffer(shared, np.uint8)
