"""Feature fusion and dense heads: from tower pyramids to raw predictions per cell.

Everything about an object is predicted in the frame turned to the cell's own ray
azimuth (lateral, radial, vertical): a network that sees a picture knows where a thing is
relative to the line of sight, not relative to the middle of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spatialcode.encoder.small.maps import NUM_CLASSES

#: Raw channels per cell, in this order.
CELL_CHANNELS: dict[str, int] = {
    "class_logits": NUM_CLASSES,
    "log_depth": 1,
    "log_depth_log_scale": 1,
    "offset": 3,
    "vote_log_scale": 3,
    "log_size": 3,
    "axis": 2,
    "heading": 2,
}
#: Raw values per picture: correction of "up" (3), its log scale, log camera height.
NUM_GLOBAL = 5


@dataclass(frozen=True, eq=False)
class RawMaps:
    """Raw network output, float32. Cells are (b, channels, h, w); see CELL_CHANNELS.

    ``offset``: object centre minus the seen surface point, metres, in the (lateral, radial,
    vertical) frame of the cell's ray. ``axis``: (cos, sin) of twice the yaw, ``heading``:
    of the yaw itself, both relative to the ray's azimuth; ``heading`` means something for
    categories with a front only.
    """

    class_logits: Float[Tensor, "b c h w"]
    log_depth: Float[Tensor, "b 1 h w"]
    log_depth_log_scale: Float[Tensor, "b 1 h w"]
    offset: Float[Tensor, "b 3 h w"]
    vote_log_scale: Float[Tensor, "b 3 h w"]
    log_size: Float[Tensor, "b 3 h w"]
    axis: Float[Tensor, "b 2 h w"]
    heading: Float[Tensor, "b 2 h w"]
    up: Float[Tensor, "b 3"]
    up_log_scale: Float[Tensor, " b"]
    log_height: Float[Tensor, " b"]


def _conv_norm(width_in: int, width_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    )


class FeatureFusion(nn.Module):
    """Joins the pyramids of one or more towers and brings them to the finest stride.

    At each stride the towers' maps are concatenated and projected; coarser results are
    added to finer ones. Source: feature pyramids, Lin et al. 2017.
    """

    def __init__(self, channels_per_stride: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels_per_stride)
        self.smooth = nn.ModuleList(_conv_norm(width, width, 3) for _ in channels_per_stride[:-1])

    def forward(self, pyramids: list[tuple[Tensor, ...]]) -> Tensor:
        joined = [torch.cat(maps, dim=1) for maps in zip(*pyramids, strict=True)]
        x = self.laterals[-1](joined[-1])
        for i in reversed(range(len(joined) - 1)):
            finer = self.laterals[i](joined[i])
            x = nn.functional.interpolate(x, size=finer.shape[-2:], mode="nearest")
            x = self.smooth[i](finer + x)
        return x


class DenseHeads(nn.Module):
    """One shared 3x3 convolution, then all cell channels; pooled coarse features per picture."""

    def __init__(self, width: int, coarse_width: int) -> None:
        super().__init__()
        self.shared = _conv_norm(width, width, 3)
        self.cells = nn.Conv2d(width, sum(CELL_CHANNELS.values()), 1)
        last = nn.Linear(128, NUM_GLOBAL)
        nn.init.zeros_(last.weight)
        self.picture = nn.Sequential(nn.Linear(coarse_width, 128), nn.GELU(), last)

    def forward(self, fused: Tensor, coarse: Tensor, grid_hw: tuple[int, int]) -> RawMaps:
        h, w = grid_hw
        # float32 from here: exponentials and angles lose too much in bfloat16
        cells = self.cells(self.shared(fused))[:, :, :h, :w].float()
        split = torch.split(cells, list(CELL_CHANNELS.values()), dim=1)
        named = dict(zip(CELL_CHANNELS, split, strict=True))
        picture = self.picture(coarse.mean(dim=(2, 3))).float()
        upright = torch.tensor([0.0, -1.0, 0.0], device=picture.device)
        up = nn.functional.normalize(upright + picture[:, :3], dim=-1)
        return RawMaps(**named, up=up, up_log_scale=picture[:, 3], log_height=picture[:, 4])
