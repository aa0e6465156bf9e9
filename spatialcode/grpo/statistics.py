"""What is watched while training: ratios, divergences, lengths, entropy, advantages, rewards.

All take and give plain tensors, without gradient; nothing here enters a loss. Where there is
nothing to count, means are 0 and ratios 1, with a count of 0 beside them: never NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from spatialcode.grpo.advantages import group_moments
from spatialcode.grpo.kl import KL_ESTIMATORS, LOG_RATIO_LIMIT

Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class RatioStatistics:
    """Of π / π_old over ``num`` tokens (or sequences): 0-d tensors.

    ``max_abs_log`` and ``mean_abs_log`` are of log π - log π_old as it came; the others are of its
    exponential, taken of at most ± ``LOG_RATIO_LIMIT``. ``kl`` is the k3 estimate of
    KL(π_old || π).
    """

    num: Scalar
    mean: Scalar
    minimum: Scalar
    maximum: Scalar
    mean_abs_log: Scalar
    max_abs_log: Scalar
    kl: Scalar

    def as_floats(self, prefix: str = "") -> dict[str, float]:
        return {prefix + one.name: float(getattr(self, one.name)) for one in fields(self)}


def masked_mean(values: Shaped[Tensor, "*s"], mask: Bool[Tensor, "*s"]) -> Scalar:
    """Mean where the mask is True; 0 if it nowhere is. What the mask hides may be NaN."""
    num = mask.sum().clamp(min=1)
    return torch.where(mask, values, torch.zeros_like(values)).sum(dtype=torch.float32) / num


def masked_extremes(
    values: Float[Tensor, "*s"], mask: Bool[Tensor, "*s"], neutral: float
) -> tuple[Scalar, Scalar]:
    """Smallest and largest where the mask is True; ``neutral`` twice if it nowhere is."""
    nothing = values.new_tensor(neutral)
    if values.numel() == 0:
        return nothing, nothing
    some = mask.any()
    low = torch.where(mask, values, torch.inf).amin()
    high = torch.where(mask, values, -torch.inf).amax()
    return torch.where(some, low, nothing), torch.where(some, high, nothing)


@torch.no_grad()
def ratio_statistics(log_ratio: Float[Tensor, "*s"], mask: Bool[Tensor, "*s"]) -> RatioStatistics:
    """Statistics of exp(log_ratio) where the mask is True."""
    log_ratio = torch.where(mask, log_ratio.float(), 0.0)
    limited = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = limited.exp()
    low, high = masked_extremes(ratio, mask, 1.0)
    return RatioStatistics(
        num=mask.sum().float(),
        mean=torch.where(mask.any(), masked_mean(ratio, mask), 1.0),
        minimum=low,
        maximum=high,
        mean_abs_log=masked_mean(log_ratio.abs(), mask),
        max_abs_log=masked_extremes(log_ratio.abs(), mask, 0.0)[1],
        kl=masked_mean(ratio - 1.0 - limited, mask),
    )


def logprob_difference(
    logprobs: Float[Tensor, "b t"], other: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> RatioStatistics:
    """Statistics of exp(logprobs - other): of two computations of what should be the same."""
    return ratio_statistics(logprobs.detach() - other.detach(), mask)


def merge_ratio_statistics(parts: Sequence[RatioStatistics]) -> RatioStatistics:
    """Of the union of micro-batches: means weighted by count. Parts that count 0 say nothing.

    Raises ValueError for no parts at all.
    """
    if not parts:
        raise ValueError("parts: expected at least one, got none")
    num = torch.stack([part.num for part in parts])
    counts = num > 0
    weight = num / num.sum().clamp(min=1)

    def stacked(name: str) -> Tensor:
        return torch.stack([getattr(part, name) for part in parts])

    empty = (~counts).all()
    mean = torch.where(empty, 1.0, (weight * stacked("mean")).sum())
    return RatioStatistics(
        num=num.sum(),
        mean=mean,
        minimum=masked_extremes(stacked("minimum"), counts, 1.0)[0],
        maximum=masked_extremes(stacked("maximum"), counts, 1.0)[1],
        mean_abs_log=(weight * stacked("mean_abs_log")).sum(),
        max_abs_log=stacked("max_abs_log").amax(),
        kl=(weight * stacked("kl")).sum(),
    )


@torch.no_grad()
def kl_statistics(
    logprobs: Float[Tensor, "b t"], ref_logprobs: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> dict[str, float]:
    """Mean per token of each estimator of KL(π || π_ref): keys k1, k2, k3."""
    return {
        name: masked_mean(estimate(logprobs, ref_logprobs, mask), mask).item()
        for name, estimate in KL_ESTIMATORS.items()
    }


@torch.no_grad()
def entropy_from_logits(
    logits: Float[Tensor, "b t v"],
    mask: Bool[Tensor, "b t"],
    *,
    temperature: float = 1.0,
    chunk_tokens: int = 1024,
) -> Float[Tensor, "b t"]:
    """Entropy in nats of softmax(logits / temperature) at each counted position; 0 elsewhere.

    ``chunk_tokens`` positions at a time are held as float32 probabilities: with a vocabulary of
    150,000 a whole batch of them would outweigh the model. A logit of -inf has probability 0.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    entropy = torch.zeros(mask.numel(), device=logits.device)
    for places in mask.reshape(-1).nonzero()[:, 0].split(chunk_tokens):
        logp = (rows[places].float() / temperature).log_softmax(-1)
        entropy[places] = -torch.where(logp.isfinite(), logp.exp() * logp, 0.0).sum(-1)
    return entropy.reshape(mask.shape)


