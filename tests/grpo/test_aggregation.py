from __future__ import annotations

import math
import statistics

import pytest
import torch
from torch import Tensor

from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.advantages import (
    AGGREGATIONS,
    BatchSums,
    GroupedRewards,
    mean_advantages,
    mean_std_advantages,
    normalise_over_batch,
    normalise_then_sum,
    sum_then_normalise,
    weighted_term_advantages,
)
from spatialcode.grpo.types import Scored

ROOT = math.sqrt(2)


def alone(value: float) -> float:
    """The sum over workers where there is one."""
    return value


def rewards_of(
    terms: Tensor,
    present: Tensor,
    weights: Tensor,
    ids: Tensor,
    valid: Tensor | None = None,
) -> GroupedRewards:
    """With the weighted sums of the terms present as totals."""
    used = torch.where(present, terms, 0.0)
    valid = torch.ones(len(terms), dtype=torch.bool) if valid is None else valid
    return GroupedRewards((used * weights).sum(1), terms, present, weights, ids, valid)


def test_absent_invalid_and_zero_are_told_apart() -> None:
    scored = [
        Scored({"answer": 1.0, "format": 0.0, "other": 9.0}, 0.75),
        Scored(None, None, error="hung"),
        Scored({"format": 0.5}, 0.5),
    ]
    ids = torch.tensor([0, 0, 1])
    found = GroupedRewards.of(scored, ids, {"answer": 0.4, "format": 0.05})
    assert found.terms.tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.5]]
    assert found.present.tolist() == [[True, True], [False, False], [False, True]]
    assert found.valid.tolist() == [True, False, True]
    assert found.totals.tolist() == [0.75, 0.0, 0.5]
    torch.testing.assert_close(found.weights, torch.tensor([0.4, 0.05]))
    nothing = GroupedRewards.of([], ids[:0], {"answer": 1.0})
    assert nothing.terms.shape == nothing.present.shape == (0, 1)
    assert all(f(nothing, "mean_std", alone).shape == (0,) for f in AGGREGATIONS.values())


def test_one_total_from_different_terms_stays_different_with_gdpo() -> None:
    # Two rewards of 0 or 1, groups of two. Sums (0, 1) and (0, 2): normalised they are the same;
    # term by term the second group is worth twice the first, which is what GDPO keeps.
    terms = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    present, weights = torch.ones(4, 2, dtype=torch.bool), torch.ones(2)
    ids = torch.tensor([0, 0, 1, 1])
    rewards = rewards_of(terms, present, weights, ids)
    summed = sum_then_normalise(rewards, "mean_std", alone)
    torch.testing.assert_close(summed, torch.tensor([-1.0, 1.0, -1.0, 1.0]) / ROOT)
    # Each term that varies gives ∓1/√2: sums (-1, 1, -2, 2)/√2.
    kept = weighted_term_advantages(rewards)
    torch.testing.assert_close(kept, torch.tensor([-1.0, 1.0, -2.0, 2.0]) / ROOT)
    # Over the batch: mean 0, sample std sqrt((.5 + .5 + 2 + 2) / 3).
    batch = normalise_then_sum(rewards, "mean_std", alone)
    torch.testing.assert_close(batch, kept / math.sqrt(5 / 3))


