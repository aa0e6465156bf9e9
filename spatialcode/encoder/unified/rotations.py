"""Rotations as tensors, with gradients: what `spatialcode.scene.frames` has for arrays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def quaternion_product(
    a_wxyz: Float[Tensor, "*s 4"], b_wxyz: Float[Tensor, "*s 4"]
) -> Float[Tensor, "*s 4"]:
    """The rotation b followed by a. Broadcasts."""
    aw, ax, ay, az = a_wxyz.unbind(-1)
    bw, bx, by, bz = b_wxyz.unbind(-1)
    return torch.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        -1,
    )


def rotation_matrix(wxyz: Float[Tensor, "*s 4"]) -> Float[Tensor, "*s 3 3"]:
    """The matrix of unit quaternions."""
    w, x, y, z = wxyz.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def turned_to(ray: Float[Tensor, "*s 3"]) -> Float[Tensor, "*s 4"]:
    """The shortest rotation, as a unit quaternion, that takes +z to the direction of a ray.

    Rays point ahead (z > 0), so the rotation is never half a turn.
    """
    x, y, z = F.normalize(ray, dim=-1).unbind(-1)
    # (1 + cos, axis · sin) of the angle is twice the half-angle's quaternion, up to its length
    return F.normalize(torch.stack((1.0 + z, -y, x, torch.zeros_like(z)), -1), dim=-1)
