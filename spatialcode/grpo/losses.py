"""Policy losses on padded tensors: one clipped objective, four ways to form ratios and means.

All take log-probabilities (B, T) of the sampled tokens under the policy being trained and under
π_old, advantages (B,) or (B, T), and a mask (B, T) of the tokens that count; rows without any are
as if absent. Padding may hold anything, NaN included. Lower is better: raising the probability of
a token with a positive advantage lowers the loss, up to the clip.

A batch cut into micro-batches or ranks has one denominator: give every part the same
``normaliser``, that of the whole (:func:`denominator`), and *add* losses and gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.kl import KL_ESTIMATORS
from spatialcode.grpo.loss_settings import DEFAULT_CLIPS, LossSettings, denominator
from spatialcode.grpo.objective import Surrogate, clipped_surrogate, log_ratio_of, per_token
from spatialcode.grpo.statistics import (
    RatioStatistics,
    masked_mean,
    merge_ratio_statistics,
    ratio_statistics,
)

__all__ = [
    "DEFAULT_CLIPS",
    "LOSSES",
    "LossFunction",
    "LossSettings",
    "LossTerms",
    "dapo",
    "denominator",
    "dr_grpo",
    "grpo",
    "gspo",
    "merge_loss_terms",
]

Tokens = Float[Tensor, "b t"]
TokenMask = Bool[Tensor, "b t"]
Rows = Float[Tensor, " b"]
Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class LossTerms:
    """A loss with its graph, and what to watch, without.

    ``loss`` = ``policy`` + kl_coefficient · ``kl``. ``before`` and ``after`` are of the ratio as
    computed and as the clip left it; over tokens, or over sequences for gspo. Clip fractions are
    shares of those whose gradient the clip took: at the upper bound (positive advantage), at the
    lower (negative).
    """

    loss: Scalar
    policy: Scalar
    kl: Scalar
    before: RatioStatistics
    after: RatioStatistics
    clip_fraction: Scalar
    clip_fraction_low: Scalar
    clip_fraction_high: Scalar


class LossFunction(Protocol):
    """What :data:`LOSSES` holds.

    ``weights``: importance weights of samples that π_old did not draw, (B, T) or (B,).
    ``ref_logprobs``: of the reference; without a coefficient its divergence is only measured.
    ``normaliser``: denominator of the whole batch; None takes this call's own.
    Raises ConfigError where settings ask for what is not given, SchemaError for shapes.
    """

    def __call__(
        self,
        logprobs: Tokens,
        old_logprobs: Tokens,
        advantages: Rows | Tokens,
        mask: TokenMask,
        settings: LossSettings,
        *,
        weights: Rows | Tokens | None = None,
        ref_logprobs: Tokens | None = None,
        normaliser: Scalar | float | None = None,
    ) -> LossTerms: ...


def grpo(
    logprobs: Tokens,
    old_logprobs: Tokens,
    advantages: Rows | Tokens,
    mask: TokenMask,
    settings: LossSettings,
    *,
    weights: Rows | Tokens | None = None,
    ref_logprobs: Tokens | None = None,
    normaliser: Scalar | float | None = None,
) -> LossTerms:
    """Mean over each sequence's tokens, then over sequences. Source: arXiv 2402.03300, eq. 3.

    A short sequence's tokens weigh more than a long one's.
    """
    clips = settings.clips("grpo")
    surrogate = _of_tokens(
        clips, logprobs, old_logprobs, mask, advantages=advantages, weights=weights
    )
    per_row = mask.sum(1, keepdim=True).clamp(min=1)
    kl = _kl(logprobs, ref_logprobs, mask, settings)
    total = _total("grpo", mask, settings, normaliser)
    policy = (surrogate.losses / per_row).sum() / total
    return _terms(surrogate, policy, (kl / per_row).sum() / total, settings)


def dr_grpo(
    logprobs: Tokens,
    old_logprobs: Tokens,
    advantages: Rows | Tokens,
    mask: TokenMask,
    settings: LossSettings,
    *,
    weights: Rows | Tokens | None = None,
    ref_logprobs: Tokens | None = None,
    normaliser: Scalar | float | None = None,
) -> LossTerms:
    """Sum over tokens, divided by a constant. Source: Dr. GRPO, arXiv 2503.20783, section 3.

    Every token weighs the same in every batch: no reward for long wrong answers. Goes with the
    advantages "mean". The constant is sequences × ``max_completion_tokens``.
    """
    clips = settings.clips("dr_grpo")
    surrogate = _of_tokens(
        clips, logprobs, old_logprobs, mask, advantages=advantages, weights=weights
    )
    kl = _kl(logprobs, ref_logprobs, mask, settings)
    total = _total("dr_grpo", mask, settings, normaliser)
    return _terms(surrogate, surrogate.losses.sum() / total, kl.sum() / total, settings)


def dapo(
    logprobs: Tokens,
    old_logprobs: Tokens,
    advantages: Rows | Tokens,
    mask: TokenMask,
    settings: LossSettings,
    *,
    weights: Rows | Tokens | None = None,
    ref_logprobs: Tokens | None = None,
    normaliser: Scalar | float | None = None,
) -> LossTerms:
    """Mean over all tokens, with room to rise above that to fall. Source: arXiv 2503.14476, eq. 8.

    The paper's mean is over a group's tokens; here it is over the batch's, as one step takes them.
    """
    clips = settings.clips("dapo")
    surrogate = _of_tokens(
        clips, logprobs, old_logprobs, mask, advantages=advantages, weights=weights
    )
    kl = _kl(logprobs, ref_logprobs, mask, settings)
    total = _total("dapo", mask, settings, normaliser)
    return _terms(surrogate, surrogate.losses.sum() / total, kl.sum() / total, settings)


def gspo(
    logprobs: Tokens,
    old_logprobs: Tokens,
    advantages: Rows | Tokens,
    mask: TokenMask,
    settings: LossSettings,
    *,
    weights: Rows | Tokens | None = None,
    ref_logprobs: Tokens | None = None,
    normaliser: Scalar | float | None = None,
) -> LossTerms:
    """One ratio a sequence, the geometric mean of its tokens', clipped; mean over sequences.

    Source: arXiv 2507.18071, equations 5 and 7. Advantages and weights are (B,), one a sequence.
    """
    for what, value in (("advantages", advantages), ("weights", weights)):
        if value is not None and value.ndim != 1:
            raise SchemaError(what, f"shape ({len(mask)},) for gspo", tuple(value.shape))
    per_row = mask.sum(1).clamp(min=1)
    log_ratio = log_ratio_of(logprobs, old_logprobs, mask).sum(1) / per_row
    surrogate = clipped_surrogate(
        log_ratio, advantages, mask.any(1), settings.clips("gspo"), weights
    )
    kl = _kl(logprobs, ref_logprobs, mask, settings)
    total = _total("gspo", mask, settings, normaliser)
    policy = surrogate.losses.sum() / total
    return _terms(surrogate, policy, (kl.sum(1) / per_row).sum() / total, settings)


#: Losses by the name that a configuration gives.
LOSSES: Mapping[str, LossFunction] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
}


def merge_loss_terms(parts: Sequence[LossTerms]) -> LossTerms:
    """Of micro-batches that shared one normaliser: losses added, statistics weighted by count.

    The merged ``loss`` has no graph. Raises ValueError for no parts at all.
    """
    before = merge_ratio_statistics([part.before for part in parts])
    after = merge_ratio_statistics([part.after for part in parts])
    num = torch.stack([part.before.num for part in parts])
    weight = num / num.sum().clamp(min=1)

    def added(name: str) -> Tensor:
        return torch.stack([getattr(part, name).detach() for part in parts]).sum()

    def mean(name: str) -> Tensor:
        return (weight * torch.stack([getattr(part, name) for part in parts])).sum()

    return LossTerms(
        loss=added("loss"),
        policy=added("policy"),
        kl=added("kl"),
        before=before,
        after=after,
        clip_fraction=mean("clip_fraction"),
        clip_fraction_low=mean("clip_fraction_low"),
        clip_fraction_high=mean("clip_fraction_high"),
    )


def _of_tokens(
    clips: tuple[float, float],
    logprobs: Tokens,
    old_logprobs: Tokens,
    mask: TokenMask,
    *,
    advantages: Rows | Tokens,
    weights: Rows | Tokens | None,
) -> Surrogate:
    """The objective of each token, before any mean."""
    return clipped_surrogate(
        log_ratio_of(logprobs, old_logprobs, mask),
        per_token(advantages, mask, "advantages"),
        mask,
        clips,
        None if weights is None else per_token(weights, mask, "weights"),
    )


def _kl(
    logprobs: Tokens, ref_logprobs: Tokens | None, mask: TokenMask, settings: LossSettings
) -> Tokens:
    """Divergence from the reference per token; without gradient where it is only measured."""
    if ref_logprobs is None:
        if settings.kl_coefficient > 0:
            raise ConfigError("kl_coefficient: above 0 needs ref_logprobs, got None")
        return torch.zeros_like(logprobs, requires_grad=False)
    if ref_logprobs.shape != mask.shape:
        raise SchemaError("ref_logprobs", f"shape {tuple(mask.shape)}", tuple(ref_logprobs.shape))
    if settings.kl_coefficient == 0:
        logprobs = logprobs.detach()  # no graph to hold for what no loss uses
    return KL_ESTIMATORS[settings.kl_estimator](logprobs, ref_logprobs, mask)


def _total(
    name: str, mask: TokenMask, settings: LossSettings, normaliser: Scalar | float | None
) -> Tensor:
    """What to divide by; 1 where nothing counts, since the sums are 0 then."""
    whole = denominator(name, mask, settings) if normaliser is None else normaliser
    total = torch.as_tensor(whole, device=mask.device)
    return torch.where(total > 0, total, torch.ones_like(total))


def _terms(surrogate: Surrogate, policy: Tensor, kl: Tensor, settings: LossSettings) -> LossTerms:
    counted = surrogate.counted
    low = masked_mean(surrogate.at_low.float(), counted)
    high = masked_mean(surrogate.at_high.float(), counted)
    return LossTerms(
        loss=policy + settings.kl_coefficient * kl if settings.kl_coefficient else policy,
        policy=policy.detach(),
        kl=kl.detach(),
        before=ratio_statistics(surrogate.log_ratio, counted),
        after=ratio_statistics(surrogate.clipped_log_ratio, counted),
        clip_fraction=low + high,
        clip_fraction_low=low,
        clip_fraction_high=high,
    )
