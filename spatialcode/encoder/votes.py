"""Votes for object centres: lifted from dense maps into the world, and fused over frames.

A vote is what one cell (or the cells of one frame that agree) says of one object: where its
centre is and how sure of that along the line of sight and across it, its class, size and
orientation.

Fusion assumes that objects stand still. Votes of one object agree in place and class: the densest
place is taken first, its votes are removed, and so on. The centre is then estimated by least
squares in which every frame is trusted more across its line of sight than along it: seeing an
object from several sides triangulates it, even though each single depth is poor.

Source: voting as in Qi et al. 2019 (VoteNet); kernel density peaks; the rest: none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from spatialcode.encoder.maps import DenseMaps
from spatialcode.scene.categories import WALL_BOX_THICKNESS_M
from spatialcode.scene.frames import level_rotation
from spatialcode.scene.kinds import PRIMITIVE_KINDS, Kinds

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
    kinds: Kinds = PRIMITIVE_KINDS

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Votes:
        arrays = (f.name for f in fields(self) if f.name != "kinds")
        return replace(self, **{name: getattr(self, name)[index] for name in arrays})


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
    prob = maps.kind_prob[frame, :, row, col]
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
        kinds=maps.kinds,
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
    merged = replace(
        votes,
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


@dataclass(frozen=True)
class FusionConfig:
    """Widths are metres; weights are in units of confident cells.

    The kernel that says "same place" widens with the object: ``kernel_m`` +
    ``kernel_of_size`` x sqrt(length x width). A peak lighter than ``min_weight`` ends the
    search, ``max_objects`` bounds it.
    """

    kernel_m: float = 0.10
    kernel_of_size: float = 0.22
    min_affinity: float = 0.25
    min_weight: float = 60.0
    max_objects: int = 64
    lateral_floor_m: float = 0.04
    radial_floor_m: float = 0.10
    num_refinements: int = 4


@dataclass(frozen=True, eq=False)
class Cluster:
    """One object as fused from its votes.

    ``class_prob`` (C,), ``center_m`` (3,), ``size_m`` (3,), ``yaw_rad``. ``members``: indices
    of its votes. ``center_sigma_m``: expected error of the centre. ``spread_m``: weighted
    rms distance of the votes from the centre. ``axis_agreement``: 0..1.
    """

    class_prob: Float[np.ndarray, " c"]
    center_m: Float[np.ndarray, "3"]
    size_m: Float[np.ndarray, "3"]
    yaw_rad: float
    members: Int[np.ndarray, " k"]
    center_sigma_m: float
    spread_m: float
    axis_agreement: float

    @property
    def label_index(self) -> int:
        return int(self.class_prob.argmax())


def kernel_width(size_m: Float[np.ndarray, "v 3"], config: FusionConfig) -> Array:
    """How far apart two votes for one object of this size may be."""
    return config.kernel_m + config.kernel_of_size * np.sqrt(size_m[:, 0] * size_m[:, 1])


def class_affinity(class_prob: Float[np.ndarray, "v c"]) -> NDArray[np.float32]:
    """Cosine between class distributions, (V, V)."""
    unit = (class_prob / np.linalg.norm(class_prob, axis=1, keepdims=True)).astype(np.float32)
    return unit @ unit.T


def kernel_matrix(votes: Votes, config: FusionConfig) -> NDArray[np.float32]:
    """(V, V): 1 where two votes agree in place and class, towards 0 where they do not.

    Row i uses the kernel width of vote i.
    """
    center = votes.center_m.astype(np.float32)
    norm = (center**2).sum(axis=1)
    distance2 = np.maximum(norm[:, None] + norm[None, :] - 2 * center @ center.T, 0)
    width2 = kernel_width(votes.size_m, config).astype(np.float32) ** 2
    affinity = class_affinity(votes.class_prob)
    affinity[affinity < config.min_affinity] = 0
    return np.exp(-0.5 * distance2 / width2[:, None]) * affinity


def weighted_median(values: Float[np.ndarray, "k d"], weights: Float[np.ndarray, " k"]) -> Array:
    """Column-wise weighted median."""
    order = np.argsort(values, axis=0)
    cumulative = np.cumsum(weights[order], axis=0)
    rows = (cumulative >= 0.5 * cumulative[-1]).argmax(axis=0)
    columns = np.arange(values.shape[1])
    return values[order[rows, columns], columns]


def frame_balanced(weight: Array, frame: NDArray[np.int64]) -> Array:
    """Weights divided by the root of their frame's sum.

    Cells of one frame share their errors, so a frame with four times the cells tells only
    twice as much.
    """
    sums = np.bincount(frame, weight)
    return weight / np.sqrt(sums[frame])


def triangulated_center(
    votes: Votes, weight: Array, start_m: Array, config: FusionConfig
) -> tuple[Array, float]:
    """Robust anisotropic least squares for the common centre of votes, and its sigma.

    Each vote's covariance is diagonal in (lateral, radial, vertical) of its line of sight.
    Outliers are weighted down as under a Student t with 3 degrees of freedom.
    """
    rx, ry = votes.radial.T
    zero, one = np.zeros_like(rx), np.ones_like(rx)
    basis = np.stack(  # rows: lateral, radial, vertical directions in the world
        (
            np.stack((ry, -rx, zero), axis=1),
            np.stack((rx, ry, zero), axis=1),
            np.stack((zero, zero, one), axis=1),
        ),
        axis=1,
    )
    floor = np.array([config.lateral_floor_m, config.radial_floor_m, config.lateral_floor_m])
    inverse_variance = 1.0 / (votes.scale_m**2 + floor**2)
    information = np.einsum("vai,va,vaj->vij", basis, inverse_variance, basis)
    center = start_m
    normal = np.eye(3)
    for _ in range(config.num_refinements):
        residual = votes.center_m - center
        squared = np.einsum("vi,vij,vj->v", residual, information, residual)
        robust = weight * 4.0 / (3.0 + squared)
        normal = np.einsum("v,vij->ij", robust, information)
        center = np.linalg.solve(
            normal, np.einsum("v,vij,vj->i", robust, information, votes.center_m)
        )
    sigma = float(np.sqrt(np.trace(np.linalg.inv(normal)) / 3))
    return center, sigma


def fused_yaw(votes: Votes, weight: Array, has_front: bool) -> tuple[float, float]:
    """Yaw from axis votes, its half turn from heading votes; with agreement 0..1."""
    axis = weight @ votes.axis / weight.sum()
    yaw = 0.5 * float(np.arctan2(axis[1], axis[0]))
    heading = weight @ votes.heading
    if has_front and heading @ (np.cos(yaw), np.sin(yaw)) < 0:
        yaw += np.pi if yaw <= 0 else -np.pi
    return yaw, float(np.hypot(*axis))


def fused(votes: Votes, members: NDArray[np.int64], config: FusionConfig) -> Cluster:
    """One object from the votes that belong to it."""
    own = votes.select(members)
    weight = frame_balanced(own.weight, own.frame)
    class_prob = weight @ own.class_prob / weight.sum()
    label_index = int(class_prob.argmax())
    start = weighted_median(own.center_m, weight)
    center, sigma = triangulated_center(own, weight, start, config)
    size = weighted_median(own.size_m, weight)
    if votes.kinds.is_on_wall[label_index]:
        size[1] = WALL_BOX_THICKNESS_M
    yaw, agreement = fused_yaw(own, weight, bool(votes.kinds.has_front[label_index]))
    distance2 = ((own.center_m - center) ** 2).sum(axis=1)
    return Cluster(
        class_prob=class_prob,
        center_m=center,
        size_m=size,
        yaw_rad=yaw,
        members=members,
        center_sigma_m=sigma,
        spread_m=float(np.sqrt(weight @ distance2 / weight.sum())),
        axis_agreement=agreement,
    )


def _inside(points_m: Array, cluster: Cluster, share: float) -> NDArray[np.bool_]:
    """Which points lie within ``share`` of the cluster's box, about its centre."""
    offset = points_m - cluster.center_m
    cos, sin = np.cos(cluster.yaw_rad), np.sin(cluster.yaw_rad)
    local = np.stack(
        (
            cos * offset[:, 0] + sin * offset[:, 1],
            cos * offset[:, 1] - sin * offset[:, 0],
            offset[:, 2],
        ),
        axis=1,
    )
    return (np.abs(local) <= 0.5 * share * cluster.size_m).all(axis=1)


def cluster_votes(votes: Votes, config: FusionConfig) -> list[Cluster]:
    """All objects that the votes speak for, heaviest first, before scoring."""
    if not len(votes):
        return []
    kernel = kernel_matrix(votes, config)
    weight = votes.weight.astype(np.float32)
    density = kernel @ weight
    free = np.ones(len(votes), bool)
    clusters: list[Cluster] = []
    while len(clusters) < config.max_objects:
        seed = int(np.where(free, density, -1).argmax())
        if not free[seed] or density[seed] < config.min_weight:
            break
        # exp(-0.5 * 2.2**2): votes within 2.2 kernel widths of the peak belong to it
        members = np.flatnonzero(free & (kernel[seed] > 0.09))
        cluster = fused(votes, members, config)
        clusters.append(cluster)
        same_class = votes.class_prob @ cluster.class_prob > 0.3 * (cluster.class_prob**2).sum()
        stray = free & same_class & _inside(votes.center_m, cluster, 0.7)
        taken = np.union1d(members, np.flatnonzero(stray))
        free[taken] = False
        density -= kernel[:, taken] @ weight[taken]
    return clusters
