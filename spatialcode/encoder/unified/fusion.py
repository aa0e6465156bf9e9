"""Two towers' features on one grid: joined cell by cell, or by cross-attention.

The geometry tower's grid is that of its patches of 14 px, the object tower's that of stride 16 of
a square picture; both cover the whole frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from spatialcode.encoder.unified.config import UnifiedNetworkConfig
from spatialcode.errors import ConfigError


def make_fusion(
    object_width: int, geometry_width: int, config: UnifiedNetworkConfig
) -> Concatenation | CrossAttention:
    """The joining that settings name. ConfigError where heads do not divide the width."""
    if config.fusion == "concatenation":
        return Concatenation(object_width, geometry_width, config)
    if config.width % config.num_heads:
        expected = f"a divisor of width = {config.width}"
        raise ConfigError(f"num_heads: expected {expected}, got {config.num_heads}")
    return CrossAttention(object_width, geometry_width, config)


class Concatenation(nn.Module):
    """Geometry resampled onto the object tower's grid; residual blocks over both."""

    def __init__(self, object_width: int, geometry_width: int, config: UnifiedNetworkConfig):
        super().__init__()
        self.joined = nn.Conv2d(object_width + geometry_width, config.width, 1)
        self.blocks = nn.ModuleList(
            _ConvolutionBlock(config.width) for _ in range(config.num_fusion_layers)
        )

    def forward(
        self, seen: Float[Tensor, "bn c g g"], geometry: Float[Tensor, "bn d h w"]
    ) -> Float[Tensor, "bn e g g"]:
        size = seen.shape[-2:]
        resampled = F.interpolate(geometry.float(), size, mode="bilinear", align_corners=False)
        fused = self.joined(torch.cat((seen, resampled.to(seen.dtype)), 1))
        for block in self.blocks:
            fused = block(fused)
        return fused


class _ConvolutionBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.mixed = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.mixed(F.gelu(self.near(self.norm(features))))


class CrossAttention(nn.Module):
    """Cells of the object tower ask the geometry tower's cells of the same frame."""

    def __init__(self, object_width: int, geometry_width: int, config: UnifiedNetworkConfig):
        super().__init__()
        self.seen = nn.Conv2d(object_width, config.width, 1)
        self.geometry = nn.Conv2d(geometry_width, config.width, 1)
        self.blocks = nn.ModuleList(
            _AttentionBlock(config.width, config.num_heads) for _ in range(config.num_fusion_layers)
        )

    def forward(
        self, seen: Float[Tensor, "bn c g g"], geometry: Float[Tensor, "bn d h w"]
    ) -> Float[Tensor, "bn e g g"]:
        grid = seen.shape[-2:]
        cells = _with_places(self.seen(seen))
        asked = _with_places(self.geometry(geometry.to(seen.dtype)))
        for block in self.blocks:
            cells = block(cells, asked)
        return cells.transpose(1, 2).unflatten(2, grid)


class _AttentionBlock(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm, self.norm_asked = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.norm_mixed = nn.LayerNorm(width)
        self.mixed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, cells: Tensor, asked: Tensor) -> Tensor:
        keys = self.norm_asked(asked)
        found, _ = self.attention(self.norm(cells), keys, keys, need_weights=False)
        cells = cells + found
        return cells + self.mixed(self.norm_mixed(cells))


def _with_places(features: Tensor) -> Tensor:
    """Maps (BN, C, h, w) as tokens (BN, hw, C) that tell where in the frame they are.

    Both grids cover the same frame, so a place has the same code in either.
    """
    h, w = features.shape[-2:]
    width = features.shape[1]
    y = (torch.arange(h, device=features.device) + 0.5) / h
    x = (torch.arange(w, device=features.device) + 0.5) / w
    frequency = 2.0 ** torch.arange(0, max(1, width // 4), device=features.device).remainder(6)
    angles = [torch.pi * axis[:, None] * frequency for axis in (y, x)]
    rows, columns = (torch.cat((a.sin(), a.cos()), -1) for a in angles)
    code = torch.cat((rows[:, None].expand(h, w, -1), columns[None].expand(h, w, -1)), -1)
    code = F.pad(code, (0, max(0, width - code.shape[-1])))[..., :width]
    return (features + code.movedim(-1, 0).to(features.dtype)).flatten(2).transpose(1, 2)
