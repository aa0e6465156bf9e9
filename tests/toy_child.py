"""A child for `test_child`: ``python -m tests.toy_child FD PARENT_PID MEMORY_BYTES``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from spatialcode.child import confine, parent_connection, requests_of, send


def answer(request: dict[str, Any]) -> dict[str, Any]:
    match request["do"]:
        case "sleep":
            time.sleep(600)
        case "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "swell":
            try:
                bytearray(request["num_bytes"])
            except MemoryError:
                return {"out_of_memory": True}
        case "write":
            Path(request["path"]).write_bytes(bytes(request["num_bytes"]))
    return {"echo": request, "threads": os.environ.get("OMP_NUM_THREADS")}


def main(arguments: list[str]) -> None:
    connection, (memory_bytes,) = parent_connection(arguments)
    if memory_bytes == "none":
        send(connection, {"error": "no memory at all"})
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and gets an OSError
    confine(int(memory_bytes), max_file_bytes=1000)
    send(connection, {"error": None})
    for request in requests_of(connection):
        send(connection, answer(request))


if __name__ == "__main__":
    main(sys.argv[1:])
