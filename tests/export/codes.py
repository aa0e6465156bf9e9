"""A small code with hand-made numbers, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spatialcode.scene.schema import (
    Camera,
    Provenance,
    Room,
    Scale,
    SceneObject,
    SpatialCode,
    TrackPoint,
    VideoInfo,
)

# The camera looks along world +y from 1.5 m above the floor: x right, y down, z ahead.
AHEAD = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, -1.0, 0.0, 1.5), (0.0, 0.0, 0.0, 1.0))
UPRIGHT = (1.0, 0.0, 0.0, 0.0)


def camera(t_s: float, x_m: float = 0.0) -> Camera:
    rows = [list(row) for row in AHEAD]
    rows[0][3] = x_m
    return Camera(t_s, rows, 100.0, 100.0, 80.0, 60.0)


def item(object_id: str, label: str, **changes: Any) -> SceneObject:
    base: dict[str, Any] = {
        "id": object_id,
        "label": label,
        "score": 0.9,
        "center_m": (0.0, 4.0, 1.5),
        "size_m": (1.0, 2.0, 1.0),
        "quaternion_wxyz": UPRIGHT,
        "first_seen_s": 0.0,
        "last_seen_s": 2.0,
        "num_observations": 3,
        "visibility": 0.8,
        "motion": "static",
    }
    return SceneObject(**(base | changes))


def moving_stool() -> SceneObject:
    """Goes from x = -1 to x = 1 m between 0 and 2 s."""
    track = tuple(TrackPoint(t, (t - 1.0, 3.0, 0.25), UPRIGHT) for t in (0.0, 1.0, 2.0))
    return item(
        "stool_1",
        "stool",
        motion="moving",
        center_m=(1.0, 3.0, 0.25),
        size_m=(0.5, 0.5, 0.5),
        track=track,
    )


def code(*objects: SceneObject, **changes: Any) -> SpatialCode:
    """A 160x120 video of 2 s with three cameras, 0.5 m apart along x."""
    base = SpatialCode(
        video=VideoInfo("rooms/a.mp4", "a" * 64, 2.0, 10.0, 160, 120, (0.0, 1.0, 2.0)),
        objects=objects,
        cameras=tuple(camera(t, 0.5 * t) for t in (0.0, 1.0, 2.0)),
        room=Room(0.0, 2.5, ((-2.0, -1.0), (2.0, -1.0), (2.0, 6.0), (-2.0, 6.0)), 28.0),
        scale=Scale("camera-height", 0.7),
        provenance=Provenance("small", "b" * 64, "c" * 64, "spatialcode 0.1.0", "d" * 64),
    )
    return replace(base, **changes)
