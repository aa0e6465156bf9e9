"""The clipped objective that the losses share, and the weights of samples from an older policy.

Three policies meet in an update with old samples: μ sampled the tokens, π_old is the trainer's own
at the start of the update, π is being changed. The losses clip π / π_old; the importance weights
make up for samples that μ drew and not π_old. On-policy they are 1.

The divergence from a reference policy is estimated per token. With d = log π_ref - log π of a token
sampled from π, the expectation of each estimate is, or is close to, KL(π || π_ref). Source:
J. Schulman, "Approximating KL Divergence" (2020). As terms of a loss they differ, in expectation on
fresh samples: k3, that of GRPO, has the gradient of KL(π_ref || π); k2 that of KL(π || π_ref); k1
none at all, so that it measures and does not pull.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialcode.config import require
from spatialcode.errors import SchemaError

#: "token" (B, T) for grpo, dr_grpo and dapo; "sequence" (B,) for these and gspo.
Level = Literal["token", "sequence"]


@dataclass(frozen=True)
class Surrogate:
    """Clipped objective, negated, and what the clip did; all of the shape of the ratio.

    ``losses`` carries the gradient and is 0 where nothing counts. ``clipped_log_ratio`` is the log
    of the ratio that the objective used. ``at_low``, ``at_high``: where the clip took the gradient.
    """

    losses: Float[Tensor, "*s"]
    log_ratio: Float[Tensor, "*s"]
    clipped_log_ratio: Float[Tensor, "*s"]
    at_low: Bool[Tensor, "*s"]
    at_high: Bool[Tensor, "*s"]
    counted: Bool[Tensor, "*s"]


def log_ratio_of(
    logprobs: Float[Tensor, "b t"], old_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t"]:
    """Log of π / π_old in float32 or better, 0 outside the mask; π_old takes no gradient."""
    for name, other in (("old_logprobs", old_logprobs), ("mask", mask)):
        if other.shape != logprobs.shape:
            raise SchemaError(name, f"shape {tuple(logprobs.shape)}", tuple(other.shape))
    # Half precision would round a ratio near 1 to steps of 1/128, more than the gspo clip.
    wide = torch.promote_types(logprobs.dtype, torch.float32)
    return torch.where(mask, logprobs.to(wide) - old_logprobs.detach().to(wide), 0.0)


def per_token(
    values: Float[Tensor, " b"] | Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], name: str
) -> Float[Tensor, "b t"]:
    """One value a sequence spread over its tokens; values per token as they are."""
    if values.ndim == 1 and len(values) == len(mask):
        return values[:, None].expand(mask.shape)
    if values.shape != mask.shape:
        shapes = f"shape ({len(mask)},) or {tuple(mask.shape)}"
        raise SchemaError(name, shapes, tuple(values.shape))
    return values


def clipped_surrogate(
    log_ratio: Float[Tensor, "*s"],
    advantages: Float[Tensor, "*s"],
    counted: Bool[Tensor, "*s"],
    clips: tuple[float, float],
    weights: Float[Tensor, "*s"] | None,
) -> Surrogate:
    """-w · min(r·A, clip(r, 1 - low, 1 + high)·A), with r = exp(log_ratio).

    Source: PPO, arXiv 1707.06347, equation 7. The minimum clips only what would go on improving:
    a ratio that moved the wrong way keeps its gradient.
    """
    low, high = clips
    for name, other in (("advantages", advantages), ("weights", weights)):
        if other is not None and other.shape != counted.shape:
            raise SchemaError(name, f"shape {tuple(counted.shape)}", tuple(other.shape))
    advantages = torch.where(counted, advantages.detach().to(log_ratio.dtype), 0.0)
    # Far outside any clip; keeps exp finite where a negative advantage leaves it unbounded.
    ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    clipped = ratio.clamp(1.0 - low, 1.0 + high)
    losses = -torch.minimum(ratio * advantages, clipped * advantages)
    if weights is not None:
        losses = losses * torch.where(counted, weights.detach().to(losses.dtype), 0.0)
    at_low = (ratio < 1.0 - low) & (advantages < 0)
    at_high = (ratio > 1.0 + high) & (advantages > 0)
    used = torch.where(at_low | at_high, clipped.detach().clamp(min=1e-9).log(), log_ratio.detach())
    return Surrogate(losses, log_ratio.detach(), used, at_low, at_high, counted)


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
    require(cap > 0, "cap", "a number above 0", cap)
    require(level in ("token", "sequence"), "level", "'token' or 'sequence'", level)
    log_ratio = log_ratio_of(old_logprobs.detach(), behaviour_logprobs, mask)
    if level == "sequence":
        log_ratio = log_ratio.sum(1) / mask.sum(1).clamp(min=1)
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp().clamp(max=cap)


#: Differences of log-probabilities are held within ± this before exp: e^20 is 5e8.
LOG_RATIO_LIMIT = 20.0

Tokens = Float[Tensor, "b t"]
TokenMask = Bool[Tensor, "b t"]
KlEstimator = Callable[[Tokens, Tokens, TokenMask], Tokens]


def k1(logprobs: Tokens, ref_logprobs: Tokens, mask: TokenMask) -> Tokens:
    """Log of π / π_ref: unbiased, high variance, often negative. 0 outside the mask."""
    return -_difference(logprobs, ref_logprobs, mask)


def k2(logprobs: Tokens, ref_logprobs: Tokens, mask: TokenMask) -> Tokens:
    """(log π - log π_ref)² / 2: biased, low variance, never negative. 0 outside the mask."""
    return 0.5 * _difference(logprobs, ref_logprobs, mask).square()


def k3(logprobs: Tokens, ref_logprobs: Tokens, mask: TokenMask) -> Tokens:
    """π_ref / π - log(π_ref / π) - 1: unbiased, never negative. 0 outside the mask.

    Source: also equation 4 of GRPO, arXiv 2402.03300. Beyond ``LOG_RATIO_LIMIT`` it is constant.
    """
    difference = _difference(logprobs, ref_logprobs, mask)
    # Together, not in exp alone: the linear term by itself would push away from the reference.
    limited = difference.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return limited.exp() - limited - 1.0


#: Estimators by the name that a configuration gives.
KL_ESTIMATORS: Mapping[str, KlEstimator] = {"k1": k1, "k2": k2, "k3": k3}


def _difference(logprobs: Tokens, ref_logprobs: Tokens, mask: TokenMask) -> Tokens:
    """Log of π_ref / π; the reference takes no gradient, padding may hold anything."""
    wide = torch.promote_types(logprobs.dtype, torch.float32)
    return torch.where(mask, ref_logprobs.detach().to(wide) - logprobs.to(wide), 0.0)
