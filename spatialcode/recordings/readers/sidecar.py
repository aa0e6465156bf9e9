"""The sidecar: recorded geometry of any video, as JSON beside it and depth as PNG or EXR.

Beside ``clip.mp4`` lies ``clip.geometry.json``::

    {"format": "spatialcode-geometry/1",
     "video": "clip.mp4",                    a path relative to the JSON file
     "size_px": [W, H],                      of the upright frames that K belongs to
     "camera_axes": "opencv",                or "opengl": x right, y up, z backward
     "up": "z",                              of the world: "z", "y", "-y", or null: not known
     "floor_height_m": 0.0,                  along up; may be left out
     "K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]],   centres of pixels at +0.5; may be left out
     "distortion": [k1, k2, p1, p2, k3],     OpenCV's; may be left out
     "depth_units_per_m": 1000,              of PNG depth; EXR depth is metres
     "frames": [{"t_s": 0.0,                 presentation time in the video
                 "T_world_camera": 4x4,      may be left out, in all frames alike
                 "up_camera": [x, y, z],     without poses; may be left out, in all frames alike
                 "K": 3x3,                   of this frame; may be left out
                 "depth": "depth/0000.png"}],  may be left out, in all frames alike
     "objects": [{"label": "chair", "center_m": [x, y, z], "size_m": [x, y, z],
                  "quaternion_wxyz": [w, x, y, z]}]}    may be left out

This project's own format: what it says here is all there is to it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError, InputError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.conversion import GivenBox, opencv_from_opengl, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import (
    existing,
    exr_depth,
    field,
    json_object,
    number_array,
    png_depth,
)
from spatialcode.recordings.recording import ImageFrames, Recording, VideoFrames
from spatialcode.recordings.registry import recording_reader
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.video.source import VideoProbe

FORMAT = "spatialcode-geometry/1"
SUFFIX = ".geometry.json"
_KEYS = ("format", "video", "size_px", "camera_axes", "up", "floor_height_m", "K", "distortion",
         "depth_units_per_m", "frames", "objects")  # fmt: skip
_LEAST_LENGTH = 1e-6


@recording_reader
class Sidecar:
    """Folders of videos with sidecars."""

    name = "sidecar"
    layout = f"VIDEO{SUFFIX} beside a video"

    def recognises(self, folder: Path) -> bool:
        return any(folder.glob(f"*{SUFFIX}"))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield from map(sidecar_place, sorted(folder.glob(f"*{SUFFIX}")))

    def read(self, place: CapturePlace) -> Recording:
        return read_sidecar(place.path)


def sidecar_place(path: Path) -> CapturePlace:
    """Where the capture of a sidecar lies, its video and depth maps with it.

    Of a damaged sidecar only the sidecar itself: whoever reads it learns what is wrong.
    """
    try:
        document = json_object(path)
    except (FormatError, InputError):
        return CapturePlace(path)
    frames = document.get("frames")
    frames = [f for f in frames if isinstance(f, dict)] if isinstance(frames, list) else []
    names = (document.get("video"), *(frame.get("depth") for frame in frames))
    named = [name for name in names if isinstance(name, str)]
    return CapturePlace(path, sources=(path, *(path.parent / name for name in named)))


def sidecar_beside(video: Path) -> CapturePlace | None:
    """Where the capture of a video lies: the sidecar named after it, where there is one.

    One that names another video, which is there, belongs to that.
    """
    path = video.with_suffix(SUFFIX)
    if not path.is_file():
        return None
    place = sidecar_place(path)
    own = place.sources[1:2]
    is_others = bool(own) and own[0].is_file() and not own[0].samefile(video)
    return None if is_others else place


def read_sidecar(path: Path) -> Recording:
    """The recording of one sidecar. FormatError or InputError where it is damaged."""
    document = json_object(path)
    if document.get("format") != FORMAT:
        raise FormatError(f"{path}: format: expected {FORMAT!r}, got {document.get('format')!r}")
    for key in document:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(_KEYS)}"
            raise FormatError(f"{path}: {key}: expected a known field; {hint}")
    frames = field(document, "frames", str(path))
    if not isinstance(frames, list) or not frames:
        raise FormatError(f"{path}: frames: expected a list with at least one frame")
    times_s = _each(frames, "t_s", (), path)
    if times_s is None:
        raise FormatError(f"{path}: frames: expected a field 't_s' in each")
    if times_s[0] < 0:
        raise FormatError(f"{path}: frames[0].t_s: expected 0 or more, got {times_s[0]:g}")
    size = _size(document, path)
    capture = Capture(
        name=path.name.removesuffix(SUFFIX),
        path=path,
        frames=_frames(path, document, frames, times_s),
        times_s=times_s,
        size_px=size,
        K=_intrinsics(document, frames, path),
        T_world_camera=_poses(document, frames, path),
        up=_up(document, path),
        up_camera=_directions(frames, path),
        boxes=tuple(
            _box(entry, f"{path}: objects[{n}]")
            for n, entry in enumerate(_list(document, "objects", path))
        ),
        floor_height_m=_number(document, "floor_height_m", None, path),
        distortion=_distortion(document, path),
        zero_s=0.0,  # the video's own times
    )
    recording = assembled(capture)
    video = replace(recording.video, uri=str(path.parent / document["video"]))
    return replace(recording, video=video)


def check_video(
    probe: VideoProbe, path: Path, size_px: tuple[int, int], last: tuple[int, float]
) -> None:
    """Raise FormatError where a sidecar's frames are not of its video; ``last``: number and time in
    seconds of the latest of them.

    Its size may be another than the video's, but not its aspect, by more than a pixel's rounding.
    """
    (width, height), (number, t_s) = size_px, last
    full = (probe.width_px, probe.height_px)
    if min(abs(height - width * full[1] / full[0]), abs(width - height * full[0] / full[1])) > 1:
        expected = f"the aspect of the video's {full[0]}×{full[1]}"
        raise FormatError(f"{path}: size_px: expected {expected}, got {width}×{height}")
    if t_s > probe.duration_s:
        expected = f"at most the video's {probe.duration_s:.3f} s"
        raise FormatError(f"{path}: frames[{number}].t_s: expected {expected}, got {t_s:g}")


def _size(document: dict[str, Any], path: Path) -> tuple[int, int]:
    size = number_array(field(document, "size_px", str(path)), (2,), f"{path}: size_px")
    if (size < 1).any():
        raise FormatError(f"{path}: size_px: expected width and height above 0, got {size}")
    return int(size[0]), int(size[1])


def _each(frames: list[Any], name: str, shape: tuple[int, ...], path: Path) -> Any:
    """A field of all frames as one array, None where none has it; FormatError where some do."""
    known = [n for n, frame in enumerate(frames) if isinstance(frame, dict) and name in frame]
    if not known:
        return None
    if len(known) < len(frames):
        raise FormatError(f"{path}: {name}: in {len(known)} of {len(frames)} frames, not in all")
    where = f"{path}: frames[{{}}].{name}"
    return np.stack(
        [number_array(frame[name], shape, where.format(n)) for n, frame in enumerate(frames)]
    )


def _intrinsics(document: dict[str, Any], frames: list[Any], path: Path) -> Any:
    K = _each(frames, "K", (3, 3), path)
    if K is None and document.get("K") is not None:
        K = number_array(document["K"], (3, 3), f"{path}: K")
    if K is not None and (K[..., [0, 1], [0, 1]] <= 0).any():
        raise FormatError(f"{path}: K: expected focal lengths above 0")
    return K


def _directions(frames: list[Any], path: Path) -> Any:
    up = _each(frames, "up_camera", (3,), path)
    if up is not None and (np.linalg.norm(up, axis=1) < _LEAST_LENGTH).any():
        raise FormatError(f"{path}: up_camera: expected directions, got one without length")
    return up


def _list(document: dict[str, Any], name: str, path: Path) -> list[Any]:
    """A list that may be left out, or null."""
    values = document.get(name)
    if values is not None and not isinstance(values, list):
        raise FormatError(f"{path}: {name}: expected a list, got {str(values)[:60]}")
    return values or []


def _number(document: dict[str, Any], name: str, usual: float | None, path: Path) -> float | None:
    """A number that may be left out, or null."""
    if document.get(name) is None:
        return usual
    return float(number_array(document[name], (), f"{path}: {name}"))


def _distortion(document: dict[str, Any], path: Path) -> tuple[float, ...]:
    values = _list(document, "distortion", path)
    return tuple(number_array(values, (len(values),), f"{path}: distortion").tolist())


def _poses(document: dict[str, Any], frames: list[Any], path: Path) -> Any:
    axes = document.get("camera_axes", "opencv")
    if axes not in ("opencv", "opengl"):
        raise FormatError(f"{path}: camera_axes: expected 'opencv' or 'opengl', got {axes!r}")
    poses = _each(frames, "T_world_camera", (4, 4), path)
    return opencv_from_opengl(poses) if poses is not None and axes == "opengl" else poses


def _up(document: dict[str, Any], path: Path) -> Any:
    up = document.get("up", "z")
    if up not in ("z", "y", "-y", None):
        raise FormatError(f"{path}: up: expected 'z', 'y', '-y' or null, got {up!r}")
    return None if up is None else up_vector(up)


def _frames(path: Path, document: dict[str, Any], frames: list[Any], times_s: Any) -> VideoFrames:
    video = existing(path.parent / str(field(document, "video", str(path))))
    named = [frame.get("depth") for frame in frames]
    depths = None
    if any(named):
        if not all(isinstance(name, str) for name in named):
            raise FormatError(f"{path}: depth: in {sum(map(bool, named))} of {len(named)} frames")
        units = _number(document, "depth_units_per_m", 1000.0, path) or 0.0
        if units <= 0:
            raise FormatError(f"{path}: depth_units_per_m: expected above 0, got {units:g}")
        files = tuple(existing(path.parent / name) for name in named)
        depths = ImageFrames((), files, partial(read_depth, units_per_m=units))
    steps = np.diff(times_s)
    late_s = 0.25 * float(steps[steps > 0].min()) if (steps > 0).any() else 0.0
    latest = int(np.argmax(times_s))
    last = (latest, float(times_s[latest]))
    check = partial(check_video, path=path, size_px=_size(document, path), last=last)
    return VideoFrames(video, tuple(times_s.tolist()), late_s, depths, check=check)


def read_depth(path: Path, units_per_m: float) -> NDArray[np.floating]:
    """One depth map in metres, of a 16-bit PNG or of an EXR file."""
    return exr_depth(path) if path.suffix == ".exr" else png_depth(path, units_per_m)


def _box(entry: Any, where: str) -> GivenBox:
    quaternion = number_array(field(entry, "quaternion_wxyz", where), (4,), where)
    return GivenBox(
        str(field(entry, "label", where)),
        number_array(field(entry, "center_m", where), (3,), f"{where}.center_m"),
        number_array(field(entry, "size_m", where), (3,), f"{where}.size_m"),
        matrix_from_quaternion(quaternion / max(float(np.linalg.norm(quaternion)), 1e-9)),
    )
