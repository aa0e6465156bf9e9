"""Settings of training under DeepSpeed. Light: ``--help`` loads no torch."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import require, setting


@dataclass(frozen=True)
class ZeroConfig:
    """How parameters, gradients and optimizer state are held and split over the workers."""

    stage: int = setting("ZeRO: 0 nothing is split, 1 optimizer, 2 and gradients, 3 and weights", 1)
    bfloat16: bool = setting(
        "compute in bfloat16; master weights stay float32 (ZeRO 1 to 3)", False
    )
    activation_checkpointing: bool = setting("recompute activations in the backward pass", False)
    offload_optimizer: bool = setting("keep optimizer state in host memory (ZeRO 1 to 3)", False)
    bucket_mb: float = setting(
        "megabytes of weights gathered at once for rollouts and export", 64.0
    )

    def __post_init__(self) -> None:
        require(0 <= self.stage <= 3, "stage", "0 to 3", self.stage)
        require(self.bucket_mb > 0, "bucket_mb", "above 0", self.bucket_mb)
        for key in ("bfloat16", "offload_optimizer"):
            fits = self.stage >= 1 or not getattr(self, key)
            require(fits, key, "false with stage 0", getattr(self, key))


@dataclass(frozen=True)
class AdamConfig:
    """AdamW and the limit on the gradient's norm."""

    learning_rate: float = setting("peak rate; a stage of a run sets its own", 3e-4)
    beta1: float = setting("decay of the mean gradient", 0.9)
    beta2: float = setting("decay of the mean squared gradient", 0.95)
    weight_decay: float = setting("decoupled decay a step, times the learning rate", 0.0)
    max_grad_norm: float = setting(
        "gradients of a larger norm are scaled down to it; 0: never", 1.0
    )

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        for key in ("beta1", "beta2"):
            require(0 <= getattr(self, key) < 1, key, "in [0, 1)", getattr(self, key))
        for key in ("weight_decay", "max_grad_norm"):
            require(getattr(self, key) >= 0, key, "0 or more", getattr(self, key))


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters in place of full fine-tuning (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = setting("rank of the adapters; 0: train all weights", 0)
    alpha: int = setting("the adapters' product is scaled by alpha / rank", 32)
    dropout: float = setting("dropout before the adapters", 0.0)

    def __post_init__(self) -> None:
        require(self.rank >= 0, "rank", "0 or more", self.rank)
        require(self.alpha > 0, "alpha", "above 0", self.alpha)
        require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)
