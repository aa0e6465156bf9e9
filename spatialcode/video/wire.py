"""Messages between a caller and its decoding child: length-prefixed JSON over a Unix socket.

JSON and not pickle: the child has read a file nobody vouches for, so nothing that it says
may run code in the parent. Pixels do not pass through here; they lie in shared memory.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from dataclasses import asdict
from typing import Any

from spatialcode import errors
from spatialcode.video.decode import Request
from spatialcode.video.limits import VideoLimits
from spatialcode.video.opening import VideoProbe
from spatialcode.video.sampling import ByCount, ByRate, ByTimes

HEADER = struct.Struct("!I")
MAX_MESSAGE_BYTES = 32 * 2**20
PLANS = {plan.__name__: plan for plan in (ByCount, ByRate, ByTimes)}


class ConnectionLostError(ConnectionError):
    """The other side is gone or does not speak this protocol."""


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """One message; ConnectionLostError when the other side is gone."""
    body = json.dumps(message).encode("ascii")
    try:
        connection.sendall(HEADER.pack(len(body)) + body)
    except TimeoutError:
        raise
    except OSError as error:
        raise ConnectionLostError(f"cannot send: {error}") from error


def receive(connection: socket.socket, deadline: float | None = None) -> dict[str, Any]:
    """The next message; TimeoutError past `deadline` (of time.monotonic)."""
    (length,) = HEADER.unpack(_read(connection, HEADER.size, deadline))
    if length > MAX_MESSAGE_BYTES:
        raise ConnectionLostError(f"a message of {length} bytes")
    try:
        message = json.loads(_read(connection, length, deadline))
    except ValueError as error:
        raise ConnectionLostError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ConnectionLostError("not a JSON object")
    return message


def _read(connection: socket.socket, num_bytes: int, deadline: float | None) -> bytes:
    pieces, missing = [], num_bytes
    while missing:
        if deadline is not None:
            connection.settimeout(max(1e-3, deadline - time.monotonic()))
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


def request_to_dict(request: Request) -> dict[str, Any]:
    """A JSON-able form of `request`."""
    return asdict(request) | {"plan": [type(request.plan).__name__, asdict(request.plan)]}


def request_from_dict(message: dict[str, Any]) -> Request:
    """Inverse of `request_to_dict`."""
    kind, values = message["plan"]
    plan = PLANS[kind](**{key: _tuples(value) for key, value in values.items()})
    limits = VideoLimits(**{key: _tuples(value) for key, value in message["limits"].items()})
    return Request(**(message | {"plan": plan, "limits": limits}))


def probe_from_dict(message: dict[str, Any]) -> VideoProbe:
    """Inverse of `asdict` on a VideoProbe."""
    return VideoProbe(**message)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def error_to_dict(error: errors.VideoError) -> dict[str, str]:
    """What crosses the socket of an error: its code and its fields."""
    if isinstance(error, errors.VideoLimitError):
        return {"code": error.code, "quantity": error.quantity, "message": error.found}
    path = {} if error.path is None else {"path": error.path}
    return {"code": error.code, "message": error.reason} | path


def error_from_dict(message: dict[str, Any]) -> errors.VideoError:
    """The error of the same type and fields; DecodeCrashError for an unknown code."""
    text = str(message.get("message"))
    kind = _error_types().get(str(message.get("code")))
    if kind is None:
        return errors.DecodeCrashError(f"the decoder failed: {text}")
    if kind is errors.VideoLimitError:
        return errors.VideoLimitError(str(message.get("quantity")), text)
    return kind(text, message.get("path"))


def _error_types() -> dict[str, type[errors.VideoError]]:
    found: dict[str, type[errors.VideoError]] = {}
    pending = [errors.VideoError]
    while pending:
        kind = pending.pop()
        found[kind.code] = kind
        pending += kind.__subclasses__()
    return found
