"""Structure from motion in a child process that may crash, hang or swell without harm.

A fresh child for each clip: what it holds ends with it. Frames lie in memory that both share; what
is found comes back as JSON. It dies with its parent, at its deadline, and where its memory ends.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import time
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.child import Child, ChildSpec, ChildStartError, ConnectionLostError, receive
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.encoder.structure.structure import Structure, StructureError
from spatialcode.errors import SchemaError
from spatialcode.threads import thread_environment

_CHILD = "spatialcode.encoder.structure.process_child"
#: Seconds that an interpreter may take to start.
_START_S = 60.0


def structure_of(
    frames: DenseFrames,
    K: Float[np.ndarray, "3 3"] | None = None,
    settings: StructureSettings | None = None,
) -> Structure:
    """Cameras, lens and points of a clip; ``K`` in pixels of ``frames`` where it is known.

    StructureError where the frames give none that can be believed, or the process that looks for
    it crashed, was killed, or did not end in time: a clip has a path without it.
    """
    settings = settings or StructureSettings()
    frames = frames.thinned(settings.max_frames)
    deadline_s = time.monotonic() + settings.max_seconds
    spec = ChildSpec(_CHILD, (str(settings.memory_bytes),), thread_environment(1))
    try:
        child = Child.start(spec, min(_START_S, settings.max_seconds))
    except ChildStartError as error:
        raise StructureError(f"its process did not start: {error}") from error
    try:
        reply = _asked(child, frames, K, settings, deadline_s=deadline_s)
    except TimeoutError:
        late = f"it was not found within {settings.max_seconds:g} seconds"
        raise StructureError(late) from None
    except ConnectionLostError as error:
        raise StructureError(_death_of(child, str(error))) from error
    finally:
        child.kill()
    if "error" in reply:
        raise StructureError(str(reply["error"]))
    try:
        return structure_from_dict(reply["structure"])
    except (KeyError, TypeError, ValueError, SchemaError) as error:
        raise StructureError(f"its process answered nonsense: {error!r}") from error


def _asked(
    child: Child,
    frames: DenseFrames,
    K: NDArray[np.float64] | None,
    settings: StructureSettings,
    *,
    deadline_s: float,
) -> dict[str, Any]:
    """The child's answer about frames that it is given in shared memory."""
    child.ask(
        {
            "shape": list(frames.gray.shape),
            "times_s": np.asarray(frames.times_s, float).tolist(),
            "has_movers": frames.movers is not None,
            "K": None if K is None else np.asarray(K, float).tolist(),
            "settings": asdict(settings),
        },
        deadline_s,
    )
    planes = [frames.gray] if frames.movers is None else [frames.gray, frames.movers]
    _share(child.connection, planes)
    return receive(child.connection, deadline_s)


def _share(connection: socket.socket, planes: list[NDArray[Any]]) -> None:
    """Give the child a descriptor of anonymous memory that holds arrays of bytes end to end."""
    descriptor = os.memfd_create("structure-frames", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as memory:
            for plane in planes:
                memory.write(np.ascontiguousarray(plane, np.uint8).data)
        socket.send_fds(connection, [b"m"], [descriptor])
    except OSError as error:
        raise ConnectionLostError(f"cannot send: {error}") from error
    finally:
        os.close(descriptor)


def _death_of(child: Child, what: str) -> str:
    """How a child ended, for a warning."""
    status = child.ended() or 0
    if status < 0:
        return f"its process died of {signal.Signals(-status).name}"
    return f"its process ended with status {status} ({what})"


def structure_to_dict(structure: Structure) -> dict[str, Any]:
    """A JSON-able form of a structure."""
    values = {f.name: getattr(structure, f.name) for f in fields(Structure)}
    return {k: _packed(v) if isinstance(v, np.ndarray) else v for k, v in values.items()}


def structure_from_dict(message: dict[str, Any]) -> Structure:
    """Inverse of `structure_to_dict`. SchemaError, KeyError, TypeError or ValueError for what is
    none.
    """
    values: dict[str, Any] = {
        k: _unpacked(v) if isinstance(v, dict) else v for k, v in message.items()
    }
    width, height = values.pop("size_px")
    return Structure(size_px=(int(width), int(height)), **values)


def _packed(values: NDArray[Any]) -> dict[str, Any]:
    kind = "<i8" if values.dtype.kind in "iu" else "<f8"
    data = base64.b64encode(np.ascontiguousarray(values, kind).tobytes())
    return {"kind": kind, "shape": list(values.shape), "data": data.decode("ascii")}


def _unpacked(message: dict[str, Any]) -> NDArray[Any]:
    if message["kind"] not in ("<i8", "<f8"):
        raise ValueError(f"kind: expected <i8 or <f8, got {message['kind']!r}")
    data = np.frombuffer(base64.b64decode(message["data"]), message["kind"])
    return data.reshape(message["shape"]).copy()
