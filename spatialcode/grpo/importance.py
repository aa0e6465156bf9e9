"""Correction for completions that an older policy, or another engine, sampled.

Three policies meet in a one-step-off update: μ sampled the tokens, π_old is the trainer's own at
the start of the update, π is being changed. The losses clip π / π_old; the samples' being μ's and
not π_old's is what the weights here make up for. On-policy they are 1.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from spatialcode.errors import ConfigError
from spatialcode.grpo.kl import LOG_RATIO_LIMIT
from spatialcode.grpo.objective import log_ratio_of

#: "token" (B, T) for grpo, dr_grpo and dapo; "sequence" (B,) for these and gspo.
Level = Literal["token", "sequence"]


def truncated_importance_weights(
    old_logprobs: Float[Tensor, "b t"],
    behaviour_logprobs: Float[Tensor, "b t"],
    mask: Bool[Tensor, "b t"],
    *,
    cap: float = 2.0,
    level: Level = "token",
) -> Float[Tensor, "b t"] | Float[Tensor, " b"]:
    """min(π_old / μ, cap), without gradient; 1 outside the mask and for empty rows.

    At level "sequence" the ratio is length-normalised, as the sequence ratio of gspo: the
    geometric mean of the tokens'. Truncation bounds the variance at the price of a bias.
    Source: the truncated weights of V-trace (IMPALA, arXiv 1802.01561, section 4.1), in front of a
    clipped objective whose centre is π_old (decoupled objective, arXiv 2110.00641).

    Raises ConfigError for a cap that is not above 0 or an unknown level.
    """
    if not cap > 0:
        raise ConfigError(f"cap: expected a number above 0, got {cap!r}")
    if level not in ("token", "sequence"):
        raise ConfigError(f"level: expected 'token' or 'sequence', got {level!r}")
    log_ratio = log_ratio_of(old_logprobs.detach(), behaviour_logprobs, mask)
    if level == "sequence":
        log_ratio = log_ratio.sum(1) / mask.sum(1).clamp(min=1)
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp().clamp(max=cap)
