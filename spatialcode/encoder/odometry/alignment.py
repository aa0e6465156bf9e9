"""Motion between frames from all their edges at once: direct alignment with predicted depth.

Corners are few in plain rooms, edges are not. For many pairs of frames together, the first
frame's strongest edge pixels are placed at their predicted depth and moved until the second
frame looks the same there: Gauss-Newton in its inverse compositional form (Baker and
Matthews, IJCV 2004), coarse to fine, robust. Images are normalised locally, so that exposure
and shading drop out. Each motion comes with its information matrix: a view of a blank wall
says little, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialcode.encoder.odometry.flow import coarse_shift_px
from spatialcode.encoder.odometry.problem import RelativeMotions, exp_rotation

Array = NDArray[np.float64]
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class AlignmentConfig:
    """``halvings`` of the image per level, coarse to fine, and ``steps`` taken at each.

    ``information_share``: how much of the formal information to believe; pixels of one
    edge err together and depth errs, so it is far below 1.
    """

    halvings: tuple[int, ...] = (2, 1, 0)
    steps: tuple[int, ...] = (10, 5, 3)
    num_points: int = 400
    damping: float = 1e-5
    edge_ratio: float = 1.2
    blur_px: float = 1.0
    neighbourhood_px: float = 6.0
    contrast_floor: float = 4.0
    information_share: float = 0.002


def normalised(gray: NDArray[np.uint8], halvings: int, config: AlignmentConfig) -> F32:
    """Images (N,H,W) halved so often, less their local mean, over their local contrast."""
    out = []
    for image in gray:
        small = image.astype(np.float32)
        if halvings:
            size = (image.shape[1] >> halvings, image.shape[0] >> halvings)
            small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), config.blur_px)
        flat = small - cv2.GaussianBlur(small, (0, 0), config.neighbourhood_px)
        variance = cv2.GaussianBlur(flat * flat, (0, 0), config.neighbourhood_px)
        out.append(flat / np.sqrt(variance + config.contrast_floor**2))
    return np.stack(out)


def edge_points(
    images: F32, h: int, w: int, number: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], F32]:
    """The ``number`` strongest of each h x w cell's strongest gradients, per image.

    Returns the cell, row and column (N,P) and the gradient (N,P,2) along x, y.
    """
    n, height, width = images.shape
    side_v, side_u = height // h, width // w
    gx, gy = np.zeros_like(images), np.zeros_like(images)
    gx[:, 1:-1, 1:-1] = (images[:, 1:-1, 2:] - images[:, 1:-1, :-2]) / 2
    gy[:, 1:-1, 1:-1] = (images[:, 2:, 1:-1] - images[:, :-2, 1:-1]) / 2
    square = (gx * gx + gy * gy)[:, : h * side_v, : w * side_u]
    square = square.reshape(n, h, side_v, w, side_u).transpose(0, 1, 3, 2, 4)
    square = square.reshape(n, h * w, side_v * side_u)
    best = square.argmax(-1)
    strength = np.take_along_axis(square, best[..., None], -1)[..., 0]
    number = min(number, h * w)
    cell = np.argpartition(-strength, number - 1, axis=1)[:, :number]
    inner = np.take_along_axis(best, cell, 1)
    row = cell // w * side_v + inner // side_u
    column = cell % w * side_u + inner % side_u
    frame = np.arange(n)[:, None]
    return cell, row, column, np.stack([gx[frame, row, column], gy[frame, row, column]], -1)


def coarse_motions(
    gray: NDArray[np.uint8], K: Array, first: NDArray[np.int64], second: NDArray[np.int64]
) -> Array:
    """T_second_first (B,4,4): the turn that moves the image's middle as seen."""
    shift = np.array(
        [coarse_shift_px(gray[a], gray[b]) for a, b in zip(first, second, strict=True)]
    ).reshape(-1, 2)  # a clip of one frame has no pair
    out = np.tile(np.eye(4), (len(shift), 1, 1))
    turn = np.column_stack([-shift[:, 1] / K[1, 1], shift[:, 0] / K[0, 0], np.zeros(len(shift))])
    out[:, :3, :3] = exp_rotation(turn)
    return out


def foreground(depth_m: F32, edge_ratio: float) -> F32:
    """Depth (N,h,w) with the nearer side's at depth edges: it is the occluder whose edge moves."""
    window = np.ones((3, 3), np.uint8)
    near = np.stack([cv2.erode(d, window) for d in depth_m])
    far = np.stack([cv2.dilate(d, window) for d in depth_m])
    return np.where(far > edge_ratio * near, near, depth_m)


