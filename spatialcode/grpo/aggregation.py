"""From several reward terms to one advantage: sum then normalise, or normalise then sum.

Both ways leave invalid samples out and give them advantage 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.advantages import ADVANTAGES, mean_std_advantages
from spatialcode.grpo.types import Scored

#: Advantages of a batch whose standard deviation is no larger than this are not scaled up.
MIN_STD = 1e-4


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
    if advantage not in ADVANTAGES:
        raise ConfigError(f"advantage: expected one of {sorted(ADVANTAGES)}, got {advantage!r}")
    return ADVANTAGES[advantage](rewards.totals, rewards.group_ids, rewards.valid)


def normalise_then_sum(
    rewards: GroupedRewards, advantage: str, total: Total
) -> Float[Tensor, " b"]:
    """GDPO: each term's group advantage, their weighted sum, then normalised over the batch.

    Different mixtures of terms with one total keep different advantages, and a term with a small
    spread is heard. The last step holds the scale whatever the number of terms; it is over all
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
