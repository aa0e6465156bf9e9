"""ARKitScenes (Baruch et al., NeurIPS 2021): iPad captures with boxes, ``3dod`` and ``raw``.

In ``VIDEO_ID/VIDEO_ID_frames/`` (3dod) or ``VIDEO_ID/`` (raw): ``lowres_wide/VIDEO_ID_TIME.png``,
``lowres_depth/`` the same names (16-bit millimetres),
``lowres_wide_intrinsics/VIDEO_ID_TIME.pincam``
(width height fx fy cx cy; written up to 1 ms off), ``lowres_wide.traj`` (time, rotation vector and
translation, world to camera; OpenCV cameras, world z up, metres); ``VIDEO_ID_3dod_annotation.json``
with ``label`` and ``segments.obbAligned``: ``centroid``, ``axesLengths`` (full), ``normalizedAxes``
(rows are axes). Whole numbers are pixel centres, as in the authors' back-projection. Read against
the authors' documents and loader, not against data.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError
from spatialcode.recordings.annotated import annotated_box
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.conversion import GivenBox, inverse, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import (
    existing,
    field,
    json_object,
    number_array,
    png_depth,
    text_matrix,
)
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader
from spatialcode.scene.motion import PosePath

_WRITTEN_OFF_S = (0.0, -0.001, 0.001)
#: A frame farther from every pose of the path than this is left out (the path has 10 a second).
_APART_S = 0.1


@recording_reader
class ARKitScenes:
    """One video's folder, or a folder of such."""

    name = "arkitscenes"
    layout = "VIDEO_ID[/VIDEO_ID_frames]/lowres_wide, lowres_wide.traj, lowres_wide_intrinsics"

    def recognises(self, folder: Path) -> bool:
        return bool(_captures(folder))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        for frames in _captures(folder):
            boxes = _annotation(frames)
            yield CapturePlace(frames, sources=(frames, *([boxes] if boxes else [])))

    def read(self, place: CapturePlace) -> Recording:
        return assembled(_capture(place.path))


def _captures(folder: Path) -> list[Path]:
    places = [folder, *folder.glob("*_frames"), *folder.glob("*"), *folder.glob("*/*_frames")]
    found = {place for place in places if (place / "lowres_wide.traj").is_file()}
    return sorted(found)


def _capture(frames: Path) -> Capture:
    video = frames.name.removesuffix("_frames")
    path = frames / "lowres_wide.traj"
    known_s, known = _path(path)
    pictures, times_s = [], []
    for one in sorted((frames / "lowres_wide").glob(f"{video}_*.png")):
        time_s = _time(one, video)
        if np.abs(known_s - time_s).min() <= _APART_S:
            pictures.append(one)
            times_s.append(time_s)
    cameras = [_camera(frames, video, time_s) for time_s in times_s]
    if not cameras:
        raise FormatError(f"{frames}: expected pictures in lowres_wide with poses in {path.name}")
    depth_folder = frames / "lowres_depth"
    depths = [depth_folder / p.name for p in pictures] if depth_folder.is_dir() else []
    positions, rotations = known.at(np.clip(np.array(times_s), known_s[0], known_s[-1]))
    poses = np.tile(np.eye(4), (len(times_s), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = rotations.as_matrix(), positions
    return Capture(
        name=video,
        path=frames,
        frames=ImageFrames(
            tuple(pictures), tuple(map(existing, depths)), partial(png_depth, units_per_m=1000.0)
        ),
        times_s=np.array(times_s),
        size_px=(int(cameras[0][0]), int(cameras[0][1])),
        K=np.stack(
            [
                np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1.0]])
                for _, _, fx, fy, cx, cy in cameras
            ]
        ),
        T_world_camera=poses,
        up=up_vector("z"),
        boxes=_boxes(frames),
    )


def _time(path: Path, video: str) -> float:
    text = path.stem.removeprefix(f"{video}_")
    try:
        return float(text)
    except ValueError as error:
        raise FormatError(f"{path}: expected a time in the name, got {text!r}") from error


def _path(path: Path) -> tuple[NDArray[np.float64], PosePath]:
    """The camera's path: times, and poses camera to world."""
    rows = []
    for number, line in enumerate(existing(path).read_text("utf-8").splitlines(), 1):
        if line.strip():
            rows.append(number_array(line.split(), (7,), f"{path}:{number}"))
    if not rows:
        raise FormatError(f"{path}: expected at least one pose")
    table = np.stack(rows)
    table = table[np.unique(table[:, 0], return_index=True)[1]]
    poses = []
    for row in table:
        T_camera_world = np.eye(4)
        T_camera_world[:3, :3] = Rotation.from_rotvec(row[1:4]).as_matrix()
        T_camera_world[:3, 3] = row[4:7]
        poses.append(inverse(T_camera_world))
    stacked = np.stack(poses)
    rotations = Rotation.from_matrix(stacked[:, :3, :3])
    return table[:, 0], PosePath(table[:, 0], stacked[:, :3, 3], rotations)


def _camera(frames: Path, video: str, time_s: float) -> NDArray[np.float64]:
    folder = frames / "lowres_wide_intrinsics"
    names = [folder / f"{video}_{time_s + off_s:.3f}.pincam" for off_s in _WRITTEN_OFF_S]
    path = next((name for name in names if name.is_file()), names[0])
    return text_matrix(path, (6,))


def _annotation(frames: Path) -> Path | None:
    """Where the boxes of a video are, if they are there."""
    name = f"{frames.name.removesuffix('_frames')}_3dod_annotation.json"
    return next((p for p in (frames / name, frames.parent / name) if p.is_file()), None)


def _boxes(frames: Path) -> tuple[GivenBox, ...]:
    path = _annotation(frames)
    if path is None:
        return ()
    boxes = []
    for n, entry in enumerate(field(json_object(path), "data", str(path))):
        where = f"{path}: data[{n}]"
        box = field(field(entry, "segments", where), "obbAligned", where)
        boxes.append(annotated_box(field(entry, "label", where), box, where))
    return tuple(boxes)
