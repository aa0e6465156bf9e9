"""From pictures and what is known of the camera to the network's input channels.

Besides colour, the network sees each pixel's ray and, where gravity and camera height
are known, the ray's elevation and the inverse depth at which it would meet the floor.
Those two say most of what a single picture can say about metric distance. A quality
channel tells the network how far to trust them.

Source: none.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

NUM_CHANNELS = 8

#: Values of the quality channel.
GRAVITY_EXACT, GRAVITY_ESTIMATED, GRAVITY_UNKNOWN = 1.0, 0.5, 0.0

#: Pictures are padded at the bottom and right to a multiple of this many pixels.
PAD_MULTIPLE_PX = 16


def pixel_rays(
    K: Float[Tensor, "b 3 3"], height_px: int, width_px: int, stride_px: int = 1
) -> Float[Tensor, "b h w 3"]:
    """Rays (x/z, y/z, 1) in camera coordinates through the centres of cells of ``stride_px``."""
    device = K.device
    rows = (torch.arange(height_px // stride_px, device=device) + 0.5) * stride_px
    cols = (torch.arange(width_px // stride_px, device=device) + 0.5) * stride_px
    x = (cols[None, :] - K[:, 0, 2, None]) / K[:, 0, 0, None]
    y = (rows[None, :] - K[:, 1, 2, None]) / K[:, 1, 1, None]
    b, h, w = len(K), len(rows), len(cols)
    xs = x[:, None, :].expand(b, h, w)
    ys = y[:, :, None].expand(b, h, w)
    return torch.stack((xs, ys, torch.ones_like(xs)), dim=-1)


def level_rotation(up_camera: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Rotation R_level_camera: rows are level x (right), y (horizontally forward), z (up).

    ``up_camera`` are unit vectors. Looking straight up or down leaves "forward" undefined;
    the camera's -y (up in the picture) then takes its place.
    """
    forward = torch.zeros_like(up_camera)
    forward[:, 2] = 1.0
    substitute = torch.zeros_like(up_camera)
    substitute[:, 1] = -1.0
    steep = up_camera[:, 2:].abs() > 0.999
    forward = torch.where(steep, substitute, forward)
    y = forward - (forward * up_camera).sum(-1, keepdim=True) * up_camera
    y = torch.nn.functional.normalize(y, dim=-1)
    x = torch.linalg.cross(y, up_camera)
    return torch.stack((x, y, up_camera), dim=1)


def input_channels(
    rgb: UInt8[Tensor, "b h w 3"],
    K: Float[Tensor, "b 3 3"],
    up_camera: Float[Tensor, "b 3"],
    camera_height_m: Float[Tensor, " b"],
    quality: Float[Tensor, " b"],
) -> Float[Tensor, "b 8 hp wp"]:
    """Network input, padded to a multiple of ``PAD_MULTIPLE_PX`` and channels-last.

    ``quality`` is one of GRAVITY_EXACT, GRAVITY_ESTIMATED, GRAVITY_UNKNOWN per picture;
    where it is unknown, the gravity channels are zero whatever ``up_camera`` holds.
    """
    rays = pixel_rays(K, rgb.shape[1], rgb.shape[2])
    known = (quality > 0).to(rays.dtype)[:, None, None]
    up_part = torch.einsum("bhwc,bc->bhw", rays, up_camera)
    elevation = known * up_part / rays.norm(dim=-1)
    inverse_floor = known * (-up_part).clamp(min=0) / camera_height_m[:, None, None]
    flag = quality[:, None, None].expand_as(elevation)
    colour = (rgb.to(rays.dtype) - 127.5) / 64.0
    geometry = torch.stack((rays[..., 0], rays[..., 1], elevation, inverse_floor, flag), dim=-1)
    channels = torch.cat((colour, geometry), dim=-1).permute(0, 3, 1, 2)
    pad_h = -channels.shape[2] % PAD_MULTIPLE_PX
    pad_w = -channels.shape[3] % PAD_MULTIPLE_PX
    padded = torch.nn.functional.pad(channels, (0, pad_w, 0, pad_h))
    return padded.contiguous(memory_format=torch.channels_last)
