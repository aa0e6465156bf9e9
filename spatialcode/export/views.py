"""Everything there is to see of a code, written into one folder: page, video, texts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from spatialcode.errors import InputError
from spatialcode.export.html import TimedFrame, write_html
from spatialcode.export.overlay import DEFAULT_OPTIONS, OverlayOptions, write_overlay
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import render_scene, to_json
from spatialcode.video.decode import decode
from spatialcode.video.probe import hash_file
from spatialcode.video.sampling import ByTimes

#: Frames shown beside the room; about 6 kB each.
MAX_PAGE_FRAMES = 64
PAGE_FRAME_SIDE_PX = 240

#: What a code can be written as, and how the files' names end.
SUFFIXES = {"html": ".html", "overlay": ".overlay.mp4", "json": ".json", "scene": ".scene.py"}


def view_path(code: SpatialCode, folder: Path, kind: str) -> Path:
    """Where `write_view` puts a kind of view: named after the video, in ``folder``."""
    name = re.sub(r"[^\w.-]+", "_", Path(code.video.uri.replace("\\", "/")).stem).strip("._")
    return folder / f"{name or 'code'}{SUFFIXES[kind]}"


def write_view(
    code: SpatialCode,
    kind: str,
    folder: Path,
    video: Path | None = None,
    options: OverlayOptions = DEFAULT_OPTIONS,
) -> Path:
    """Write one kind of view (a key of ``SUFFIXES``) into ``folder`` and return its path.

    ``video``: the file that the code was made of. The overlay needs it, the page shows its
    frames beside the room. Raises InputError for an overlay without it, VideoError where it
    cannot be read.
    """
    path = view_path(code, folder, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "html":
        write_html(code, path, [] if video is None else page_frames(code, video))
    elif kind == "overlay":
        if video is None:
            raise InputError("overlay: expected the video that the code was made of, got none")
        write_overlay(code, video, path, options)
    elif kind == "json":
        path.write_text(to_json(code) + "\n", encoding="utf-8")
    else:
        path.write_text(render_scene(code), encoding="utf-8")
    return path


def page_frames(code: SpatialCode, video: Path) -> list[TimedFrame]:
    """Small frames of the video at (some of) the code's times, for the page."""
    times = [camera.t_s for camera in code.cameras] or list(code.video.sampled_s) or [0.0]
    if len(times) > MAX_PAGE_FRAMES:
        chosen = np.linspace(0, len(times) - 1, MAX_PAGE_FRAMES).round().astype(int)
        times = [times[i] for i in chosen]
    # Whoever encoded the video has judged its damage; here any picture is better than none.
    decoded = decode(
        video, ByTimes(tuple(times)), max_side_px=PAGE_FRAME_SIDE_PX, on_damage="report", sha256=""
    )
    return list(zip(decoded.times_s.tolist(), decoded.rgb, strict=True))


def check_same_video(code: SpatialCode, video: Path) -> None:
    """Raise InputError if ``video`` is another file than the one the code was made of.

    Codes without a hash (exact truth of rendered rooms) match any video.
    """
    if not code.video.sha256:
        return
    found = hash_file(video)
    if found != code.video.sha256:
        raise InputError(
            f"video: expected the file with sha256 {code.video.sha256[:12]}…, which the code was "
            f"made of, got {video} with {found[:12]}…"
        )
