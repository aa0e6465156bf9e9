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

#: Rewards of a group that spread less than this (standard deviation, in units of reward) count as
#: equal: dividing by it would turn rounding into a full-sized advantage.
MIN_STD = 1e-4


@dataclass(frozen=True)
class GroupMoments:
    """Per group, in the order of ascending id, over its valid rewards; ``index``: sample to group.

    ``std`` is the sample standard deviation (divisor n - 1); 0 for a group of fewer than two.
    """

    ids: Int[Tensor, " g"]
    index: Int[Tensor, " b"]
    num_valid: Int[Tensor, " g"]
    mean: Float[Tensor, " g"]
    std: Float[Tensor, " g"]


class AdvantageFunction(Protocol):
    """What :data:`ADVANTAGES` holds."""

    def __call__(
        self,
        rewards: Float[Tensor, " b"],
        group_ids: Int[Tensor, " b"],
        valid: Bool[Tensor, " b"] | None = None,
        *,
        min_std: float = MIN_STD,
    ) -> Float[Tensor, " b"]: ...


def flatten_groups(
    rewards: Float[Tensor, "g k"],
) -> tuple[Float[Tensor, " gk"], Int[Tensor, " gk"]]:
    """Rewards of g prompts with k completions each, flat, and their group ids 0 … g-1."""
    num_groups, size = rewards.shape
    ids = torch.arange(num_groups, device=rewards.device).repeat_interleave(size)
    return rewards.reshape(-1), ids


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
    return GroupMoments(ids, index, num.long(), mean, std)


def mean_std_advantages(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
    *,
    min_std: float = MIN_STD,
) -> Float[Tensor, " b"]:
    """(reward - group mean) / group standard deviation; 0 in groups without variance.

    Source: GRPO, arXiv 2402.03300, section 4.1.2. The paper does not say which divisor its
    standard deviation has; here n - 1. No constant is added to it: scaling a group's rewards
    changes nothing.
    """
    moments = group_moments(rewards, group_ids, valid)
    std = moments.std[moments.index]
    scaled = _centered(rewards, moments) / std.clamp(min=min_std)
    return _only(scaled, valid, std > min_std, rewards)


def mean_advantages(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
    *,
    min_std: float = MIN_STD,
) -> Float[Tensor, " b"]:
    """Reward - group mean; 0 in groups without variance.

    Source: Dr. GRPO, arXiv 2503.20783: dividing by the spread overweights prompts that are nearly
    always or nearly never answered.
    """
    moments = group_moments(rewards, group_ids, valid)
    varies = moments.std[moments.index] > min_std
    return _only(_centered(rewards, moments), valid, varies, rewards)


def leave_one_out_advantages(
    rewards: Float[Tensor, " b"],
    group_ids: Int[Tensor, " b"],
    valid: Bool[Tensor, " b"] | None = None,
    *,
    min_std: float = MIN_STD,
) -> Float[Tensor, " b"]:
    """Reward - mean of the *other* valid rewards of the group; 0 in groups without variance.

    Source: RLOO, arXiv 2402.14740; equals n / (n - 1) times :func:`mean_advantages`. The baseline
    does not contain the sample itself, so the gradient is unbiased.
    """
    moments = group_moments(rewards, group_ids, valid)
    num = moments.num_valid.double()
    factor = (num / (num - 1).clamp(min=1))[moments.index]
    varies = moments.std[moments.index] > min_std
    return _only(factor * _centered(rewards, moments), valid, varies, rewards)


def zero_variance(
    group_ids: Int[Tensor, " b"],
    moments: GroupMoments,
    *,
    min_std: float = MIN_STD,
) -> tuple[Int[Tensor, " z"], Bool[Tensor, " b"]]:
    """Ids of the groups that teach nothing, and which samples are theirs.

    Their valid rewards are equal, or there are fewer than two of them: every advantage is 0.
    Source: dynamic sampling of DAPO, arXiv 2503.14476, section 3.2, which drops and refills them.
    """
    without = moments.std <= min_std
    assert group_ids.shape == moments.index.shape, "the moments are of another batch"
    return moments.ids[without], without[moments.index]


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


def _only(values: Tensor, valid: Tensor | None, varies: Tensor, like: Tensor) -> Tensor:
    kept = varies if valid is None else varies & valid
    return torch.where(kept, values, 0.0).to(like.dtype)
