"""Rotation from straight edges: upright ones give gravity, those along the walls the heading.

An edge in the image and the camera's centre span a plane. If the edge runs along a known
direction of the world, that direction lies in the plane, whatever the edge's distance.
Rooms are full of upright edges, and of level ones along two perpendicular directions; over
a clip they give gravity far better than the network, and a heading that does not drift.
Which edges run along which axis is left to their nearness and a robust kernel. Rooms
without such edges tell nothing; slanting edges that all agree would lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.odometry.flow import orientation, structure_tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EdgeConfig:
    """``window_px``, ``cell_px`` of the image; ``upright_rad``, ``level_rad``: farthest from
    upright by the first gravity, and from the walls' heading, for an edge to be used.

    ``sigma_rad``: error of one edge's plane; ``alike``: how many cells of one edge, or of
    edges slanting together, err as one. ``kernels_rad``: half width in which an edge counts
    as along its axis, first and later. ``min_peak``: how much more often than by chance level
    edges must share one heading (mod 90 degrees) to be believed.
    """

    window_px: int = 9
    cell_px: int = 4
    min_square_gradient: float = 6.0
    min_coherence: float = 0.7
    upright_rad: float = 0.35
    level_rad: float = 0.35
    sigma_rad: float = 0.02
    alike: float = 10.0
    kernels_rad: tuple[float, float] = (0.12, 0.06)
    min_peak: float = 1.6


@dataclass(frozen=True)
class Edges:
    """Edges of all frames: frame (Q,), unit normal (Q,3) in camera coordinates of the plane
    through camera and edge, weight (Q,): 1 / variance of normal . direction.
    """

    frame: NDArray[np.int64]
    normal: Array
    weight: Array


@dataclass(frozen=True)
class EdgeDirections:
    """Edges with the unit world directions (Q,3) they are taken to run along; the kernel's half
    width; and whether they fix the heading, too.
    """

    edges: Edges
    direction: Array
    kernel: float = 1.0
    fix_heading: bool = False

    @staticmethod
    def none() -> EdgeDirections:
        """No edges."""
        return EdgeDirections(
            Edges(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0)), np.zeros((0, 3))
        )


def find_edges(gray: NDArray[np.uint8], K: Array, config: EdgeConfig) -> Edges:
    """The strongest edge of every cell of ``gray`` (N,H,W), where it is clear enough."""
    frames, normals, weights = [], [], []
    for k, image in enumerate(gray):
        tensor = structure_tensor(image, config.window_px)
        pixel, square = _strongest(tensor, config)
        strong, weak, angle = orientation(tensor[pixel[:, 1], pixel[:, 0]])
        gradient = np.column_stack([np.cos(angle), np.sin(angle)])
        line = np.column_stack([gradient, -(gradient * (pixel + 0.5)).sum(-1)])
        keep = (strong - weak) > config.min_coherence * (strong + weak)
        keep &= square > config.min_square_gradient
        normal = (line @ K)[keep]
        frames.append(np.full(len(normal), k))
        normals.append(normal / np.linalg.norm(normal, axis=-1, keepdims=True))
        # Stronger edges have better directions, up to where lens and pixels limit.
        weights.append(np.minimum(np.sqrt(square[keep]) / 8, 1))
    weight = np.concatenate(weights) / (config.sigma_rad**2 * config.alike)
    return Edges(np.concatenate(frames), np.concatenate(normals), weight)


def _strongest(tensor: NDArray[np.float32], config: EdgeConfig) -> tuple[NDArray[np.int64], Array]:
    """Pixel (K,2) as column, row and mean square gradient (K,) of each cell's strongest edge."""
    strong = orientation(tensor)[0]
    border, side = config.window_px // 2, config.cell_px
    strong[:border], strong[-border:], strong[:, :border], strong[:, -border:] = 0, 0, 0, 0
    rows, columns = strong.shape[0] // side, strong.shape[1] // side
    blocks = strong[: rows * side, : columns * side].reshape(rows, side, columns, side)
    cells = blocks.transpose(0, 2, 1, 3).reshape(rows * columns, side * side)
    inner = cells.argmax(1)
    at = np.arange(len(cells))
    pixel = np.column_stack(
        [at % columns * side + inner % side, at // columns * side + inner // side]
    )
    return pixel, cells[at, inner]


def _chosen(edges: Edges, rows: NDArray[np.bool_]) -> Edges:
    return Edges(edges.frame[rows], edges.normal[rows], edges.weight[rows])


def upright(edges: Edges, R_world_camera: Array, config: EdgeConfig) -> EdgeDirections:
    """Edges that are nearly upright by rotations (N,3,3)."""
    near = np.abs(np.einsum("qi,qi->q", edges.normal, R_world_camera[edges.frame, 2]))
    chosen = _chosen(edges, near < np.sin(config.upright_rad))
    axis = np.broadcast_to((0.0, 0.0, 1.0), chosen.normal.shape)
    return EdgeDirections(chosen, axis, config.kernels_rad[0])


def along_room(edges: Edges, R_world_camera: Array, config: EdgeConfig) -> EdgeDirections:
    """Upright edges, and, where the level ones share a heading mod 90 degrees, those too."""
    up = upright(edges, R_world_camera, config)
    world = np.einsum("qij,qj->qi", R_world_camera[edges.frame], edges.normal)
    level = np.hypot(world[:, 0], world[:, 1])
    # The level direction in the edge's plane; near-upright edges would have any.
    heading = np.arctan2(-world[:, 0], world[:, 1])
    worth = np.where(np.abs(world[:, 2]) > 0.3, edges.weight * level**2, 0.0)
    room = _shared_heading(heading, worth, config)
    if room is None:
        return EdgeDirections(up.edges, up.direction, config.kernels_rad[1])
    quarter = np.round((heading - room) / (np.pi / 2))
    axis = room + quarter * (np.pi / 2)
    rows = (worth > 0) & (np.abs(heading - axis) < config.level_rad)
    flat = np.column_stack([np.cos(axis), np.sin(axis), np.zeros(len(axis))])[rows]
    side = _chosen(edges, rows)
    both = Edges(
        *(np.concatenate([getattr(up.edges, k), getattr(side, k)])
          for k in ("frame", "normal", "weight"))
    )  # fmt: skip
    direction = np.concatenate([up.direction, flat])
    return EdgeDirections(both, direction, config.kernels_rad[1], True)


def _shared_heading(heading: Array, worth: Array, config: EdgeConfig) -> float | None:
    """The heading (mod 90 degrees) most level edges have; None if none stands out."""
    bins = 90
    if worth.sum() <= 0:
        return None
    index = np.floor(np.mod(heading, np.pi / 2) / (np.pi / 2) * bins).astype(int) % bins
    count = np.bincount(index, worth, bins)
    offset = np.minimum(np.arange(bins), bins - np.arange(bins))
    kernel = np.exp(-0.5 * (offset / 4.0) ** 2)
    smooth = np.real(np.fft.ifft(np.fft.fft(count) * np.fft.fft(kernel)))
    if smooth.max() < config.min_peak * smooth.mean():
        return None
    near = np.mod(index - smooth.argmax() + bins / 2, bins) - bins / 2
    close = np.abs(near) <= 6
    centre = (smooth.argmax() + 0.5) / bins * np.pi / 2
    delta = np.mod(heading - centre + np.pi / 4, np.pi / 2) - np.pi / 4
    return float(centre + np.average(delta[close], weights=worth[close]))


def edge_error(directions: EdgeDirections, R_world_camera: Array) -> Array:
    """Sine (Q,) of the angle between each edge's direction and its plane."""
    e = directions.edges
    seen = np.einsum("qji,qj->qi", R_world_camera[e.frame], directions.direction)
    return np.einsum("qi,qi->q", e.normal, seen)


def edge_cost(directions: EdgeDirections, error: Array) -> tuple[float, Array]:
    """Robust cost (Geman-McClure) and weights (Q,) of reweighted least squares."""
    square, weight = directions.kernel**2, directions.edges.weight
    share = square / (square + error**2)
    return float((weight * error**2 * share).sum()), weight * share**2


def add_edges(
    directions: EdgeDirections, R_world_camera: Array, error: Array, weight: Array,
    system: tuple[Array, Array],
) -> None:  # fmt: skip
    """Add their part to the normal equations: Hessian (N,N,7,7), gradient (N,7)."""
    hessian, gradient = system
    n, e = len(gradient), directions.edges
    seen = np.einsum("qji,qj->qi", R_world_camera[e.frame], directions.direction)
    # R -> R exp[w] takes a world direction's image d to d - w x d;
    # normal . (d x w) = w . (normal x d).
    jacobian = np.cross(e.normal, seen)
    every = np.arange(n)
    for i in range(3):
        gradient[:, i] += np.bincount(e.frame, weight * error * jacobian[:, i], n)
        for j in range(3):
            block = np.bincount(e.frame, weight * jacobian[:, i] * jacobian[:, j], n)
            hessian[every, every, i, j] += block
