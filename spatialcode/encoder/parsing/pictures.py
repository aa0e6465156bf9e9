"""Frames as a pretrained network wants them, and its boxes and masks back in frame pixels.

What a model wants is read from the preprocessor's file beside its weights; the work is done here,
in torch, because some processors of the libraries need torchvision, which this project does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from spatialcode.errors import WeightsError

#: How a frame fills the network's picture: stretched to its size; padded at the right and at the
#: bottom to a square and scaled to its size; or scaled with its shape kept.
Fit = Literal["stretched", "padded", "shaped"]
#: Values of PIL's resampling filters, which preprocessor files name by number.
_BICUBIC = 3


@dataclass(frozen=True)
class Preparation:
    """What a network wants its pictures to be.

    ``size_px``: height and width, or, where the shape is kept, the shortest side and the most that
    the longest may be. ``mean`` and ``std``: of colours in [0, 1].
    """

    fit: Fit
    size_px: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bicubic: bool = False

    def scaled_size_px(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Height and width of the part of the network's picture that a frame fills."""
        if self.fit == "stretched":
            return self.size_px
        if self.fit == "padded":
            side = max(height_px, width_px)
            high, wide = self.size_px
            return max(1, round(high * height_px / side)), max(1, round(wide * width_px / side))
        return _shaped(height_px, width_px, *self.size_px)

    def scale(self, height_px: int, width_px: int) -> Float[np.ndarray, " 4"]:
        """What normalised x, y, x, y of the network's picture are multiplied with, in pixels."""
        side = max(height_px, width_px)
        high, wide = (side, side) if self.fit == "padded" else (height_px, width_px)
        return np.array([wide, high, wide, high], float)

    def __call__(
        self, rgb: UInt8[np.ndarray, "n h w 3"], device: torch.device | str, dtype: torch.dtype
    ) -> Float[Tensor, "n 3 hh ww"]:
        """Frames as the network takes them: scaled without aliasing, padded, normalised."""
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(device).permute(0, 3, 1, 2)
        size = self.scaled_size_px(*rgb.shape[1:3])
        mode = "bicubic" if self.bicubic else "bilinear"
        scaled = functional.interpolate(
            pixels.float(), size=size, mode=mode, antialias=True, align_corners=False
        )
        colours = scaled.clamp_(0.0, 255.0) / 255.0
        if self.fit == "padded":
            high, wide = self.size_px
            colours = functional.pad(colours, (0, wide - size[1], 0, high - size[0]))
        mean, std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (self.mean, self.std)
        )
        return ((colours - mean) / std).to(dtype)


def _shaped(height_px: int, width_px: int, shortest: int, longest: int) -> tuple[int, int]:
    """Height and width with the shortest side as asked, unless the longest would be too long."""
    low, high = sorted((height_px, width_px))
    side = float(shortest)
    if high / low * shortest > longest:
        side = longest * low / high
    scale = side / low
    short = round(side)
    if height_px <= width_px:
        return short, int(width_px * scale)
    return int(height_px * scale), short


def read_preparation(folder: Path) -> Preparation:
    """What the files beside a model's weights say of its pictures.

    Raises WeightsError where there is no preprocessor's file, or it says what is not known here.
    """
    path, values = _preprocessor(folder)
    size = values.get("size")
    fit: Fit
    try:
        if isinstance(size, Mapping) and {"shortest_edge", "longest_edge"} <= set(size):
            fit, size_px = "shaped", (int(size["shortest_edge"]), int(size["longest_edge"]))
        elif isinstance(size, Mapping) and {"height", "width"} <= set(size):
            kind = str(values.get("image_processor_type", values.get("processor_class", "")))
            fit = "padded" if kind.lower().startswith("owlv2") else "stretched"
            size_px = (int(size["height"]), int(size["width"]))
        else:
            raise WeightsError(f"{path}: expected a size of height and width, got {size!r}")
        mean, std = (tuple(map(float, values[key])) for key in ("image_mean", "image_std"))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be used as a preprocessor's file: {error}") from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0.0 or min(size_px) < 1:
        raise WeightsError(f"{path}: expected three means and standard deviations above 0")
    return Preparation(fit, size_px, mean, std, values.get("resample") == _BICUBIC)


def _preprocessor(folder: Path) -> tuple[Path, dict[str, Any]]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if path.is_file():
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise WeightsError(f"{path}: no JSON: {error}") from error
            return path, values.get("image_processor", values)
    raise WeightsError(f"{folder}: expected a preprocessor_config.json beside the weights")
