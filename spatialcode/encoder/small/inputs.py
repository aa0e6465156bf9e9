"""What the network is told: colour, rays, and what is known of gravity, true or made imperfect.

Besides colour, the network sees each pixel's ray and, where gravity and camera height
are known, the ray's elevation and the inverse depth at which it would meet the floor.
Those two say most of what a single picture can say about metric distance. A quality
channel tells the network how far to trust them. Training batches are mirrored, recoloured, and
told of gravity as well as a caller may know it.

The *azimuth frame* of a cell is the level frame turned about the vertical so that its second axis
is the horizontal direction of the cell's ray: (lateral to the right, radial away from the camera,
vertical up). Losses and decoding share its one definition here.

Source: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spatialcode.encoder.maps import STRIDE_PX

NUM_COLOURS, NUM_CHANNELS = 3, 8
#: Grey levels of one unit of the colour channels.
COLOUR_SCALE = 64.0

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
    colour = (rgb.to(rays.dtype) - 127.5) / COLOUR_SCALE
    geometry = torch.stack((rays[..., 0], rays[..., 1], elevation, inverse_floor, flag), dim=-1)
    channels = torch.cat((colour, geometry), dim=-1).permute(0, 3, 1, 2)
    pad_h = -channels.shape[2] % PAD_MULTIPLE_PX
    pad_w = -channels.shape[3] % PAD_MULTIPLE_PX
    padded = torch.nn.functional.pad(channels, (0, pad_w, 0, pad_h))
    return padded.contiguous(memory_format=torch.channels_last)


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


@dataclass(frozen=True)
class CameraKnowledge:
    """What the network is told of the camera: "up", height above the floor, and how good."""

    up_camera: Float[Tensor, "b 3"]
    camera_height_m: Float[Tensor, " b"]
    quality: Float[Tensor, " b"]


@dataclass(frozen=True)
class KnowledgeConfig:
    """Shares of pictures with exact, estimated and unknown gravity; noise of the estimates."""

    exact_share: float = 0.4
    unknown_share: float = 0.2
    gravity_noise_rad: float = 0.035
    height_noise: float = 0.06


def exact_knowledge(batch: dict[str, Tensor]) -> CameraKnowledge:
    """Truth, marked as such."""
    height = batch["camera_height_m"]
    return CameraKnowledge(batch["up_camera"], height, torch.full_like(height, GRAVITY_EXACT))


def unknown_knowledge(batch: dict[str, Tensor]) -> CameraKnowledge:
    """Nothing: "up" is the picture's own up; the network's inputs hold zeros for it."""
    height = batch["camera_height_m"]
    up = torch.tensor([0.0, -1.0, 0.0], device=height.device).expand(len(height), 3)
    return CameraKnowledge(up, torch.ones_like(height), torch.full_like(height, GRAVITY_UNKNOWN))


def noisy_knowledge(
    batch: dict[str, Tensor], config: KnowledgeConfig, generator: torch.Generator
) -> CameraKnowledge:
    """A mixture over the batch of exact, estimated and unknown gravity.

    Where it is unknown, frames still follow a noisy "up", so that the level frame of the
    targets keeps its meaning; the network is not shown it.
    """
    up, height = batch["up_camera"], batch["camera_height_m"]
    b = len(up)
    kind = torch.rand(b, generator=generator)
    exact = kind < config.exact_share
    unknown = kind > 1 - config.unknown_share
    spread = config.gravity_noise_rad * (0.3 + 1.2 * torch.rand(b, 1, generator=generator))
    tilt = torch.randn(b, 3, generator=generator) * spread
    noisy_up = torch.nn.functional.normalize(up + tilt, dim=-1)
    noisy_height = height * torch.exp(torch.randn(b, generator=generator) * config.height_noise)
    quality = torch.full((b,), GRAVITY_ESTIMATED)
    quality[exact] = GRAVITY_EXACT
    quality[unknown] = GRAVITY_UNKNOWN
    return CameraKnowledge(
        torch.where(exact[:, None], up, noisy_up),
        torch.where(exact, height, noisy_height),
        quality,
    )


def mirrored(batch: dict[str, Tensor], flip: Tensor) -> dict[str, Tensor]:
    """The batch with the pictures of ``flip`` (b,) mirrored left to right, targets included.

    A mirrored box keeps its front; its x axis, which must complete a right-handed frame,
    is the mirror image negated.
    """
    width = batch["rgb"].shape[2]
    out = dict(batch)
    for name in ("rgb", "cell_instance", "cell_depth_m"):
        shape = (-1, *(1,) * (batch[name].ndim - 1))
        out[name] = torch.where(flip.view(shape), batch[name].flip(2), batch[name])
    K = batch["K"].clone()
    K[flip, 0, 2] = width - K[flip, 0, 2]
    sign = torch.tensor([-1.0, 1.0, 1.0])
    vector_sign = torch.where(flip[:, None], sign, torch.ones(3))
    axis_sign = torch.where(flip[:, None], -sign, torch.ones(3))
    out["K"] = K
    out["up_camera"] = batch["up_camera"] * vector_sign
    out["center_camera_m"] = batch["center_camera_m"] * vector_sign[:, None]
    out["box_x_camera"] = batch["box_x_camera"] * axis_sign[:, None]
    return out


def recoloured(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Random gain per channel, contrast and noise; uint8 in, uint8 out (b, h, w, 3)."""
    b = len(rgb)
    gain = 1 + 0.12 * torch.randn(b, 1, 1, 3, generator=generator)
    contrast = 1 + 0.15 * torch.randn(b, 1, 1, 1, generator=generator)
    shift = 10 * torch.randn(b, 1, 1, 1, generator=generator)
    noise_level = 6 * torch.rand(b, 1, 1, 1, generator=generator)
    noise = torch.randn(rgb.shape, generator=generator) * noise_level
    value = (rgb.float() - 127.5) * contrast * gain + 127.5 + shift + noise
    return value.clamp(0, 255).to(torch.uint8)


def augmented(batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Mirror half of the pictures, recolour all."""
    out = mirrored(batch, torch.rand(len(batch["rgb"]), generator=generator) < 0.5)
    out["rgb"] = recoloured(out["rgb"], generator)
    return out
