from __future__ import annotations

import math
import statistics

import pytest
import torch
from torch import Tensor

from spatialcode.errors import ConfigError, SchemaError
from spatialcode.grpo.advantages import mean_advantages, mean_std_advantages
from spatialcode.grpo.aggregation import (
    AGGREGATIONS,
    batch_sums,
    normalise_over_batch,
    normalise_then_sum,
    stack_terms,
    sum_then_normalise,
    weighted_sum,
)

ROOT = math.sqrt(2)


def test_stack_terms_keeps_absent_invalid_and_zero_apart() -> None:
    scored = [{"answer": 1.0, "format": 0.0, "other": 9.0}, None, {"format": 0.5}]
    terms, present, valid = stack_terms(scored, ["answer", "format"])
    assert terms.tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.5]]
    assert present.tolist() == [[True, True], [False, False], [False, True]]
    assert valid.tolist() == [True, False, True]
    terms, present, valid = stack_terms([], ["answer"])
    assert terms.shape == present.shape == (0, 1)


def test_weighted_sum_by_hand() -> None:
    terms = torch.tensor([[1.0, 0.5], [float("nan"), 0.5], [1.0, 1.0]])
    present = torch.tensor([[True, True], [False, True], [False, False]])
    weights = torch.tensor([3.0, 1.0])
    # (3 + 0.5) / 4; 0.5 / 1; nothing.
    got = weighted_sum(terms, present, weights)
    torch.testing.assert_close(got, torch.tensor([0.875, 0.5, 0.0]))
    got = weighted_sum(terms, present, weights, renormalise=False)
    torch.testing.assert_close(got, torch.tensor([3.5, 0.5, 0.0]))


def test_totals_are_the_rubrics_own() -> None:
    # The rubric's weights: answer .40, format .05, smooth .10 where it applies.
    scored = [{"format": 1.0, "answer": 0.5, "smooth": 0.25}, {"format": 1.0, "answer": 0.0}]
    terms, present, _ = stack_terms(scored, ["format", "answer", "smooth"])
    got = weighted_sum(terms, present, torch.tensor([0.05, 0.40, 0.10]))
    expected = [(0.05 + 0.2 + 0.025) / 0.55, 0.05 / 0.45]
    torch.testing.assert_close(got, torch.tensor(expected))


def test_one_total_from_different_terms_stays_different_with_gdpo() -> None:
    # Two rewards of 0 or 1, groups of two. Sums (0, 1) and (0, 2): normalised they are the same;
    # term by term the second group is worth twice the first, which is what GDPO keeps.
    terms = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    present, weights = torch.ones(4, 2, dtype=torch.bool), torch.ones(2)
    ids = torch.tensor([0, 0, 1, 1])
    summed = sum_then_normalise(terms, present, weights, ids)
    torch.testing.assert_close(summed, torch.tensor([-1.0, 1.0, -1.0, 1.0]) / ROOT)
    # Each term that varies gives ∓1/√2: sums (-1, 1, -2, 2)/√2.
    kept = normalise_then_sum(terms, present, weights, ids, batch_normalise=False)
    torch.testing.assert_close(kept, torch.tensor([-1.0, 1.0, -2.0, 2.0]) / ROOT)
    # Over the batch: mean 0, sample std sqrt((.5 + .5 + 2 + 2) / 3).
    batch = normalise_then_sum(terms, present, weights, ids)
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
    got = normalise_then_sum(terms, present, weights, ids, valid)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_better_in_every_term_is_a_better_advantage(name: str) -> None:
    terms, present, weights, ids, _ = random_terms(0)
    terms = terms.nan_to_num(0.5)
    terms[7] = 2.0
    advantages = AGGREGATIONS[name](terms, present, weights, ids)
    mine = advantages[ids == ids[7]]
    assert advantages[7] == mine.max()
    assert advantages[7] > 0
    assert mine.min() < 0


def test_gdpo_ignores_the_scale_of_a_term_and_the_sum_does_not() -> None:
    terms, present, weights, ids, valid = random_terms(1)
    scaled = terms * torch.tensor([1.0, 50.0, 1.0], dtype=torch.float64)
    arguments = (present, weights, ids, valid)
    torch.testing.assert_close(
        normalise_then_sum(scaled, *arguments), normalise_then_sum(terms, *arguments)
    )
    changed = sum_then_normalise(scaled, *arguments) - sum_then_normalise(terms, *arguments)
    assert changed.abs().max() > 0.1


def test_gdpo_of_one_term_without_the_batch_step_is_grpo() -> None:
    terms, _, _, ids, valid = random_terms(2)
    one, all_there = terms[:, 1:2], torch.ones(20, 1, dtype=torch.bool)
    got = normalise_then_sum(one, all_there, torch.ones(1), ids, valid, batch_normalise=False)
    torch.testing.assert_close(got, mean_std_advantages(one[:, 0], ids, valid))


def test_sum_takes_the_advantage_named() -> None:
    terms, present, weights, ids, valid = random_terms(0)
    total = weighted_sum(terms, present, weights)
    got = sum_then_normalise(terms, present, weights, ids, valid, advantage="mean")
    torch.testing.assert_close(got, mean_advantages(total, ids, valid))


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_edges(name: str) -> None:
    aggregate, weights = AGGREGATIONS[name], torch.ones(2)
    ids, present = torch.tensor([0, 0, 1]), torch.ones(3, 2, dtype=torch.bool)
    nan = torch.full((3, 2), float("nan"))
    none = torch.zeros(3, dtype=torch.bool)
    assert aggregate(nan, present, weights, ids, none).tolist() == [0.0] * 3
    assert aggregate(torch.ones(3, 2), present, weights, ids).tolist() == [0.0] * 3
    assert aggregate(nan, ~present, weights, ids).tolist() == [0.0] * 3
    with pytest.raises(ConfigError, match="advantage"):
        aggregate(torch.ones(3, 2), present, weights, ids, advantage="median")
    with pytest.raises(SchemaError, match="present"):
        aggregate(torch.ones(3, 2), present[:, :1], weights, ids)
    with pytest.raises(SchemaError, match="weights"):
        aggregate(torch.ones(3, 2), present, torch.ones(3), ids)


def test_batch_normalisation_by_hand() -> None:
    # Valid 1, 3: mean 2, sample std √2.
    got = normalise_over_batch(torch.tensor([1.0, 99.0, 3.0]), torch.tensor([True, False, True]))
    torch.testing.assert_close(got, torch.tensor([-1.0, 0.0, 1.0]) / ROOT)


def test_workers_that_add_their_sums_normalise_as_one() -> None:
    terms, present, weights, ids, valid = random_terms(3)
    whole = normalise_then_sum(terms, present, weights, ids, valid)
    halves = []
    for mine in (ids < 1, ids >= 1):
        part = (terms[mine], present[mine], weights, ids[mine], valid[mine])
        halves.append((normalise_then_sum(*part, batch_normalise=False), valid[mine]))
    sums = [sum(column) for column in zip(*(batch_sums(*half) for half in halves), strict=True)]
    together = (float(sums[0]), float(sums[1]), float(sums[2]))
    parts = [normalise_over_batch(*half, together) for half in halves]
    torch.testing.assert_close(torch.cat(parts), whole)
    alone = torch.cat([normalise_over_batch(*half) for half in halves])
    assert not torch.allclose(alone, whole, rtol=1e-3)


def test_batch_sums_by_hand() -> None:
    got = batch_sums(torch.tensor([1.0, float("nan"), -3.0]), torch.tensor([True, False, True]))
    assert got == (2.0, -2.0, 10.0)
