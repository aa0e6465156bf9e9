"""From detections, cameras and room to the spatial code of a clip."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from spatialcode.encoder.lifting import Array
from spatialcode.encoder.small.objects import Detection
from spatialcode.encoder.tracks import MovingPath
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.schema import Camera, SceneObject, TrackPoint, VideoInfo, make_id
from spatialcode.version import __version__

#: As written into codes.
SOFTWARE = f"spatialcode {__version__}"


def first_sight(detection: Detection) -> tuple[int, float]:
    """Sort key: earlier first, then the surer one."""
    return int(detection.frames[0]), -detection.score


def scene_objects(detections: list[Detection], times_s: Array) -> tuple[SceneObject, ...]:
    """Detections as scene objects, numbered per label in order of first sight."""
    ordered = sorted(detections, key=first_sight)
    counts: Counter[str] = Counter()
    objects = []
    for detection in ordered:
        counts[detection.label] += 1
        objects.append(
            SceneObject(
                id=make_id(detection.label, counts[detection.label]),
                label=detection.label,
                score=detection.score,
                center_m=_vector(detection.center_m),
                size_m=_vector(detection.size_m),
                quaternion_wxyz=_vector(quaternion_from_yaw(detection.yaw_rad)),
                first_seen_s=float(times_s[detection.frames[0]]),
                last_seen_s=float(times_s[detection.frames[-1]]),
                num_observations=len(detection.frames),
                visibility=min(1.0, detection.view_share),
                motion="static" if detection.path is None else "moving",
                track=() if detection.path is None else _track(detection.path, times_s),
            )
        )
    return tuple(objects)


def _track(path: MovingPath, times_s: Array) -> tuple[TrackPoint, ...]:
    return tuple(
        TrackPoint(float(times_s[frame]), _vector(center), _vector(quaternion))
        for frame, center, quaternion in zip(
            path.frames, path.center_m, quaternion_from_yaw(path.yaw_rad), strict=True
        )
    )


def cameras_of(
    T_world_camera: Array, K: Array, network_size: tuple[int, int], video: VideoInfo
) -> tuple[Camera, ...]:
    """Cameras with intrinsics in pixels of the full-size video.

    ``K`` belongs to pictures of ``network_size`` (width, height).
    """
    sx, sy = video.width_px / network_size[0], video.height_px / network_size[1]
    return tuple(
        Camera(
            t_s=t,
            T_world_camera=_matrix(T),
            fx_px=float(K[0, 0] * sx),
            fy_px=float(K[1, 1] * sy),
            cx_px=float(K[0, 2] * sx),
            cy_px=float(K[1, 2] * sy),
        )
        for t, T in zip(video.sampled_s, T_world_camera, strict=True)
    )


def _vector(values: Array) -> Any:
    """Plain floats; the schema checks how many."""
    return tuple(float(v) for v in np.asarray(values))


def _matrix(values: Array) -> Any:
    return tuple(_vector(row) for row in values)
