"""Writes one format that opens the video: ``python -m serve.codes.writing_child``, its order as
JSON on stdin.

Writes the file that the order names and ends with 0, or prints the error as JSON and ends with
`FAILED`. Memory, processor time and the file's size are limited before anything is decoded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from spatialcode.child import allow_cpu, confine
from spatialcode.errors import DecodeMemoryError, VideoError
from spatialcode.export.formats import ExportSource
from spatialcode.export.overlay import OverlayOptions
from spatialcode.loading import load
from spatialcode.scene.text import from_json
from spatialcode.video.decode import error_to_dict

FAILED = 3
MAX_FILE_BYTES = 2 * 2**30


def main() -> int:
    """Carry the order out; the exit status."""
    order = json.load(sys.stdin)
    confine(order["memory_bytes"], max_file_bytes=MAX_FILE_BYTES)
    allow_cpu(order["cpu_s"])
    try:
        write = load(order["writer"], "writer")
        source = ExportSource(Path(order["video"]), (), OverlayOptions(num_threads=1))
        write(from_json(order["code"]), source, Path(order["path"]))
    except VideoError as error:
        print(json.dumps(error_to_dict(error)))
    except Exception as error:  # the boundary: one rendition's bug is its own error
        # OpenCV tells of memory in an error of its own.
        short = isinstance(error, MemoryError) or "bad_alloc" in str(error)
        kind = DecodeMemoryError.code if short else ""
        text = "out of memory" if short else f"{type(error).__name__}: {error}"
        print(json.dumps({"code": kind, "message": text}))
    else:
        return 0
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
