"""Policy losses on padded tensors: one clipped objective, four ways to form ratios and means.

All take :class:`LossInputs`. Rows without a token that counts are as if absent. Lower is better:
raising the probability of a token with a positive advantage lowers the loss, up to the clip.

A batch cut into micro-batches or ranks has one denominator: give every part the same
``normaliser``, that of the whole (:func:`denominator`), and *add* losses and gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spatialcode.config import require
from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.objective import (
    KL_ESTIMATORS,
    Surrogate,
    clipped_surrogate,
    log_ratio_of,
    per_token,
)
from spatialcode.grpo.statistics import RatioStatistics, masked_mean, ratio_statistics

Tokens = Float[Tensor, "b t"]
TokenMask = Bool[Tensor, "b t"]
Rows = Float[Tensor, " b"]
Scalar = Float[Tensor, ""]

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
        require(low is None or 0 < low <= 1, "clip_low", "above 0 and at most 1", low)
        require(high is None or high > 0, "clip_high", "above 0", high)
        require(self.kl_coefficient >= 0, "kl_coefficient", "0 or more", self.kl_coefficient)
        known = self.kl_estimator in KL_ESTIMATORS
        require(known, "kl_estimator", f"one of {sorted(KL_ESTIMATORS)}", self.kl_estimator)
        if self.kl_coefficient > 0 and self.kl_estimator == "k1":
            raise ConfigError("kl_estimator: k1 has no expected gradient as a loss: take k3 or k2")
        require(limit is None or limit >= 1, "max_completion_tokens", "1 or more", limit)

    def clips(self, name: str) -> tuple[float, float]:
        """(low, high) of the loss named."""
        low, high = DEFAULT_CLIPS[name]
        return (
            low if self.clip_low is None else self.clip_low,
            high if self.clip_high is None else self.clip_high,
        )


@dataclass(frozen=True)
class LossInputs:
    """What a loss is computed from: B completions of up to T tokens.

    ``logprobs``, ``old_logprobs``: of the sampled tokens under the policy being trained and under
    π_old, natural logarithms. ``mask``: the tokens that count; elsewhere values may be anything,
    NaN included. ``weights``: importance weights of samples that π_old did not draw.
    ``ref_logprobs``: of the reference; without a coefficient its divergence is only measured.
    ``normaliser``: denominator of the whole batch; None takes this part's own.
    """

    logprobs: Tokens
    old_logprobs: Tokens
    advantages: Rows | Tokens
    mask: TokenMask
    weights: Rows | Tokens | None = None
    ref_logprobs: Tokens | None = None
    normaliser: Scalar | float | None = None


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


#: What :data:`LOSSES` holds. Raises ConfigError where settings ask for what the inputs do not
#: have, SchemaError for shapes that do not fit.
LossFunction = Callable[[LossInputs, LossSettings], LossTerms]


def denominator(name: str, mask: Bool[Tensor, "b t"], settings: LossSettings) -> Float[Tensor, ""]:
    """What the loss named divides its sums by, for a whole batch's mask. 0 if nothing counts.

    grpo, gspo: sequences. dapo: tokens. dr_grpo: sequences × max_completion_tokens.
    Raises ConfigError for an unknown name, or dr_grpo without its constant.
    """
    require(name in DEFAULT_CLIPS, "loss", f"one of {sorted(DEFAULT_CLIPS)}", name)
    if name == "dapo":
        return mask.sum().float()
    sequences = mask.any(1).sum().float()
    if name != "dr_grpo":
        return sequences
    if settings.max_completion_tokens is None:
        raise ConfigError("max_completion_tokens: dr_grpo needs the sampler's limit, got None")
    return sequences * settings.max_completion_tokens


def grpo(inputs: LossInputs, settings: LossSettings) -> LossTerms:
    """Mean over each sequence's tokens, then over sequences. Source: arXiv 2402.03300, eq. 3.

    A short sequence's tokens weigh more than a long one's.
    """
    surrogate = _of_tokens(inputs, settings.clips("grpo"))
    per_row = inputs.mask.sum(1, keepdim=True).clamp(min=1)
    kl = _kl(inputs, settings)
    total = _total("grpo", inputs, settings)
    policy = (surrogate.losses / per_row).sum() / total
    return _terms(surrogate, policy, (kl / per_row).sum() / total, settings)


def dr_grpo(inputs: LossInputs, settings: LossSettings) -> LossTerms:
    """Sum over tokens, divided by a constant. Source: Dr. GRPO, arXiv 2503.20783, section 3.

    Every token weighs the same in every batch: no reward for long wrong answers. Goes with the
    advantages "mean". The constant is sequences × ``max_completion_tokens``.
    """
    return _sum_over_tokens("dr_grpo", inputs, settings)


def dapo(inputs: LossInputs, settings: LossSettings) -> LossTerms:
    """Mean over all tokens, with room to rise above that to fall. Source: arXiv 2503.14476, eq. 8.

    The paper's mean is over a group's tokens; here it is over the batch's, as one step takes them.
    """
    return _sum_over_tokens("dapo", inputs, settings)


def gspo(inputs: LossInputs, settings: LossSettings) -> LossTerms:
    """One ratio a sequence, the geometric mean of its tokens', clipped; mean over sequences.

    Source: arXiv 2507.18071, equations 5 and 7. Advantages and weights are (B,), one a sequence.
    """
    mask = inputs.mask
    for what, value in (("advantages", inputs.advantages), ("weights", inputs.weights)):
        if value is not None and value.ndim != 1:
            raise SchemaError(what, f"shape ({len(mask)},) for gspo", tuple(value.shape))
    per_row = mask.sum(1).clamp(min=1)
    log_ratio = log_ratio_of(inputs.logprobs, inputs.old_logprobs, mask).sum(1) / per_row
    clips = settings.clips("gspo")
    surrogate = clipped_surrogate(log_ratio, inputs.advantages, mask.any(1), clips, inputs.weights)
    kl = _kl(inputs, settings)
    total = _total("gspo", inputs, settings)
    policy = surrogate.losses.sum() / total
    return _terms(surrogate, policy, (kl.sum(1) / per_row).sum() / total, settings)


#: Losses by the name that a configuration gives.
LOSSES: Mapping[str, LossFunction] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
}


def _of_tokens(inputs: LossInputs, clips: tuple[float, float]) -> Surrogate:
    """The objective of each token, before any mean."""
    mask, weights = inputs.mask, inputs.weights
    return clipped_surrogate(
        log_ratio_of(inputs.logprobs, inputs.old_logprobs, mask),
        per_token(inputs.advantages, mask, "advantages"),
        mask,
        clips,
        None if weights is None else per_token(weights, mask, "weights"),
    )


def _sum_over_tokens(name: str, inputs: LossInputs, settings: LossSettings) -> LossTerms:
    surrogate = _of_tokens(inputs, settings.clips(name))
    kl = _kl(inputs, settings)
    total = _total(name, inputs, settings)
    return _terms(surrogate, surrogate.losses.sum() / total, kl.sum() / total, settings)


def _kl(inputs: LossInputs, settings: LossSettings) -> Tokens:
    """Divergence from the reference per token; without gradient where it is only measured."""
    logprobs, reference, mask = inputs.logprobs, inputs.ref_logprobs, inputs.mask
    if reference is None:
        if settings.kl_coefficient > 0:
            raise ConfigError("kl_coefficient: above 0 needs ref_logprobs, got None")
        return torch.zeros_like(logprobs, requires_grad=False)
    if reference.shape != mask.shape:
        raise SchemaError("ref_logprobs", f"shape {tuple(mask.shape)}", tuple(reference.shape))
    if settings.kl_coefficient == 0:
        logprobs = logprobs.detach()  # no graph to hold for what no loss uses
    return KL_ESTIMATORS[settings.kl_estimator](logprobs, reference, mask)


def _total(name: str, inputs: LossInputs, settings: LossSettings) -> Tensor:
    """What to divide by; 1 where nothing counts, since the sums are 0 then."""
    whole = inputs.normaliser
    if whole is None:
        whole = denominator(name, inputs.mask, settings)
    total = torch.as_tensor(whole, device=inputs.mask.device)
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
