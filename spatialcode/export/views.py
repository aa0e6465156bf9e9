"""Everything there is to see of a code, as bytes or in one folder: page, video, models, texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spatialcode.errors import InputError
from spatialcode.export.glb import render_glb
from spatialcode.export.html import render_html
from spatialcode.export.overlay import DEFAULT_OPTIONS, OverlayOptions, write_overlay
from spatialcode.export.rerun import render_rrd
from spatialcode.export.stills import TimedFrame
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import render_scene, to_json
from spatialcode.video.decode import DecodedVideo, decode
from spatialcode.video.probe import hash_file
from spatialcode.video.sampling import ByTimes

#: Frames of the video in a page or recording; about 6 kB each.
MAX_PAGE_FRAMES = 64
PAGE_FRAME_SIDE_PX = 240

#: What a code can be written as, and how the files' names end.
SUFFIXES = {
    "html": ".html",
    "overlay": ".overlay.mp4",
    "glb": ".glb",
    "rrd": ".rrd",
    "json": ".json",
    "scene": ".scene.py",
}
#: Views that show frames of the video where it is there.
WITH_FRAMES = frozenset({"html", "rrd"})


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

    ``video``: the file that the code was made of. The overlay needs it; page and recording show
    its frames beside the room. Raises InputError for an overlay without it, VideoError where it
    cannot be read, MissingExtraError for a recording without the package that makes them.
    """
    path = view_path(code, folder, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind != "overlay":
        frames = page_frames(code, video) if video is not None and kind in WITH_FRAMES else []
        path.write_bytes(view_bytes(code, kind, frames))
        return path
    if video is None:
        raise InputError("overlay: expected the video that the code was made of, got none")
    write_overlay(code, video, path, options)
    return path


def view_bytes(code: SpatialCode, kind: str, frames: Sequence[TimedFrame] = ()) -> bytes:
    """One kind of view other than the overlay, as its file's bytes.

    ``frames`` of the video are shown in views of ``WITH_FRAMES``. MissingExtraError as above.
    """
    if kind == "html":
        return render_html(code, frames).encode("utf-8")
    if kind == "rrd":
        return render_rrd(code, frames)
    if kind == "glb":
        return render_glb(code)
    text = to_json(code) + "\n" if kind == "json" else render_scene(code)
    return text.encode("utf-8")


def page_frames(
    code: SpatialCode, video: Path, decoder: Callable[..., DecodedVideo] = decode
) -> list[TimedFrame]:
    """Small frames of the video at (some of) the code's times, for page and recording.

    ``decoder``: `decode`, or what takes its arguments, as `SandboxedDecoder.decode` does.
    """
    times = [camera.t_s for camera in code.cameras] or list(code.video.sampled_s) or [0.0]
    if len(times) > MAX_PAGE_FRAMES:
        chosen = np.linspace(0, len(times) - 1, MAX_PAGE_FRAMES).round().astype(int)
        times = [times[i] for i in chosen]
    # Whoever encoded the video has judged its damage; here any picture is better than none.
    decoded = decoder(
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
