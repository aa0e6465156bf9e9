"""The spatial code itself: types, frames, boxes, text and table forms. Numpy only."""

from __future__ import annotations

from spatialcode.scene.schema import (
    FORMAT,
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

__all__ = [
    "FORMAT",
    "Camera",
    "Provenance",
    "Room",
    "Scale",
    "SceneObject",
    "SpatialCode",
    "TrackPoint",
    "VideoInfo",
    "make_id",
]
