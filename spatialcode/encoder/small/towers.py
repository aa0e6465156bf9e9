"""Towers: what turns a picture into feature maps, and the one that is trained from nothing.

A tower sees the channels of `input_channels` and gives one map for each stride of
``PYRAMID_STRIDES_PX``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spatialcode.encoder.small.inputs import NUM_CHANNELS

#: Strides, in input pixels, of the maps that a tower returns, finest first.
PYRAMID_STRIDES_PX = (4, 8, 16)


class Tower(Protocol):
    """Gives one feature map per stride of ``PYRAMID_STRIDES_PX``; a torch module.

    ``channels``: how many the map of each stride has. Inputs are those of ``input_channels``.
    """

    channels: tuple[int, ...]

    def __call__(self, inputs: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class TrunkConfig:
    """Widths and depths of the small trunk: stages at strides 2, 4, 8, 16."""

    widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    depths: tuple[int, int, int, int] = (0, 2, 2, 3)
    num_attention_blocks: int = 1
    num_heads: int = 4


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation around an identity path."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.second_norm.weight)  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(x + self.second_norm(self.second(y)))


class AttentionBlock(nn.Module):
    """Pre-norm self-attention over all cells of the coarsest map.

    No positional code: the rays among the input channels already tell cells apart, and so
    any picture size works.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        last = nn.Linear(2 * width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), last)
        nn.init.zeros_(self.attention_out.weight)
        nn.init.zeros_(last.weight)

    def forward(self, tokens: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        b, t, d = tokens.shape
        qkv = self.to_qkv(self.attention_norm(tokens))
        q, k, v = qkv.view(b, t, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        # spelled out: on CPUs the fused kernel's backward pass takes far longer
        scores = (q @ k.transpose(-1, -2)) * (d // self.num_heads) ** -0.5
        mixed = scores.softmax(-1) @ v
        tokens = tokens + self.attention_out(mixed.transpose(1, 2).reshape(b, t, d))
        return tokens + self.mlp(self.mlp_norm(tokens))


class ConvTrunk(nn.Module):
    """Residual stages at strides 2 to 16, attention on the coarsest.

    Source: none; residual stages after He et al. 2016, attention after Vaswani et al. 2017.
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        widths = config.widths
        self.channels = widths[1:]
        ins = (NUM_CHANNELS, *widths[:-1])
        self.downs = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(i, o, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()
            )
            for i, o in zip(ins, widths, strict=True)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(w) for _ in range(n)))
            for w, n in zip(widths, config.depths, strict=True)
        )
        self.attention = nn.ModuleList(
            AttentionBlock(widths[-1], config.num_heads) for _ in range(config.num_attention_blocks)
        )

    def forward(self, inputs: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        maps = []
        x = inputs
        for down, stage in zip(self.downs, self.stages, strict=True):
            x = stage(down(x))
            maps.append(x)
        b, d, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        for block in self.attention:
            tokens = block(tokens)
        maps[-1] = tokens.transpose(1, 2).reshape(b, d, h, w)
        return tuple(maps[1:])
