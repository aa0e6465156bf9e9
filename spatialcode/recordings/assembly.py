"""From what a data set's files say to a `Recording` in this project's conventions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.errors import FormatError
from spatialcode.recordings.conversion import (
    GivenBox,
    house_transform,
    moved_box,
    rigid,
    turned_camera,
    turns_to_upright,
)
from spatialcode.recordings.ground import estimated_up, floor_height, sampled_surface
from spatialcode.recordings.reading import spread
from spatialcode.recordings.recording import (
    RecordedCameras,
    RecordedFrames,
    Recording,
    TurnedFrames,
)
from spatialcode.scene.frames import project, quaternion_from_matrix
from spatialcode.scene.schema import SceneObject, VideoInfo, make_id

Array = NDArray[np.float64]

#: Frames whose depth is looked at for up and the floor.
_NUM_LOOKED_AT = 12
#: Height of the first camera where neither depth nor boxes tell where the floor is (metres).
_HELD_AT_M = 1.5


@dataclass(frozen=True, eq=False)
class Capture:
    """What a reader has found, still in the data set's own world, but with OpenCV cameras.

    ``times_s`` (N,): seconds of any origin, increasing. ``K`` (3, 3) or (N, 3, 3) in full-size
    pixels with centres at +0.5. ``T_world_camera`` (N, 4, 4), metres. ``up`` (3,): against gravity
    in that world, None where the data set does not say. ``up_camera`` (N, 3): where there are no
    poses. ``boxes``: in that world. ``floor_height_m``: along up, where the data set says.
    ``zero_s``: the time that is told as 0; None: that of the first frame.
    """

    name: str
    path: Path
    frames: RecordedFrames
    times_s: Array
    size_px: tuple[int, int]
    K: Array | None = None
    T_world_camera: Array | None = None
    up: Array | None = None
    up_camera: Array | None = None
    boxes: tuple[GivenBox, ...] = ()
    floor_height_m: float | None = None
    distortion: tuple[float, ...] = ()
    zero_s: float | None = None

    @property
    def told_s(self) -> Array:
        """The frames' times (N,) from ``zero_s`` on."""
        times_s = np.asarray(self.times_s, np.float64)
        return times_s - (times_s[0] if self.zero_s is None else self.zero_s)


def assembled(capture: Capture) -> Recording:
    """The recording of a capture: world and pictures turned upright, on the floor, boxes with it.

    Up that the data set does not state is estimated from depth (`recordings.ground`), or without
    depth taken as the mean up of the pictures. FormatError where poses or boxes are none.
    """
    num = len(capture.times_s)
    K = capture.K
    if K is not None and K.ndim == 2:
        K = np.tile(K, (num, 1, 1))
    if capture.T_world_camera is None:
        video = _video(capture)
        cameras = RecordedCameras(K, None, capture.up_camera, capture.distortion)
        return Recording(capture.name, capture.frames, video, cameras)
    poses = np.stack(
        [rigid(T, f"{capture.path}: pose {n}") for n, T in enumerate(capture.T_world_camera)]
    )
    up, floor_m = _up_and_floor(capture, K, poses)
    capture, K, poses = _upright(capture, K, poses, up)
    video = _video(capture)
    T_house_world = house_transform(poses[0], up, floor_m)
    moved = T_house_world @ poses
    cameras = RecordedCameras(K, moved, None, capture.distortion)
    objects = _objects(capture, T_house_world, K, moved)
    return Recording(capture.name, capture.frames, video, cameras, objects)


def _video(capture: Capture) -> VideoInfo:
    times_s = np.asarray(capture.times_s, np.float64)
    if not np.isfinite(times_s).all() or (np.diff(times_s) < 0).any():
        raise FormatError(f"{capture.path}: expected times that do not decrease")
    if len(times_s) == 0:
        raise FormatError(f"{capture.path}: expected at least one frame with all its data")
    times_s = capture.told_s
    duration_s, filmed_s = float(times_s[-1]), float(times_s[-1] - times_s[0])
    fps = (len(times_s) - 1) / filmed_s if filmed_s > 0 else 0.0
    width, height = capture.size_px
    uri = str(capture.path)
    return VideoInfo(uri, "", duration_s, fps, width, height, tuple(times_s.tolist()))


