"""A clip and what is true of it: arrays by frame and object, and the exact spatial code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import (
    Camera,
    Provenance,
    Room,
    Scale,
    SceneObject,
    SpatialCode,
    TrackPoint,
    VideoInfo,
    make_id,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: An object counts as seen in a frame with this many pixels of a 160 x 120 picture …
SEEN_PX = 50
#: … and this visible share.
SEEN_VISIBILITY = 0.25
#: Instance of clutter: people, pets and small things without a label.
CLUTTER = -4
#: An object that was never seen further than this from where it was first seen is static.
MOVED_M = 0.05
TURNED_RAD = 0.1


@dataclass(frozen=True, eq=False)
class SyntheticClip:
    """N frames of M objects. World frame: origin on the floor under the first camera, +y its
    horizontal viewing direction. ``instance``: -1 floor, -2 wall, -3 ceiling, -4 clutter without
    a label, else the object.
    ``visibility``: visible share of the object's projected area, by frame and object.
    """

    seed: int
    rgb: NDArray[np.uint8]
    depth_m: F32
    instance: NDArray[np.int16]
    K: F64
    T_world_camera: F64
    times_s: F64
    labels: tuple[str, ...]
    center_m: F64
    size_m: F64
    yaw_rad: F64
    moving: NDArray[np.bool_]
    visibility: F32
    room_polygon_m: F64
    room_area_m2: float
    ceiling_z_m: float

    @cached_property
    def code(self) -> SpatialCode:
        """The exact spatial code of what is seen."""
        return spatial_code(self)


def pixel_counts(clip: SyntheticClip) -> NDArray[np.int64]:
    """(N,M) pixels of each object in each frame."""
    num_objects = len(clip.labels)
    return np.stack(
        [
            np.bincount(frame[frame >= 0].ravel(), minlength=num_objects)[:num_objects]
            for frame in clip.instance
        ]
    ).astype(np.int64)


def seen(clip: SyntheticClip) -> NDArray[np.bool_]:
    """(N,M) whether a frame shows enough of an object to count."""
    height, width = clip.instance.shape[1:]
    least = SEEN_PX * (height * width) / (160 * 120)
    return (pixel_counts(clip) >= least) & (clip.visibility >= SEEN_VISIBILITY)


def spatial_code(clip: SyntheticClip, video: VideoInfo | None = None) -> SpatialCode:
    """Exact truth of a clip; ids count by first sight. ``video`` says which file holds the clip.

    Objects that no frame shows well enough are left out. Cameras and times are the clip's frames.
    """
    height, width = clip.instance.shape[1:]
    times = [float(t) for t in clip.times_s]
    if video is None:
        duration = times[-1] + (times[1] - times[0] if len(times) > 1 else 0.0)
        fps = len(times) / duration if duration > 0 else 0.0
        uri = f"synthetic:{clip.seed}"
        video = VideoInfo(uri, "", duration, fps, width, height, tuple(times))
    else:
        scale = video.width_px / width
        assert abs(video.height_px - scale * height) < 1e-6, "the video has another shape"
    return SpatialCode(
        video=video,
        objects=_objects(clip),
        cameras=tuple(
            Camera.of(t, T, clip.K * (video.width_px / width))
            for t, T in zip(clip.times_s, clip.T_world_camera, strict=True)
        ),
        room=Room(
            floor_z_m=0.0,
            ceiling_z_m=clip.ceiling_z_m,
            polygon_m=tuple((float(x), float(y)) for x, y in clip.room_polygon_m),
            area_m2=clip.room_area_m2,
        ),
        scale=Scale("given", 1.0),
        provenance=Provenance("truth", "", "", "spatialcode.synthetic", ""),
    )


def object_ids(clip: SyntheticClip) -> tuple[str, ...]:
    """(M,) the id of each instance in the clip's code; empty for what is never seen."""
    ids = [""] * len(clip.labels)
    for m, object_id, _ in _sightings(clip):
        ids[m] = object_id
    return tuple(ids)


def _sightings(clip: SyntheticClip) -> list[tuple[int, str, NDArray[np.int64]]]:
    """Instance, id and frames of every object that is seen, in the order of first sight."""
    visible = seen(clip)
    first = np.where(visible.any(axis=0), visible.argmax(axis=0), len(visible))
    counts: dict[str, int] = {}
    out = []
    for m in np.argsort(first, kind="stable").tolist():
        if first[m] == len(visible):
            break
        label = clip.labels[m]
        counts[label] = counts.get(label, 0) + 1
        out.append((m, make_id(label, counts[label]), np.flatnonzero(visible[:, m])))
    return out


def _objects(clip: SyntheticClip) -> tuple[SceneObject, ...]:
    return tuple(_object(clip, m, frames, name) for m, name, frames in _sightings(clip))


def _object(clip: SyntheticClip, m: int, frames: NDArray[np.int64], object_id: str) -> SceneObject:
    last = int(frames[-1])
    quaternions = quaternion_from_yaw(clip.yaw_rad[:, m])
    shift = np.linalg.norm(clip.center_m[frames, m] - clip.center_m[frames[0], m], axis=1).max()
    turns = clip.yaw_rad[frames, m] - clip.yaw_rad[frames[0], m]
    turn = np.abs((turns + np.pi) % (2 * np.pi) - np.pi).max()
    moved = bool(shift > MOVED_M or turn > TURNED_RAD)
    points = tuple(
        TrackPoint(float(clip.times_s[n]), tuple(clip.center_m[n, m]), tuple(quaternions[n]))
        for n in frames
    )
    return SceneObject(
        id=object_id,
        label=clip.labels[m],
        score=1.0,
        center_m=tuple(clip.center_m[last, m]),
        size_m=tuple(clip.size_m[m]),
        quaternion_wxyz=tuple(quaternions[last]),
        first_seen_s=float(clip.times_s[frames[0]]),
        last_seen_s=float(clip.times_s[last]),
        num_observations=len(frames),
        visibility=float(clip.visibility[frames, m].max()),
        motion="moving" if moved else "static",
        track=points if moved else (),
    )
