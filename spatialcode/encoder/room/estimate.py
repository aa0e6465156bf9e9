"""The room of a clip: floor and ceiling heights, the floor's outline and area.

From rectangles that are inside to one room's outline: doors, holes, corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

from spatialcode.encoder.maps import CEILING_CHANNEL, FLOOR_CHANNEL, WALL_CHANNEL, DenseMaps
from spatialcode.encoder.room.layout import (
    Layout,
    LayoutConfig,
    Lifted,
    Profile,
    WallSegments,
    arrange,
    dominant_yaw,
    lift_cells,
    make_profile,
    sight_grid,
    wall_segments,
)
from spatialcode.scene.schema import Room

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def room_of(layout: Layout, camera_m: Array, config: LayoutConfig) -> Bool[np.ndarray, "i j"]:
    """The connected rectangles that the camera was in, not going through doors it did not go
    through, without holes. Of several such regions the one with most cameras.

    ``camera_m`` (N, 2) in the layout's axes.
    """
    door_x = _doors(layout.inside[:-1] & layout.inside[1:], layout.wall_x[1:-1],
                    np.diff(layout.y_m), config)  # fmt: skip
    door_y = _doors(
        (layout.inside[:, :-1] & layout.inside[:, 1:]).T,
        layout.wall_y[:, 1:-1].T, np.diff(layout.x_m), config,
    ).T  # fmt: skip
    i = np.searchsorted(layout.x_m, camera_m[:, 0]) - 1
    j = np.searchsorted(layout.y_m, camera_m[:, 1]) - 1
    valid = (i >= 0) & (j >= 0) & (i < len(layout.x_m) - 1) & (j < len(layout.y_m) - 1)
    cameras = np.zeros(layout.inside.shape)
    np.add.at(cameras, (i[valid], j[valid]), 1.0)
    # twice as fine, so that a closed door can lie between two rectangles
    fine = np.zeros(2 * np.array(layout.inside.shape) - 1, bool)
    fine[::2, ::2] = layout.inside
    fine[1::2, ::2] = layout.inside[:-1] & layout.inside[1:] & ~door_x
    fine[::2, 1::2] = layout.inside[:, :-1] & layout.inside[:, 1:] & ~door_y
    part = ndimage.label(fine)[0][::2, ::2]
    been = np.unique(part[(cameras > 0) & layout.inside])
    chosen = np.isin(part, been[been > 0])
    if not chosen.any():
        chosen = layout.inside
    regions, count = ndimage.label(chosen)
    area = np.diff(layout.x_m)[:, None] * np.diff(layout.y_m)
    worth = [cameras[regions == k].sum() + 1e-3 * area[regions == k].sum()
             for k in range(1, count + 1)]  # fmt: skip
    # with its holes a region also loses the corners in which it touches itself
    return np.asarray(ndimage.binary_fill_holes(regions == 1 + int(np.argmax(worth))))


def _doors(joint: Mask, wall: Array, length: Array, config: LayoutConfig) -> Mask:
    """(L, C) pieces of lines between two insides that belong to a wall with a narrow gap.

    ``joint``: both sides inside. ``wall``: share of wall. ``length`` (C,) of the pieces.
    """
    closed = np.zeros_like(joint)
    for line in range(len(joint)):
        runs, count = ndimage.label(joint[line])
        for k in range(1, count + 1):
            run = runs == k
            gap = float(((1 - wall[line]) * length)[run].sum())
            covered = float((wall[line] * length)[run].sum())
            closed[line] |= run & (gap < config.door_m) & (covered > config.min_door_wall_m)
    return closed


def outline(inside: Mask, x_m: Array, y_m: Array) -> tuple[Array, float]:
    """Counter-clockwise corners (P, 2) of one connected region of rectangles, and its area."""
    padded = np.pad(inside, 1)
    follow: dict[tuple[int, int], tuple[int, int]] = {}
    for i, j in np.argwhere(inside).tolist():
        sides = (
            ((i + 1, j), (i, j), (i + 1, j)),
            ((i + 2, j + 1), (i + 1, j), (i + 1, j + 1)),
            ((i + 1, j + 2), (i + 1, j + 1), (i, j + 1)),
            ((i, j + 1), (i, j + 1), (i, j)),
        )
        follow.update({start: stop for beyond, start, stop in sides if not padded[beyond]})
    start = min(follow)
    loop, at = [start], follow[start]
    while at != start:
        loop.append(at)
        at = follow[at]
    points = np.array([(x_m[i], y_m[j]) for i, j in loop])
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    corner = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 0
    area = float((np.diff(x_m)[:, None] * np.diff(y_m))[inside].sum())
    return points[corner], area


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
    found = find_outline(profile, config or LayoutConfig())
    if found is None:
        return None
    floor_z, ceiling_z = heights(maps, lifted, T_world_camera)
    corners = tuple((float(x), float(y)) for x, y in found.corners_m)
    return Room(floor_z, ceiling_z, corners, found.area_m2)


@dataclass(frozen=True, eq=False)
class FloorOutline:
    """``corners_m`` (P, 2) counter-clockwise in the world; ``wall_share``: of its length, along
    which wall was seen.
    """

    corners_m: Float[np.ndarray, "p 2"]
    area_m2: float
    wall_share: float


def find_outline(profile: Profile, config: LayoutConfig) -> FloorOutline | None:
    """The outline of the rooms that the camera was in, from its sight; None where none closes."""
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
    return FloorOutline(corners, area_m2, _wall_share(layout, inside))


def _wall_share(layout: Layout, inside: Mask) -> float:
    """The share of an outline's length along which there is wall."""
    padded = np.pad(inside, 1)
    edge_x = padded[1:, 1:-1] != padded[:-1, 1:-1]
    edge_y = padded[1:-1, 1:] != padded[1:-1, :-1]
    length_x, length_y = edge_x * np.diff(layout.y_m), edge_y * np.diff(layout.x_m)[:, None]
    with_wall = (length_x * layout.wall_x).sum() + (length_y * layout.wall_y).sum()
    return float(with_wall / (length_x.sum() + length_y.sum()))


def _aligned(
    profile: Profile, segments: WallSegments, yaw: float, origin: Array
) -> tuple[Profile, WallSegments]:
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
        WallSegments(
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
