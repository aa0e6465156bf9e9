"""The formats that a code can be written in: one table, read by ``jobs.view``, the demo and the
service.

A new format is one `ExportFormat`, given to `register`. This module is light: a writer imports what
it needs when it is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from spatialcode.errors import InputError
from spatialcode.files import whole_file, write_text
from spatialcode.scene.schema import SpatialCode

if TYPE_CHECKING:
    from spatialcode.export.overlay import OverlayOptions
    from spatialcode.export.stills import TimedFrame

#: Also a file name's ending in the service's store.
_NAME = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)*")


@dataclass(frozen=True)
class ExportSource:
    """What a writer has beside the code.

    ``video``: the file that the code was made of, where it is there. ``frames``: some frames of it,
    for formats whose ``video`` is ``frames``. ``options`` of a drawn video; None: the defaults.
    """

    video: Path | None = None
    frames: Sequence[TimedFrame] = ()
    options: OverlayOptions | None = None


Writer = Callable[[SpatialCode, ExportSource, Path], object]


@dataclass(frozen=True)
class ExportFormat:
    """One way to write a code as a file.

    ``name``: what the service's clients ask for. ``suffix``: how its files' names end, the dot
    included. ``write``: writes the file; a function of a module, because the service may call it in
    a child process.

    ``video``: ``unused``; ``frames``: shows frames of the video where it is there; ``file``: opens
    the video and cannot do without it, so the service writes it in a child process with limits.
    ``needs_cameras``: cannot be written of a code without cameras. ``extra``: the extra of this
    package that it needs. ``is_kept``: takes so long that the service keeps what it has written.
    ``job_name``: its key in ``jobs.view``, where that is not ``name``.
    """

    name: str
    suffix: str
    media_type: str
    write: Writer
    video: Literal["unused", "frames", "file"] = "unused"
    needs_cameras: bool = False
    extra: str = ""
    is_kept: bool = False
    job_name: str = ""

    @property
    def key(self) -> str:
        """Its key in ``jobs.view``."""
        return self.job_name or self.name


_registered: dict[str, ExportFormat] = {}
#: By the name that the service's clients use.
FORMATS: Mapping[str, ExportFormat] = MappingProxyType(_registered)


def register(made: ExportFormat) -> ExportFormat:
    """Offer a format everywhere. InputError for a name that is taken or not lower-case words joined
    by dots.
    """
    taken = {name for known in FORMATS.values() for name in (known.name, known.key)}
    if not _NAME.fullmatch(made.name) or {made.name, made.key} & taken:
        raise InputError(f"format: expected a new name such as 'mp4', got {made.name!r}")
    _registered[made.name] = made
    return made


def unregister(name: str) -> None:
    """Offer a format no longer. KeyError for an unknown one."""
    del _registered[name]


def job_formats() -> dict[str, ExportFormat]:
    """All formats by their keys in ``jobs.view``."""
    return {known.key: known for known in FORMATS.values()}


def export_path(code: SpatialCode, folder: Path, key: str) -> Path:
    """Where `export` writes: a file of ``folder``, named after the video."""
    name = re.sub(r"[^\w.-]+", "_", Path(code.video.uri.replace("\\", "/")).stem).strip("._")
    return folder / f"{name or 'code'}{job_formats()[key].suffix}"


def export(
    code: SpatialCode,
    key: str,
    folder: Path,
    video: Path | None = None,
    options: OverlayOptions | None = None,
) -> Path:
    """Write ``code`` in one format (a key of `job_formats`) into ``folder`` and return the path.

    ``video``: the file that the code was made of. Raises InputError for a format that needs the
    video where there is none, VideoError where it cannot be read, MissingExtraError where the
    package that writes the format is not installed.
    """
    chosen, path = job_formats()[key], export_path(code, folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    if video is None and chosen.video == "file":
        raise InputError(f"{key}: expected the video that the code was made of, got none")
    frames: Sequence[TimedFrame] = ()
    if video is not None and chosen.video == "frames":
        from spatialcode.export.stills import page_frames

        frames = page_frames(code, video)
    chosen.write(code, ExportSource(video, frames, options), path)
    return path


def check_same_video(code: SpatialCode, video: Path) -> None:
    """Raise InputError if ``video`` is another file than the one the code was made of.

    Codes without a hash (exact truth of rendered rooms) match any video.
    """
    from spatialcode.video.decode import hash_file

    if not code.video.sha256:
        return
    found = hash_file(video)
    if found != code.video.sha256:
        raise InputError(
            f"video: expected the file with sha256 {code.video.sha256[:12]}…, which the code was "
            f"made of, got {video} with {found[:12]}…"
        )


def _write_json(code: SpatialCode, _: ExportSource, path: Path) -> None:
    from spatialcode.scene.text import to_json

    write_text(path, to_json(code) + "\n")


def _write_scene(code: SpatialCode, _: ExportSource, path: Path) -> None:
    from spatialcode.scene.text import render_scene

    write_text(path, render_scene(code))


def _write_parquet(code: SpatialCode, _: ExportSource, path: Path) -> None:
    import pyarrow.parquet as pq

    from spatialcode.scene.table import to_table

    with whole_file(path) as partial:
        pq.write_table(to_table([code]), partial)


def _write_html(code: SpatialCode, source: ExportSource, path: Path) -> None:
    from spatialcode.export.html import write_html

    write_html(code, path, source.frames)


def _write_mp4(code: SpatialCode, source: ExportSource, path: Path) -> None:
    from spatialcode.export.overlay import DEFAULT_OPTIONS, write_overlay

    assert source.video is not None, "callers check what `video` says"
    write_overlay(code, source.video, path, source.options or DEFAULT_OPTIONS)


def _write_rrd(code: SpatialCode, source: ExportSource, path: Path) -> None:
    from spatialcode.export.rerun import write_rrd

    write_rrd(code, path, source.frames)


def _write_glb(code: SpatialCode, _: ExportSource, path: Path) -> None:
    from spatialcode.export.glb import write_glb

    write_glb(code, path)


for _format in (
    ExportFormat("json", ".json", "application/json", _write_json),
    ExportFormat(
        "scene.py", ".scene.py", "text/x-python; charset=utf-8", _write_scene, job_name="scene"
    ),
    ExportFormat("parquet", ".parquet", "application/vnd.apache.parquet", _write_parquet),
    ExportFormat(
        "html", ".html", "text/html; charset=utf-8", _write_html, video="frames", is_kept=True
    ),
    ExportFormat(
        "mp4", ".overlay.mp4", "video/mp4", _write_mp4,
        video="file", needs_cameras=True, is_kept=True, job_name="overlay",
    ),
    ExportFormat(
        "rrd", ".rrd", "application/vnd.rerun.rrd", _write_rrd,
        video="frames", extra="rerun", is_kept=True,
    ),
    ExportFormat("glb", ".glb", "model/gltf-binary", _write_glb, is_kept=True),
):  # fmt: skip
    register(_format)
