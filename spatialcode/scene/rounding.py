"""Numbers of a code with few decimals: for prompts and people. Files keep float32.

Rounding is a projection: rounding twice gives what rounding once gave, also after the text was
parsed again. That needs care where a type promises more than single numbers: quaternions have
unit length, extents are positive, track times increase.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from spatialcode.errors import SchemaError
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import (
    Camera,
    Room,
    SceneObject,
    SpatialCode,
    TrackPoint,
    Vec4,
    VideoInfo,
)

#: A rotation matrix of 2 decimals is no rotation any more; two more keep it one.
EXTRA_ROTATION_DECIMALS = 2
_MIN_DECIMALS, _MAX_DECIMALS = 2, 6


def rounded(code: SpatialCode, decimals: int) -> SpatialCode:
    """The code with its numbers rounded to ``decimals`` (2 to 6).

    Extents and focal lengths become at least 10^-decimals. Track points whose times fall
    together become the last of them. Quaternions are rounded and normalised again.
    """
    if not isinstance(decimals, int) or not _MIN_DECIMALS <= decimals <= _MAX_DECIMALS:
        raise SchemaError("decimals", f"an integer in [{_MIN_DECIMALS}, {_MAX_DECIMALS}]", decimals)
    return SpatialCode(
        video=_video(code.video, decimals),
        objects=tuple(_object(item, decimals) for item in code.objects),
        cameras=tuple(_camera(camera, decimals) for camera in code.cameras),
        room=None if code.room is None else _room(code.room, decimals),
        scale=replace(code.scale, confidence=round(code.scale.confidence, decimals)),
        provenance=code.provenance,
    )


def is_upright(quaternion: Vec4) -> bool:
    """Turned about z only, exactly."""
    return quaternion[1] == 0.0 and quaternion[2] == 0.0


def round_quaternion(quaternion: Vec4, decimals: int) -> Vec4:
    """The nearest few-decimals rotation that stays itself when rounded again.

    Upright ones are rounded in yaw. Of the others the components are rounded and normalised
    until that changes nothing; it settles in a few turns because a component only ever moves
    toward where normalising pulls it.
    """
    current = quaternion
    for _ in range(50):
        if is_upright(current):
            yaw = 2.0 * math.atan2(current[3], current[0])
            # Beyond half a turn the next rounding would see another, negative angle.
            limit = math.floor(math.pi * 10**decimals) / 10**decimals
            yaw = min(max(round(yaw, decimals), -limit), limit)
            return _stored(quaternion_from_yaw(yaw))
        following = _stored(np.round(current, decimals))
        if following == current:
            return current
        current = following
    return current


def _stored(quaternion: np.ndarray) -> Vec4:
    """As the schema keeps it: normalised, one sign, float32."""
    return TrackPoint(0.0, (0.0, 0.0, 0.0), tuple(quaternion)).quaternion_wxyz  # type: ignore[arg-type]


def _numbers(values: tuple[Any, ...], decimals: int) -> Any:
    return tuple(
        _numbers(v, decimals) if isinstance(v, tuple) else round(v, decimals) for v in values
    )


def _at_least_one_step(value: float, decimals: int) -> float:
    return max(round(value, decimals), 10.0**-decimals)


def _video(video: VideoInfo, decimals: int) -> VideoInfo:
    return replace(
        video,
        duration_s=round(video.duration_s, decimals),
        fps=round(video.fps, decimals),
        sampled_s=_numbers(video.sampled_s, decimals),
    )


def _object(item: SceneObject, decimals: int) -> SceneObject:
    x, y, z = (_at_least_one_step(extent, decimals) for extent in item.size_m)
    points = {round(point.t_s, decimals): point for point in item.track}
    return replace(
        item,
        score=round(item.score, decimals),
        center_m=_numbers(item.center_m, decimals),
        size_m=(x, y, z),
        quaternion_wxyz=round_quaternion(item.quaternion_wxyz, decimals),
        first_seen_s=round(item.first_seen_s, decimals),
        last_seen_s=round(item.last_seen_s, decimals),
        visibility=round(item.visibility, decimals),
        track=tuple(
            TrackPoint(
                t_s,
                _numbers(point.center_m, decimals),
                round_quaternion(point.quaternion_wxyz, decimals),
            )
            for t_s, point in points.items()
        ),
    )


def _camera(camera: Camera, decimals: int) -> Camera:
    pose = tuple(
        (*_numbers(row[:3], decimals + EXTRA_ROTATION_DECIMALS), round(row[3], decimals))
        for row in camera.T_world_camera
    )
    return Camera(
        t_s=round(camera.t_s, decimals),
        T_world_camera=pose,  # type: ignore[arg-type]
        fx_px=_at_least_one_step(camera.fx_px, decimals),
        fy_px=_at_least_one_step(camera.fy_px, decimals),
        cx_px=round(camera.cx_px, decimals),
        cy_px=round(camera.cy_px, decimals),
    )


def _room(room: Room, decimals: int) -> Room:
    ceiling = room.ceiling_z_m
    return Room(
        floor_z_m=round(room.floor_z_m, decimals),
        ceiling_z_m=None if ceiling is None else round(ceiling, decimals),
        polygon_m=_numbers(room.polygon_m, decimals),
        area_m2=round(room.area_m2, decimals),
    )