class _Level:
    """One pyramid level: the points of all frames and their derivatives (inverse compositional)."""

    def __init__(
        self,
        gray: NDArray[np.uint8],
        depth_m: F32,
        K: Array,
        halvings: int,
        config: AlignmentConfig,
    ) -> None:
        n, h, w = depth_m.shape
        self.images = normalised(gray, halvings, config)
        self.focal = (K[[0, 1], [0, 1]] / 2**halvings).astype(np.float32)
        # Index of a pixel = its centre's coordinate - 0.5.
        self.centre = (K[:2, 2] / 2**halvings - 0.5).astype(np.float32)
        cell, row, column, gradient = edge_points(self.images, h, w, config.num_points)
        frame = np.arange(n)[:, None]
        z = np.take_along_axis(depth_m.reshape(n, -1), cell, 1)
        x = (column - self.centre[0]).astype(np.float32) / self.focal[0] * z
        y = (row - self.centre[1]).astype(np.float32) / self.focal[1] * z
        self.points = np.stack([x, y, z], -1)
        self.value = self.images[frame, row, column]
        gx, gy = gradient[..., 0] * self.focal[0] / z, gradient[..., 1] * self.focal[1] / z
        gz = -(gx * x + gy * y) / z
        # Of a small turn w and shift of the point: gradient . (w x p + shift).
        self.jacobian = np.stack(
            [y * gz - z * gy, z * gx - x * gz, x * gy - y * gx, gx, gy, gz], -1
        )

    def sample(self, frame: NDArray[np.int64], points: F32) -> tuple[F32, NDArray[np.bool_]]:
        """Image values (B,P) where camera points (B,P,3) of frames (B,) fall, and which do."""
        _, height, width = self.images.shape
        z = np.maximum(points[..., 2], 0.05)
        u = points[..., 0] / z * self.focal[0] + self.centre[0]
        v = points[..., 1] / z * self.focal[1] + self.centre[1]
        inside = (u >= 0) & (v >= 0) & (u < width - 1) & (v < height - 1) & (points[..., 2] > 0.1)
        values = np.empty(u.shape, np.float32)
        for k, image in enumerate(frame):
            values[k] = cv2.remap(self.images[image], u[k], v[k], cv2.INTER_LINEAR)
        return values, inside


def align(
    gray: NDArray[np.uint8], depth_m: Array, K: Array, first: NDArray[np.int64],
    second: NDArray[np.int64], *, start: Array | None = None, config: AlignmentConfig | None = None,
) -> RelativeMotions:  # fmt: skip
    """Motions of pairs (first, second) (B,) of ``gray`` (N,H,W), depth_m (N,h,w) predicted.

    ``start`` (B,4,4): T_second_first to begin with; a coarse turn where it is None.
    """
    config = config or AlignmentConfig()
    T = coarse_motions(gray, K, first, second) if start is None else start
    R, t = T[:, :3, :3].copy(), T[:, :3, 3].copy()
    depth = foreground(np.ascontiguousarray(depth_m, np.float32), config.edge_ratio)
    information = np.zeros((len(first), 6, 6))
    for halvings, steps in zip(config.halvings, config.steps, strict=True):
        level = _Level(gray, depth, K, halvings, config)
        points, jacobian = level.points[first], level.jacobian[first]
        for _ in range(steps):
            moved = points @ R.transpose(0, 2, 1).astype(np.float32) + t[:, None].astype(np.float32)
            value, inside = level.sample(second, moved)
            residual = value - level.value[first]
            count = np.maximum(inside.sum(-1, keepdims=True), 1)
            # Mean absolute residual: a robust scale that needs no sorting.
            scale = 1.2 * (np.abs(residual) * inside).sum(-1, keepdims=True) / count + 1e-3
            weight = inside / (1 + (residual / scale) ** 2)
            weighted = jacobian * weight[..., None]
            hessian = (weighted.transpose(0, 2, 1) @ jacobian).astype(np.float64)
            slope = (weighted.transpose(0, 2, 1) @ residual[..., None]).astype(np.float64)
            information = hessian * (config.information_share / scale[..., None] ** 2)
            damping = config.damping * np.trace(hessian, axis1=1, axis2=2)[:, None, None] / 6 + 1e-9
            step = np.linalg.solve(hessian + damping * np.eye(6), slope)[..., 0]
            R = R @ exp_rotation(-step[:, :3])
            t = t - np.einsum("bij,bj->bi", R, step[:, 3:])
    out = np.tile(np.eye(4), (len(first), 1, 1))
    out[:, :3, :3], out[:, :3, 3] = R, t
    return RelativeMotions(first, second, out, information)
