"""Running the dense network over frames in chunks of one fixed size.

A chunk is always full (short ones are padded), so that every frame goes through the same
kernels whoever shares its batch: encoding a video alone or among thousands gives the
same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spatialcode.encoder.maps import STRIDE_PX, DenseMaps, concatenate
from spatialcode.encoder.small.inputs import (
    GRAVITY_ESTIMATED,
    GRAVITY_EXACT,
    GRAVITY_UNKNOWN,
    CellFrames,
    cell_frames,
)
from spatialcode.encoder.small.losses import LOG_SCALE_RANGE, predicted_center
from spatialcode.encoder.small.model import DenseEncoder, RawMaps, channels_last
from spatialcode.encoder.small.towers import ResidualBlock


def folded(model: DenseEncoder) -> DenseEncoder:
    """A copy in evaluation mode that computes the same with its normalisations folded away."""
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(copied.modules()):
        if isinstance(module, ResidualBlock):
            _fold(module, "first", "first_norm")
            _fold(module, "second", "second_norm")
        elif isinstance(module, nn.Sequential) and len(module) > 1:
            _fold(module, "0", "1")
    return channels_last(copied)


def _fold(module: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(module, norm_name, nn.Identity())


def relative_yaw(raw: RawMaps) -> Float[Tensor, "b h w"]:
    """Box yaw relative to the cell's azimuth frame.

    The axis (twice the angle) is the more precise one; where the likeliest category has a
    front, the heading decides between its two directions.
    """
    axis_yaw = 0.5 * torch.atan2(raw.axis[:, 1], raw.axis[:, 0])
    along = raw.heading[:, 0] * axis_yaw.cos() + raw.heading[:, 1] * axis_yaw.sin()
    likeliest = raw.class_logits[:, : len(raw.kinds)].argmax(1)
    has_front = torch.from_numpy(raw.kinds.has_front).to(likeliest.device)
    turned = (along < 0) & has_front[likeliest]
    return torch.where(turned, axis_yaw + torch.pi, axis_yaw)


def decode(
    raw: RawMaps,
    frames: CellFrames,
    up_camera: Float[Tensor, "b 3"],
    camera_height_m: Float[Tensor, " b"] | None,
) -> DenseMaps:
    """Dense maps in numpy. ``frames`` must be those of ``up_camera``.

    ``camera_height_m`` None takes the network's own estimate of the height.
    """
    height = raw.log_height.exp() if camera_height_m is None else camera_height_m
    vote = frames.to_level(predicted_center(raw, frames))
    depth_scale = raw.log_depth_log_scale[:, 0].clamp(*LOG_SCALE_RANGE).exp()
    vote_scale = raw.vote_log_scale.clamp(*LOG_SCALE_RANGE).exp()
    tensors = {
        "class_prob": raw.class_logits.softmax(1),
        "depth_m": raw.log_depth[:, 0].exp(),
        "depth_log_scale": depth_scale,
        "vote_level_m": vote,
        "vote_scale_m": vote_scale.permute(0, 2, 3, 1),
        "size_m": raw.log_size.clamp(-4, 2).exp().permute(0, 2, 3, 1),
        "yaw_level_rad": relative_yaw(raw) + frames.azimuth_rad,
        "up_camera": up_camera,
        "camera_height_m": height,
        "gravity_scale_rad": raw.up_log_scale.clamp(*LOG_SCALE_RANGE).exp(),
    }
    arrays = {k: v.float().cpu().numpy().astype(np.float32) for k, v in tensors.items()}
    return DenseMaps(**arrays, kinds=raw.kinds)


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Frames of one size with what is known of their cameras; rows are independent.

    ``rgb`` (N, H, W, 3) at network size, ``K`` (N, 3, 3), ``up_camera`` (N, 3),
    ``camera_height_m`` (N,), ``quality`` (N,) as in :mod:`spatialcode.encoder.small.inputs`.
    """

    rgb: UInt8[np.ndarray, "n h w 3"]
    K: Float[np.ndarray, "n 3 3"]
    up_camera: Float[np.ndarray, "n 3"]
    camera_height_m: Float[np.ndarray, " n"]
    quality: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rgb)


def without_gravity(rgb: np.ndarray, K: np.ndarray) -> FrameBatch:
    """Frames of which gravity and height are unknown."""
    n = len(rgb)
    up = np.tile(np.array([0.0, -1.0, 0.0]), (n, 1))
    quality = np.full(n, GRAVITY_UNKNOWN)
    return FrameBatch(rgb, np.broadcast_to(K, (n, 3, 3)), up, np.ones(n), quality)


