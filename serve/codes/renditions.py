"""A code as the file that a client asked for by the name of its format.

Nobody vouches for the video: its frames come from the sandboxed decoder, and boxes are drawn into
it in a child process that may crash, hang or swell, and is ended then. Nothing is kept here.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pyarrow.parquet as pq

from spatialcode.errors import DecodeCrashError, DecodeTimeoutError, InputError, SchemaError
from spatialcode.export.views import WITH_FRAMES, page_frames, view_bytes
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.table import to_table
from spatialcode.scene.text import to_json
from spatialcode.video import wire
from spatialcode.video.sandbox import DEFAULT_SANDBOX_LIMITS, SandboxedDecoder, SandboxLimits


@dataclass(frozen=True)
class Format:
    """``suffix``: how its files' names end; ``view``: the library's name, empty if it is none."""

    media_type: str
    suffix: str
    view: str = ""


#: By the name that clients use.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "json": Format("application/json", ".json", "json"),
        "scene.py": Format("text/x-python; charset=utf-8", ".scene.py", "scene"),
        "parquet": Format("application/vnd.apache.parquet", ".parquet"),
        "html": Format("text/html; charset=utf-8", ".html", "html"),
        "mp4": Format("video/mp4", ".overlay.mp4"),
        "rrd": Format("application/vnd.rerun.rrd", ".rrd", "rrd"),
        "glb": Format("model/gltf-binary", ".glb", "glb"),
    }
)


@dataclass(frozen=True)
class Rendition:
    """A file's bytes, its media type, and how its name ends, the dot included."""

    media_type: str
    suffix: str
    data: bytes

    @classmethod
    def of(cls, kind: str, data: bytes) -> Rendition:
        """``data`` as a file of the format ``kind``. InputError for an unknown one."""
        chosen = _format(kind)
        return cls(chosen.media_type, chosen.suffix, data)


def render(
    code: SpatialCode,
    kind: str,
    video: Path | None,
    limits: SandboxLimits = DEFAULT_SANDBOX_LIMITS,
) -> Rendition:
    """``code`` in the format ``kind``, a key of `FORMATS`; ``video``: the file it was made of.

    Pages and recordings show frames of the video where there is one. Raises InputError for an
    unknown format and for an mp4 without a video, SchemaError for an mp4 without cameras,
    MissingExtraError for a recording where the rerun SDK is not installed, VideoError where the
    video cannot be read or drawn into within ``limits``.
    """
    view = _format(kind).view
    if kind == "parquet":
        return Rendition.of(kind, _parquet(code))
    if kind == "mp4":
        return Rendition.of(kind, _overlay(code, video, limits))
    frames = []
    if video is not None and view in WITH_FRAMES:
        with SandboxedDecoder(limits) as decoder:
            frames = page_frames(code, video, decoder.decode)
    return Rendition.of(kind, view_bytes(code, view, frames))


def _format(kind: str) -> Format:
    if kind not in FORMATS:
        raise InputError(f"format: expected one of {', '.join(FORMATS)}, got {kind!r}")
    return FORMATS[kind]


def _parquet(code: SpatialCode) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(to_table([code]), buffer)
    return buffer.getvalue()


def _overlay(code: SpatialCode, video: Path | None, limits: SandboxLimits) -> bytes:
    if video is None:
        raise InputError("mp4: the video that the code was made of is not kept here")
    if not code.cameras:
        raise SchemaError("cameras", "at least one camera to look through", code.cameras)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "overlay.mp4"
        order = {
            "code": to_json(code),
            "video": str(video.absolute()),
            "path": str(written),
            "cpu_s": limits.cpu_s,
            "memory_bytes": limits.memory_bytes,
        }
        done = _run(json.dumps(order), limits.wall_s)
        if done.returncode == 0:
            return written.read_bytes()
    if done.returncode == -signal.SIGXCPU:
        raise DecodeTimeoutError(f"more than {limits.cpu_s} s of processor time")
    if done.returncode < 0:
        raise DecodeCrashError(f"drawing died of {signal.Signals(-done.returncode).name}")
    try:
        told = json.loads(done.stdout)
    except json.JSONDecodeError:
        told = {"message": f"status {done.returncode}"}
    raise wire.error_from_dict(told)


def _run(order: str, wall_s: float) -> subprocess.CompletedProcess[str]:
    """A child's end; it is killed after ``wall_s`` seconds, and DecodeTimeoutError says so."""
    # One thread each: their stacks count as memory, and the service has others to serve.
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    try:
        return subprocess.run(
            [sys.executable, "-m", "serve.codes.overlay_child"],
            input=order,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=wall_s,
            check=False,
            env=os.environ | single | {"PYTHONPATH": paths},
        )
    except subprocess.TimeoutExpired:
        raise DecodeTimeoutError(f"not drawn in {wall_s:g} s") from None
