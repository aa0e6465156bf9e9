"""The child: `python -m spatialcode.encoder.structure.process_child FD PARENT_PID MEMORY_BYTES`.

Answers one request over the socket FD and ends.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.child import ConnectionLostError, confine, parent_connection, requests_of, send
from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.process import structure_to_dict
from spatialcode.encoder.structure.settings import StructureSettings
from spatialcode.encoder.structure.structure import StructureError


def main(arguments: list[str]) -> None:
    """Say that this process is there, then answer."""
    connection, (memory_bytes,) = parent_connection(arguments)
    send(connection, {"kind": "ready"})
    for message in requests_of(connection):
        send(connection, {"kind": "accepted"})
        send(connection, _answer(connection, message, int(memory_bytes)))
        return


def _answer(
    connection: socket.socket, message: dict[str, Any], memory_bytes: int
) -> dict[str, Any]:
    """The structure, or why there is none; every Python error becomes one."""
    try:
        frames = _frames(connection, message)
        # loaded before memory is limited: libraries reserve address space that they never use
        from spatialcode.encoder.structure.mapping import reconstruct

        confine(memory_bytes, max_file_bytes=0)
        K = None if message["K"] is None else np.array(message["K"])
        structure = reconstruct(frames, K, StructureSettings(**message["settings"]))
    except StructureError as error:
        return {"error": str(error)}
    except ConnectionLostError:
        raise
    except ImportError as error:
        return {"error": f"pycolmap cannot be loaded ({error}); pip install 'pycolmap>=4.2'"}
    except Exception as error:  # the boundary: a clip's bug is its own error
        return {"error": f"{type(error).__name__}: {error}"}
    return {"structure": structure_to_dict(structure)}


def _frames(connection: socket.socket, message: dict[str, Any]) -> DenseFrames:
    """The frames that the parent has put into shared memory."""
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    if not descriptors:
        raise ConnectionLostError("no frames came")
    shape = tuple(message["shape"])
    num_planes = 2 if message["has_movers"] else 1
    try:
        shared = mmap.mmap(descriptors[0], num_planes * int(np.prod(shape)), prot=mmap.PROT_READ)
    finally:
        os.close(descriptors[0])
    planes: NDArray[np.uint8] = np.frombuffer(shared, np.uint8).reshape(num_planes, *shape)
    movers = planes[1] > 0 if message["has_movers"] else None
    return DenseFrames(planes[0], np.array(message["times_s"]), movers)


if __name__ == "__main__":
    main(sys.argv[1:])