def with_poses(
    rgb: np.ndarray, K: np.ndarray, T_world_camera: np.ndarray, exact: bool
) -> FrameBatch:
    """Frames whose gravity and height above the floor (z = 0) follow from their poses."""
    n = len(rgb)
    quality = np.full(n, GRAVITY_EXACT if exact else GRAVITY_ESTIMATED)
    height = np.clip(T_world_camera[:, 2, 3], 0.2, 10.0)
    return FrameBatch(rgb, np.broadcast_to(K, (n, 3, 3)), T_world_camera[:, 2, :3], height, quality)


def network_size(width_px: int, height_px: int, area_px: int) -> tuple[int, int]:
    """(width, height) of the network input: about ``area_px`` pixels, the same aspect,
    multiples of twice the stride.
    """
    step = 2 * STRIDE_PX
    scale = (area_px / (width_px * height_px)) ** 0.5
    return (
        max(4 * step, round(width_px * scale / step) * step),
        max(4 * step, round(height_px * scale / step) * step),
    )


def resized(
    rgb: UInt8[np.ndarray, "n h w 3"], K: Float[np.ndarray, "3 3"], area_px: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], Float[np.ndarray, "3 3"]]:
    """Frames at network size and the pinhole matrix that belongs to them."""
    height, width = rgb.shape[1:3]
    size = network_size(width, height, area_px)
    scale = np.diag([size[0] / width, size[1] / height, 1.0])
    if (width, height) == size:
        return rgb, K.astype(np.float64)
    frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in rgb]
    return np.stack(frames), scale @ K


class DenseRunner:
    """The network on one device, chunk by chunk."""

    def __init__(
        self, model: DenseEncoder, device: str, bfloat16: bool, chunk_size: int = 8
    ) -> None:
        self.model = folded(model).to(device)
        self.device = device
        self.bfloat16 = bfloat16
        self.chunk_size = chunk_size

    def __call__(
        self, batch: FrameBatch, on_frames: Callable[[int], None] | None = None
    ) -> DenseMaps:
        """Dense maps of every frame. Where gravity is unknown, the maps carry the network's
        own estimate of height, and its votes refer to its own estimate of "up". ``on_frames`` is
        told how many frames more are through.
        """
        parts = []
        for start in range(0, len(batch), self.chunk_size):
            parts.append(self._chunk(batch, slice(start, start + self.chunk_size)))
            if on_frames is not None:
                on_frames(min(self.chunk_size, len(batch) - start))
        return concatenate(parts)

    @torch.inference_mode()
    def _chunk(self, batch: FrameBatch, rows: slice) -> DenseMaps:
        num = len(batch.rgb[rows])
        rgb, K, up, height, quality = (
            self._full(values[rows])
            for values in (
                batch.rgb,
                batch.K,
                batch.up_camera,
                batch.camera_height_m,
                batch.quality,
            )
        )
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
            raw = self.model(rgb, K, up, height, quality)
        unknown = quality == GRAVITY_UNKNOWN
        up = torch.where(unknown[:, None], raw.up, up)
        height = torch.where(unknown, raw.log_height.exp(), height)
        frames = cell_frames(K, up, *rgb.shape[1:3])
        return decode(raw, frames, up, height).frames(slice(0, num))

    def _full(self, values: np.ndarray) -> torch.Tensor:
        """A tensor of exactly ``chunk_size`` rows, the last row repeated."""
        missing = self.chunk_size - len(values)
        rows = np.concatenate((values, np.repeat(values[-1:], missing, axis=0)))
        if rows.dtype != np.uint8:
            rows = rows.astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)


def run_together(
    runner: DenseRunner,
    batches: Mapping[int, FrameBatch],
    on_frames: Callable[[int], None] | None = None,
) -> dict[int, DenseMaps]:
    """Maps of several clips by key, all frames of one picture size in one run."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for key, batch in batches.items():
        by_size.setdefault(batch.rgb.shape[1:], []).append(key)
    made = {}
    for keys in by_size.values():
        maps = runner(concatenated([batches[key] for key in keys]), on_frames)
        start = 0
        for key in keys:
            stop = start + len(batches[key])
            made[key] = maps.frames(slice(start, stop))
            start = stop
    return made


def concatenated(batches: Sequence[FrameBatch]) -> FrameBatch:
    """One batch of the frames of several, in order."""
    names = [f.name for f in fields(FrameBatch)]
    return FrameBatch(**{n: np.concatenate([getattr(b, n) for b in batches]) for n in names})


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (several times faster)."""
    return torch.cpu._is_amx_tile_supported()
