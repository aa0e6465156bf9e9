"""The room of a clip: floor and ceiling heights, the floor's outline and area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.room.layout import LayoutConfig, arrange, sight_grid
from spatialcode.encoder.room.outline import outline, room_of
from spatialcode.encoder.room.profile import (
    Lifted,
    Profile,
    Segments,
    dominant_yaw,
    lift_cells,
    make_profile,
    wall_segments,
)
from spatialcode.encoder.small.maps import CEILING_CHANNEL, FLOOR_CHANNEL, WALL_CHANNEL, DenseMaps
from spatialcode.scene.schema import Room

Array = NDArray[np.float64]

#: Fewer cells of floor, wall or ceiling than this are taken for mistakes.
_MIN_CELLS = 20
#: How far the floor may be from where the camera's height puts it, as a standard error.
_HEIGHT_SIGMA_M = 0.05


def estimate_room(
    maps: DenseMaps, K_grid: Array, T_world_camera: Array, config: LayoutConfig | None = None
) -> Room | None:
    """The room that the frames show, or None where too little is seen of one.

    ``K_grid`` (3, 3): pinhole matrix of the cell grid. ``T_world_camera`` (N, 4, 4).
    The outline is that of the rooms the camera was in, joined by the doors it went through,
    counter-clockwise, with walls along two perpendicular axes. Where the floor itself is hidden,
    the camera's height says where it is.
    """
    T_world_camera = np.asarray(T_world_camera, dtype=np.float64)
    lifted = lift_cells(maps.depth_m, np.asarray(K_grid, dtype=np.float64), T_world_camera)
    profile = make_profile(maps, lifted, T_world_camera)
    if _num_structure_cells(maps) < _MIN_CELLS:
        return None
    config = config or LayoutConfig()
    segments = wall_segments(profile)
    yaw = dominant_yaw(profile, segments)
    origin = profile.camera_m.mean(axis=0)
    turned, turned_segments = _aligned(profile, segments, yaw, origin)
    layout = arrange(turned_segments, sight_grid(turned, config), config)
    if layout is None:
        return None
    inside = room_of(layout, turned.camera_m, config)
    if not inside.any():
        return None
    polygon, area_m2 = outline(inside, layout.x_m, layout.y_m)
    c, s = np.cos(yaw), np.sin(yaw)
    corners = polygon @ np.array([[c, s], [-s, c]]) + origin
    floor_z, ceiling_z = heights(maps, lifted, T_world_camera)
    return Room(floor_z, ceiling_z, tuple((float(a), float(b)) for a, b in corners), area_m2)


def _aligned(
    profile: Profile, segments: Segments, yaw: float, origin: Array
) -> tuple[Profile, Segments]:
    """Both in axes turned by ``yaw`` about ``origin``."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s], [s, c]])
    return (
        Profile(
            camera_m=(profile.camera_m - origin) @ turn,
            heading_rad=profile.heading_rad - yaw,
            range_m=profile.range_m,
            is_wall=profile.is_wall,
            scale=profile.scale,
        ),
        Segments(
            middle_m=(segments.middle_m - origin) @ turn,
            along_m=segments.along_m @ turn,
            camera_m=(segments.camera_m - origin) @ turn,
            sigma_m=segments.sigma_m,
        ),
    )


def _num_structure_cells(maps: DenseMaps) -> int:
    structure = maps.class_prob[:, [FLOOR_CHANNEL, WALL_CHANNEL]].sum(axis=1)
    return int(np.count_nonzero(structure > 0.5))


def heights(maps: DenseMaps, lifted: Lifted, T_world_camera: Array) -> tuple[float, float | None]:
    """Heights of floor and ceiling in the world; the latter None if it is hardly seen."""
    z = lifted.point_m[..., 2]
    camera_z = T_world_camera[:, 2, 3]
    floor_z = float(np.median(camera_z - maps.camera_height_m))
    floor = maps.class_prob[:, FLOOR_CHANNEL] > 0.5
    seen = z[floor]
    if len(seen) >= _MIN_CELLS:
        middle = float(np.median(seen))
        # cells of one frame share their error: frames, not cells, make it smaller
        frames = int(floor.any(axis=(1, 2)).sum())
        variance = float(np.median(np.abs(seen - middle))) ** 2 / frames + 1e-6
        share = _HEIGHT_SIGMA_M**2 / (_HEIGHT_SIGMA_M**2 + variance)
        floor_z += share * (middle - floor_z)
    ceiling = z[maps.class_prob[:, CEILING_CHANNEL] > 0.5]
    if len(ceiling) < _MIN_CELLS:
        return floor_z, None
    return floor_z, max(float(np.median(ceiling)), floor_z)
