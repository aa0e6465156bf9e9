"""A code as the file that a client asked for by the name of its format.

Nobody vouches for the video: its frames come from the sandboxed decoder, and boxes are drawn into
it in a child process that may crash, hang or swell, and is ended then. Nothing is kept here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spatialcode.errors import DecodeCrashError, DecodeTimeoutError, InputError, SchemaError
from spatialcode.export.formats import FORMATS, ExportFormat, ExportSource
from spatialcode.export.stills import page_frames
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import to_json
from spatialcode.video.decode import error_from_dict
from spatialcode.video.sandbox import DEFAULT_SANDBOX_LIMITS, SandboxedDecoder, SandboxLimits


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
    """``code`` in the format ``kind``, a name of `FORMATS`; ``video``: the file it was made of.

    Raises InputError for an unknown format and for one that needs a video where there is none,
    SchemaError for one that needs cameras where the code has none, MissingExtraError where the
    package that writes the format is not installed, VideoError where the video cannot be read or
    drawn into within ``limits``.
    """
    chosen, frames = _format(kind), []
    if video is None and chosen.video == "file":
        raise InputError(f"{kind}: the video that the code was made of is not kept here")
    if chosen.needs_cameras and not code.cameras:
        raise SchemaError("cameras", "at least one camera to look through", code.cameras)
    if video is not None and chosen.video == "frames":
        with SandboxedDecoder(limits) as decoder:
            frames = page_frames(code, video, decoder.decode)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"code{chosen.suffix}"
        if video is not None and chosen.video == "file":
            _write_in_child(chosen, code, video, path, limits)
        else:
            chosen.write(code, ExportSource(video, frames), path)
        return Rendition.of(kind, path.read_bytes())


def _format(kind: str) -> ExportFormat:
    if kind not in FORMATS:
        raise InputError(f"format: expected one of {', '.join(FORMATS)}, got {kind!r}")
    return FORMATS[kind]


def _write_in_child(
    chosen: ExportFormat, code: SpatialCode, video: Path, path: Path, limits: SandboxLimits
) -> None:
    """Write the file in a child process; VideoError for any way in which that fails."""
    order = {
        "writer": f"{chosen.write.__module__}:{chosen.write.__name__}",
        "code": to_json(code),
        "video": str(video.absolute()),
        "path": str(path),
        "cpu_s": limits.cpu_s,
        "memory_bytes": limits.memory_bytes,
    }
    done = _run(json.dumps(order), limits.wall_s)
    if done.returncode == 0:
        return
    if done.returncode == -signal.SIGXCPU:
        raise DecodeTimeoutError(f"more than {limits.cpu_s} s of processor time")
    if done.returncode < 0:
        raise DecodeCrashError(f"drawing died of {signal.Signals(-done.returncode).name}")
    try:
        told = json.loads(done.stdout)
    except json.JSONDecodeError:
        told = {"message": f"status {done.returncode}"}
    raise error_from_dict(told)


def _run(order: str, wall_s: float) -> subprocess.CompletedProcess[str]:
    """A child's end; it is killed after ``wall_s`` seconds, and DecodeTimeoutError says so."""
    # One thread each: their stacks count as memory, and the service has others to serve.
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    try:
        return subprocess.run(
            [sys.executable, "-m", "serve.codes.writing_child"],
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
