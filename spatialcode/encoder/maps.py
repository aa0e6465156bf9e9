"""What the network says about every cell of every frame, as plain numpy.

Everything after the network (odometry, lifting, fusion, the oracle ladder of the
evaluation) reads these maps and nothing else, so any encoder that fills them can use
the rest. They know neither torch nor where the camera is in the world.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spatialcode.errors import SchemaError
from spatialcode.scene.kinds import PRIMITIVE_KINDS, Kinds

Array = NDArray[np.float64]

#: Side of a cell in network-input pixels.
STRIDE_PX = 4
#: Class channels of the room's parts, from the last: the kinds before them are the weights' own.
FLOOR_CHANNEL, WALL_CHANNEL, CEILING_CHANNEL = -3, -2, -1

_CELL_SHAPES: dict[str, tuple[int, ...]] = {
    "depth_m": (-1, -1),
    "depth_log_scale": (-1, -1),
    "vote_level_m": (-1, -1, 3),
    "vote_scale_m": (-1, -1, 3),
    "size_m": (-1, -1, 3),
    "yaw_level_rad": (-1, -1),
    "up_camera": (3,),
    "camera_height_m": (),
    "gravity_scale_rad": (),
}


@dataclass(frozen=True, eq=False)
class DenseMaps:
    """Network output for N frames on an h x w grid of cells, float32.

    ``class_prob`` (N, C, h, w): softmax over ``kinds``, then floor, wall, ceiling.
    ``depth_m`` (N, h, w): z-depth at the cell's centre. ``depth_log_scale`` (N, h, w):
    Laplace scale of its logarithm.
    ``vote_level_m`` (N, h, w, 3): object centre minus camera centre in the level frame that
    belongs to ``up_camera`` (x right, y horizontally forward, z up).
    ``vote_scale_m`` (N, h, w, 3): Laplace scales along (lateral, radial, vertical), radial
    being the horizontal direction of the cell's ray.
    ``size_m`` (N, h, w, 3): full extents along the box's own axes.
    ``yaw_level_rad`` (N, h, w): yaw of the box in the level frame.
    ``up_camera`` (N, 3): unit vector against gravity in camera coordinates; where the caller
    gave gravity, this is what it gave. ``gravity_scale_rad`` (N,): its expected error.
    ``camera_height_m`` (N,): height of the camera above the floor.
    """

    class_prob: Float[np.ndarray, "n c h w"]
    depth_m: Float[np.ndarray, "n h w"]
    depth_log_scale: Float[np.ndarray, "n h w"]
    vote_level_m: Float[np.ndarray, "n h w 3"]
    vote_scale_m: Float[np.ndarray, "n h w 3"]
    size_m: Float[np.ndarray, "n h w 3"]
    yaw_level_rad: Float[np.ndarray, "n h w"]
    up_camera: Float[np.ndarray, "n 3"]
    camera_height_m: Float[np.ndarray, " n"]
    gravity_scale_rad: Float[np.ndarray, " n"]
    kinds: Kinds = PRIMITIVE_KINDS

    def __post_init__(self) -> None:
        n, h, w = self.depth_m.shape
        shapes = {"class_prob": (self.kinds.num_channels, -1, -1), **_CELL_SHAPES}
        for name, tail in shapes.items():
            grid = iter((h, w))
            expected = (n, *(next(grid) if side == -1 else side for side in tail))
            shape = getattr(self, name).shape
            if shape != expected:
                raise SchemaError(f"DenseMaps.{name}", f"shape {expected}", shape)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that has a row for every frame, by the names of the fields."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kinds"}

    @property
    def num_frames(self) -> int:
        return len(self.depth_m)

    @property
    def kind_prob(self) -> Float[np.ndarray, "n k h w"]:
        """Probability of each of the kinds."""
        return self.class_prob[:, : len(self.kinds)]

    @property
    def object_prob(self) -> Float[np.ndarray, "n h w"]:
        """Probability that a cell shows any object rather than floor, wall or ceiling."""
        return self.kind_prob.sum(axis=1)

    def frames(self, index: slice | np.ndarray) -> DenseMaps:
        """The maps of some of the frames."""
        values: dict[str, Any] = {name: array[index] for name, array in self.arrays().items()}
        return replace(self, **values)


def concatenate(parts: list[DenseMaps]) -> DenseMaps:
    """Join maps of consecutive runs of frames."""
    arrays = [part.arrays() for part in parts]
    joined: dict[str, Any] = {k: np.concatenate([part[k] for part in arrays]) for k in arrays[0]}
    return replace(parts[0], **joined)


def grid_intrinsics(K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Pinhole matrix of the cell grid, given that of the network input.

    With pixel centres at +0.5 on both grids this is a plain division by the stride.
    """
    return np.diag([1 / STRIDE_PX, 1 / STRIDE_PX, 1.0]) @ K


def at_cells(values: NDArray[np.floating], grid_hw: tuple[int, int]) -> NDArray[np.floating]:
    """(N, H, W) picked at the centres of an h x w grid of cells; (N, h, w) stays as it is."""
    rows, columns = (
        ((np.arange(cells) + 0.5) * pixels / cells).astype(int)
        for cells, pixels in zip(grid_hw, values.shape[1:], strict=True)
    )
    return values[:, rows[:, None], columns]
