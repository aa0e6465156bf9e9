"""Training losses: pure functions of raw maps and targets.

The vote's loss is on the object's centre itself (seen point from the *predicted* depth
plus offset), so that the offset learns to absorb errors of depth. Laplace likelihoods
make every quantity's weight its own predicted scale. Cells of an object count
1/sqrt(cells), so that a bed does not drown a lamp.

Source: Laplace aleatoric likelihood, Kendall & Gal 2017; votes to centres, Qi et al. 2019
(VoteNet). The rest: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.encoder.maps import CEILING_CHANNEL, FLOOR_CHANNEL, WALL_CHANNEL
from spatialcode.encoder.small.inputs import CellFrames
from spatialcode.encoder.small.model import RawMaps
from spatialcode.scene.kinds import Kinds

STRUCTURE_CHANNEL = {-1: FLOOR_CHANNEL, -2: WALL_CHANNEL, -3: CEILING_CHANNEL}
LOG_SCALE_RANGE = (-5.0, 3.0)


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term in the total."""

    classes: float = 2.0
    depth: float = 1.0
    vote: float = 1.0
    size: float = 1.0
    axis: float = 1.0
    heading: float = 0.5
    gravity: float = 0.3
    height: float = 0.3


@dataclass(frozen=True, eq=False)
class CellTargets:
    """Per-cell targets of B pictures; entries of cells without an object are arbitrary.

    ``class_index`` (b, h, w) long, ``valid``: the cell has a class, ``has_depth``: it has a depth,
    ``is_object``; ``object_weight``: 1/sqrt(cells of its object in this picture).
    ``center_azimuth_m``: object centre minus camera centre as (lateral, radial, vertical);
    ``axis_cos_sin``, ``heading_cos_sin``: of twice and once the yaw relative to the ray.
    """

    class_index: Int[Tensor, "b h w"]
    valid: Bool[Tensor, "b h w"]
    has_depth: Bool[Tensor, "b h w"]
    is_object: Bool[Tensor, "b h w"]
    object_weight: Float[Tensor, "b h w"]
    log_depth: Float[Tensor, "b h w"]
    center_azimuth_m: Float[Tensor, "b h w 3"]
    log_size: Float[Tensor, "b h w 3"]
    axis_cos_sin: Float[Tensor, "b h w 2"]
    heading_cos_sin: Float[Tensor, "b h w 2"]


def _of_cell(values: Tensor, index: Int[Tensor, "b h w"]) -> Tensor:
    """Values (b, M, ...) of the object that each cell shows: (b, h, w, ...)."""
    b, h, w = index.shape
    rows = torch.arange(b, device=index.device)[:, None, None].expand(b, h, w)
    return values[rows, index]


def _cells_per_object(instance: Int[Tensor, "b h w"], num_objects: int) -> Float[Tensor, "b M"]:
    flat = instance.flatten(1).clamp(min=-1).long() + 1
    counts = torch.zeros(len(flat), num_objects + 1, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=counts.dtype))
    return counts[:, 1:]


def cell_targets(batch: dict[str, Tensor], frames: CellFrames, kinds: Kinds) -> CellTargets:
    """Targets in the frames that the prediction uses.

    ``batch`` holds tensors named as the fields of ``TrainingFrames``. ``frames`` may belong
    to a noisy "up": targets turn with it, since lifting undoes the same rotation.
    """
    instance = batch["cell_instance"].long()
    index = instance.clamp(min=0)
    label = _of_cell(batch["label_index"], index).long()
    is_known = instance >= min(STRUCTURE_CHANNEL)
    is_object = (instance >= 0) & (label >= 0)
    class_index = label.clamp(min=0)
    for instance_id, channel in STRUCTURE_CHANNEL.items():
        of_part = kinds.num_channels + channel
        class_index = torch.where(instance == instance_id, of_part, class_index)
    num_cells = _cells_per_object(instance, batch["label_index"].shape[1])
    center = torch.einsum("bij,bmj->bmi", frames.R_level_camera, batch["center_camera_m"])
    box_x = torch.einsum("bij,bmj->bmi", frames.R_level_camera, batch["box_x_camera"])
    x_azimuth = frames.to_azimuth(_of_cell(box_x, index))
    heading = torch.nn.functional.normalize(x_azimuth[..., :2], dim=-1)
    cos, sin = heading.unbind(-1)
    return CellTargets(
        class_index=class_index,
        valid=is_object | (is_known & (instance < 0)),
        has_depth=is_known,
        is_object=is_object,
        object_weight=is_object / _of_cell(num_cells, index).clamp(min=1).sqrt(),
        log_depth=batch["cell_depth_m"].log(),
        center_azimuth_m=frames.to_azimuth(_of_cell(center, index)),
        log_size=_of_cell(batch["size_m"], index).log(),
        axis_cos_sin=torch.stack((cos * cos - sin * sin, 2 * cos * sin), dim=-1),
        heading_cos_sin=heading,
    )


