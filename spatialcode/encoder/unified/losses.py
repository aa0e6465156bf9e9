"""What the unified network is trained to lower: pure functions of predictions and truth.

Lengths are metres, cameras OpenCV's, quaternions (w, x, y, z). Everything computes in float32,
whatever the towers compute in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.encoder.unified.rotations import quaternion_product, rotation_matrix
from spatialcode.scene.categories import YawSymmetry

#: Number of each symmetry of `spatialcode.scene.categories` in tensors.
SYMMETRIES: tuple[YawSymmetry, ...] = ("full", "half", "quarter", "round")
#: Quarter-turns about the box's own z that leave a box as it was, by symmetry. A round thing has
#: all of them and every turn between.
_TURNS = ((0,), (0, 2), (0, 1, 2, 3), (0,))
_ROUND = SYMMETRIES.index("round")
_NEVER = 1e9


def laplace_nll(
    error: Float[Tensor, "*s"], log_scale: Float[Tensor, "*s"], beta: float = 0.0
) -> Float[Tensor, "*s"]:
    """Negative logarithm of the Laplace density of errors: ``|e| / b + log 2b``, b = exp(scale).

    ``beta``: the gradient is multiplied by b to this power, which keeps sure predictions from
    outweighing all others: at 1 an error's gradient does not depend on b.
    Source: Kendall and Gal, arXiv 1703.04977, section 3, with the L1 norm; Seitzer et al.,
    arXiv 2203.09168, equation 5.
    """
    likelihood = error.abs() * torch.exp(-log_scale) + log_scale + math.log(2.0)
    return likelihood if beta == 0.0 else likelihood * torch.exp(beta * log_scale.detach())


@dataclass(frozen=True, eq=False)
class EqualBox:
    """Of all boxes equal to the true one under its symmetry, the nearest to a prediction.

    ``rotation_error`` (...): sin² of half the angle between the two. ``size_m`` (..., 3).
    """

    rotation_error: Float[Tensor, "*s"]
    size_m: Float[Tensor, "*s 3"]


def nearest_equal(
    predicted_wxyz: Float[Tensor, "*s 4"],
    true_wxyz: Float[Tensor, "*s 4"],
    true_size_m: Float[Tensor, "*s 3"],
    symmetry: Int[Tensor, "*s"],
) -> EqualBox:
    """The true box turned by the quarter-turns its symmetry allows, as near as they come.

    An odd quarter-turn exchanges the extents along x and y. Of a round thing only the axis
    counts, in the place of the whole rotation. ``symmetry``: index into `SYMMETRIES`.
    Source: the best of equal poses, Wang et al., arXiv 1901.02970, section 3.2.
    """
    half = torch.arange(4).to(true_wxyz) * (math.pi / 4.0)
    zeros = torch.zeros_like(half)
    turns = torch.stack((half.cos(), zeros, zeros, half.sin()), -1)
    equal = quaternion_product(true_wxyz[..., None, :], turns)
    errors = 1.0 - (equal * predicted_wxyz[..., None, :]).sum(-1).square()
    allowed = torch.zeros(len(SYMMETRIES), 4, dtype=torch.bool, device=errors.device)
    for i, own in enumerate(_TURNS):
        allowed[i, list(own)] = True
    errors = errors.masked_fill(~allowed[symmetry], _NEVER)
    best = errors.argmin(-1, keepdim=True)
    whole = errors.gather(-1, best)[..., 0]
    cosine = (rotation_matrix(predicted_wxyz)[..., 2] * rotation_matrix(true_wxyz)[..., 2]).sum(-1)
    exchanged = true_size_m[..., [1, 0, 2]]
    size = torch.where(best % 2 == 1, exchanged, true_size_m)
    # 1 - cos is 2 sin² of half the angle between the axes
    return EqualBox(torch.where(symmetry == _ROUND, 0.5 * (1.0 - cosine), whole), size)


def binary_loss(logit: Float[Tensor, "*s"], share: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Cross-entropy of a logit against a true share in [0, 1]."""
    return F.binary_cross_entropy_with_logits(logit, share, reduction="none")


def masked_mean(values: Float[Tensor, "*s"], used: Bool[Tensor, "*s"]) -> Float[Tensor, ""]:
    """Mean over what is used; 0, with a gradient of 0, where nothing is."""
    return (values * used).sum() / used.sum().clamp(min=1)


def depth_loss(
    depth_m: Float[Tensor, "*b h w"],
    confidence: Float[Tensor, "*b h w"],
    true_m: Float[Tensor, "*b h w"],
) -> Float[Tensor, ""]:
    """Error of the logarithm of depth, weighed by a confidence that pays for being high, and of
    its differences between neighbours.

    Not finite or not positive truth is unknown. ``confidence`` above 0: the inverse of a Laplace
    scale. Source: Depth Anything 3, arXiv 2511.10647, equations of L_D and L_grad, here on
    logarithms so that near and far count alike.
    """
    known = torch.isfinite(true_m) & (true_m > 0)
    truth = torch.where(known, true_m, torch.ones_like(true_m)).log()
    error = depth_m.clamp(min=1e-6).log() - truth
    likelihood = confidence * error.abs() - confidence.log()
    right, down = known[..., 1:] & known[..., :-1], known[..., 1:, :] & known[..., :-1, :]
    across = masked_mean((error[..., 1:] - error[..., :-1]).abs(), right)
    along = masked_mean((error[..., 1:, :] - error[..., :-1, :]).abs(), down)
    return masked_mean(likelihood, known) + across + along


def true_rays(
    K: Float[Tensor, "b n 3 3"],
    T_world_camera: Float[Tensor, "b n 4 4"],
    shape_hw: tuple[int, int],
    unit_m: float,
) -> Float[Tensor, "b n h w 6"]:
    """The ray of every pixel in the first camera's frame: direction, then origin in units.

    The direction is not of unit length: its z in its own camera is 1, so that a point is origin +
    depth · direction. ``K``: in pixels of maps of ``shape_hw``.
    Source: Depth Anything 3, arXiv 2511.10647, section 3.1.
    """
    h, w = shape_hw
    x = torch.arange(w, device=K.device, dtype=K.dtype) + 0.5
    y = torch.arange(h, device=K.device, dtype=K.dtype) + 0.5
    pixel = torch.stack((x.expand(h, w), y[:, None].expand(h, w), torch.ones_like(x.expand(h, w))))
    T_first_camera = torch.linalg.inv(T_world_camera[:, :1]) @ T_world_camera
    R, t = T_first_camera[..., :3, :3], T_first_camera[..., :3, 3]
    direction = torch.einsum("bnij,jhw->bnhwi", R @ torch.linalg.inv(K), pixel)
    origin = (t / unit_m)[:, :, None, None].expand(direction.shape)
    return torch.cat((direction, origin), -1)


def ray_loss(
    ray: Float[Tensor, "b n h w 6"],
    confidence: Float[Tensor, "b n h w"],
    true: Float[Tensor, "b n h w 6"],
) -> Float[Tensor, ""]:
    """Mean absolute error of rays, weighed as `depth_loss` weighs depth."""
    error = (ray - true).abs().mean(-1)
    return (confidence * error - confidence.log()).mean()
