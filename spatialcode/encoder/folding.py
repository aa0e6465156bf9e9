"""Folding batch normalisation into convolutions, for inference: fewer passes over memory."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spatialcode.encoder.model import DenseEncoder
from spatialcode.encoder.towers import ResidualBlock


def folded(model: DenseEncoder) -> DenseEncoder:
    """A copy in evaluation mode that computes the same with its normalisations folded away."""
    copied = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(copied.modules()):
        if isinstance(module, ResidualBlock):
            module.first = fuse_conv_bn_eval(module.first, module.first_norm)
            module.second = fuse_conv_bn_eval(module.second, module.second_norm)
            module.first_norm = module.second_norm = nn.Identity()
        elif isinstance(module, nn.Sequential) and _is_conv_norm(module):
            module[0] = fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return copied.to(memory_format=torch.channels_last)


def _is_conv_norm(module: nn.Sequential) -> bool:
    kinds = [type(part) for part in module]
    return kinds[:2] == [nn.Conv2d, nn.BatchNorm2d]
