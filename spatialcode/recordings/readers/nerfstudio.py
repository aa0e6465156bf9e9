"""nerfstudio's ``transforms.json``, as its own tools, Polycam, Record3D and many others write it.

``fl_x fl_y cx cy w h`` and ``k1 k2 p1 p2`` (OpenCV's) for all frames or in each; ``frames`` with
``file_path``, ``transform_matrix`` (camera to world, OpenGL cameras, world z up) and perhaps
``depth_file_path`` (16-bit PNG, millimetres). Principal points are COLMAP's: centres at +0.5.
Paths found by structure from motion have no scale: poses are used where depth maps lie beside them,
which makes them metric, or where the file says ``"is_metric": true``; otherwise intrinsics alone.
Frames come in the order of their file names, 1/30 s apart unless they have a ``timestamp``. Fisheye
cameras are refused. Read against the documented conventions, not against an export.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.conversion import opencv_from_opengl, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, field, json_object, number_array, png_depth
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader

_RATE_HZ = 30.0
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")
_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


@recording_reader
class Nerfstudio:
    """One folder, one recording."""

    name = "nerfstudio"
    layout = "transforms.json and the pictures it names"

    def recognises(self, folder: Path) -> bool:
        return (folder / "transforms.json").is_file()

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield CapturePlace(folder)

    def read(self, place: CapturePlace) -> Recording:
        folder = place.path
        path = folder / "transforms.json"
        document = json_object(path)
        model = document.get("camera_model", "OPENCV")
        if model not in _MODELS:
            raise FormatError(f"{path}: camera_model: expected {', '.join(_MODELS)}, got {model!r}")
        frames = field(document, "frames", str(path))
        if not isinstance(frames, list) or not frames:
            raise FormatError(f"{path}: frames: expected a list with at least one frame")
        frames = sorted(frames, key=lambda frame: str(field(frame, "file_path", str(path))))
        return assembled(_capture(folder, path, document, frames))


def _capture(folder: Path, path: Path, document: dict[str, Any], frames: list[Any]) -> Capture:
    named = [frame.get("depth_file_path") for frame in frames]
    depths = tuple(existing(folder / name) for name in named) if all(named) else ()
    is_metric = bool(depths) or document.get("is_metric") is True
    poses = np.stack(
        [
            number_array(field(f, "transform_matrix", str(path)), (4, 4), f"{path}: frames[{n}]")
            for n, f in enumerate(frames)
        ]
    )
    given_s = [frame.get("timestamp") for frame in frames]
    timed = all(isinstance(t, int | float) for t in given_s)
    first = {**document, **frames[0]}
    size = [int(_number(first, name, path)) for name in ("w", "h")]
    return Capture(
        name=folder.name,
        path=path,
        frames=ImageFrames(
            tuple(existing(folder / frame["file_path"]) for frame in frames),
            depths,
            partial(png_depth, units_per_m=1000.0),
        ),
        times_s=np.array(given_s, np.float64) if timed else np.arange(len(frames)) / _RATE_HZ,
        size_px=(size[0], size[1]),
        K=np.stack([_intrinsics({**document, **frame}, path) for frame in frames]),
        T_world_camera=opencv_from_opengl(poses) if is_metric else None,
        up=up_vector("z"),
        distortion=tuple(float(first.get(name, 0.0)) for name in _DISTORTION),
    )


def _intrinsics(frame: dict[str, Any], path: Path) -> np.ndarray:
    fx = _number(frame, "fl_x", path)
    fy = float(frame.get("fl_y", fx))
    return np.array(
        [[fx, 0, _number(frame, "cx", path)], [0, fy, _number(frame, "cy", path)], [0, 0, 1]]
    )


def _number(frame: dict[str, Any], name: str, path: Path) -> float:
    value = field(frame, name, str(path))
    return float(number_array(value, (), f"{path}: {name}"))
