"""Folding batch normalisation into convolutions, for inference: fewer passes over memory."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spatialcode.encoder.small.model import DenseEncoder, channels_last
from spatialcode.encoder.small.towers import ResidualBlock


def folded(model: DenseEncoder) -> DenseEncoder:
    """A copy in evaluation mode that computes the same with its normalisations folded away."""
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(copied.modules()):
        if isinstance(module, ResidualBlock):
            _fold(module, "first", "first_norm")
            _fold(module, "second", "second_norm")
        elif isinstance(module, nn.Sequential) and len(module) > 1:
            _fold(module, "0", "1")
    return channels_last(copied)


def _fold(module: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(module, norm_name, nn.Identity())
