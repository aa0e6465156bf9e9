"""Boxes from what lies under a mask: the pooled feature, and the mask's own shape in space.

A box is predicted about the mask's median depth along its mean ray, and in a frame turned to that
ray: what a thing looks like tells how it is turned against the line of sight, not against the
camera (Kundu et al., "3D-RCNN", CVPR 2018, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spatialcode.encoder.unified.rotations import quaternion_product, rotation_matrix, turned_to

#: Cells of depth under a mask are counted on a grid of at most so many on the longer side.
_MAX_CELLS = 64
#: Numbers of a mask's shape that the head is told, each also as sines and cosines of so many
#: frequencies, without which small differences are hard to read (Tancik et al., arXiv 2006.10739).
_NUM_SHAPE, _NUM_FREQUENCIES = 8, 4
#: Bounds of logarithms of Laplace scales. Below 1 cm at 1 m, and 1 % of an extent, surer
#: predictions would only make gradients larger than all others.
_LOG_SCALES = (-4.6, 4.6)


@dataclass(frozen=True, eq=False)
class MaskShape:
    """What a mask covers. ``ray`` (B, N, M, 3): its mean ray, z = 1; ``depth``: its median
    depth, in the unit of the depth given; ``told``: the numbers that the head reads.
    """

    ray: Float[Tensor, "b n m 3"]
    depth: Float[Tensor, "b n m"]
    told: Float[Tensor, "b n m s"]


def mask_shapes(
    masks: Bool[Tensor, "b n m h w"], depth: Float[Tensor, "b n hd wd"], K: Float[Tensor, "b n 3 3"]
) -> MaskShape:
    """The shapes of masks over depth of any resolution; ``K`` in pixels of the masks.

    A mask without a pixel lies straight ahead at depth 1.
    """
    height, width = masks.shape[-2:]
    shrink = max(1.0, max(depth.shape[-2:]) / _MAX_CELLS)
    grid = max(1, round(depth.shape[-2] / shrink)), max(1, round(depth.shape[-1] / shrink))
    share = F.adaptive_avg_pool2d(masks.flatten(0, 1).float(), grid).unflatten(0, masks.shape[:2])
    share = share.flatten(-2)
    weight = share / share.sum(-1, keepdim=True).clamp(min=1e-6)
    cells = F.interpolate(depth, grid, mode="nearest-exact").flatten(-2)
    log_depth = cells.clamp(min=1e-6).log()[:, :, None].expand_as(weight)
    rays = _cell_rays(K, (height, width), grid)
    xy = torch.einsum("bnmk,bnkc->bnmc", weight, rays)
    spread = torch.einsum("bnmk,bnmkc->bnmc", weight, (rays[:, :, None] - xy[..., None, :]).abs())
    middle = _weighted_median(log_depth, weight)
    seen = share.sum(-1) > 0
    middle = torch.where(seen, middle, torch.zeros_like(middle))
    deep = (weight * (log_depth - middle[..., None]).abs()).sum(-1)
    area = (share.mean(-1) + 1e-6).log()
    told = torch.stack((middle, deep, area, *xy.unbind(-1), *spread.unbind(-1), seen.float()), -1)
    ray = torch.cat((xy, torch.ones_like(xy[..., :1])), -1)
    return MaskShape(ray, middle.exp(), told)


def _cell_rays(
    K: Float[Tensor, "b n 3 3"], shape_hw: tuple[int, int], grid_hw: tuple[int, ...]
) -> Float[Tensor, "b n k 2"]:
    """X / z and y / z of the middle of every cell."""
    (height, width), (h, w) = shape_hw, grid_hw
    y = (torch.arange(h, device=K.device, dtype=K.dtype) + 0.5) * (height / h)
    x = (torch.arange(w, device=K.device, dtype=K.dtype) + 0.5) * (width / w)
    pixel = torch.stack((x.expand(h, w), y[:, None].expand(h, w), torch.ones_like(x.expand(h, w))))
    return torch.einsum("bnij,jk->bnki", torch.linalg.inv(K)[..., :2, :], pixel.flatten(1))


def _weighted_median(values: Tensor, weight: Tensor) -> Tensor:
    """Over the last axis: the first value at which half of the weight is reached."""
    ordered, order = values.sort(dim=-1)
    reached = weight.gather(-1, order).cumsum(-1) >= 0.5 - 1e-6
    first = reached.float().argmax(-1, keepdim=True)
    return ordered.gather(-1, first)[..., 0]


def _encoded(numbers: Float[Tensor, "*s k"]) -> Float[Tensor, "*s e"]:
    frequencies = 2.0 ** torch.arange(_NUM_FREQUENCIES, device=numbers.device)
    angles = (numbers[..., None] * frequencies).flatten(-2)
    return torch.cat((numbers, angles.sin(), angles.cos()), -1)


class MaskHead(nn.Module):
    """From pooled features and shapes to boxes, in the unit of the shapes' depth.

    Each kind of number is read by layers of its own: their gradients differ by orders of magnitude.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = nn.Sequential(
            nn.Linear(_NUM_SHAPE * (1 + 2 * _NUM_FREQUENCIES), width), nn.GELU()
        )
        self.seen = nn.LayerNorm(width)
        self.readers = nn.ModuleDict(
            {name: _reader(2 * width, sum(parts.values())) for name, parts in _READERS.items()}
        )

    def forward(self, pooled: Float[Tensor, "b n m c"], shape: MaskShape) -> dict[str, Tensor]:
        features = torch.cat((self.seen(pooled), self.told(_encoded(shape.told))), -1)
        said: dict[str, Tensor] = {}
        for name, parts in _READERS.items():
            numbers = self.readers[name](features).split(list(parts.values()), -1)
            said |= dict(zip(parts, numbers, strict=True))
        turn = turned_to(shape.ray)
        offset = (rotation_matrix(turn) @ said["offset"][..., None])[..., 0]
        upright = torch.zeros_like(turn)
        upright[..., 0] = 1.0
        own = F.normalize(said["quaternion"] + upright, dim=-1)
        depth = shape.depth[..., None]
        return {
            "presence_logit": said["presence"][..., 0],
            "score_logit": said["score"][..., 0],
            "center_m": depth * (shape.ray + offset),
            "log_size": said["log_size"],
            "quaternion_wxyz": quaternion_product(turn, own),
            # scales of a centre grow with distance as offsets do
            "center_log_scale": said["center_log_scale"].clamp(*_LOG_SCALES) + depth.log(),
            "size_log_scale": said["size_log_scale"].clamp(*_LOG_SCALES),
            "ray_wxyz": turn,
        }


#: What is read together, and in how many numbers each.
_READERS = {
    "place": {"offset": 3, "center_log_scale": 3},
    "extent": {"log_size": 3, "size_log_scale": 3},
    "turn": {"quaternion": 4},
    "trust": {"presence": 1, "score": 1},
}


def _reader(width: int, num_numbers: int) -> nn.Sequential:
    said = nn.Linear(width, num_numbers)
    nn.init.normal_(said.weight, std=0.01)
    nn.init.zeros_(said.bias)
    return nn.Sequential(
        nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), said
    )
