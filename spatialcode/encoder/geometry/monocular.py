"""Metric depth of single frames by public networks: Depth Anything V2, Depth Pro, ZoeDepth.

What each wants of a picture, and what its output means, stands here; the libraries' own
preprocessors need torchvision. Depth comes back at the network's resolution.

Sources: Yang et al., "Depth Anything V2", NeurIPS 2024; Bochkovskii et al., "Depth Pro", ICLR 2025;
Bhat et al., "ZoeDepth", arXiv 2302.12288.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from spatialcode.encoder.geometry.protocol import DepthFrames, DepthNoise
from spatialcode.encoder.geometry.settings import MonocularSettings
from spatialcode.encoder.parsing.towers import PretrainedTower, batches, device_memory, load_tower
from spatialcode.errors import WeightsError

#: Inverse depth of Depth Pro below which a point counts as infinitely far, 1 / metres.
_LEAST_INVERSE = 1e-4


@dataclass(frozen=True, eq=False)
class DepthNetwork:
    """A depth network on its device; subclasses say how pictures and outputs are read."""

    tower: PretrainedTower
    num_frames: int
    error: DepthNoise

    @classmethod
    def load(
        cls, network: str, weights: str | Path, settings: MonocularSettings, device: str
    ) -> DepthNetwork:
        """From a folder of weights, or a repository of the hub; ``network``: the class of
        transformers. Raises WeightsError where there are no such weights.
        """
        from huggingface_hub.errors import StrictDataclassError

        try:
            tower = load_tower(network, weights, device, settings.precision)
        except StrictDataclassError as error:
            raise WeightsError(f"{weights}: no {network} in it: {error}") from error
        return cls(tower, settings.num_frames, settings.error.noise())

    @torch.inference_mode()
    def depth(
        self, rgb: UInt8[np.ndarray, "n h w 3"], K: Float[np.ndarray, "3 3"] | None
    ) -> DepthFrames:
        """See `DepthSource`. Raises DeviceMemoryError where the frames do not fit."""
        parts = []
        for rows in batches(range(len(rgb)), self.num_frames):
            with device_memory(f"depth of {len(rows)} frames"):
                parts.append(self._depth(rgb[rows], K))
        depth = torch.cat([part for part, _ in parts]).float().cpu().numpy()
        focal = [part for _, part in parts if part is not None]
        return DepthFrames(depth, np.concatenate(focal) if focal else None)

    def _depth(
        self, rgb: UInt8[np.ndarray, "n h w 3"], K: Float[np.ndarray, "3 3"] | None
    ) -> tuple[Tensor, Float[np.ndarray, " n"] | None]:
        raise NotImplementedError

    def _shaped(self, rgb: UInt8[np.ndarray, "n h w 3"], multiple: int) -> Tensor:
        """Frames near the network's size, their shape kept up to that multiple of pixels."""
        size_px = near_size_px(rgb.shape[1:3], self.tower.prepare.size_px, multiple)
        prepare = replace(self.tower.prepare, fit="stretched", size_px=size_px)
        return prepare(rgb, self.tower.device, self.tower.dtype)


def near_size_px(
    frame_px: tuple[int, ...], wanted_px: tuple[int, int], multiple: int
) -> tuple[int, int]:
    """Height and width nearest to those wanted with the frame's shape, in that multiple.

    Of the two scales that would fit one side, the one that changes the frame less; at least one
    multiple. Source: the preprocessor of DPT in transformers.
    """
    scales = [want / have for want, have in zip(wanted_px, frame_px, strict=True)]
    scale = min(scales[::-1], key=lambda s: abs(1 - s)) if scales[0] != scales[1] else scales[0]
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in frame_px)
    return height, width


class DepthAnythingV2(DepthNetwork):
    """Depth Anything V2 with a metric head; pictures in whole patches of its backbone."""

    def _depth(self, rgb: Any, K: Any) -> tuple[Tensor, None]:  # noqa: ARG002  metric as it is
        patch = int(self.tower.model.config.patch_size)
        return self.tower.model(self._shaped(rgb, patch)).predicted_depth, None


class DepthPro(DepthNetwork):
    """Depth Pro: inverse depth of a square picture, times the focal length in picture widths.

    The focal length is the recorded one, else the network's own.
    """

    def _depth(self, rgb: Any, K: Any) -> tuple[Tensor, Float[np.ndarray, " n"] | None]:
        output = self.tower.model(self.tower.pictures(rgb))
        width = rgb.shape[2]
        told = None
        if K is not None:
            focal = torch.full((len(rgb),), float(K[0, 0]), device=self.tower.device)
        elif output.field_of_view is not None:
            view = torch.deg2rad(output.field_of_view.float().reshape(-1))
            focal = 0.5 * width / torch.tan(0.5 * view)
            told = focal.cpu().double().numpy()
        else:
            focal = torch.full((len(rgb),), float(width), device=self.tower.device)
        inverse = output.predicted_depth.float() * (width / focal)[:, None, None]
        # the square picture back in the frame's shape
        size = [
            max(1, round(inverse.shape[-1] * side / max(rgb.shape[1:3]))) for side in rgb.shape[1:3]
        ]
        inverse = functional.interpolate(inverse[:, None], size=size, mode="bilinear")[:, 0]
        far = inverse < _LEAST_INVERSE
        depth = 1 / inverse.clamp(min=_LEAST_INVERSE)
        return depth.masked_fill(far, torch.nan), told


class ZoeDepth(DepthNetwork):
    """ZoeDepth: pictures are padded by reflection, against artefacts at their borders.

    A batch's frames would vote together for one of its heads, so each passes by itself.
    """

    _MULTIPLE_PX = 32

    def _depth(self, rgb: Any, K: Any) -> tuple[Tensor, None]:  # noqa: ARG002  metric as it is
        depths = [self._one(rgb[k : k + 1]) for k in range(len(rgb))]
        return torch.cat(depths), None

    def _one(self, rgb: UInt8[np.ndarray, "1 h w 3"]) -> Tensor:
        height, width = rgb.shape[1:3]
        pad_v, pad_h = (int(np.sqrt(side / 2) * 3) for side in (height, width))
        pad_v, pad_h = min(pad_v, height - 1), min(pad_h, width - 1)
        edges = ((0, 0), (pad_v, pad_v), (pad_h, pad_h), (0, 0))
        padded = np.pad(rgb, edges, mode="reflect")
        depth = self.tower.model(self._shaped(padded, self._MULTIPLE_PX)).predicted_depth
        size = padded.shape[1:3]
        whole = functional.interpolate(
            depth[:, None].float(), size=size, mode="bilinear", align_corners=False
        )[:, 0]
        return whole[:, pad_v : pad_v + height, pad_h : pad_h + width]
