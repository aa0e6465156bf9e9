"""SUN RGB-D (Song et al., CVPR 2015): single RGB-D pictures with gravity and boxes.

``SUNRGBDMeta3DBB_v2.mat`` names each picture: ``sequenceName``, ``rgbname``, ``depthname``, ``K``,
``Rtilt``, ``groundtruth3DBB`` with ``classname``, ``centroid``, ``basis`` (rows are axes) and
``coeffs`` (half extents). Pictures lie in ``SEQUENCE/image/``, depth in ``SEQUENCE/depth_bfx/`` as
16-bit PNG in millimetres, its bits turned by three. The world is levelled: x right, y forward, z
up, its origin the camera; ``Rtilt`` maps (x, z, -y) of the OpenCV camera to it. Pixels count from 1
at the first centre. Each picture is a recording of one frame. Read against the authors' toolbox as
others describe it, not against data.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from spatialcode.errors import FormatError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.conversion import GivenBox, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import (
    existing,
    number_array,
    picture,
    raw_picture,
    scaled_depth,
)
from spatialcode.recordings.recording import ImageFrames, Recording
from spatialcode.recordings.registry import recording_reader

_META = "SUNRGBDMeta3DBB_v2.mat"
#: (x, z, -y) of an OpenCV camera: its levelled axes if it were not tilted.
_LEVEL_FROM_CV = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@recording_reader
class SunRgbd:
    """The folder that holds the table and the sequences it names."""

    name = "sun-rgbd"
    layout = f"{_META} and the sequences it names"

    def recognises(self, folder: Path) -> bool:
        return (folder / _META).is_file()

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        path = folder / _META
        for n, entry in enumerate(_entries(path, path.stat().st_mtime_ns)):
            sequence = folder / str(getattr(entry, "sequenceName", "."))
            sources = [sequence / part for part in ("image", "depth_bfx")]
            yield CapturePlace(path, str(n), (path, *sources))

    def read(self, place: CapturePlace) -> Recording:
        entries = _entries(place.path, existing(place.path).stat().st_mtime_ns)
        number, where = int(place.part), f"{place.path}: entry {place.part}"
        if number >= len(entries):
            raise FormatError(f"{where}: there are {len(entries)}")
        return assembled(_capture(place.path.parent, entries[number], where))


@lru_cache(maxsize=1)  # a table of ten thousand entries takes many seconds to read
def _entries(path: Path, mtime_ns: int) -> NDArray[Any]:  # noqa: ARG001 - a changed table is read
    """The entries of a table. FormatError where it is damaged."""
    try:
        table = loadmat(path, squeeze_me=True, struct_as_record=False)
        return np.atleast_1d(table["SUNRGBDMeta"])
    # SciPy raises whatever its parsing stumbles over.
    except Exception as error:
        raise FormatError(f"{path}: expected a table SUNRGBDMeta: {error}") from error


def _capture(folder: Path, entry: Any, where: str) -> Capture:
    sequence = folder / str(_attribute(entry, "sequenceName", where))
    image = existing(sequence / "image" / str(_attribute(entry, "rgbname", where)))
    depth = existing(sequence / "depth_bfx" / str(_attribute(entry, "depthname", where)))
    height, width = picture(image.read_bytes(), str(image)).shape[:2]
    K = number_array(_attribute(entry, "K", where), (3, 3), f"{where}: K")
    K[:2, 2] -= 0.5
    pose = np.eye(4)
    tilt = number_array(_attribute(entry, "Rtilt", where), (3, 3), f"{where}: Rtilt")
    pose[:3, :3] = tilt @ _LEVEL_FROM_CV
    given = np.atleast_1d(_attribute(entry, "groundtruth3DBB", where))
    boxes = [_box(box, f"{where}: groundtruth3DBB[{n}]") for n, box in enumerate(given)]
    return Capture(
        name=str(entry.sequenceName),
        path=sequence,
        frames=ImageFrames((image,), (depth,), turned_depth),
        times_s=np.zeros(1),
        size_px=(width, height),
        K=K,
        T_world_camera=pose[None],
        up=up_vector("z"),
        boxes=tuple(boxes),
    )


def _attribute(entry: Any, name: str, where: str) -> Any:
    if not hasattr(entry, name):
        raise FormatError(f"{where}: expected a field {name!r}")
    return getattr(entry, name)


def _box(box: Any, where: str) -> GivenBox:
    basis = number_array(_attribute(box, "basis", where), (3, 3), f"{where}.basis")
    half = number_array(_attribute(box, "coeffs", where), (3,), f"{where}.coeffs")
    center = number_array(_attribute(box, "centroid", where), (3,), f"{where}.centroid")
    return GivenBox(str(_attribute(box, "classname", where)), center, 2 * np.abs(half), basis.T)


def turned_depth(path: Path) -> NDArray[np.float32]:
    """A depth map in metres whose 16 bits were turned left by three."""
    raw = raw_picture(existing(path).read_bytes(), str(path))
    if raw.dtype != np.uint16:
        raise FormatError(f"{path}: expected 16 bits a pixel, got {raw.dtype}")
    return scaled_depth((raw >> 3) | (raw << 13), 1000.0)
