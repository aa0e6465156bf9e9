"""Training targets: from rendered truth to the grid of cells, and on to batches.

Truth comes as plain arrays, so any source of depth, instance ids, poses and boxes can feed the
training, not the bundled renderer alone. A buffer stands between rendering and training: rendering
costs about as much as a training step, so every frame is used a stated number of times, far apart
and differently augmented.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from spatialcode.encoder.maps import STRIDE_PX
from spatialcode.errors import SchemaError

#: Boxes kept per frame; further ones become "no object" (they lose their cells).
MAX_OBJECTS = 48
#: Instance id of cells without anything to learn from.
IGNORE = -9
#: Index of the label of an object that is of no kind the network is to tell apart.
NO_KIND = -1


@dataclass(frozen=True, eq=False)
class TruthFrames:
    """Everything the targets are made of, for N frames of one scene with M objects.

    ``instance``: -1 floor, -2 wall, -3 ceiling, >= 0 object index. The world has z up and
    its floor at z = 0. ``yaw_rad`` and ``center_m`` are per frame, so objects may move.
    """

    rgb: UInt8[np.ndarray, "n H W 3"]
    depth_m: Float[np.ndarray, "n H W"]
    instance: Int[np.ndarray, "n H W"]
    K: Float[np.ndarray, "3 3"]
    T_world_camera: Float[np.ndarray, "n 4 4"]
    label_index: Int[np.ndarray, " m"]
    center_m: Float[np.ndarray, "n m 3"]
    size_m: Float[np.ndarray, "m 3"]
    yaw_rad: Float[np.ndarray, "n m"]


@dataclass(frozen=True, eq=False)
class TrainingFrames:
    """N independent training pictures with targets; rows can be mixed freely.

    ``cell_instance`` (N, h, w) int16 and ``cell_depth_m`` are sampled at cell centres.
    Boxes are padded to ``MAX_OBJECTS`` (``label_index`` -1). ``center_camera_m`` and
    ``box_x_camera`` (unit vector of the box's x axis) are in camera coordinates.
    """

    rgb: UInt8[np.ndarray, "n H W 3"]
    K: Float[np.ndarray, "n 3 3"]
    up_camera: Float[np.ndarray, "n 3"]
    camera_height_m: Float[np.ndarray, " n"]
    cell_instance: Int[np.ndarray, "n h w"]
    cell_depth_m: Float[np.ndarray, "n h w"]
    label_index: Int[np.ndarray, "n M"]
    center_camera_m: Float[np.ndarray, "n M 3"]
    size_m: Float[np.ndarray, "n M 3"]
    box_x_camera: Float[np.ndarray, "n M 3"]

    def __post_init__(self) -> None:
        for f in fields(self):
            if len(getattr(self, f.name)) != len(self.rgb):
                raise SchemaError(
                    f"TrainingFrames.{f.name}", f"{len(self.rgb)} rows", len(getattr(self, f.name))
                )

    def __len__(self) -> int:
        return len(self.rgb)

    def arrays(self) -> dict[str, np.ndarray]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def cell_depth(
    depth_m: Float[np.ndarray, "n H W"], instance: Int[np.ndarray, "n H W"]
) -> tuple[Float[np.ndarray, "n h w"], Int[np.ndarray, "n h w"]]:
    """Depth and instance at cell centres.

    A centre lies between four pixels. The instance is that of the lower right one; the
    depth is the harmonic mean over those of the four that show the same instance, exact
    for a plane (inverse depth is linear in the picture).
    """
    half = STRIDE_PX // 2
    n, height, width = depth_m.shape
    h, w = height // STRIDE_PX, width // STRIDE_PX

    def at(dy: int, dx: int, values: np.ndarray) -> np.ndarray:
        rows = slice(half + dy, h * STRIDE_PX, STRIDE_PX)
        cols = slice(half + dx, w * STRIDE_PX, STRIDE_PX)
        return values[:, rows, cols]

    chosen = at(0, 0, instance)
    total = np.zeros((n, h, w), np.float64)
    count = np.zeros((n, h, w), np.float64)
    for dy in (-1, 0):
        for dx in (-1, 0):
            same = at(dy, dx, instance) == chosen
            total += np.where(same, 1.0 / np.maximum(at(dy, dx, depth_m), 1e-3), 0.0)
            count += same
    return (count / total).astype(np.float32), chosen.astype(np.int16)


def training_frames(truth: TruthFrames) -> TrainingFrames:
    """Targets of every frame of one scene."""
    n = len(truth.rgb)
    depth, instance = cell_depth(truth.depth_m, truth.instance)
    instance = np.where(instance >= MAX_OBJECTS, IGNORE, instance).astype(np.int16)
    depth_valid = np.isfinite(depth) & (depth > 0)
    instance[~depth_valid] = IGNORE
    num = min(len(truth.label_index), MAX_OBJECTS)
    rotation = truth.T_world_camera[:, :3, :3]
    relative = truth.center_m[:, :num] - truth.T_world_camera[:, None, :3, 3]
    yaw = truth.yaw_rad[:, :num]
    box_x_world = np.stack((np.cos(yaw), np.sin(yaw), np.zeros_like(yaw)), axis=-1)

    def padded(values: np.ndarray, fill: float = 0.0) -> np.ndarray:
        out = np.full((n, MAX_OBJECTS, *values.shape[2:]), fill, np.float32)
        out[:, :num] = values[:, :num]
        return out

    labels = np.broadcast_to(truth.label_index[None], (n, len(truth.label_index)))
    sizes = np.broadcast_to(truth.size_m[None], (n, *truth.size_m.shape))
    return TrainingFrames(
        rgb=truth.rgb,
        K=np.broadcast_to(truth.K, (n, 3, 3)).astype(np.float32),
        up_camera=rotation[:, 2, :].astype(np.float32),
        camera_height_m=truth.T_world_camera[:, 2, 3].astype(np.float32),
        cell_instance=instance,
        cell_depth_m=np.where(depth_valid, depth, 1.0).astype(np.float32),
        label_index=padded(labels, NO_KIND).astype(np.int16),
        center_camera_m=padded(np.einsum("nji,nmj->nmi", rotation, relative)),
        size_m=padded(sizes, 1.0),
        box_x_camera=padded(np.einsum("nji,nmj->nmi", rotation, box_x_world)),
    )


@dataclass(frozen=True)
class ReplayConfig:
    """``capacity`` frames are kept; each is drawn ``max_uses`` times on average."""

    capacity: int = 8192
    max_uses: float = 3.0
    warm_up: int = 512


class ReplayBuffer:
    """Ring of training frames, filled from an iterator, drawn from at random."""

    def __init__(
        self, source: Iterable[TrainingFrames], config: ReplayConfig, seed: int = 0
    ) -> None:
        self._source = iter(source)
        self._config = config
        self._rng = np.random.default_rng(seed)
        self._arrays: dict[str, np.ndarray] = {}
        self.num_received = 0
        self.num_drawn = 0

    def _receive(self) -> bool:
        """Take the next frames from the source; False when it is exhausted."""
        frames = next(self._source, None)
        if frames is None:
            return False
        arrays = frames.arrays()
        if not self._arrays:
            self._arrays = {
                k: np.empty((self._config.capacity, *v.shape[1:]), v.dtype)
                for k, v in arrays.items()
            }
        slots = (self.num_received + np.arange(len(frames))) % self._config.capacity
        for name, values in arrays.items():
            self._arrays[name][slots] = values
        self.num_received += len(frames)
        return True

    def batches(self, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Endless batches, until the source ends and its last frames are used up."""
        while True:
            allowed = self.num_received * self._config.max_uses
            while self.num_drawn + batch_size > allowed or self.num_received < min(
                self._config.warm_up, self._config.capacity
            ):
                if not self._receive():
                    if self.num_drawn + batch_size > allowed:
                        return
                    break
                allowed = self.num_received * self._config.max_uses
            filled = min(self.num_received, self._config.capacity)
            if not filled:
                return
            rows = self._rng.choice(filled, size=batch_size, replace=filled < batch_size)
            self.num_drawn += batch_size
            yield {k: torch.from_numpy(v[rows]) for k, v in self._arrays.items()}
