"""From rewards to advantages: how much better a completion scored than the others of its prompt.

Rewards come flat, with the id of each one's group, so that groups may differ in size once invalid
rewards are out. An invalid reward (``valid`` False; its value is never read and may be NaN) takes
no part in mean or spread, and its advantage is 0. All of a batch's groups belong together in one
call, before it is cut into micro-batches or ranks: a group that is split has other statistics.

A reward that is a sum of terms becomes an advantage in one of two ways (`AGGREGATIONS`): the terms
are summed, then normalised; or each is normalised in its group, then summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.config import require
from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.types import Scored

#: Rewards of a group whose largest and smallest differ by no more than this count as equal:
#: dividing by their spread would turn rounding into a full-sized advantage.
MIN_RANGE = 1e-6
#: Advantages of a batch whose standard deviation is no larger than this are not scaled up.
MIN_STD = 1e-4


@dataclass(frozen=True)
class GroupMoments:
    """Per group, in the order of ascending id, over its valid rewards; ``index``: sample to group.

    ``std`` is the sample standard deviation (divisor n - 1); 0 for a group of fewer than two.
    ``varies``: False for a group without variance. Its rewards are equal, or fewer than two of
    them are valid: every advantage is 0, and nothing is learnt from it.
    """

    ids: Int[Tensor, " g"]
    index: Int[Tensor, " b"]
    num_valid: Int[Tensor, " g"]
    mean: Float[Tensor, " g"]
    std: Float[Tensor, " g"]
    varies: Bool[Tensor, " g"]


#: What :data:`ADVANTAGES` holds: a function of rewards, group ids, and which rewards are valid.
AdvantageFunction = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def group_moments(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
) -> GroupMoments:
    """Mean and spread of each group's valid rewards, in double precision.

    Raises SchemaError if the three differ in length, or a valid reward is NaN or infinite.
    """
    valid = _checked(rewards, group_ids, valid)
    ids, index = torch.unique(group_ids, return_inverse=True)
    counted = torch.where(valid, rewards.double(), 0.0)
    zeros = counted.new_zeros(len(ids))
    num = zeros.index_add(0, index, valid.double())
    mean = zeros.index_add(0, index, counted) / num.clamp(min=1)
    # Deviations are squared, not the rewards: a large common offset would eat the digits.
    deviation = torch.where(valid, counted - mean[index], 0.0)
    squares = zeros.index_add(0, index, deviation.square())
    std = (squares / (num - 1).clamp(min=1)).sqrt()
    above = zeros.scatter_reduce(0, index, deviation, "amax")
    below = zeros.scatter_reduce(0, index, deviation, "amin")
    varies = (num >= 2) & (above - below > MIN_RANGE)
    return GroupMoments(ids, index, num.long(), mean, std, varies)


def mean_std_advantages(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, " b"]:
    """(reward - group mean) / group standard deviation; 0 in groups without variance.

    Source: GRPO, arXiv 2402.03300, section 4.1.2. The paper does not say which divisor its
    standard deviation has; here n - 1. No constant is added to it: scaling a group's rewards
    changes nothing.
    """
    moments = group_moments(rewards, group_ids, valid)
    std = torch.where(moments.varies, moments.std, 1.0)[moments.index]
    return _only(_centered(rewards, moments) / std, valid, moments, rewards)


def mean_advantages(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, " b"]:
    """Reward - group mean; 0 in groups without variance.

    Source: Dr. GRPO, arXiv 2503.20783: dividing by the spread overweights prompts that are nearly
    always or nearly never answered.
    """
    moments = group_moments(rewards, group_ids, valid)
    return _only(_centered(rewards, moments), valid, moments, rewards)


def leave_one_out_advantages(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, " b"]:
    """Reward - mean of the *other* valid rewards of the group; 0 in groups without variance.

    Source: RLOO, arXiv 2402.14740; equals n / (n - 1) times :func:`mean_advantages`. The baseline
    does not contain the sample itself, so the gradient is unbiased.
    """
    moments = group_moments(rewards, group_ids, valid)
    num = moments.num_valid.double()
    factor = (num / (num - 1).clamp(min=1))[moments.index]
    return _only(factor * _centered(rewards, moments), valid, moments, rewards)


#: Advantage functions by the name that a configuration gives.
ADVANTAGES: Mapping[str, AdvantageFunction] = {
    "mean_std": mean_std_advantages,
    "mean": mean_advantages,
    "leave_one_out": leave_one_out_advantages,
}


@dataclass(frozen=True)
class GroupedRewards:
    """The rewards of B completions, by total and by term.

    ``present``: a term that does not apply to a question is absent, which is not 0. ``weights``:
    of the K terms. ``valid``: False for a sample without a reward, whose values are never read.
    """

    totals: Float[Tensor, " b"]
    terms: Float[Tensor, "b k"]
    present: Bool[Tensor, "b k"]
    weights: Float[Tensor, " k"]
    group_ids: Int[Tensor, " b"]
    valid: Bool[Tensor, " b"]

    def __post_init__(self) -> None:
        if self.present.shape != self.terms.shape:
            expected = f"shape {tuple(self.terms.shape)}"
            raise SchemaError("present", expected, tuple(self.present.shape))
        if self.weights.shape != self.terms.shape[1:]:
            expected = f"{self.terms.shape[1]} numbers"
            raise SchemaError("weights", expected, tuple(self.weights.shape))

    @classmethod
    def of(
        cls, scored: Sequence[Scored], group_ids: Int[Tensor, " b"], weights: Mapping[str, float]
    ) -> GroupedRewards:
        """Scores as tensors. ``weights``: of the terms that are paid, by name; other terms are
        left out.
        """
        rows = [[(one.terms or {}).get(name) for name in weights] for one in scored]
        shape = (len(scored), len(weights))
        terms = torch.tensor([[value or 0.0 for value in row] for row in rows]).reshape(shape)
        present = torch.tensor([[value is not None for value in row] for row in rows])
        return cls(
            totals=torch.tensor([one.total or 0.0 for one in scored]),
            terms=terms,
            present=present.bool().reshape(shape),
            weights=torch.tensor(list(weights.values())),
            group_ids=group_ids,
            valid=torch.tensor([one.valid for one in scored], dtype=torch.bool),
        )


#: Adds a number over workers.
Total = Callable[[float], float]
#: What :data:`AGGREGATIONS` holds: advantages by the advantage function named. The last argument
#: adds over workers, who must all call it.
Aggregation = Callable[[GroupedRewards, str, Total], Float[Tensor, " b"]]


def sum_then_normalise(
    rewards: GroupedRewards, advantage: str, _total: Total
) -> Float[Tensor, " b"]:
    """Advantages of the totals, in which the scorer has summed the terms. Source: GRPO."""
    require(advantage in ADVANTAGES, "advantage", f"one of {sorted(ADVANTAGES)}", advantage)
    return ADVANTAGES[advantage](rewards.totals, rewards.group_ids, rewards.valid)


def normalise_then_sum(
    rewards: GroupedRewards, advantage: str, total: Total
) -> Float[Tensor, " b"]:
    """GDPO: each term's group advantage, their weighted sum, then normalised over the batch.

    Different mixtures of terms with one total keep different advantages, and a term with a small
    spread is heard. The last step keeps the scale the same for any number of terms; it is over all
    workers' samples. Source: GDPO, arXiv 2601.05242; that weights multiply normalised terms and
    that standard deviations are the sample's is from its authors' code.

    Raises ConfigError for another advantage than "mean_std", the only one that normalises.
    """
    if advantage != "mean_std":
        raise ConfigError(f"advantage: normalise_then_sum expects 'mean_std', got {advantage!r}")
    summed = weighted_term_advantages(rewards)
    sums = BatchSums.of(summed, rewards.valid).over_workers(total)
    return normalise_over_batch(summed, rewards.valid, sums)


def weighted_term_advantages(rewards: GroupedRewards) -> Float[Tensor, " b"]:
    """Σ w · (the term's advantage in its group); a term without variance there adds nothing."""
    summed = rewards.terms.new_zeros(len(rewards.terms))
    weights = rewards.weights.to(rewards.terms)
    for column, present, weight in zip(rewards.terms.T, rewards.present.T, weights, strict=True):
        valid = rewards.valid & present
        summed = summed + weight * mean_std_advantages(column, rewards.group_ids, valid)
    return summed


@dataclass(frozen=True)
class BatchSums:
    """Count, sum and sum of squares of valid advantages: what workers add before they normalise.

    Sums of group advantages are close to 0, so squares lose no digits to a common offset.
    """

    num: float
    total: float
    squares: float

    @classmethod
    def of(cls, advantages: Float[Tensor, " b"], valid: Bool[Tensor, " b"]) -> BatchSums:
        counted = torch.where(valid, advantages.double(), 0.0)
        return cls(float(valid.sum()), float(counted.sum()), float(counted.square().sum()))

    def over_workers(self, total: Total) -> BatchSums:
        return BatchSums(total(self.num), total(self.total), total(self.squares))


def normalise_over_batch(
    advantages: Float[Tensor, " b"], valid: Bool[Tensor, " b"], sums: BatchSums
) -> Float[Tensor, " b"]:
    """(advantage - mean) / sample standard deviation over the valid; 0 for the others.

    ``sums`` are of the whole batch. All 0 if they do not vary.
    Source: the last step of GDPO, arXiv 2601.05242.
    """
    mean = sums.total / max(sums.num, 1.0)
    std = math.sqrt(max(sums.squares - sums.num * mean**2, 0.0) / max(sums.num - 1.0, 1.0))
    if std <= MIN_STD:
        return torch.zeros_like(advantages)
    return torch.where(valid, (advantages - mean) / std, 0.0).to(advantages.dtype)


#: Ways to aggregate by the name that a configuration gives.
AGGREGATIONS: Mapping[str, Aggregation] = {
    "weighted_sum": sum_then_normalise,
    "normalise_then_sum": normalise_then_sum,
}


def _checked(rewards: Tensor, group_ids: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        valid = torch.ones_like(rewards, dtype=torch.bool)
    shape = tuple(rewards.shape)
    for name, other in (("group_ids", group_ids), ("valid", valid)):
        if rewards.ndim != 1 or other.shape != rewards.shape:
            raise SchemaError(name, f"one entry for each of rewards {shape}", tuple(other.shape))
    wrong = valid & ~rewards.isfinite()
    if bool(wrong.any()):
        raise SchemaError("rewards", "finite numbers where valid", rewards[wrong][0].item())
    return valid


def _centered(rewards: Tensor, moments: GroupMoments) -> Tensor:
    return rewards.double() - moments.mean[moments.index]


def _only(values: Tensor, valid: Tensor | None, moments: GroupMoments, like: Tensor) -> Tensor:
    varies = moments.varies[moments.index]
    kept = varies if valid is None else varies & valid
    return torch.where(kept, values, 0.0).to(like.dtype)
