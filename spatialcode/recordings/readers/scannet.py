"""ScanNet (Dai et al., CVPR 2017): scans as ``.sens``, boxes from the annotated mesh.

``SCENE/SCENE.sens``: header, then frames with pose (camera to world, OpenCV, metres), JPEG and
zlib-compressed 16-bit depth; little-endian. Colour and depth have cameras of their own at one
place; depth is brought into the colour camera. Frames whose pose was lost (not finite) are left
out. ``SCENE.txt`` holds ``axisAlignment``, after which z is up and walls lie along x and y; boxes
are the extents of each annotated object's vertices in that frame, as the detection benchmarks on
ScanNet take them, from ``SCENE_vh_clean_2.ply``, ``…0.010000.segs.json`` and ``.aggregation.json``.
Whole numbers are pixel centres. Read against the authors' reader and documents, not against data.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.blobs import Blob, BlobFrames
from spatialcode.recordings.conversion import GivenBox, up_vector
from spatialcode.recordings.mesh import ply_vertices
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, field, json_object, number_array, scaled_depth
from spatialcode.recordings.recording import Recording, reprojected_depth, resized_K
from spatialcode.recordings.registry import recording_reader

_VERSION, _JPEG, _PNG, _ZLIB = 4, 2, 1, 1
_NO_OBJECTS = frozenset({"wall", "floor", "ceiling", "object", "remove"})


@recording_reader
class ScanNet:
    """One scan's folder, or a folder of such."""

    name = "scannet"
    layout = "SCENE/SCENE.sens, SCENE.txt, perhaps the annotated mesh"

    def recognises(self, folder: Path) -> bool:
        return bool(_scans(folder))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        for path in _scans(folder):
            yield CapturePlace(path, sources=tuple(path.parent.glob(f"{path.stem}[._]*")))

    def read(self, place: CapturePlace) -> Recording:
        return assembled(_capture(place.path))


