"""A compass for indoor clips: walls and furniture say which way a frame looks, modulo 90 degrees.

Odometry drifts in yaw, frame by frame. But most walls of a room, and most things along
them, keep to two perpendicular directions; each frame sees them, and what it sees does
not drift. The path's yaw is corrected smoothly until frames agree on those directions.
Where they do not (few walls, everything askew), the path is left as it is.

Source: the Manhattan-world assumption, Coughlan & Yuille 1999; the smoothing: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

from spatialcode.encoder.maps import WALL_CHANNEL, DenseMaps
from spatialcode.encoder.votes import Array
from spatialcode.scene.frames import level_rotation, pixel_centres


@dataclass(frozen=True)
class CompassConfig:
    """``step_sigma_rad``: odometry's error in yaw from frame to frame; ``look_sigma_rad``: a
    frame's error in the direction of walls. ``min_agreement``: mean resultant (0..1) of the
    corrected directions below which nothing is corrected. ``span_cells``: distance of the cells
    between which a wall's direction is taken.
    """

    step_sigma_rad: float = 0.012
    look_sigma_rad: float = 0.08
    min_agreement: float = 0.6
    span_cells: int = 3
    min_prob: float = 0.6
    num_starts: int = 9
    num_iterations: int = 8


def wall_directions(
    maps: DenseMaps, K_grid: Array, config: CompassConfig
) -> Complex[np.ndarray, " n"]:
    """Per frame, exp(4i yaw) of the directions of walls and of boxes in the level frame.

    The length is the agreement: near 2 where walls and furniture all agree, near 0 where
    nothing is seen or nothing agrees.
    """
    walls, furniture = _along_walls(maps, K_grid, config), _of_boxes(maps, config)
    return _per_weight(*walls) + _per_weight(*furniture)


def _per_weight(total: Array, weight: Array) -> Complex[np.ndarray, " n"]:
    """Sums divided by the mean weight over frames: a frame that sees little says little."""
    return total / max(float(weight.mean()), 1e-9)


def _along_walls(maps: DenseMaps, K_grid: Array, config: CompassConfig) -> tuple[Array, Array]:
    n, h, w = maps.depth_m.shape
    pixels = pixel_centres(w, h)
    x = (pixels[..., 0] - K_grid[0, 2]) / K_grid[0, 0]
    y = (pixels[..., 1] - K_grid[1, 2]) / K_grid[1, 1]
    rays = np.stack((x, y, np.ones_like(x)), axis=-1).reshape(-1, 3)
    R_level_camera = level_rotation(maps.up_camera.astype(np.float64))
    level = (rays @ R_level_camera.transpose(0, 2, 1)[:, :, :2]).reshape(n, h, w, 2)
    points = level * maps.depth_m[..., None]
    span = config.span_cells
    along = points[:, :, span:] - points[:, :, :-span]
    is_wall = maps.class_prob[:, WALL_CHANNEL] > config.min_prob
    both = is_wall[:, :, span:] & is_wall[:, :, :-span]
    weight = both / (maps.depth_log_scale[:, :, span:] + 0.02)
    direction = along[..., 0] + 1j * along[..., 1]
    unit = direction / np.maximum(np.abs(direction), 1e-9)
    return (weight * unit**4).sum(axis=(1, 2)), weight.sum(axis=(1, 2))


def _of_boxes(maps: DenseMaps, config: CompassConfig) -> tuple[Array, Array]:
    likeliest = maps.kind_prob.argmax(axis=1)
    voting = (maps.object_prob > config.min_prob) & maps.kinds.has_axis[likeliest]
    weight = voting / ((maps.vote_scale_m**2).mean(axis=-1) + 0.01)
    turned = np.exp(4j * maps.yaw_level_rad)
    return (weight * turned).sum(axis=(1, 2)), weight.sum(axis=(1, 2))


def _level_yaw(T_world_camera: Array, up_camera: Array) -> Float[np.ndarray, " n"]:
    """Yaw in the world of each frame's level frame."""
    R_level_camera = level_rotation(up_camera.astype(np.float64))
    level = T_world_camera[:, :3, :3] @ R_level_camera.transpose(0, 2, 1)
    return np.arctan2(level[:, 1, 0], level[:, 0, 0])