def laplace_nll(error: Tensor, log_scale: Tensor, beta: float = 0.5) -> Tensor:
    """(|error| / b + log b) b^beta, elementwise, b = exp(log_scale) kept in a sane range.

    The factor b^beta is a constant to the gradient. Without it (beta 0, the plain
    likelihood) what is predicted badly is also trained weakly, and stays bad.
    Source: beta-NLL, Seitzer et al. 2022, here for the Laplace distribution.
    """
    log_scale = log_scale.clamp(*LOG_SCALE_RANGE)
    likelihood = error.abs() * torch.exp(-log_scale) + log_scale
    return likelihood * torch.exp(beta * log_scale.detach())


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of the values by weight; 0 where nothing weighs anything."""
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def predicted_center(raw: RawMaps, frames: CellFrames) -> Float[Tensor, "b h w 3"]:
    """Object centre minus camera centre as (lateral, radial, vertical), per cell."""
    depth = raw.log_depth[:, 0].exp()
    point = frames.to_azimuth(frames.ray_level * depth[..., None])
    return point + raw.offset.permute(0, 2, 3, 1)


def loss_terms(
    raw: RawMaps, batch: dict[str, Tensor], frames: CellFrames
) -> dict[str, Float[Tensor, ""]]:
    """Every term of the loss, unweighted, each a mean over what it applies to."""
    t = cell_targets(batch, frames, raw.kinds)
    weight = t.object_weight
    # an object of 16 cells weighs 1 a cell; structure is plentiful and easy
    class_weight = torch.where(t.is_object, (4 * weight).clamp(0.2, 2.0), 0.25) * t.valid
    classes = torch.nn.functional.cross_entropy(raw.class_logits, t.class_index, reduction="none")
    depth = laplace_nll(raw.log_depth[:, 0] - t.log_depth, raw.log_depth_log_scale[:, 0])
    depth_weight = torch.where(t.is_object, (4 * weight).clamp(0.5, 2.0), 0.5) * t.has_depth
    center_error = predicted_center(raw, frames) - t.center_azimuth_m
    vote = laplace_nll(center_error, raw.vote_log_scale.permute(0, 2, 3, 1)).sum(-1)
    size = (raw.log_size.permute(0, 2, 3, 1) - t.log_size).abs().sum(-1)
    axis = (raw.axis.permute(0, 2, 3, 1) - t.axis_cos_sin).square().sum(-1)
    heading = (raw.heading.permute(0, 2, 3, 1) - t.heading_cos_sin).square().sum(-1)
    object_class = t.class_index.clamp(max=len(raw.kinds) - 1)
    has_axis, has_front = (
        torch.from_numpy(which).to(weight.device)[object_class]
        for which in (raw.kinds.has_axis, raw.kinds.has_front)
    )
    up_error = (raw.up - batch["up_camera"]).norm(dim=-1)
    height_error = (raw.log_height - batch["camera_height_m"].log()).abs()
    return {
        "classes": weighted_mean(classes, class_weight),
        "depth": weighted_mean(depth, depth_weight),
        "vote": weighted_mean(vote, weight),
        "size": weighted_mean(size, weight),
        "axis": weighted_mean(axis, weight * has_axis),
        "heading": weighted_mean(heading, weight * has_front),
        "gravity": laplace_nll(up_error, raw.up_log_scale).mean(),
        "height": height_error.mean(),
    }


def total_loss(terms: dict[str, Tensor], weights: LossWeights) -> Float[Tensor, ""]:
    """Weighted sum of the terms."""
    return sum((getattr(weights, name) * term for name, term in terms.items()), torch.zeros(()))


@torch.no_grad()
def quality_measures(
    raw: RawMaps, batch: dict[str, Tensor], frames: CellFrames
) -> dict[str, float]:
    """Readable measures: depth AbsRel, vote error (m, median), class and object accuracy."""
    t = cell_targets(batch, frames, raw.kinds)
    depth_error = (raw.log_depth[:, 0].exp() / t.log_depth.exp() - 1).abs()
    vote_error = (predicted_center(raw, frames) - t.center_azimuth_m).norm(dim=-1)
    correct = (raw.class_logits.argmax(1) == t.class_index).float()
    up_error_deg = torch.rad2deg(torch.acos((raw.up * batch["up_camera"]).sum(-1).clamp(-1, 1)))
    height_ratio = (raw.log_height.exp() / batch["camera_height_m"] - 1).abs()
    return {
        "depth_abs_rel": weighted_mean(depth_error, t.has_depth.float()).item(),
        "vote_error_m": vote_error[t.is_object].median().item(),
        "object_class_accuracy": weighted_mean(correct, t.object_weight).item(),
        "class_accuracy": weighted_mean(correct, t.valid.float()).item(),
        "gravity_error_deg": up_error_deg.median().item(),
        "height_error_rel": height_ratio.median().item(),
    }