def _scans(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.sens"), *folder.glob("*/*.sens")})


@dataclass(frozen=True, eq=False)
class SensFile:
    """The header of a ``.sens`` file, and where its frames lie."""

    K_color: NDArray[np.float64]
    K_depth: NDArray[np.float64]
    color_px: tuple[int, int]
    depth_px: tuple[int, int]
    depth_units_per_m: float
    poses: NDArray[np.float64]
    times_s: NDArray[np.float64]
    colors: tuple[Blob, ...]
    depths: tuple[Blob, ...]


def read_sens(path: Path) -> SensFile:
    """Header and table of a ``.sens`` file; no picture is read. FormatError where it is damaged."""
    with existing(path).open("rb") as file:
        (version,) = _unpack(file, "<I", path)
        if version != _VERSION:
            raise FormatError(f"{path}: version: expected {_VERSION}, got {version}")
        (length,) = _unpack(file, "<Q", path)
        file.seek(length, io.SEEK_CUR)  # the sensor's name
        K_color, _, K_depth, _ = (_matrix(file, path) for _ in range(4))
        color_type, depth_type = _unpack(file, "<ii", path)
        if color_type not in (_JPEG, _PNG) or depth_type != _ZLIB:
            got = f"colour {color_type}, depth {depth_type}"
            raise FormatError(f"{path}: compression: expected JPEG or PNG and zlib, got {got}")
        cw, ch, dw, dh, units_per_m, num_frames = _unpack(file, "<IIIIfQ", path)
        poses, times, colors, depths = [], [], [], []
        for _ in range(num_frames):
            poses.append(_matrix(file, path))
            color_us, _, color_bytes, depth_bytes = _unpack(file, "<QQQQ", path)
            times.append(color_us * 1e-6)
            colors.append(Blob(path, file.tell(), color_bytes))
            depths.append(Blob(path, file.tell() + color_bytes, depth_bytes))
            file.seek(color_bytes + depth_bytes, io.SEEK_CUR)
        if not num_frames or file.tell() > path.stat().st_size:
            raise FormatError(f"{path}: expected {num_frames} whole frames, the file ends before")
    return SensFile(
        _with_half(K_color), _with_half(K_depth), (cw, ch), (dw, dh), units_per_m,
        np.stack(poses), np.array(times), tuple(colors), tuple(depths),
    )  # fmt: skip


def _unpack(file: BinaryIO, layout: str, path: Path) -> tuple[Any, ...]:
    data = file.read(struct.calcsize(layout))
    if len(data) != struct.calcsize(layout):
        raise FormatError(f"{path}: ends at byte {file.tell()}, within {layout!r}")
    return struct.unpack(layout, data)


def _matrix(file: BinaryIO, path: Path) -> NDArray[np.float64]:
    return np.array(_unpack(file, "<16f", path), np.float64).reshape(4, 4)


def _with_half(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    K = matrix[:3, :3].copy()
    K[:2, 2] += 0.5
    return K


def sens_depth(
    data: bytes,
    where: str,
    size_px: tuple[int, int],
    units_per_m: float,
    cameras: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.floating]:
    """A depth map in metres as the colour camera sees it; ``cameras``: its own K, then that one."""
    width, height = size_px
    try:
        raw = np.frombuffer(zlib.decompress(data), "<u2").reshape(height, width)
    except (zlib.error, ValueError) as error:
        raise FormatError(f"{where}: expected {width}x{height} depth by zlib: {error}") from error
    return reprojected_depth(scaled_depth(raw, units_per_m), *cameras)


def _capture(path: Path) -> Capture:
    sens = read_sens(path)
    kept = np.flatnonzero(np.isfinite(sens.poses).all(axis=(1, 2)))
    if len(kept) == 0:
        raise FormatError(f"{path}: no frame has a pose")
    alignment = _alignment(path.with_suffix(".txt"))
    color_hw, depth_hw = sens.color_px[::-1], sens.depth_px[::-1]
    as_color = resized_K(sens.K_color, color_hw, depth_hw)
    read_depth = partial(
        sens_depth,
        size_px=sens.depth_px,
        units_per_m=sens.depth_units_per_m,
        cameras=(sens.K_depth, as_color),
    )
    times_s = sens.times_s[kept]
    if (np.diff(times_s) <= 0).any():  # many scans have no clock: 30 frames a second
        times_s = kept / 30.0
    return Capture(
        name=path.stem,
        path=path,
        frames=BlobFrames(
            tuple(sens.colors[n] for n in kept), tuple(sens.depths[n] for n in kept), read_depth
        ),
        times_s=times_s,
        size_px=sens.color_px,
        K=sens.K_color,
        T_world_camera=alignment @ sens.poses[kept],
        up=up_vector("z"),
        boxes=_boxes(path.parent, path.stem, alignment),
    )


def _alignment(path: Path) -> NDArray[np.float64]:
    """``axisAlignment`` of the scan's text file; without one, the scan's own frame (z up)."""
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "axisAlignment":
                return number_array(value.split(), (4, 4), f"{path}: axisAlignment")
    return np.eye(4)


def _boxes(folder: Path, scan: str, alignment: NDArray[np.float64]) -> tuple[GivenBox, ...]:
    mesh = folder / f"{scan}_vh_clean_2.ply"
    segments = folder / f"{scan}_vh_clean_2.0.010000.segs.json"
    groups = folder / f"{scan}.aggregation.json"
    if not all(path.is_file() for path in (mesh, segments, groups)):
        return ()
    vertices = ply_vertices(mesh) @ alignment[:3, :3].T + alignment[:3, 3]
    segment_of = np.asarray(field(json_object(segments), "segIndices", str(segments)))
    if len(segment_of) != len(vertices):
        raise FormatError(f"{segments}: {len(segment_of)} segments of {len(vertices)} vertices")
    boxes = []
    for n, group in enumerate(field(json_object(groups), "segGroups", str(groups))):
        where = f"{groups}: segGroups[{n}]"
        label = str(field(group, "label", where))
        inside = np.isin(segment_of, field(group, "segments", where))
        if label in _NO_OBJECTS or not inside.any():
            continue
        low, high = vertices[inside].min(axis=0), vertices[inside].max(axis=0)
        boxes.append(GivenBox(label, (low + high) / 2, np.maximum(high - low, 1e-3), np.eye(3)))
    return tuple(boxes)