def _wrapped(angle_rad: Array) -> Array:
    """Modulo a quarter turn, to -45..45 degrees."""
    quarter = np.pi / 2
    return (angle_rad + quarter / 2) % quarter - quarter / 2


def _smoothest(
    looks_rad: Array, weight: Array, start_rad: float, config: CompassConfig
) -> tuple[Array, float]:
    """Corrections (N,), the first 0, and their cost, from one guess of the walls' direction."""
    n = len(looks_rad)
    difference = np.diff(np.eye(n), axis=0) / config.step_sigma_rad
    smooth = np.zeros((n + 1, n + 1))
    smooth[:n, :n] = difference.T @ difference
    smooth[0, 0] += 1e10  # the first frame defines the world
    reads = np.column_stack((np.eye(n), -np.ones(n)))  # correction minus the walls' direction
    correction: Array = np.zeros(n)
    direction, cost = start_rad, np.inf
    for _ in range(config.num_iterations):
        off = _wrapped(direction - looks_rad - correction)
        robust = weight / config.look_sigma_rad**2 / (1 + (off / (2 * config.look_sigma_rad)) ** 2)
        target = correction - direction + off
        normal = reads.T @ (robust[:, None] * reads) + smooth + 1e-9 * np.eye(n + 1)
        solution = np.linalg.solve(normal, reads.T @ (robust * target))
        correction = np.asarray(solution[:n], np.float64)
        direction = float(solution[n])
        off = _wrapped(direction - looks_rad - correction)
        misfit = weight * np.log1p((off / (2 * config.look_sigma_rad)) ** 2)
        cost = float(misfit.sum() + 0.5 * ((difference @ correction) ** 2).sum())
    return correction, cost


def yaw_corrections(
    directions: Complex[np.ndarray, " n"], level_yaw_rad: Float[np.ndarray, " n"],
    config: CompassConfig,
) -> Float[np.ndarray, " n"]:  # fmt: skip
    """What to add to each frame's yaw; zeros where the frames' looks do not agree.

    ``directions``: of :func:`wall_directions`; ``level_yaw_rad``: of the path to correct.
    """
    looks = np.angle(directions) / 4 + level_yaw_rad
    weight = np.minimum(np.abs(directions), 1.0)
    if weight.sum() < 1e-6:
        return np.zeros(len(looks))
    starts = np.arange(config.num_starts) * (np.pi / 2 / config.num_starts)
    tried = [_smoothest(looks, weight, float(start), config) for start in starts]
    correction = min(tried, key=lambda pair: pair[1])[0]
    agreed = np.abs((weight * np.exp(4j * (looks + correction))).sum()) / weight.sum()
    return correction if agreed >= config.min_agreement else np.zeros(len(looks))


def turned(
    T_world_camera: Float[np.ndarray, "n 4 4"], correction_rad: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 4 4"]:
    """The path with its yaw corrected: every frame turns, every step turns with its frames."""
    cos, sin = np.cos(correction_rad), np.sin(correction_rad)
    turn = np.zeros((len(cos), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = cos, -sin, sin, cos
    turn[:, 2, 2] = 1.0
    out = T_world_camera.copy()
    out[:, :3, :3] = turn @ T_world_camera[:, :3, :3]
    steps = np.diff(T_world_camera[:, :3, 3], axis=0)
    both = 0.5 * (turn[1:] + turn[:-1])
    out[1:, :3, 3] = out[0, :3, 3] + np.cumsum(np.einsum("nij,nj->ni", both, steps), axis=0)
    return out


def steadied(
    T_world_camera: Array, maps: DenseMaps, K_grid: Array, config: CompassConfig | None = None
) -> Float[np.ndarray, "n 4 4"]:
    """A path (N, 4, 4) corrected by what its frames' maps say of walls and furniture."""
    config = config or CompassConfig()
    directions = wall_directions(maps, K_grid, config)
    level_yaw = _level_yaw(T_world_camera, maps.up_camera)
    return turned(T_world_camera, yaw_corrections(directions, level_yaw, config))
