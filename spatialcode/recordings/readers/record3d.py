"""Record3D: captures of an iPhone or iPad with depth, as ``.r3d`` files.

A zip archive: ``metadata`` (JSON: ``w h dw dh``, ``K`` column-major for all frames or
``perFrameIntrinsicCoeffs`` fx fy cx cy, ``poses`` qx qy qz qw tx ty tz, ``frameTimestamps`` or
``fps``), ``rgbd/N.jpg`` and ``rgbd/N.depth`` (32-bit metres by LZFSE). ARKit's world (y up, metres)
and cameras (OpenGL). Principal points count from the picture's corner, as ARKit's documentation
says. Read against public tools that read it, not against data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from spatialcode.errors import FormatError, MissingExtraError
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.blobs import Blob, BlobFrames
from spatialcode.recordings.conversion import opencv_from_opengl, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import field, number_array
from spatialcode.recordings.recording import Recording
from spatialcode.recordings.registry import recording_reader

_RATE_HZ = 60.0


@recording_reader
class Record3D:
    """A folder of captures."""

    name = "record3d"
    layout = "*.r3d"

    def recognises(self, folder: Path) -> bool:
        return any(folder.glob("*.r3d"))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        yield from map(CapturePlace, sorted(folder.glob("*.r3d")))

    def read(self, place: CapturePlace) -> Recording:
        return assembled(_capture(place.path))


def _capture(path: Path) -> Capture:
    try:
        document = json.loads(Blob(path, member="metadata").read())
    except ValueError as error:
        raise FormatError(f"{path}: metadata: not JSON: {error}") from error
    where = f"{path}: metadata"
    given = field(document, "poses", where)
    num = len(given) if isinstance(given, list) else 0
    if num == 0:
        raise FormatError(f"{where}: poses: expected a list with at least one")
    table = number_array(given, (num, 7), f"{where}: poses")
    if (np.linalg.norm(table[:, :4], axis=1) < 1e-6).any():
        raise FormatError(f"{where}: poses: expected quaternions that are not zero")
    poses = np.tile(np.eye(4), (num, 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(table[:, :4]).as_matrix()
    poses[:, :3, 3] = table[:, 4:]
    size = [int(number_array(field(document, key, where), (), f"{where}: {key}")) for key in "wh"]
    depth_hw = (int(document.get("dh", 256)), int(document.get("dw", 192)))
    return Capture(
        name=path.stem,
        path=path,
        frames=BlobFrames(
            tuple(Blob(path, member=f"rgbd/{n}.jpg") for n in range(num)),
            tuple(Blob(path, member=f"rgbd/{n}.depth") for n in range(num)),
            partial(lidar_depth, shape=depth_hw),
        ),
        times_s=_times(document, num, where),
        size_px=(size[0], size[1]),
        K=_intrinsics(document, num, where),
        T_world_camera=opencv_from_opengl(poses),
        up=up_vector("y"),
    )


def _times(document: dict[str, Any], num: int, where: str) -> NDArray[np.float64]:
    stamps = document.get("frameTimestamps")
    if stamps:
        return number_array(stamps, (num,), f"{where}: frameTimestamps")
    return np.arange(num) / float(document.get("fps") or _RATE_HZ)


def _intrinsics(document: dict[str, Any], num: int, where: str) -> NDArray[np.float64]:
    each = document.get("perFrameIntrinsicCoeffs")
    if not each:
        flat = number_array(field(document, "K", where), (3, 3), f"{where}: K")
        return np.tile(flat.T, (num, 1, 1))
    table = number_array(each, (num, 4), f"{where}: perFrameIntrinsicCoeffs")
    K = np.tile(np.eye(3), (num, 1, 1))
    K[:, 0, 0], K[:, 1, 1] = table[:, 0], table[:, 1]
    K[:, :2, 2] = table[:, 2:]
    return K


def lidar_depth(data: bytes, where: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """A depth map (h, w) in metres of LZFSE-compressed floats; NaN where it is not known.

    MissingExtraError without the extra ``recordings``, FormatError where it is damaged.
    """
    try:
        import liblzfse
    except ImportError as error:
        raise MissingExtraError("reading depth of Record3D", "recordings") from error
    try:
        values = np.frombuffer(liblzfse.decompress(data), "<f4").reshape(shape)
    except (liblzfse.error, ValueError) as error:
        raise FormatError(f"{where}: expected {shape} floats by LZFSE: {error}") from error
    return np.where(np.isfinite(values) & (values > 0), values, np.nan).astype(np.float32)
