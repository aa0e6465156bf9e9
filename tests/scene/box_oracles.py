"""Slow, independent answers for distance and overlap of boxes, and pairs to try them on.

Nothing of ``spatialcode.scene`` is used here but the container of the inputs: rotations come
from scipy, distances from bounded least squares, volumes from vertex enumeration and Qhull.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.optimize import lsq_linear
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.transform import Rotation

from spatialcode.scene.boxes import Boxes


def matrices(boxes: Boxes) -> np.ndarray:
    return Rotation.from_quat(np.roll(boxes.quaternion, -1, axis=1)).as_matrix()


def extents(a: Boxes, b: Boxes) -> np.ndarray:
    """(N,) metres: how far the pair reaches, the scale that rounding is measured against."""
    sizes = np.linalg.norm(a.size, axis=1) + np.linalg.norm(b.size, axis=1)
    return sizes + np.linalg.norm(a.center - b.center, axis=1)


def distances(a: Boxes, b: Boxes) -> np.ndarray:
    """min |p - q| over p in a, q in b: least squares in six bounded variables, one at a time."""
    edges_a, edges_b = matrices(a) * a.size[:, None] / 2, matrices(b) * b.size[:, None] / 2
    systems = np.concatenate([edges_a, -edges_b], axis=2)
    offsets = b.center - a.center
    found = []
    for system, offset in zip(systems, offsets, strict=True):
        solution = lsq_linear(system, offset, (-1.0, 1.0), method="bvls", tol=1e-15)
        found.append(np.linalg.norm(system @ solution.x - offset))
    return np.array(found)


def distance_bounds(a: Boxes, b: Boxes, num_steps: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds (N,): accelerated projected gradient, and the slab it implies."""
    edges_a, edges_b = matrices(a) * a.size[:, None] / 2, matrices(b) * b.size[:, None] / 2
    system = np.concatenate([edges_a, -edges_b], axis=2)
    offset = b.center - a.center
    gram = np.swapaxes(system, 1, 2) @ system
    target = np.einsum("nij,ni->nj", system, offset)
    step = 1.0 / np.linalg.eigvalsh(gram)[:, -1:]
    x = y = np.zeros_like(target)
    momentum = np.ones((len(x), 1))
    for _ in range(num_steps):
        gradient = np.einsum("nij,nj->ni", gram, y) - target
        following = np.clip(y - step * gradient, -1.0, 1.0)
        # Restart where the momentum points uphill (O'Donoghue and Candes, 2015).
        uphill = np.sum((y - following) * (following - x), axis=1, keepdims=True) > 0
        momentum = np.where(uphill, 1.0, momentum)
        grown = 0.5 + np.sqrt(0.25 + momentum**2)
        y = following + np.where(uphill, 0.0, (momentum - 1) / grown) * (following - x)
        x, momentum = following, grown
    residual = offset - np.einsum("nij,nj->ni", system, x)
    upper = np.linalg.norm(residual, axis=1)
    unit = residual / np.maximum(upper, 1e-300)[:, None]
    reach = np.abs(np.einsum("nij,ni->nj", system, unit)).sum(axis=1)
    lower = np.einsum("ni,ni->n", unit, offset) - reach
    return np.maximum(lower, 0.0), upper


def volumes(a: Boxes, b: Boxes) -> np.ndarray:
    """Hull volume of all feasible meeting points of three of the twelve planes."""
    scale = extents(a, b)
    normals = np.concatenate([np.swapaxes(matrices(a), 1, 2), np.swapaxes(matrices(b), 1, 2)], 1)
    normals = np.concatenate([normals, -normals], axis=1)
    origin = a.center
    centers = np.stack([a.center, b.center], axis=1) - origin[:, None]
    centers = np.tile(np.repeat(centers, 3, axis=1), (1, 2, 1))
    halves = np.tile(np.concatenate([a.size, b.size], axis=1) / 2, (1, 2))
    levels = np.sum(normals * centers, axis=2) + halves
    triples = np.array(list(combinations(range(12), 3)))
    result = np.zeros(len(a))
    for n in range(len(a)):
        planes = normals[n][triples]
        solvable = np.abs(np.linalg.det(planes)) > 1e-7
        right = levels[n][triples][solvable][..., None]
        points = np.linalg.solve(planes[solvable], right)[..., 0]
        inside = points @ normals[n].T <= levels[n] + 1e-11 * scale[n]
        points = points[inside.all(axis=1)]
        if len(points) >= 4:
            result[n] = _hull_volume(points)
    return result


def _hull_volume(points: np.ndarray) -> float:
    try:
        return float(ConvexHull(points).volume)
    except QhullError:  # all points in one plane, up to Qhull's rounding
        return 0.0


def random_boxes(rng: np.random.Generator, count: int, upright: bool = False) -> Boxes:
    quaternion = rng.normal(size=(count, 4))
    if upright:
        quaternion[:, 1:3] = 0.0
    return Boxes(rng.uniform(-1, 1, (count, 3)), rng.uniform(0.1, 2, (count, 3)), quaternion)


