"""Settings of a policy loss, and what it divides its sums by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from spatialcode.errors import ConfigError
from spatialcode.grpo.kl import KL_ESTIMATORS

#: 1 - low and 1 + high bound the ratio. GRPO and Dr. GRPO: PPO's usual. DAPO: its section 4.1.
#: GSPO: its section 5.1; a length-normalised sequence ratio moves far less than a token's.
DEFAULT_CLIPS: Mapping[str, tuple[float, float]] = {
    "grpo": (0.2, 0.2),
    "dr_grpo": (0.2, 0.2),
    "dapo": (0.2, 0.28),
    "gspo": (3e-4, 4e-4),
}


@dataclass(frozen=True)
class LossSettings:
    """``clip_low``, ``clip_high``: None takes the loss's own of :data:`DEFAULT_CLIPS`.

    ``kl_coefficient`` 0 switches the divergence from the reference off. ``max_completion_tokens``
    is Dr. GRPO's constant: the sampler's limit, the same for all batches. Raises ConfigError.
    """

    clip_low: float | None = None
    clip_high: float | None = None
    kl_coefficient: float = 0.0
    kl_estimator: str = "k3"
    max_completion_tokens: int | None = None

    def __post_init__(self) -> None:
        low, high, limit = self.clip_low, self.clip_high, self.max_completion_tokens
        if low is not None and not 0 < low <= 1:
            raise ConfigError(f"clip_low: expected above 0 and at most 1, got {low!r}")
        if high is not None and not high > 0:
            raise ConfigError(f"clip_high: expected above 0, got {high!r}")
        if not self.kl_coefficient >= 0:
            raise ConfigError(f"kl_coefficient: expected 0 or more, got {self.kl_coefficient!r}")
        if self.kl_estimator not in KL_ESTIMATORS:
            known = sorted(KL_ESTIMATORS)
            raise ConfigError(f"kl_estimator: expected one of {known}, got {self.kl_estimator!r}")
        if self.kl_coefficient > 0 and self.kl_estimator == "k1":
            raise ConfigError("kl_estimator: k1 has no expected gradient as a loss: take k3 or k2")
        if limit is not None and limit < 1:
            raise ConfigError(f"max_completion_tokens: expected 1 or more, got {limit!r}")

    def clips(self, name: str) -> tuple[float, float]:
        """(low, high) of the loss named."""
        low, high = DEFAULT_CLIPS[name]
        return (
            low if self.clip_low is None else self.clip_low,
            high if self.clip_high is None else self.clip_high,
        )


def denominator(name: str, mask: Bool[Tensor, "b t"], settings: LossSettings) -> Float[Tensor, ""]:
    """What the loss named divides its sums by, for a whole batch's mask. 0 if nothing counts.

    grpo, gspo: sequences. dapo: tokens. dr_grpo: sequences × max_completion_tokens.
    Raises ConfigError for an unknown name, or dr_grpo without its constant.
    """
    if name not in DEFAULT_CLIPS:
        raise ConfigError(f"loss: expected one of {sorted(DEFAULT_CLIPS)}, got {name!r}")
    if name == "dapo":
        return mask.sum().float()
    sequences = mask.any(1).sum().float()
    if name != "dr_grpo":
        return sequences
    if settings.max_completion_tokens is None:
        raise ConfigError("max_completion_tokens: dr_grpo needs the sampler's limit, got None")
    return sequences * settings.max_completion_tokens
