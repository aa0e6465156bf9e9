"""Group advantages: how much better a completion scored than the others of its prompt.

Rewards come flat, with the id of each one's group, so that groups may differ in size once invalid
rewards are out. An invalid reward (``valid`` False; its value is never read and may be NaN) takes
no part in mean or spread, and its advantage is 0. All of a batch's groups belong together in one
call, before it is cut into micro-batches or ranks: a group that is split has other statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.errors import SchemaError

#: Rewards of a group whose largest and smallest differ by no more than this count as equal:
#: dividing by their spread would turn rounding into a full-sized advantage.
MIN_RANGE = 1e-6


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


class AdvantageFunction(Protocol):
    """What :data:`ADVANTAGES` holds."""

    def __call__(
        self,
        rewards: Float[Tensor, " b"],
        group_ids: Int[Tensor, " b"],
        valid: Bool[Tensor, " b"] | None = None,
    ) -> Float[Tensor, " b"]: ...


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
