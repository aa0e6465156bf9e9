"""The decoding child: `python -m spatialcode.video.sandbox_child FD PARENT_PID LIMITS`.

Serves one request after another over the socket FD until it closes. Light on imports so that
a restart costs little.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.child import (
    ConnectionLostError,
    allow_cpu,
    confine,
    parent_connection,
    receive,
    requests_of,
    send,
)
from spatialcode.errors import DecodeMemoryError, VideoError
from spatialcode.video.decode import Rows, decode_rows, error_to_dict, probe, request_from_dict


def main(arguments: list[str]) -> None:
    """Confine this process, say so, serve."""
    connection, (limits_json,) = parent_connection(arguments)
    limits = json.loads(limits_json)
    confine(limits["memory_bytes"], max_file_bytes=0, num_open_files=limits["num_open_files"])
    send(connection, {"kind": "ready"})
    for message in requests_of(connection):
        send(connection, {"kind": "accepted"})
        allow_cpu(limits["cpu_s"])
        reply = _serve(connection, message, limits["cpu_s"])
        send(connection, reply)
        if reply.get("code") == DecodeMemoryError.code:
            # Whatever filled the memory may still hold some of it.
            return


def _serve(connection: socket.socket, message: dict[str, Any], cpu_s: int) -> dict[str, Any]:
    """The answer to one request; every Python error becomes one."""
    try:
        return _answer(connection, message, cpu_s)
    except VideoError as error:
        return {"kind": "error"} | error_to_dict(error)
    except MemoryError:
        text = "the decoder reached its memory limit"
        return {"kind": "error", "code": DecodeMemoryError.code, "message": text}
    except ConnectionLostError:
        raise
    except Exception as error:  # the boundary: one video's bug is its own error
        what = getattr(error, "strerror", None) or error  # errors of files add the path to it
        return {"kind": "error", "code": "", "message": f"{type(error).__name__}: {what}"}


def _answer(connection: socket.socket, message: dict[str, Any], cpu_s: int) -> dict[str, Any]:
    request = request_from_dict(message["request"])
    if message["kind"] == "probe":
        facts = probe(request.path, request.limits, with_sha256=request.sha256 is None)
        return {"kind": "probe", "probe": asdict(facts)}

    def hand_over(rows: Rows) -> None:
        """Send a piece; go on when the parent wants the next."""
        send(connection, {"kind": "piece", **_described(rows)})
        receive(connection)
        allow_cpu(cpu_s)

    rows = decode_rows(request, lambda shape: _shared_array(connection, shape), hand_over)
    return {"kind": "frames", **_described(rows)}


def _described(rows: Rows) -> dict[str, Any]:
    """All of some frames but their pixels, which lie in shared memory."""
    return {
        "shape": list(rows.rgb.shape), "rows": list(rows.rows), "times_s": list(rows.times_s),
        "probe": asdict(rows.probe), "warnings": list(rows.warnings),
    }  # fmt: skip


def _shared_array(connection: socket.socket, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array in memory that the parent makes (this process may create no file) and shares."""
    num_bytes = int(np.prod(shape, dtype=np.int64))
    send(connection, {"kind": "allocate", "num_bytes": num_bytes})
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    if not descriptors:
        raise ConnectionLostError("no memory came")
    try:
        shared = mmap.mmap(descriptors[0], num_bytes)
    except OSError as error:
        raise DecodeMemoryError(f"no room for {num_bytes} bytes of frames: {error}") from error
    finally:
        os.close(descriptors[0])
    return np.frombuffer(shared, np.uint8).reshape(shape)


if __name__ == "__main__":
    main(sys.argv[1:])
