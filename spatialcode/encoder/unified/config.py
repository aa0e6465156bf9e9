"""How the unified network is built and trained, as settings. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, setting

FUSIONS = ("concatenation", "cross_attention")
TOWER_MODES = ("frozen", "lora", "full")


@dataclass(frozen=True)
@checked
class UnifiedNetworkConfig:
    """The shape of the network between and after its towers; it belongs to its weights."""

    fusion: str = setting("how the towers' features are joined", "concatenation", one_of=FUSIONS)
    width: int = setting("channels of the fused features", 256, at_least=8)
    num_fusion_layers: int = setting(
        "blocks of convolution, or of cross-attention, that join the features", 2, at_least=1
    )
    num_heads: int = setting("heads of cross-attention; they divide the width", 8, at_least=1)
    object_side_px: int = setting("side of the square picture of the object tower", 1024, above=0)
    geometry_side_px: int = setting(
        "longer side of the picture of the geometry tower", 504, at_least=14
    )
    unit_m: float = setting("metres of one unit of the network's lengths", 2.5, above=0)


@dataclass(frozen=True)
@checked
class TowerTraining:
    """What of the pretrained towers is trained."""

    mode: str = setting(
        "frozen: nothing of them; lora: low-rank adapters of their attention (peft); full: all",
        "lora",
        one_of=TOWER_MODES,
    )
    lora_rank: int = setting("rank of the adapters", 16, at_least=1)
    lora_alpha: int = setting("the adapters' product is scaled by alpha / rank", 32, above=0)
    rate_factor: float = setting("the towers' learning rate over the head's", 0.1, above=0)


@dataclass(frozen=True)
@checked
class UnifiedLossWeights:
    """Factors of the terms of the loss. The published ones are not known: Source: none."""

    center: float = setting("Laplace likelihood of the centre", 1.0, at_least=0)
    size: float = setting("Laplace likelihood of the logarithm of the extents", 1.0, at_least=0)
    rotation: float = setting("symmetry-aware rotation", 2.0, at_least=0)
    presence: float = setting("whether the object is in the frame", 0.5, at_least=0)
    score: float = setting("how well the box will fit", 0.5, at_least=0)
    depth: float = setting("depth of the geometry tower", 1.0, at_least=0)
    ray: float = setting("ray map of the geometry tower", 0.5, at_least=0)


@dataclass(frozen=True)
@checked
class UnifiedOptimisation:
    """AdamW with a warm-up and half a cosine."""

    num_steps: int = setting("optimiser steps", 20_000, at_least=1)
    learning_rate: float = setting("peak rate of fusion and head", 3e-4, above=0)
    warmup_steps: int = setting("steps until the peak", 500, at_least=1)
    weight_decay: float = setting("decoupled decay of matrices", 0.02, at_least=0)
    max_grad_norm: float = setting("larger gradients are scaled down to it", 1.0, above=0)
    bfloat16: bool = setting("towers and fusion compute in bfloat16; the rest in float32", True)
    seed: int = setting("of the new weights", 0, at_least=0)
    weights: UnifiedLossWeights = setting("", default_factory=UnifiedLossWeights)
