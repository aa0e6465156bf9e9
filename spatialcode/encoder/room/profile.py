"""How far one sees along the floor: one distance for each horizontal direction of each frame.

Walls are vertical, so a picture's wall cells above one another agree; their median is both
smaller and steadier than the cells. Knows nothing of rooms, only of sight and walls.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from spatialcode.encoder.small.maps import WALL_CHANNEL, DenseMaps
from spatialcode.scene.categories import LABEL_INDEX

Array = NDArray[np.float64]

#: What hangs in a wall ends the room as the wall does.
_WALL_LIKE = [WALL_CHANNEL, LABEL_INDEX["door"], LABEL_INDEX["window"]]
NUM_BINS = 180
BIN_RAD = 2 * np.pi / NUM_BINS
#: A segment of wall joins what is seen this many bins apart.
_STEP = 3
_MIN_CELLS = 3
#: Beyond this the rest of a column is no wall that one could place.
MAX_RANGE_M = 15.0
#: Lengths that a segment may have: less is noise, more a jump from one wall to another.
_SEGMENT_M = (0.02, 1.5)


@dataclass(frozen=True, eq=False)
class Lifted:
    """Seen points (N, h, w, 3) in the world and, (N, h, w), their horizontal distance from the
    camera and its direction as a bin from the frame's own viewing direction.
    """

    point_m: Float[np.ndarray, "n h w 3"]
    range_m: Float[np.ndarray, "n h w"]
    bin: NDArray[np.int64]
    heading_rad: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Profile:
    """By frame and bin of direction, (N, B): ``range_m`` that is free to see along the floor
    (0: not looked at), whether a wall ends it (``is_wall``), and the relative Laplace
    ``scale`` of the distance. ``camera_m`` (N, 2), ``heading_rad`` (N,) in the world.
    """

    camera_m: Float[np.ndarray, "n 2"]
    heading_rad: Float[np.ndarray, " n"]
    range_m: Float[np.ndarray, "n b"]
    is_wall: Bool[np.ndarray, "n b"]
    scale: Float[np.ndarray, "n b"]


@dataclass(frozen=True, eq=False)
class Segments:
    """S short pieces of wall: ``middle_m`` (S, 2), ``along_m`` (S, 2) from end to end,
    ``camera_m`` (S, 2) that saw them, ``sigma_m`` (S,) error across.
    """

    middle_m: Float[np.ndarray, "s 2"]
    along_m: Float[np.ndarray, "s 2"]
    camera_m: Float[np.ndarray, "s 2"]
    sigma_m: Float[np.ndarray, " s"]


def lift_cells(depth_m: NDArray[np.floating], K_grid: Array, T_world_camera: Array) -> Lifted:
    """All cells of all frames as points of the world."""
    n, h, w = depth_m.shape
    x = (np.arange(w) + 0.5 - K_grid[0, 2]) / K_grid[0, 0]
    y = (np.arange(h) + 0.5 - K_grid[1, 2]) / K_grid[1, 1]
    rays = np.ones((h, w, 3))
    rays[..., 0], rays[..., 1] = x, y[:, None]
    rotation = T_world_camera[:, :3, :3]
    sight = (rays.reshape(-1, 3) @ np.swapaxes(rotation, 1, 2)).reshape(n, h, w, 3)
    sight *= depth_m[..., None]
    forward = rotation[:, :2, 2]
    heading = np.arctan2(forward[:, 1], forward[:, 0])
    azimuth = np.arctan2(sight[..., 1], sight[..., 0]) - heading[:, None, None]
    bins = np.floor(azimuth / BIN_RAD).astype(np.int64) % NUM_BINS
    distance = np.minimum(np.hypot(sight[..., 0], sight[..., 1]), MAX_RANGE_M)
    return Lifted(sight + T_world_camera[:, None, None, :3, 3], distance, bins, heading)


def _quantile(key: NDArray[np.int64], value: Array, size: int, q: float) -> Array:
    """(size,) quantile of the values of every key, 0 where there are too few."""
    if not len(key):
        return np.zeros(size)
    order = np.sort(key * (2 * MAX_RANGE_M) + value)
    count = np.bincount(key, minlength=size)
    start = np.cumsum(count) - count
    pick = start + (q * count).astype(np.int64)
    enough = count >= _MIN_CELLS
    found = order[np.minimum(pick, len(order) - 1)] - np.arange(size) * (2 * MAX_RANGE_M)
    return np.where(enough, found, 0.0)


def make_profile(maps: DenseMaps, lifted: Lifted, T_world_camera: Array) -> Profile:
    """The sight of every frame. Where no wall is seen, sight goes as far as most of what is."""
    n = maps.num_frames
    wall = maps.class_prob[:, _WALL_LIKE].sum(axis=1) > 0.5
    key = np.arange(n)[:, None, None] * NUM_BINS + lifted.bin
    size = n * NUM_BINS
    to_wall = _quantile(key[wall], lifted.range_m[wall], size, 0.5)
    other = ~wall
    to_any = _quantile(key[other], lifted.range_m[other], size, 0.9)
    is_wall = to_wall > 0
    # a cast to every cell of the scale is not worth it: it hardly varies within a frame
    scale = np.median(maps.depth_log_scale.reshape(n, -1), axis=1).astype(np.float64)
    return Profile(
        camera_m=T_world_camera[:, :2, 3],
        heading_rad=lifted.heading_rad,
        range_m=np.where(is_wall, to_wall, to_any).reshape(n, NUM_BINS),
        is_wall=is_wall.reshape(n, NUM_BINS),
        scale=np.repeat(np.maximum(scale, 0.01)[:, None], NUM_BINS, axis=1),
    )


def bin_directions(profile: Profile) -> Array:
    """(N, B, 2): unit vectors in the world along the middles of the bins."""
    azimuth = (np.arange(NUM_BINS) + 0.5) * BIN_RAD + profile.heading_rad[:, None]
    return np.stack((np.cos(azimuth), np.sin(azimuth)), axis=-1)


def sight_ends(profile: Profile) -> Float[np.ndarray, "e 2"]:
    """The cameras, and where sight from them ends."""
    end = profile.camera_m[:, None] + bin_directions(profile) * profile.range_m[..., None]
    return np.concatenate((profile.camera_m, end[profile.range_m > 0]))


def wall_segments(profile: Profile) -> Segments:
    """What joins the ends of sight a few bins apart, where walls end both."""
    end = profile.camera_m[:, None] + bin_directions(profile) * profile.range_m[..., None]
    next_end = np.roll(end, -_STEP, axis=1)
    along = next_end - end
    length = np.hypot(along[..., 0], along[..., 1])
    both = profile.is_wall & np.roll(profile.is_wall, -_STEP, axis=1)
    both &= (length > _SEGMENT_M[0]) & (length < _SEGMENT_M[1])
    camera = np.broadcast_to(profile.camera_m[:, None], end.shape)
    return Segments(
        middle_m=0.5 * (end + next_end)[both],
        along_m=along[both],
        camera_m=camera[both],
        sigma_m=(profile.scale * profile.range_m)[both],
    )


def dominant_yaw(profile: Profile, segments: Segments) -> float:
    """Yaw in [-pi/4, pi/4] of the axes that most wall lies along; where no wall is seen, of the
    smallest rectangle around all that is.
    """
    if not len(segments.sigma_m):
        (_, _, angle_deg) = cv2.minAreaRect(sight_ends(profile).astype(np.float32))
        return float(np.angle(np.exp(4j * np.deg2rad(angle_deg))) / 4)
    along = segments.along_m[:, 0] + 1j * segments.along_m[:, 1]
    length = np.abs(along)
    weight = np.minimum(length, 0.5) / (0.1 + segments.sigma_m)
    return float(np.angle(np.sum(weight * (along / length) ** 4)) / 4)