def _upright(
    capture: Capture, K: Array | None, poses: Array, up: Array
) -> tuple[Capture, Array | None, Array]:
    """The same with pictures turned upright, where the camera was held on its side.

    Pictures with lens distortion stay as they are: its coefficients belong to their axes.
    """
    turns = turns_to_upright(np.einsum("nji,j->ni", poses[:, :3, :3], up))
    if turns == 0 or K is None or any(capture.distortion):
        return capture, K, poses
    width, height = capture.size_px
    for _ in range(turns):
        K, poses = turned_camera(K, poses, width)
        width, height = height, width
    frames = TurnedFrames(capture.frames, turns)
    return replace(capture, frames=frames, size_px=(width, height)), K, poses


def _up_and_floor(capture: Capture, K: Array | None, poses: Array) -> tuple[Array, float]:
    """Up (3,) and the floor's height along it, as given, else as seen in depth."""
    up, floor_m = capture.up, capture.floor_height_m
    points = normals = np.zeros((0, 3))
    if K is not None and (up is None or floor_m is None):
        points, normals = _seen_surface(capture, K, poses)
    if up is None:
        up = estimated_up(normals, poses)
    if floor_m is None:
        floor_m = floor_height(points, normals, up)
    if floor_m is None and capture.boxes:
        floor_m = min(_bottom(box, up) for box in capture.boxes)
    if floor_m is None:
        floor_m = float(up @ poses[0][:3, 3]) - _HELD_AT_M
    return up, floor_m


def _seen_surface(capture: Capture, K: Array, poses: Array) -> tuple[Array, Array]:
    rows = spread(len(poses), _NUM_LOOKED_AT)
    depths, Ks = [], []
    for row in rows:  # one by one: full-size depth maps of many frames are large
        depth = capture.frames.depth_m([row])
        if depth is None:
            return np.zeros((0, 3)), np.zeros((0, 3))
        width, height = capture.size_px
        scale = np.diag([depth.shape[2] / width, depth.shape[1] / height, 1.0])
        depths.append(depth[0])
        Ks.append(scale @ K[row])
    return sampled_surface(depths, Ks, [poses[row] for row in rows])


def _bottom(box: GivenBox, up: Array) -> float:
    reach = 0.5 * np.abs(np.asarray(box.rotation).T @ up) @ np.asarray(box.size)
    return float(np.asarray(box.center) @ up - reach)


def _objects(
    capture: Capture, T_house_world: Array, K: Array | None, poses: Array
) -> tuple[SceneObject, ...]:
    """The true boxes in our world, ids in the order given, seen where their centre is in view."""
    times_s = capture.told_s
    counts: Counter[str] = Counter()
    objects = []
    for n, box in enumerate(capture.boxes):
        label = plain_label(box.label)
        counts[label] += 1
        where = f"{capture.path}: box {n} ({label})"
        center, size, rotation = moved_box(T_house_world, box, where)
        seen = _rows_in_view(center, K, poses, capture.size_px)
        first, last = (times_s[seen[0]], times_s[seen[-1]]) if len(seen) else (0.0, 0.0)
        item = SceneObject(
            id=make_id(label, counts[label]),
            label=label,
            score=1.0,
            center_m=as_vector(center),
            size_m=as_vector(size),
            quaternion_wxyz=as_vector(quaternion_from_matrix(rotation)),
            first_seen_s=float(first),
            last_seen_s=float(last),
            num_observations=len(seen),
            visibility=1.0 if len(seen) else 0.0,
            motion="static",
        )
        objects.append(item)
    return tuple(objects)


def _rows_in_view(
    center: Array, K: Array | None, poses: Array, size_px: tuple[int, int]
) -> NDArray[np.intp]:
    """Frames in whose picture a point lies; whether something stands before it is not known."""
    if K is None:
        return np.zeros(0, np.intp)
    R, position = poses[:, :3, :3], poses[:, :3, 3]
    local = np.einsum("nji,nj->ni", R, center - position)
    pixels, depth = project(local, K)
    inside = (pixels >= 0).all(axis=1) & (pixels < np.array(size_px)).all(axis=1)
    return np.flatnonzero(inside & (depth > 0))


def as_vector(values: Array) -> Any:
    """An array as the tuple of floats that the code's types take."""
    return tuple(map(float, values))


def plain_label(name: str) -> str:
    """A data set's category as plain words: lower case, blanks for underscores and dashes."""
    words = " ".join(str(name).replace("_", " ").replace("-", " ").lower().split())
    return "".join(c for c in words if c.isprintable()) or "object"
