"""Augmentation of training batches: mirroring, colour, and imperfect knowledge of gravity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.encoder.small.inputs import GRAVITY_ESTIMATED, GRAVITY_EXACT, GRAVITY_UNKNOWN


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
