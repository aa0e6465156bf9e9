"""From several reward terms to one advantage: sum then normalise, or normalise then sum.

Terms come as (B, K) with ``present`` (B, K): a term that does not apply to a question is absent,
which is not 0. Both ways leave invalid samples (``valid`` False) out and give them advantage 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.advantages import ADVANTAGES, MIN_STD, mean_std_advantages

Terms = Float[Tensor, "b k"]
Present = Bool[Tensor, "b k"]
BatchSums = tuple[float, float, float]


class Aggregation(Protocol):
    """What :data:`AGGREGATIONS` holds."""

    def __call__(
        self,
        terms: Terms,
        present: Present,
        weights: Float[Tensor, " k"],
        group_ids: Int[Tensor, " b"],
        valid: Bool[Tensor, " b"] | None = None,
        *,
        advantage: str = "mean_std",
    ) -> Float[Tensor, " b"]: ...


def stack_terms(
    scored: Sequence[Mapping[str, float] | None], names: Sequence[str]
) -> tuple[Terms, Present, Bool[Tensor, " b"]]:
    """Named terms of each sample as (B, K), which are present, and which samples are valid.

    None is an invalid sample. Names that are not asked for are left out.
    """
    rows = [[(row or {}).get(name) for name in names] for row in scored]
    shape = (len(scored), len(names))
    terms = torch.tensor([[value or 0.0 for value in row] for row in rows]).reshape(shape)
    present = torch.tensor([[value is not None for value in row] for row in rows], dtype=torch.bool)
    valid = torch.tensor([row is not None for row in scored], dtype=torch.bool)
    return terms, present.reshape(shape), valid


def weighted_sum(
    terms: Terms, present: Present, weights: Float[Tensor, " k"], *, renormalise: bool = True
) -> Float[Tensor, " b"]:
    """Σ w·term over the terms present; renormalised, divided by the sum of their weights.

    Renormalised it is the rubric's own total, between 0 and 1 for terms that are. 0 where no term
    with a weight is present. Source: none.
    """
    used = _weights_of(terms, present, weights)
    total = (used * torch.where(present, terms, 0.0)).sum(1)
    return _ratio(total, used.sum(1)) if renormalise else total


def sum_then_normalise(
    terms: Terms,
    present: Present,
    weights: Float[Tensor, " k"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
    *,
    advantage: str = "mean_std",
) -> Float[Tensor, " b"]:
    """Advantages of the weighted sum, by the advantage function named. Source: GRPO."""
    if advantage not in ADVANTAGES:
        raise ConfigError(f"advantage: expected one of {sorted(ADVANTAGES)}, got {advantage!r}")
    return ADVANTAGES[advantage](weighted_sum(terms, present, weights), group_ids, valid)


def normalise_then_sum(
    terms: Terms,
    present: Present,
    weights: Float[Tensor, " k"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
    *,
    advantage: str = "mean_std",
    batch_normalise: bool = True,
) -> Float[Tensor, " b"]:
    """GDPO: each term's group advantage, their weighted sum, then normalised over the batch.

    Different mixtures of terms with one total keep different advantages, and a term with a small
    spread is heard. The last step holds the scale whatever the number of terms; it needs the whole
    batch: workers leave it to :func:`normalise_over_batch`. A term without variance in a group
    adds nothing there. Source: GDPO, arXiv 2601.05242; that weights multiply normalised terms and
    that standard deviations are the sample's is from its authors' code.

    Raises ConfigError for another advantage than "mean_std", the only one that normalises.
    """
    if advantage != "mean_std":
        raise ConfigError(f"advantage: normalise_then_sum expects 'mean_std', got {advantage!r}")
    used = _weights_of(terms, present, weights)
    valid = (
        torch.ones(len(terms), dtype=torch.bool, device=terms.device) if valid is None else valid
    )
    summed = terms.new_zeros(len(terms))
    for column, of_term, weight in zip(terms.T, present.T, used.T, strict=True):
        summed = summed + weight * mean_std_advantages(column, group_ids, valid & of_term)
    return normalise_over_batch(summed, valid) if batch_normalise else summed


def normalise_over_batch(
    advantages: Float[Tensor, " b"],
    valid: Bool[Tensor, " b"],
    sums: BatchSums | None = None,
    *,
    min_std: float = MIN_STD,
) -> Float[Tensor, " b"]:
    """(advantage - mean) / sample standard deviation over the valid; 0 for the others.

    ``sums`` are of the whole batch where this is a worker's part of it (:func:`batch_sums`, added
    over workers); None takes this part's own. All 0 if they do not vary.
    Source: the last step of GDPO, arXiv 2601.05242.
    """
    num, total, squares = batch_sums(advantages, valid) if sums is None else sums
    mean = total / max(num, 1.0)
    std = math.sqrt(max(squares - num * mean**2, 0.0) / max(num - 1.0, 1.0))
    if std <= min_std:
        return torch.zeros_like(advantages)
    return torch.where(valid, (advantages - mean) / std, 0.0).to(advantages.dtype)


def batch_sums(advantages: Float[Tensor, " b"], valid: Bool[Tensor, " b"]) -> BatchSums:
    """Count, sum and sum of squares of the valid: what workers add up before they normalise.

    Sums of group advantages are close to 0, so squares lose no digits to a common offset.
    """
    counted = torch.where(valid, advantages.double(), 0.0)
    return float(valid.sum()), float(counted.sum()), float(counted.square().sum())


#: Ways to aggregate by the name that a configuration gives.
AGGREGATIONS: Mapping[str, Aggregation] = {
    "weighted_sum": sum_then_normalise,
    "normalise_then_sum": normalise_then_sum,
}


def _weights_of(terms: Tensor, present: Tensor, weights: Tensor) -> Tensor:
    """Weight of each term of each sample: 0 where absent. (B, K)"""
    if present.shape != terms.shape:
        raise SchemaError("present", f"shape {tuple(terms.shape)}", tuple(present.shape))
    if weights.shape != terms.shape[1:]:
        raise SchemaError("weights", f"{terms.shape[1]} numbers", tuple(weights.shape))
    return torch.where(present, weights.to(terms), 0.0)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    there = denominator != 0
    return torch.where(there, numerator / torch.where(there, denominator, 1.0), 0.0)
