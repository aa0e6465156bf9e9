"""Per-token estimates of the divergence from a reference policy.

With d = log π_ref - log π of a token sampled from π, the expectation of each is, or is close to,
KL(π || π_ref). Source: J. Schulman, "Approximating KL Divergence" (2020).

As terms of a loss they differ, in expectation on fresh samples: k3, that of GRPO, has the gradient
of KL(π_ref || π); k2 that of KL(π || π_ref); k1 none at all, so that it measures and does not pull.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

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