def random_terms(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.arange(4).repeat_interleave(5)
    terms = torch.rand(20, 3, generator=generator, dtype=torch.float64)
    # A term applies to a question, so to a whole group; group 3 has no third term.
    present = torch.ones(20, 3, dtype=torch.bool)
    present[ids == 3, 2] = False
    terms[ids == 1, 0] = 1.0  # no variance
    valid = torch.rand(20, generator=generator) > 0.2
    terms[~valid] = float("nan")
    return terms, present, torch.tensor([0.5, 2.0, 0.1], dtype=torch.float64), ids, valid


@pytest.mark.parametrize("seed", range(3))
def test_gdpo_equals_the_loop(seed: int) -> None:
    terms, present, weights, ids, valid = random_terms(seed)
    summed = []
    for i in range(20):
        total = 0.0
        for k in range(3):
            group = [terms[j, k].item() for j in range(20) if ids[j] == ids[i] and valid[j]]
            if not valid[i] or not present[i, k] or len(set(group)) < 2:
                continue
            value = (terms[i, k].item() - statistics.mean(group)) / statistics.stdev(group)
            total += weights[k].item() * value
        summed.append(total)
    counted = [summed[i] for i in range(20) if valid[i]]
    mean, spread = statistics.mean(counted), statistics.stdev(counted)
    expected = [(summed[i] - mean) / spread if valid[i] else 0.0 for i in range(20)]
    got = normalise_then_sum(rewards_of(terms, present, weights, ids, valid), "mean_std", alone)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_better_in_every_term_is_a_better_advantage(name: str) -> None:
    terms, present, weights, ids, _ = random_terms(0)
    terms = terms.nan_to_num(0.5)
    terms[7] = 2.0
    advantages = AGGREGATIONS[name](rewards_of(terms, present, weights, ids), "mean_std", alone)
    mine = advantages[ids == ids[7]]
    assert advantages[7] == mine.max()
    assert advantages[7] > 0
    assert mine.min() < 0


def test_gdpo_ignores_the_scale_of_a_term_and_the_sum_does_not() -> None:
    terms, present, weights, ids, valid = random_terms(1)
    scaled = terms * torch.tensor([1.0, 50.0, 1.0], dtype=torch.float64)
    plain = rewards_of(terms, present, weights, ids, valid)
    large = rewards_of(scaled, present, weights, ids, valid)
    torch.testing.assert_close(
        normalise_then_sum(large, "mean_std", alone), normalise_then_sum(plain, "mean_std", alone)
    )
    changed = sum_then_normalise(large, "mean_std", alone)
    changed = changed - sum_then_normalise(plain, "mean_std", alone)
    assert changed.abs().max() > 0.1


def test_gdpo_of_one_term_without_the_batch_step_is_grpo() -> None:
    terms, _, _, ids, valid = random_terms(2)
    one, all_there = terms[:, 1:2], torch.ones(20, 1, dtype=torch.bool)
    got = weighted_term_advantages(rewards_of(one, all_there, torch.ones(1), ids, valid))
    torch.testing.assert_close(got, mean_std_advantages(one[:, 0], ids, valid))


def test_sum_takes_the_advantage_named() -> None:
    rewards = rewards_of(*random_terms(0))
    got = sum_then_normalise(rewards, "mean", alone)
    totals = rewards.totals
    torch.testing.assert_close(got, mean_advantages(totals, rewards.group_ids, rewards.valid))


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_edges(name: str) -> None:
    aggregate, weights = AGGREGATIONS[name], torch.ones(2)
    ids, present = torch.tensor([0, 0, 1]), torch.ones(3, 2, dtype=torch.bool)
    nan = torch.full((3, 2), float("nan"))
    none = torch.zeros(3, dtype=torch.bool)
    for edge in (
        rewards_of(nan, present, weights, ids, none),
        rewards_of(torch.ones(3, 2), present, weights, ids),
        rewards_of(nan, ~present, weights, ids),
    ):
        assert aggregate(edge, "mean_std", alone).tolist() == [0.0] * 3
    with pytest.raises(ConfigError, match="advantage"):
        aggregate(rewards_of(torch.ones(3, 2), present, weights, ids), "median", alone)
    rest = (torch.ones(3), torch.ones(3, 2))
    with pytest.raises(SchemaError, match="present"):
        GroupedRewards(*rest, present[:, :1], weights, ids, ~none)
    with pytest.raises(SchemaError, match="weights"):
        GroupedRewards(*rest, present, torch.ones(3), ids, ~none)


def test_batch_normalisation_by_hand() -> None:
    # Valid 1, 3: mean 2, sample std √2.
    advantages, valid = torch.tensor([1.0, 99.0, 3.0]), torch.tensor([True, False, True])
    got = normalise_over_batch(advantages, valid, BatchSums.of(advantages, valid))
    torch.testing.assert_close(got, torch.tensor([-1.0, 0.0, 1.0]) / ROOT)


def test_workers_that_add_their_sums_normalise_as_one() -> None:
    terms, present, weights, ids, valid = random_terms(3)
    whole = normalise_then_sum(rewards_of(terms, present, weights, ids, valid), "mean_std", alone)
    shares = [
        rewards_of(terms[mine], present[mine], weights, ids[mine], valid[mine])
        for mine in (ids < 1, ids >= 1)
    ]
    sums = [BatchSums.of(weighted_term_advantages(share), share.valid) for share in shares]
    added = iter([
        *(sum(getattr(one, name) for one in sums) for name in ("num", "total", "squares"))
    ] * 2)  # fmt: skip
    parts = [normalise_then_sum(share, "mean_std", lambda _: next(added)) for share in shares]
    torch.testing.assert_close(torch.cat(parts), whole)
    apart = torch.cat([normalise_then_sum(share, "mean_std", alone) for share in shares])
    assert not torch.allclose(apart, whole, rtol=1e-3)


def test_batch_sums_by_hand() -> None:
    advantages, valid = torch.tensor([1.0, float("nan"), -3.0]), torch.tensor([True, False, True])
    assert BatchSums.of(advantages, valid) == BatchSums(2.0, -2.0, 10.0)
