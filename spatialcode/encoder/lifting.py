"""Lifting: from dense maps and camera poses to votes for object centres in the world.

A vote is what one cell (or the cells of one frame that agree) says of one object: where
its centre is and how sure of that along the line of sight and across it, its class, size
and orientation. Nothing here knows of time beyond a frame index.

Source: none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from spatialcode.encoder.small.maps import NUM_OBJECT_CLASSES, DenseMaps
from spatialcode.scene.frames import level_rotation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LiftingConfig:
    """Which cells vote, and how votes of one frame are joined.

    A cell votes when P(any object) >= ``min_object_prob``. Votes of one frame and one class
    within the same ``voxel_m`` cube become one. At most ``max_votes`` of the heaviest stay.
    """

    min_object_prob: float = 0.5
    voxel_m: float = 0.15
    max_votes: int = 1600
    weight_floor_m: float = 0.1


@dataclass(frozen=True, eq=False)
class Votes:
    """V votes for object centres, in the world.

    ``center_m`` (V, 3); ``radial`` (V, 2): horizontal unit direction of sight;
    ``scale_m`` (V, 3): Laplace scales along (lateral, radial, vertical);
    ``class_prob`` (V, C) over the object categories; ``size_m`` (V, 3);
    ``axis`` (V, 2): (cos, sin) of twice the yaw; ``heading`` (V, 2): of the yaw;
    ``num_cells`` (V,); ``frame`` (V,) index.
    ``weight`` (V,): cells times confidence.
    """

    center_m: Float[np.ndarray, "v 3"]
    radial: Float[np.ndarray, "v 2"]
    scale_m: Float[np.ndarray, "v 3"]
    class_prob: Float[np.ndarray, "v c"]
    size_m: Float[np.ndarray, "v 3"]
    axis: Float[np.ndarray, "v 2"]
    heading: Float[np.ndarray, "v 2"]
    num_cells: Float[np.ndarray, " v"]
    weight: Float[np.ndarray, " v"]
    frame: Int[np.ndarray, " v"]

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Votes:
        return Votes(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def _turned(matrices: Array, vectors: Array, frame: NDArray[np.int64]) -> Array:
    """Vectors (V, 3), each turned by the rotation part of its frame's matrix.

    ``frame`` ascends, so one product per frame does.
    """
    bounds = np.searchsorted(frame, np.arange(len(matrices) + 1))
    out = np.empty_like(vectors)
    for n, (start, stop) in enumerate(pairwise(bounds)):
        out[start:stop] = vectors[start:stop] @ matrices[n, :3, :3].T
    return out


def lift(maps: DenseMaps, K_grid: Array, T_world_camera: Array, config: LiftingConfig) -> Votes:
    """One vote per voting cell, before joining.

    ``K_grid`` (3, 3) is the pinhole matrix of the cell grid, ``T_world_camera`` (N, 4, 4).
    """
    voting = maps.object_prob >= config.min_object_prob
    frame, row, col = np.nonzero(voting)
    level_to_world = T_world_camera[:, :3, :3] @ np.swapaxes(
        level_rotation(maps.up_camera.astype(np.float64)), -1, -2
    )
    origin = T_world_camera[frame, :3, 3]
    vote = _turned(level_to_world, maps.vote_level_m[frame, row, col].astype(np.float64), frame)
    depth = maps.depth_m[frame, row, col].astype(np.float64)
    x = (col + 0.5 - K_grid[0, 2]) / K_grid[0, 0] * depth
    y = (row + 0.5 - K_grid[1, 2]) / K_grid[1, 1] * depth
    sight = _turned(T_world_camera, np.stack((x, y, depth), axis=1), frame)
    across = np.hypot(sight[:, 0], sight[:, 1])
    radial = sight[:, :2] / np.maximum(across, 1e-6)[:, None]
    # the level frame's x axis in the world gives its yaw there, tilt being small
    level_yaw = np.arctan2(level_to_world[:, 1, 0], level_to_world[:, 0, 0])
    yaw = maps.yaw_level_rad[frame, row, col] + level_yaw[frame]
    prob = maps.class_prob[frame, :NUM_OBJECT_CLASSES, row, col]
    object_prob = prob.sum(axis=1)
    scale = maps.vote_scale_m[frame, row, col].astype(np.float64)
    spread = np.sqrt((scale**2).mean(axis=1))
    return Votes(
        center_m=vote + origin,
        radial=radial,
        scale_m=scale,
        class_prob=prob / object_prob[:, None],
        size_m=maps.size_m[frame, row, col].astype(np.float64),
        axis=np.stack((np.cos(2 * yaw), np.sin(2 * yaw)), axis=1),
        heading=np.stack((np.cos(yaw), np.sin(yaw)), axis=1),
        num_cells=np.ones(len(frame)),
        weight=object_prob / (spread**2 + config.weight_floor_m**2),
        frame=frame,
    )


def joined(votes: Votes, config: LiftingConfig) -> Votes:
    """Votes of one frame that agree in class and place, as one vote of their weight.

    Keeps the cost of fusion independent of picture size; the mean loses nothing that
    fusion uses, since cells of one object in one frame share their errors.
    """
    if not len(votes):
        return votes
    voxel = np.floor(votes.center_m / config.voxel_m).astype(np.int64)
    keys = np.column_stack((votes.frame, votes.class_prob.argmax(axis=1), voxel))
    keys -= keys.min(axis=0)
    flat = np.ravel_multi_index(tuple(keys.T), tuple(keys.max(axis=0) + 1))
    _, group = np.unique(flat, return_inverse=True)
    num = int(group.max()) + 1
    total = np.bincount(group, votes.weight, num)

    def mean(values: NDArray[np.floating]) -> Array:
        columns = [np.bincount(group, votes.weight * v, num) / total for v in values.T]
        return np.stack(columns, axis=1)

    radial = mean(votes.radial)
    radial /= np.maximum(np.linalg.norm(radial, axis=1, keepdims=True), 1e-9)
    frame = np.zeros(num, np.int64)
    frame[group] = votes.frame
    merged = Votes(
        center_m=mean(votes.center_m),
        radial=radial,
        scale_m=mean(votes.scale_m),
        class_prob=mean(votes.class_prob),
        size_m=np.exp(mean(np.log(votes.size_m))),
        axis=mean(votes.axis),
        heading=mean(votes.heading),
        num_cells=np.bincount(group, votes.num_cells, num),
        weight=total,
        frame=frame,
    )
    if num > config.max_votes:
        merged = merged.select(np.argsort(-merged.weight)[: config.max_votes])
    return merged
