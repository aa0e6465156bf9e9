"""CA-1M (Lazarow et al., CVPR 2025): iPad captures with exhaustive boxes and laser-scanned depth.

``ca1m-SPLIT-VIDEO.tar``, or the folder that it unpacks to. By frame, TIME in nanoseconds:
``VIDEO/TIME.wide/image.png`` (upright), ``…wide/image/K.json``, ``VIDEO/TIME.gt/RT.json`` (camera
to world, 4x4), ``…gt/depth.png`` (16-bit millimetres, 0 unknown); for the capture
``VIDEO/world.gt/instances.json``: ``category``, ``position``, ``scale`` (full extents), ``R`` (box
to world). OpenCV cameras; the world is the laser scanner's, z up. Whole numbers are taken for pixel
centres. Depth may differ in resolution from the pictures. Read against the authors' README and
loader, not against data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.blobs import Blob, BlobFrames, folder_members, tar_members
from spatialcode.recordings.conversion import GivenBox, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import (
    field,
    number_array,
    picture,
    raw_picture,
    scaled_depth,
)
from spatialcode.recordings.recording import Recording
from spatialcode.recordings.registry import recording_reader

_NO_OBJECTS = frozenset({"wall", "floor", "ceiling", "door_frame"})
_WORLD = "world.gt/instances.json"


@recording_reader
class CA1M:
    """A folder of archives, of unpacked captures, or one unpacked capture."""

    name = "ca-1m"
    layout = "ca1m-SPLIT-VIDEO.tar, or VIDEO/TIME.wide/image.png, VIDEO/TIME.gt/RT.json"

    def recognises(self, folder: Path) -> bool:
        return any(folder.glob("ca1m-*.tar")) or bool(_unpacked(folder))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield from map(CapturePlace, sorted(folder.glob("ca1m-*.tar")))
        yield from map(CapturePlace, _unpacked(folder))

    def read(self, place: CapturePlace) -> Recording:
        path = place.path
        if path.is_dir():
            return assembled(_capture(path, path.name, folder_members(path)))
        members = tar_members(path)
        video = next(iter(members), "").partition("/")[0]
        inside = {n.removeprefix(f"{video}/"): blob for n, blob in members.items()}
        return assembled(_capture(path, video, inside))


def _unpacked(folder: Path) -> list[Path]:
    found = {p.parents[1] for pattern in (_WORLD, f"*/{_WORLD}") for p in folder.glob(pattern)}
    return sorted(found)


def _capture(path: Path, video: str, members: Mapping[str, Blob]) -> Capture:
    stamps = sorted(name.partition(".")[0] for name in members if name.endswith(".wide/image.png"))
    stamps = [stamp for stamp in stamps if f"{stamp}.gt/RT.json" in members]
    if not stamps or not all(stamp.isdigit() for stamp in stamps):
        raise FormatError(f"{path}: expected TIME.wide/image.png and TIME.gt/RT.json by frame")
    stamps.sort(key=int)
    K = np.stack(
        [_numbers(members, f"{stamp}.wide/image/K.json", (3, 3), path) for stamp in stamps]
    )
    K[:, :2, 2] += 0.5
    poses = [_numbers(members, f"{stamp}.gt/RT.json", (4, 4), path) for stamp in stamps]
    pictures = tuple(members[f"{stamp}.wide/image.png"] for stamp in stamps)
    names = [f"{stamp}.gt/depth.png" for stamp in stamps]
    depths = tuple(members[name] for name in names) if all(n in members for n in names) else ()
    height, width = picture(pictures[0].read(), str(pictures[0])).shape[:2]
    return Capture(
        name=video,
        path=path,
        frames=BlobFrames(pictures, depths, laser_depth),
        times_s=np.array([(int(stamp) - int(stamps[0])) * 1e-9 for stamp in stamps]),
        size_px=(width, height),
        K=K,
        T_world_camera=np.stack(poses),
        up=up_vector("z"),
        boxes=_boxes(members, path),
    )


def laser_depth(data: bytes, where: str) -> NDArray[np.float32]:
    """A depth map of 16-bit millimetres in metres."""
    return scaled_depth(raw_picture(data, where), 1000.0)


def _document(members: Mapping[str, Blob], name: str, path: Path) -> Any:
    if name not in members:
        raise FormatError(f"{path}: expected {name}")
    try:
        return json.loads(members[name].read())
    except ValueError as error:
        raise FormatError(f"{path}: {name}: not JSON: {error}") from error


def _numbers(
    members: Mapping[str, Blob], name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.float64]:
    return number_array(_document(members, name, path), shape, f"{path}: {name}")


def _boxes(members: Mapping[str, Blob], path: Path) -> tuple[GivenBox, ...]:
    if _WORLD not in members:
        return ()
    boxes = []
    for n, entry in enumerate(_document(members, _WORLD, path)):
        where = f"{path}: {_WORLD}[{n}]"
        label = str(field(entry, "category", where))
        if label not in _NO_OBJECTS:
            center = number_array(field(entry, "position", where), (3,), f"{where}.position")
            size = number_array(field(entry, "scale", where), (3,), f"{where}.scale")
            R = number_array(field(entry, "R", where), (3, 3), f"{where}.R")
            boxes.append(GivenBox(label, center, size, R))
    return tuple(boxes)
