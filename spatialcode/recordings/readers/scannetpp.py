"""ScanNet++ (Yeshwanth et al., ICCV 2023): the iPhone's video with depth and aligned poses.

``SCENE/iphone/rgb.mkv`` (older releases: ``rgb.mp4``), ``pose_intrinsic_imu.json`` by frame
(``frame_000000`` …: ``timestamp``, ``intrinsic`` 3x3, ``aligned_pose`` camera to world in the
scan's frame, OpenCV cameras, z up, metres), ``depth.bin``: for each frame of the video the number
of bytes (32 bits, little-endian) and 192×256 values, 16-bit millimetres by LZ4 or 32-bit metres by
zlib. Boxes: ``SCENE/scans/segments_anno.json``, ``segGroups`` with ``label`` and ``obb``. Read
against the public tools that read it, not against data; the oldest form of ``depth.bin``,
compressed as one, is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError, MissingExtraError
from spatialcode.recordings.annotated import annotated_box
from spatialcode.recordings.assembly import Capture, assembled
from spatialcode.recordings.blobs import Blob, BlobFrames
from spatialcode.recordings.conversion import GivenBox, up_vector
from spatialcode.recordings.places import CapturePlace
from spatialcode.recordings.reading import field, json_object, number_array, scaled_depth
from spatialcode.recordings.recording import Recording, VideoFrames
from spatialcode.recordings.registry import recording_reader
from spatialcode.video.decode import probe

_DEPTH_HW = (192, 256)
_NO_OBJECTS = frozenset({"wall", "floor", "ceiling", "remove", "split"})


_ANNOTATION = "scans/segments_anno.json"


@recording_reader
class ScanNetPP:
    """One scene's folder, or a folder of such."""

    name = "scannetpp"
    layout = "SCENE/iphone/rgb.mkv, pose_intrinsic_imu.json, depth.bin"

    def recognises(self, folder: Path) -> bool:
        return bool(_scenes(folder))

    def places(self, folder: Path) -> Iterator[CapturePlace]:
        for scene in _scenes(folder):
            yield CapturePlace(scene, sources=(scene / "iphone", scene / _ANNOTATION))

    def read(self, place: CapturePlace) -> Recording:
        return assembled(_capture(place.path))


def _scenes(folder: Path) -> list[Path]:
    name = "iphone/pose_intrinsic_imu.json"
    return sorted({p.parents[1] for pattern in (name, f"*/{name}") for p in folder.glob(pattern)})


def _capture(scene: Path) -> Capture:
    phone = scene / "iphone"
    path = phone / "pose_intrinsic_imu.json"
    document = json_object(path)
    names = sorted(name for name in document if name.startswith("frame_"))
    if not names:
        raise FormatError(f"{path}: expected entries frame_000000 and so on")
    entries = [document[name] for name in names]
    where = [f"{path}: {name}" for name in names]
    pairs = list(zip(entries, where, strict=True))
    K = np.stack([number_array(field(e, "intrinsic", w), (3, 3), w) for e, w in pairs])
    poses = np.stack([number_array(field(e, "aligned_pose", w), (4, 4), w) for e, w in pairs])
    stamps = np.array([float(number_array(field(e, "timestamp", w), (), w)) for e, w in pairs])
    video = next((p for p in (phone / "rgb.mkv", phone / "rgb.mp4") if p.is_file()), None)
    if video is None:
        raise FormatError(f"{phone}: expected rgb.mkv or rgb.mp4")
    info = probe(video)
    numbers = np.array([_number(name, path) for name in names])
    blobs = _depths(phone / "depth.bin", numbers)
    depths = BlobFrames((), blobs, phone_depth) if blobs else None
    video_s = tuple((numbers / info.fps).tolist())
    return Capture(
        name=scene.name,
        path=path,
        frames=VideoFrames(video, video_s, 0.25 / info.fps, depths),
        times_s=stamps - stamps[0],
        size_px=(info.width_px, info.height_px),
        K=K,
        T_world_camera=poses,
        up=up_vector("z"),
        boxes=_boxes(scene / _ANNOTATION),
    )


def _number(name: str, path: Path) -> int:
    digits = name.removeprefix("frame_")
    if not digits.isdigit():
        raise FormatError(f"{path}: expected frame_000000 and so on, got {name!r}")
    return int(digits)


def _depths(path: Path, numbers: NDArray[np.int_]) -> tuple[Blob, ...]:
    """Where the depth of each numbered frame lies."""
    if not path.is_file():
        return ()
    blobs: list[Blob] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(blobs) <= numbers.max() and (head := file.read(4)):
            num_bytes = int.from_bytes(head, "little")
            if len(head) < 4 or file.tell() + num_bytes > size:
                raise FormatError(f"{path}: frame {len(blobs)}: {num_bytes} bytes do not follow")
            blobs.append(Blob(path, file.tell(), num_bytes))
            file.seek(num_bytes, 1)
    if len(blobs) <= numbers.max():
        raise FormatError(f"{path}: expected depth of frame {numbers.max()}, got {len(blobs)}")
    return tuple(blobs[number] for number in numbers)


def phone_depth(data: bytes, where: str) -> NDArray[np.float32]:
    """One frame of ``depth.bin`` in metres, NaN where it is not known.

    MissingExtraError without the extra ``recordings``, FormatError where it is damaged.
    """
    try:
        import lz4.block
    except ImportError as error:
        raise MissingExtraError("reading depth of ScanNet++", "recordings") from error
    num = _DEPTH_HW[0] * _DEPTH_HW[1]
    try:
        raw = lz4.block.decompress(data, uncompressed_size=2 * num)
        return scaled_depth(np.frombuffer(raw, "<u2").reshape(_DEPTH_HW), 1000.0)
    except (lz4.block.LZ4BlockError, ValueError):
        pass  # older files: zlib without its header, floats
    try:
        raw = zlib.decompress(data, wbits=-zlib.MAX_WBITS)
        return scaled_depth(np.frombuffer(raw, "<f4").reshape(_DEPTH_HW), 1.0)
    except (zlib.error, ValueError) as error:
        raise FormatError(f"{where}: expected depth by LZ4 or zlib: {error}") from error


def _boxes(path: Path) -> tuple[GivenBox, ...]:
    if not path.is_file():
        return ()
    boxes = []
    for n, group in enumerate(field(json_object(path), "segGroups", str(path))):
        where = f"{path}: segGroups[{n}]"
        label: Any = field(group, "label", where)
        if str(label) not in _NO_OBJECTS:
            boxes.append(annotated_box(label, field(group, "obb", where), where))
    return tuple(boxes)
