"""The loss of the unified network on a batch: its terms by name, and their weighted sum."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from spatialcode.encoder.unified.clips import LearningBatch, TrackedTruth
from spatialcode.encoder.unified.config import UnifiedLossWeights
from spatialcode.encoder.unified.losses import (
    binary_loss,
    depth_loss,
    laplace_nll,
    masked_mean,
    nearest_equal,
    ray_loss,
    true_rays,
)
from spatialcode.encoder.unified.model import UnifiedOutput
from spatialcode.encoder.unified.rotations import rotation_matrix
from spatialcode.scene.boxes import Boxes, iou

#: See `laplace_nll`: boxes of unlike sureness count alike.
_BETA = 1.0


def loss_terms(
    output: UnifiedOutput, truth: TrackedTruth, batch: LearningBatch, unit_m: float
) -> dict[str, Float[Tensor, ""]]:
    """Mean terms, named as their weights in `UnifiedLossWeights`."""
    present = truth.is_present
    equal = nearest_equal(
        output.quaternion_wxyz, truth.quaternion_wxyz, truth.size_m, truth.symmetry
    )
    away = output.center_m - truth.center_m
    along_ray = (rotation_matrix(output.ray_wxyz).mT @ away[..., None])[..., 0]
    center = laplace_nll(along_ray, output.center_log_scale, _BETA).sum(-1)
    grown = output.log_size - equal.size_m.log()
    size = laplace_nll(grown, output.size_log_scale, _BETA).sum(-1)
    told = present | truth.is_absent
    overlap = box_overlap(output, truth)
    return {
        "center": masked_mean(center, present),
        "size": masked_mean(size, present),
        "rotation": masked_mean(equal.rotation_error, present),
        "presence": masked_mean(binary_loss(output.presence_logit, present.float()), told),
        "score": masked_mean(binary_loss(output.score_logit, overlap), present),
    } | _dense_terms(output, batch, unit_m)


def _dense_terms(output: UnifiedOutput, batch: LearningBatch, unit_m: float) -> dict[str, Tensor]:
    height, width = batch.depth_m.shape[-2:]
    depth_m = F.interpolate(batch.depth_m, output.depth_m.shape[-2:], mode="nearest-exact")
    h, w = output.ray.shape[2:4]
    stretch = torch.tensor([w / width, h / height, 1.0], device=batch.K.device)
    rays = true_rays(batch.K * stretch[:, None], batch.T_world_camera, (h, w), unit_m)
    return {
        "depth": depth_loss(output.depth_m, output.depth_confidence, depth_m),
        "ray": ray_loss(output.ray, output.ray_confidence, rays),
    }


def weighted_sum(terms: dict[str, Tensor], weights: UnifiedLossWeights) -> Float[Tensor, ""]:
    """The loss: every term by its weight."""
    return torch.stack([weight * terms[name] for name, weight in asdict(weights).items()]).sum()


@torch.no_grad()
def box_overlap(output: UnifiedOutput, truth: TrackedTruth) -> Float[Tensor, "b n m"]:
    """Intersection over union of predicted and true boxes; 0 for what is not present."""
    present = truth.is_present & _usable(output)
    shares = torch.zeros(present.shape, device=present.device)
    if present.any():
        shares[present] = torch.from_numpy(
            iou(
                _boxes(output.center_m, output.log_size.exp(), output.quaternion_wxyz, present),
                _boxes(truth.center_m, truth.size_m, truth.quaternion_wxyz, present),
            ).astype(np.float32)
        ).to(shares.device)
    return shares.clamp(0.0, 1.0)


def _usable(output: UnifiedOutput) -> Bool[Tensor, "b n m"]:
    """Boxes early in training may be of no size or without end."""
    parts = (output.center_m, output.log_size, output.quaternion_wxyz)
    finite = torch.stack([torch.isfinite(part).all(-1) for part in parts]).all(0)
    return finite & (output.log_size.abs() < 6.0).all(-1)


def _boxes(center: Tensor, size: Tensor, wxyz: Tensor, chosen: Tensor) -> Boxes:
    arrays = (part[chosen].double().cpu().numpy() for part in (center, size, wxyz))
    return Boxes(*arrays)
