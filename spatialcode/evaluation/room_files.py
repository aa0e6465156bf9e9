"""One rendered room as bytes, and the files and shards that it goes into.

Depth is a 16-bit PNG in millimetres (0: farther than 65 m). Instances are a 16-bit PNG of the
instance plus three: 0 ceiling, 1 wall, 2 floor, 3 the first object; 65535 is clutter.
``instance_ids`` says which object of the code an instance is, empty for what is never seen well.
Poses and intrinsics are the code's cameras.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.files import write_bytes
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import to_json
from spatialcode.synthetic.clips import ClipConfig, make_clip
from spatialcode.synthetic.truth import object_ids, spatial_code
from spatialcode.synthetic.videos import (
    VideoConfig,
    clip_fps,
    render_video,
    video_info,
    write_clip,
)

_INSTANCE_OFFSET = 3
_MM = 1000.0


@dataclass(frozen=True)
class RenderedRoom:
    """A room's clip, ready to be stored: mp4 bytes, a PNG a frame, and the exact code."""

    key: str
    video_mp4: bytes
    depth_png: tuple[bytes, ...]
    instance_png: tuple[bytes, ...]
    instance_ids: tuple[str, ...]
    code: SpatialCode


def room_key(seed: int) -> str:
    """The name under which a seed's files lie."""
    return f"room_{seed:010d}"


def render_room(seed: int, config: ClipConfig | VideoConfig, folder: str = "") -> RenderedRoom:
    """Render one seed: a clip's frames alone, or the whole walk as a video.

    ``folder``: where the video will lie, relative to the data set, as its code says.
    """
    key = room_key(seed)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{key}.mp4"
        if isinstance(config, ClipConfig):
            clip = make_clip(seed, config)
            write_clip(clip, path)
            fps, num_frames = clip_fps(clip), len(clip.times_s)
        else:
            clip, fps = render_video(seed, path, config), config.fps
            num_frames = round(float(clip.times_s[-1]) * fps) + 1
        info = video_info(clip, path, fps, num_frames, f"{folder}{key}.mp4")
        return RenderedRoom(
            key=key,
            video_mp4=path.read_bytes(),
            depth_png=tuple(depth_png(depth) for depth in clip.depth_m),
            instance_png=tuple(instance_png(instance) for instance in clip.instance),
            instance_ids=object_ids(clip),
            code=spatial_code(clip, info),
        )


def depth_png(depth_m: NDArray[np.float32]) -> bytes:
    """z-depth (H,W) in metres as a 16-bit PNG in millimetres."""
    mm = np.round(depth_m * _MM)
    return _png(np.where((mm > 0) & (mm < 65536), mm, 0).astype(np.uint16))


def instance_png(instance: NDArray[np.int16]) -> bytes:
    """Instances (H,W) as a 16-bit PNG; clutter, which is below -3, as its largest value."""
    return _png((instance + _INSTANCE_OFFSET).astype(np.uint16))


def members(room: RenderedRoom) -> list[tuple[str, bytes]]:
    """A room as a WebDataset sample: names that share all before their first dot, and bytes."""
    document = {"instance_ids": room.instance_ids, "code": json.loads(to_json(room.code))}
    out = [(f"{room.key}.mp4", room.video_mp4), (f"{room.key}.json", json.dumps(document).encode())]
    out += [(f"{room.key}.depth.{n:04d}.png", data) for n, data in enumerate(room.depth_png)]
    out += [(f"{room.key}.instance.{n:04d}.png", data) for n, data in enumerate(room.instance_png)]
    return out


def write_tar(path: Path, rooms: Iterable[RenderedRoom]) -> None:
    """A WebDataset shard, whole or not at all; the same rooms give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (member for room in rooms for member in members(room)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    write_bytes(path, buffer.getvalue())


def write_files(folder: Path, room: RenderedRoom) -> None:
    """``videos/KEY.mp4``, ``depth/KEY/0000.png`` …, ``instance/KEY/0000.png`` …"""
    for name, images in (("depth", room.depth_png), ("instance", room.instance_png)):
        for n, data in enumerate(images):
            write_bytes(folder / name / room.key / f"{n:04d}.png", data)
    write_bytes(folder / "videos" / f"{room.key}.mp4", room.video_mp4)


def _png(image: NDArray[np.uint16]) -> bytes:
    done, data = cv2.imencode(".png", image)
    assert done
    return bytes(data.tobytes())
