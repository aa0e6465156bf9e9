"""Settings that trainings have in common. Light: ``--help`` loads neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import checked, require, setting


@dataclass(frozen=True)
@checked
class ZeroConfig:
    """How parameters, gradients and optimizer state are held and split over the workers."""

    stage: int = setting(
        "ZeRO: 0 nothing is split, 1 optimizer, 2 and gradients, 3 and weights",
        1,
        at_least=0,
        at_most=3,
    )
    bfloat16: bool = setting(
        "compute in bfloat16; master weights stay float32 (ZeRO 1 to 3)", False
    )
    activation_checkpointing: bool = setting("recompute activations in the backward pass", False)
    offload_optimizer: bool = setting("keep optimizer state in host memory (ZeRO 1 to 3)", False)
    bucket_mb: float = setting(
        "megabytes of weights gathered at once for rollouts and export", 64.0, above=0
    )

    def __post_init__(self) -> None:
        for key in ("bfloat16", "offload_optimizer"):
            fits = self.stage >= 1 or not getattr(self, key)
            require(fits, key, "false with stage 0", getattr(self, key))


@dataclass(frozen=True)
@checked
class AdamConfig:
    """AdamW, or Muon beside it, and the limit on the gradient's norm."""

    learning_rate: float = setting("peak rate; a stage of a run sets its own", 3e-4, above=0)
    beta1: float = setting("decay of the mean gradient", 0.9, at_least=0, below=1)
    beta2: float = setting("decay of the mean squared gradient", 0.95, at_least=0, below=1)
    weight_decay: float = setting(
        "decoupled decay a step, times the learning rate", 0.0, at_least=0
    )
    max_grad_norm: float = setting(
        "gradients of a larger norm are scaled down to it; 0: never", 1.0, at_least=0
    )
    muon: bool = setting("Muon for the matrices inside the layers (ZeRO 0, no adapters)", False)


@dataclass(frozen=True)
@checked
class LoraConfig:
    """Low-rank adapters in place of full fine-tuning (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = setting("rank of the adapters; 0: train all weights", 0, at_least=0)
    alpha: int = setting("the adapters' product is scaled by alpha / rank", 32, above=0)
    dropout: float = setting("dropout before the adapters", 0.0, at_least=0, below=1)
