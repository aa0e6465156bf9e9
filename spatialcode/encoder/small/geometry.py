"""Ray geometry shared by the losses and by decoding: one definition of every frame.

The *azimuth frame* of a cell is the level frame turned about the vertical so that its
second axis is the horizontal direction of the cell's ray: (lateral to the right,
radial away from the camera, vertical up).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.encoder.small.inputs import level_rotation, pixel_rays
from spatialcode.encoder.small.maps import STRIDE_PX


@dataclass(frozen=True, eq=False)
class CellFrames:
    """Rays and azimuth frames of every cell of B pictures.

    ``R_level_camera`` (b, 3, 3). ``ray_level`` (b, h, w, 3): the ray of z-depth 1, in the
    level frame. ``radial`` (b, h, w, 2): its horizontal unit direction (x, y).
    """

    R_level_camera: Float[Tensor, "b 3 3"]
    ray_level: Float[Tensor, "b h w 3"]
    radial: Float[Tensor, "b h w 2"]

    def to_azimuth(self, vectors_level: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
        """Level-frame vectors as (lateral, radial, vertical)."""
        x, y, z = vectors_level.unbind(-1)
        rx, ry = self.radial.unbind(-1)
        return torch.stack((x * ry - y * rx, x * rx + y * ry, z), dim=-1)

    def to_level(self, vectors_azimuth: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
        """(lateral, radial, vertical) vectors in the level frame: inverse of to_azimuth."""
        lateral, along, z = vectors_azimuth.unbind(-1)
        rx, ry = self.radial.unbind(-1)
        return torch.stack((lateral * ry + along * rx, along * ry - lateral * rx, z), dim=-1)

    @property
    def azimuth_rad(self) -> Float[Tensor, "b h w"]:
        """Yaw of the azimuth frame in the level frame; 0 where the ray points along level y."""
        return torch.atan2(-self.radial[..., 0], self.radial[..., 1])


def cell_frames(
    K: Float[Tensor, "b 3 3"], up_camera: Float[Tensor, "b 3"], height_px: int, width_px: int
) -> CellFrames:
    """Frames of the stride-4 cells of pictures of the given size; ``K`` is the pictures'."""
    rotation = level_rotation(up_camera)
    rays = pixel_rays(K, height_px, width_px, STRIDE_PX)
    ray_level = torch.einsum("bij,bhwj->bhwi", rotation, rays)
    radial = torch.nn.functional.normalize(ray_level[..., :2], dim=-1, eps=1e-6)
    return CellFrames(rotation, ray_level, radial)
