"""7-Scenes (Shotton et al., CVPR 2013): Kinect sequences with camera paths, without boxes.

``seq-NN/frame-NNNNNN.color.png`` (or ``.jpg``, as repackaged copies have it), ``.depth.png`` in
millimetres (65535: unknown), ``.pose.txt`` a 4x4 matrix camera to world in metres; OpenCV cameras.
The authors give one camera for colour and depth, which they do not register: focal length 585,
centre (320, 240) at 640×480. 30 frames a second. The world's up is not stated. Read against the
data set's own readme as others quote it, not against its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import existing, picture, png_depth, text_matrix
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader

_FOCAL_PX, _CENTRE_PX, _WIDTH_PX = 585.0, (320.0, 240.0), 640
_RATE_HZ = 30.0
_UNKNOWN = 65535


@recording_reader
class SevenScenes:
    """A scene's folder, or one sequence of it."""

    name = "7-scenes"
    layout = "seq-NN/frame-NNNNNN.color.png|jpg, .depth.png, .pose.txt"

    def recognises(self, folder: Path) -> bool:
        return bool(_sequences(folder))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield from map(CapturePlace, _sequences(folder))

    def read(self, place: CapturePlace) -> Recording:
        return _read_sequence(place.path)


def _sequences(folder: Path) -> list[Path]:
    candidates = [folder, *sorted(folder.glob("seq-*"))]
    return [one for one in candidates if any(one.glob("frame-*.pose.txt"))]


def _read_sequence(sequence: Path) -> Recording:
    poses = sorted(sequence.glob("frame-*.pose.txt"))
    stems = [pose.name.removesuffix(".pose.txt") for pose in poses]
    pictures = tuple(_color(sequence, stem) for stem in stems)
    depths = tuple(existing(sequence / f"{stem}.depth.png") for stem in stems)
    height, width = picture(pictures[0].read_bytes(), str(pictures[0])).shape[:2]
    scale = width / _WIDTH_PX
    # Whole numbers are pixel centres there; copies are smaller, so the half comes after scaling.
    K = np.array([[_FOCAL_PX, 0, _CENTRE_PX[0]], [0, _FOCAL_PX, _CENTRE_PX[1]], [0, 0, 1.0]])
    K[:2, 2] += 0.5
    K = np.diag([scale, scale, 1.0]) @ K
    numbers = np.array([int(stem.removeprefix("frame-")) for stem in stems])
    capture = Capture(
        name=f"{sequence.parent.name}/{sequence.name}",
        path=sequence,
        frames=ImageFrames(
            pictures, depths, partial(png_depth, units_per_m=1000.0, none_at=_UNKNOWN)
        ),
        times_s=numbers / _RATE_HZ,
        size_px=(width, height),
        K=K,
        T_world_camera=np.stack([text_matrix(pose, (4, 4)) for pose in poses]),
    )
    return assembled(capture)


def _color(sequence: Path, stem: str) -> Path:
    jpg = sequence / f"{stem}.color.jpg"
    return jpg if jpg.is_file() else existing(sequence / f"{stem}.color.png")
