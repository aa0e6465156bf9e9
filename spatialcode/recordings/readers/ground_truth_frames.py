"""Pinhole frames of Aria Digital Twin with their truth, as ``truth.json`` beside the pictures.

``K`` 3x3 (whole numbers are pixel centres), ``gravity`` in the world, ``frames`` with ``file``,
``t_ns`` and ``T_world_camera`` (OpenCV, camera to world), ``objects`` with ``category``,
``center``, ``size`` and ``R`` (box to world; metres). Read
against real data: one frame of Aria Digital Twin.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.conversion import GivenBox
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, field, json_object, number_array, picture
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader


@recording_reader
class GroundTruthFrames:
    """One folder, one recording."""

    name = "truth-json"
    layout = "truth.json with K, gravity, frames, objects, and the pictures it names"

    def recognises(self, folder: Path) -> bool:
        return (folder / "truth.json").is_file()

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield CapturePlace(folder)

    def read(self, place: CapturePlace) -> Recording:
        folder = place.path
        path = folder / "truth.json"
        document = json_object(path)
        where = str(path)
        frames = field(document, "frames", where)
        if not isinstance(frames, list) or not frames:
            raise FormatError(f"{path}: frames: expected a list with at least one frame")
        pictures = tuple(existing(folder / str(field(f, "file", where))) for f in frames)
        height, width = picture(pictures[0].read_bytes(), str(pictures[0])).shape[:2]
        K = number_array(field(document, "K", where), (3, 3), f"{path}: K")
        K[:2, 2] += 0.5
        gravity = number_array(field(document, "gravity", where), (3,), f"{path}: gravity")
        poses = [
            number_array(field(f, "T_world_camera", where), (4, 4), f"{path}: frames[{n}]")
            for n, f in enumerate(frames)
        ]
        times_ns = [float(field(f, "t_ns", where)) for f in frames]
        capture = Capture(
            name=folder.name,
            path=path,
            frames=ImageFrames(pictures),
            times_s=(np.array(times_ns) - times_ns[0]) * 1e-9,
            size_px=(width, height),
            K=K,
            T_world_camera=np.stack(poses),
            up=-gravity / np.linalg.norm(gravity),
            boxes=tuple(
                _box(entry, f"{path}: objects[{n}]")
                for n, entry in enumerate(document.get("objects") or ())
            ),
        )
        return assembled(capture)


def _box(entry: Any, where: str) -> GivenBox:
    return GivenBox(
        str(field(entry, "category", where)),
        number_array(field(entry, "center", where), (3,), f"{where}.center"),
        number_array(field(entry, "size", where), (3,), f"{where}.size"),
        number_array(field(entry, "R", where), (3, 3), f"{where}.R"),
    )
