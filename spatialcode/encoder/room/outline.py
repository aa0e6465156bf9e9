"""From rectangles that are inside to one room's outline: doors, holes, corners."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray
from scipy import ndimage

from spatialcode.encoder.room.layout import Layout, LayoutConfig

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
