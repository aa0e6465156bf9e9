"""The unified network: an object tower and a geometry tower at one stride, and boxes per mask.

The object tower is SAM 2's image encoder, the geometry tower Depth Anything 3. Their last features
are joined on the object tower's grid (stride 16), pooled under each tracked mask, and read as one
box in the camera frame. The published encoder (arXiv 2603.05591) predicts the same ten numbers; how
it joins and pools is not known in detail, so the form of the head has no source.

It knows neither words nor time: labels and tracks come with the masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from spatialcode.encoder.unified.config import UnifiedNetworkConfig
from spatialcode.encoder.unified.fusion import make_fusion
from spatialcode.encoder.unified.head import MaskHead, MaskShape, mask_shapes

#: Both towers were trained on pictures normalised so (ImageNet's mean and deviation).
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PATCH_PX = 14


@dataclass(frozen=True, eq=False)
class UnifiedOutput:
    """What the network says of B clips of N frames with M masks each.

    Boxes are in each frame's camera frame: ``center_m``, ``log_size`` (of metres),
    ``quaternion_wxyz`` (unit). ``center_log_scale`` is of Laplace errors in metres along the axes
    of ``ray_wxyz``, the rotation that takes the camera's z to the mask's mean ray; of ``log_size``
    so is ``size_log_scale``. ``depth_m`` and ``ray`` (direction, then origin in units, in the first
    camera's frame), with their confidences, have the geometry tower's resolution.
    """

    presence_logit: Float[Tensor, "b n m"]
    score_logit: Float[Tensor, "b n m"]
    center_m: Float[Tensor, "b n m 3"]
    log_size: Float[Tensor, "b n m 3"]
    quaternion_wxyz: Float[Tensor, "b n m 4"]
    center_log_scale: Float[Tensor, "b n m 3"]
    size_log_scale: Float[Tensor, "b n m 3"]
    ray_wxyz: Float[Tensor, "b n m 4"]
    depth_m: Float[Tensor, "b n h w"]
    depth_confidence: Float[Tensor, "b n h w"]
    ray: Float[Tensor, "b n h w 6"]
    ray_confidence: Float[Tensor, "b n h w"]


class UnifiedModel(nn.Module):
    """Pictures, intrinsics and masks in, `UnifiedOutput` (as a dictionary of tensors) out.

    ``object_tower``: a ``Sam2VisionModel``. ``geometry_tower``: a ``DepthAnything3Net`` with its
    dual head; its camera encoder and decoder are not used here.
    """

    def __init__(
        self, object_tower: Any, geometry_tower: Any, config: UnifiedNetworkConfig
    ) -> None:
        super().__init__()
        self.config = config
        self.object_tower: Any = object_tower
        self.geometry_tower: Any = geometry_tower
        object_width = int(object_tower.config.fpn_hidden_size)
        geometry_width = int(geometry_tower.head.norm.normalized_shape[0])
        self.fusion = make_fusion(object_width, geometry_width, config)
        self.head = MaskHead(config.width)
        self.in_bfloat16 = False

    def forward(
        self,
        rgb: UInt8[Tensor, "b n h w 3"],
        K: Float[Tensor, "b n 3 3"],
        masks: Bool[Tensor, "b n m h w"],
    ) -> dict[str, Tensor]:
        """See `UnifiedOutput`, whose fields it names. ``K``: in pixels of the frames."""
        pictures = normalised(rgb)
        with torch.autocast(rgb.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            seen = self._objects(pictures)
            layers = self._geometry(pictures)
            grid_hw = _grid(layers, pictures, self.config.geometry_side_px)
            fused = self.fusion(seen, _as_map(layers[-1][0], grid_hw))
        depth, ray = self._dense(layers, grid_hw)
        shapes = mask_shapes(masks, depth["depth"], K)
        pooled = pooled_under(fused.float(), masks)
        boxes = self.head(pooled, shapes)
        return self._in_metres(boxes, shapes) | {
            "depth_m": depth["depth"] * self.config.unit_m,
            "depth_confidence": depth["confidence"],
            "ray": ray["ray"],
            "ray_confidence": ray["confidence"],
        }

    def _objects(self, pictures: Tensor) -> Float[Tensor, "bn c g g"]:
        side = self.config.object_side_px
        square = _resized(pictures.flatten(0, 1), (side, side))
        return self.object_tower(square).fpn_hidden_states[-1]

    def _geometry(self, pictures: Tensor) -> Any:
        b, n = pictures.shape[:2]
        size = geometry_size(pictures.shape[-2:], self.config.geometry_side_px)
        flat = _resized(pictures.flatten(0, 1), size)
        layers, _ = self.geometry_tower.backbone(
            flat.unflatten(0, (b, n)), ref_view_strategy="first"
        )
        return layers

    def _dense(self, layers: Any, grid_hw: tuple[int, int]) -> tuple[dict[str, Tensor], ...]:
        """Depth in units and the ray map, in float32 whatever the towers compute in."""
        height, width = (PATCH_PX * side for side in grid_hw)
        with torch.autocast(layers[-1][0].device.type, enabled=False):
            layers = [[tokens.float() for tokens in layer] for layer in layers]
            made = self.geometry_tower.head(layers, height, width, patch_start_idx=0)
        return (
            {"depth": made["depth"], "confidence": made["depth_conf"]},
            {"ray": made["ray"], "confidence": made["ray_conf"]},
        )

    def _in_metres(self, boxes: dict[str, Tensor], shapes: MaskShape) -> dict[str, Tensor]:
        unit = torch.tensor(self.config.unit_m, device=shapes.ray.device)
        return boxes | {
            "center_m": boxes["center_m"] * unit,
            "log_size": boxes["log_size"] + unit.log(),
            "center_log_scale": boxes["center_log_scale"] + unit.log(),
        }


def normalised(rgb: UInt8[Tensor, "b n h w 3"]) -> Float[Tensor, "b n 3 h w"]:
    """Pictures as both towers know them."""
    mean = torch.tensor(_MEAN, device=rgb.device)
    deviation = torch.tensor(_DEVIATION, device=rgb.device)
    return ((rgb.float() / 255.0 - mean) / deviation).movedim(-1, -3)


def geometry_size(shape_hw: Any, longer_px: int) -> tuple[int, int]:
    """Height and width of the geometry tower's picture: whole patches, at least one."""
    scale = longer_px / max(shape_hw)
    height, width = (max(1, round(side * scale / PATCH_PX)) * PATCH_PX for side in shape_hw)
    return height, width


def pooled_under(
    features: Float[Tensor, "bn c g g"], masks: Bool[Tensor, "b n m h w"]
) -> Float[Tensor, "b n m c"]:
    """The mean feature under each mask, cells counting by the share that the mask covers."""
    b, n, m = masks.shape[:3]
    share = F.adaptive_avg_pool2d(masks.flatten(0, 1).float(), _size(features))
    total = torch.einsum("kchw,kmhw->kmc", features, share)
    mean = total / share.sum((-2, -1)).clamp(min=1e-6)[..., None]
    return mean.reshape(b, n, m, -1)


def _size(maps: Tensor) -> tuple[int, int]:
    return int(maps.shape[-2]), int(maps.shape[-1])


def _resized(pictures: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return F.interpolate(pictures, size_hw, mode="bilinear", antialias=True, align_corners=False)


def _grid(layers: Any, pictures: Tensor, longer_px: int) -> tuple[int, int]:
    height, width = geometry_size(pictures.shape[-2:], longer_px)
    assert layers[-1][0].shape[2] == height * width // PATCH_PX**2
    return height // PATCH_PX, width // PATCH_PX


def _as_map(tokens: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Tokens (B, N, P, C) as maps (BN, C, h, w)."""
    return tokens.flatten(0, 1).transpose(1, 2).unflatten(2, grid_hw)
