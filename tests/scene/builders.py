"""One small code by hand, and its parts with single fields changed."""

from __future__ import annotations

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

IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def video(**changes: Any) -> VideoInfo:
    values = {
        "uri": "room.mp4", "sha256": "ab" * 32, "duration_s": 10.0, "fps": 30.0,
        "width_px": 640, "height_px": 480, "sampled_s": (0.0, 0.5),
    }  # fmt: skip
    return VideoInfo(**{**values, **changes})


def point(**changes: Any) -> TrackPoint:
    values = {"t_s": 0.5, "center_m": (1.0, 2.0, 0.25), "quaternion_wxyz": (1.0, 0.0, 0.0, 0.0)}
    return TrackPoint(**{**values, **changes})


def chair(**changes: Any) -> SceneObject:
    values = {
        "id": "chair_1", "label": "chair", "score": 0.75, "center_m": (1.0, 2.0, 0.5),
        "size_m": (0.5, 0.5, 1.0), "quaternion_wxyz": (1.0, 0.0, 0.0, 0.0), "first_seen_s": 0.0,
        "last_seen_s": 0.5, "num_observations": 2, "visibility": 1.0, "motion": "static",
    }  # fmt: skip
    return SceneObject(**{**values, **changes})


def camera(**changes: Any) -> Camera:
    values = {
        "t_s": 0.0, "T_world_camera": IDENTITY, "fx_px": 500.0, "fy_px": 500.0, "cx_px": 320.0,
        "cy_px": 240.0,
    }  # fmt: skip
    return Camera(**{**values, **changes})


def room(**changes: Any) -> Room:
    values = {
        "floor_z_m": 0.0, "ceiling_z_m": 2.5, "polygon_m": ((0.0, 0.0), (4.0, 0.0), (4.0, 3.0)),
        "area_m2": 6.0,
    }  # fmt: skip
    return Room(**{**values, **changes})


def scale(**changes: Any) -> Scale:
    return Scale(**{"source": "given", "confidence": 1.0, **changes})


def provenance(**changes: Any) -> Provenance:
    values = {
        "encoder": "truth", "weights_sha256": "", "config_sha256": "", "software": "test",
        "work_key": "",
    }  # fmt: skip
    return Provenance(**{**values, **changes})


def code(**changes: Any) -> SpatialCode:
    values = {
        "video": video(), "objects": (chair(),), "cameras": (camera(),), "room": room(),
        "scale": scale(), "provenance": provenance(),
    }  # fmt: skip
    return SpatialCode(**{**values, **changes})
