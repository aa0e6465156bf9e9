"""From raw network output to dense maps: the inverse of the training targets."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.encoder.small.geometry import CellFrames
from spatialcode.encoder.small.heads import RawMaps
from spatialcode.encoder.small.losses import LOG_SCALE_RANGE, predicted_center
from spatialcode.encoder.small.maps import NUM_OBJECT_CLASSES, DenseMaps
from spatialcode.scene.categories import CATEGORIES

_HAS_FRONT = torch.tensor([c.has_front for c in CATEGORIES])


def relative_yaw(raw: RawMaps) -> Float[Tensor, "b h w"]:
    """Box yaw relative to the cell's azimuth frame.

    The axis (twice the angle) is the more precise one; where the likeliest category has a
    front, the heading decides between its two directions.
    """
    axis_yaw = 0.5 * torch.atan2(raw.axis[:, 1], raw.axis[:, 0])
    along = raw.heading[:, 0] * axis_yaw.cos() + raw.heading[:, 1] * axis_yaw.sin()
    label = raw.class_logits[:, :NUM_OBJECT_CLASSES].argmax(1)
    turned = (along < 0) & _HAS_FRONT.to(label.device)[label]
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
    return DenseMaps(**arrays)