def pairs_of_every_kind(seed: int, count: int) -> dict[str, tuple[Boxes, Boxes]]:
    """``count`` pairs in twelve kinds, by name."""
    rng = np.random.default_rng(seed)
    share = count // 20
    kinds = {
        "any": (random_boxes(rng, 6 * share), random_boxes(rng, 6 * share)),
        "upright": (random_boxes(rng, 2 * share, True), random_boxes(rng, 2 * share, True)),
        "one upright": (random_boxes(rng, share, True), random_boxes(rng, share)),
    }
    a, b = random_boxes(rng, share), random_boxes(rng, share)
    kinds["nested"] = (a, Boxes(_inside(rng, a), b.size * 0.02, b.quaternion))
    kinds["nested, shared axes"] = (a, Boxes(a.center, a.size * 0.5, a.quaternion))
    kinds["identical"] = (a, a)
    kinds["identical, axes renamed"] = (a, _renamed(a))
    kinds["touching"] = _touching(rng, 3 * share)
    thin = rng.choice([1.0, 1e-3, 1e-6], (2, share, 3))
    kinds["degenerate"] = (
        Boxes(a.center, a.size * thin[0], a.quaternion),
        Boxes(b.center * 0.1 + a.center * 0.9, b.size * thin[1], b.quaternion),
    )
    away = rng.normal(size=(share, 3)) * 10.0 ** rng.uniform(1, 4, (share, 1))
    kinds["far"] = (a, Boxes(b.center + away, b.size, b.quaternion))
    stacked = Rotation.from_rotvec(
        np.outer(rng.choice([0, np.pi / 4, np.pi / 2], share), (0, 0, 1))
    )
    turned = (Rotation.from_matrix(matrices(a)) * stacked).as_quat()
    above = matrices(a)[:, :, 2] * rng.uniform(0.5, 3.0, (share, 1))
    kinds["stacked"] = (a, Boxes(a.center + above, a.size[:, [1, 0, 2]], np.roll(turned, 1, 1)))
    kinds["bars over slabs"] = _bars_over_slabs(rng, a)
    return kinds


def _inside(rng: np.random.Generator, a: Boxes) -> np.ndarray:
    return a.center + np.einsum(
        "nij,nj->ni", matrices(a), a.size * rng.uniform(-0.2, 0.2, (len(a), 3))
    )


def _renamed(a: Boxes) -> Boxes:
    """The same solids with their axes permuted: a third of a turn about the diagonal."""
    third = Rotation.from_rotvec(np.full(3, 2 * np.pi / 3 / np.sqrt(3)))
    turned = (Rotation.from_matrix(matrices(a)) * third).as_quat()
    return Boxes(a.center, a.size[:, [1, 2, 0]], np.roll(turned, 1, axis=1))


def _bars_over_slabs(rng: np.random.Generator, a: Boxes) -> tuple[Boxes, Boxes]:
    """Long bars over slabs, turned about their common vertical and slid a little.

    Often a bar crosses two of the slab's edges with no corner of either over the other. Two
    thirds are upright: opposite edges are equally extreme then, with no rounding to decide.
    """
    quaternion = a.quaternion.copy()
    quaternion[::3, 1:3] = quaternion[1::3, 1:3] = 0.0
    size = rng.uniform(0.8, 1.2, (2, len(a), 3)) * [[[1.0, 1.0, 0.2]], [[3.0, 0.1, 0.2]]]
    lower = Boxes(a.center, size[0], quaternion)
    turns = Rotation.from_rotvec(np.outer(rng.uniform(-np.pi, np.pi, len(a)), (0, 0, 1)))
    turned = Rotation.from_matrix(matrices(lower)) * turns
    slide = rng.uniform(-0.6, 0.6, (len(a), 3))
    slide[:, 2] = rng.choice([-1, 1], len(a)) * rng.uniform(0.3, 2.0, len(a))
    center = a.center + np.einsum("nij,nj->ni", matrices(lower), slide)
    return lower, Boxes(center, size[1], np.roll(turned.as_quat(), 1, axis=1))


def _touching(rng: np.random.Generator, count: int) -> tuple[Boxes, Boxes]:
    """The corner of b that lies lowest over a's +x face is put on a point of that face."""
    a, b = random_boxes(rng, count), random_boxes(rng, count)
    same_axes = rng.random(count) < 0.3
    b = Boxes(b.center, b.size, np.where(same_axes[:, None], a.quaternion, b.quaternion))
    normal = matrices(a)[:, :, 0]
    lowest = -np.sign(np.einsum("nij,ni->nj", matrices(b), normal)) * b.size / 2
    share = rng.uniform(-0.49, 0.49, (count, 3))
    share[:, 0] = 0.5
    contact = a.center + np.einsum("nij,nj->ni", matrices(a), a.size * share)
    center = contact - np.einsum("nij,nj->ni", matrices(b), lowest)
    return a, Boxes(center, b.size, b.quaternion)