def effective_sample_share(weights: Float[Tensor, "*s"], mask: Bool[Tensor, "*s"]) -> Scalar:
    """(Σ w)² / (n Σ w²), in (0, 1]: 1 for equal weights; 1 where there are none.

    Source: Kish's effective sample size, divided by the sample's.
    """
    used = torch.where(mask, weights.detach(), torch.zeros_like(weights))
    squares = mask.sum() * used.square().sum()
    return torch.where(squares > 0, used.sum().square() / squares.clamp(min=1e-30), 1.0)


def length_statistics(lengths: Int[Tensor, " b"], finished: Bool[Tensor, " b"]) -> dict[str, float]:
    """Tokens per completion: mean, std, min, max; and the share cut by the limit."""
    if lengths.numel() == 0:
        return dict.fromkeys(("mean", "std", "min", "max", "truncated_share"), 0.0)
    values = lengths.double()
    return {
        "mean": values.mean().item(),
        "std": values.std(correction=0).item(),
        "min": values.min().item(),
        "max": values.max().item(),
        "truncated_share": (~finished).double().mean().item(),
    }


def advantage_statistics(
    advantages: Float[Tensor, " b"], valid: Bool[Tensor, " b"]
) -> dict[str, float]:
    """Over valid samples: mean, std (divisor n), shares above, below and at 0; invalid share."""
    mean = masked_mean(advantages, valid)
    return {
        "mean": mean.item(),
        "std": masked_mean((advantages - mean).square(), valid).sqrt().item(),
        "positive_share": masked_mean((advantages > 0).float(), valid).item(),
        "negative_share": masked_mean((advantages < 0).float(), valid).item(),
        "zero_share": masked_mean((advantages == 0).float(), valid).item(),
        "invalid_share": masked_mean((~valid).float(), torch.ones_like(valid)).item(),
    }


def explained_share(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
) -> float:
    """Share of the rewards' variance that the prompt explains, 0 to 1; 0 if they do not vary.

    What remains, within the groups, is all that group advantages can learn from.
    Source: eta squared of a one-way analysis of variance.
    """
    moments = group_moments(rewards, group_ids, valid)
    num = moments.num_valid.double()
    grand = (num * moments.mean).sum() / num.sum().clamp(min=1)
    between = (num * (moments.mean - grand).square()).sum()
    within = ((num - 1).clamp(min=0) * moments.std.square()).sum()
    total = (between + within).item()
    return between.item() / total if total > 0 else 0.0


def term_variance_shares(
    terms: Float[Tensor, "b k"], weights: Float[Tensor, " k"], valid: Bool[Tensor, " b"]
) -> list[float]:
    """cov(w·term, Σ w·term) / var(Σ w·term) over valid samples: how much each term moves the sum.

    They add to 1 (all 0 if the sum does not vary); below 0 where a term goes against the rest.
    Source: the covariance decomposition of a sum's variance.
    """
    weighted = (weights * terms)[valid].double()
    if len(weighted) == 0:
        return [0.0] * terms.shape[1]
    centred = weighted - weighted.mean(0)
    total = centred.sum(1)
    variance = total.square().sum()
    if not variance > 0:
        return [0.0] * terms.shape[1]
    shares: list[float] = ((centred * total[:, None]).sum(0) / variance).tolist()
    return shares
