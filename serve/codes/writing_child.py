"""Writes one format that opens the video: ``python -m serve.codes.writing_child``, its order as
JSON on stdin.

Writes the file that the order names and ends with 0, or prints the error as JSON and ends with
`FAILED`. Memory, processor time and the file's size are limited before anything is decoded.
"""

from __future__ import annotations

import importlib
import json
import mmap
import resource
import sys
from pathlib import Path

from spatialcode.errors import DecodeMemoryError, VideoError
from spatialcode.export.formats import ExportSource
from spatialcode.export.overlay import OverlayOptions
from spatialcode.scene.text import from_json
from spatialcode.video import wire

FAILED = 3
MAX_FILE_BYTES = 2 * 2**30


def main() -> int:
    """Carry the order out; the exit status."""
    order = json.load(sys.stdin)
    _confine(order["cpu_s"], order["memory_bytes"])
    try:
        write = getattr(importlib.import_module(order["module"]), order["writer"])
        source = ExportSource(Path(order["video"]), (), OverlayOptions(num_threads=1))
        write(from_json(order["code"]), source, Path(order["path"]))
    except VideoError as error:
        print(json.dumps(wire.error_to_dict(error)))
    except Exception as error:  # the boundary: one rendition's bug is its own error
        # OpenCV tells of memory in an error of its own.
        short = isinstance(error, MemoryError) or "bad_alloc" in str(error)
        kind = DecodeMemoryError.code if short else ""
        text = "out of memory" if short else f"{type(error).__name__}: {error}"
        print(json.dumps({"code": kind, "message": text}))
    else:
        return 0
    return FAILED


def _confine(cpu_s: int, memory_bytes: int) -> None:
    """Limits for the rest of this process' life; memory counts on top of what is mapped now."""
    mapped_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    total = mapped_pages * mmap.PAGESIZE + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (total, total))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))


if __name__ == "__main__":
    sys.exit(main())
