from __future__ import annotations

import math

import pytest
import torch

from spatialcode.grpo.statistics import (
    advantage_statistics,
    effective_sample_share,
    entropy_from_logits,
    explained_share,
    kl_statistics,
    length_statistics,
    logprob_difference,
    masked_mean,
    merge_ratio_statistics,
    ratio_statistics,
    term_variance_shares,
)


def test_masked_mean() -> None:
    values = torch.tensor([[1.0, float("nan")], [4.0, float("inf")]])
    mask = torch.tensor([[True, False], [True, False]])
    assert masked_mean(values, mask).item() == 2.5
    assert masked_mean(values, mask & False).item() == 0


def test_log_probability_differences_by_hand() -> None:
    # Ratios 2 and 1/4; the third is padding.
    logprobs = torch.tensor([[2.0, 0.25, 5.0]]).log() - 1
    other = torch.tensor([[-1.0, -1.0, float("nan")]])
    mask = torch.tensor([[True, True, False]])
    log2 = math.log(2)
    got = logprob_difference(logprobs, other, mask).as_floats("parity/")
    assert got == pytest.approx(
        {
            "parity/num": 2,
            "parity/mean": 1.125,
            "parity/minimum": 0.25,
            "parity/maximum": 2.0,
            "parity/mean_abs_log": 1.5 * log2,
            "parity/max_abs_log": 2 * log2,
            # (2 - 1 - log 2 + 1/4 - 1 + 2 log 2) / 2
            "parity/kl": (0.25 + log2) / 2,
        },
        rel=1e-5,
    )


def test_merged_statistics_are_those_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    log_ratio = torch.randn(8, 5, generator=generator)
    mask = torch.rand(8, 5, generator=generator) > 0.4
    mask[2:4] = False
    parts = [
        ratio_statistics(log_ratio[rows], mask[rows])
        for rows in (slice(0, 1), slice(1, 2), slice(2, 4), slice(4, 8))
    ]
    expected = ratio_statistics(log_ratio, mask).as_floats()
    assert merge_ratio_statistics(parts).as_floats() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="at least one"):
        merge_ratio_statistics([])


@pytest.mark.parametrize("chunk_tokens", [1, 2, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_entropy_equals_the_sum_by_hand(chunk_tokens: int, temperature: float) -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[True, False, True], [True, True, False]])
    logits[0, 1] = float("nan")
    got = entropy_from_logits(logits, mask, temperature=temperature, chunk_tokens=chunk_tokens)
    for i in range(2):
        for t in range(3):
            weights = [math.exp(value / temperature) for value in logits[i, t].tolist()]
            probs = [weight / sum(weights) for weight in weights]
            entropy = -sum(p * math.log(p) for p in probs) if mask[i, t] else 0.0
            assert got[i, t].item() == pytest.approx(entropy, rel=1e-5)


def test_entropy_of_known_distributions() -> None:
    # Uniform over 4: log 4; certain: 0; two of four forbidden: log 2.
    minus = float("-inf")
    logits = torch.tensor([[[3.0] * 4, [0.0, minus, minus, minus], [1.0, 1.0, minus, minus]]])
    logits = logits.to(torch.bfloat16)
    got = entropy_from_logits(logits, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(got, torch.tensor([[math.log(4), 0.0, math.log(2)]]))
    nothing = entropy_from_logits(torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.bool))
    assert nothing.shape == (1, 0)


def test_effective_sample_share_by_hand() -> None:
    # Weights 1, 3: 16 / (2 × 10).
    weights = torch.tensor([[1.0, 3.0, float("nan")]])
    mask = torch.tensor([[True, True, False]])
    assert effective_sample_share(weights, mask).item() == pytest.approx(0.8)
    assert effective_sample_share(torch.full((4,), 0.1), torch.ones(4) > 0).item() == (
        pytest.approx(1.0)
    )
    assert effective_sample_share(weights, mask & False).item() == 1


def test_length_statistics_by_hand() -> None:
    got = length_statistics(torch.tensor([2, 4, 6, 8]), torch.tensor([True, True, True, False]))
    assert got == pytest.approx(
        {"mean": 5, "std": math.sqrt(5), "min": 2, "max": 8, "truncated_share": 0.25}
    )
    empty = length_statistics(torch.zeros(0, dtype=torch.long), torch.zeros(0) > 0)
    assert set(empty.values()) == {0.0}


def test_advantage_statistics_by_hand() -> None:
    # Valid: 2, -1, 0, 0: mean 1/4, squares 4 + 1, 5/4 - 1/16.
    advantages = torch.tensor([2.0, -1.0, 0.0, 0.0, float("nan")])
    valid = torch.tensor([True, True, True, True, False])
    assert advantage_statistics(advantages, valid) == pytest.approx(
        {"mean": 0.25, "std": math.sqrt(1.25 - 0.0625), "positive_share": 0.25,
         "negative_share": 0.25, "zero_share": 0.5, "invalid_share": 0.2}
    )  # fmt: skip


def test_explained_share_by_hand() -> None:
    ids = torch.tensor([0, 0, 1, 1])
    # Means 1 and 4 about 2.5: between 2 × 2.25 × 2 = 9; within 1 + 1 + 4 + 4 = 10.
    rewards = torch.tensor([0.0, 2.0, 2.0, 6.0])
    assert explained_share(rewards, ids) == pytest.approx(9 / 19)
    # The invalid one takes no part: groups (0, 2) and (2): means 1, 2 about 4/3.
    # Between 2/9 + 4/9 = 2/3; within 2.
    valid = torch.tensor([True, True, True, False])
    assert explained_share(rewards, ids, valid) == pytest.approx((2 / 3) / (2 / 3 + 2))
    assert explained_share(torch.tensor([1.0, 1.0, 5.0, 5.0]), ids) == 1.0
    assert explained_share(torch.tensor([1.0, 5.0, 1.0, 5.0]), ids) == 0.0
    assert explained_share(torch.ones(4), ids) == 0.0
    assert explained_share(torch.zeros(0), torch.zeros(0, dtype=torch.long)) == 0.0


def test_term_variance_shares_by_hand() -> None:
    # Weighted: (0, 2, 0, 2) and (0, 0, 1, 1), uncorrelated: variances 1 and 1/4.
    terms = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [9.0, -9.0]])
    valid = torch.tensor([True, True, True, True, False])
    shares = term_variance_shares(terms, torch.tensor([2.0, 1.0]), valid)
    assert shares == pytest.approx([0.8, 0.2])
    # A term against the rest: (0, 2) and (0, -1) sum to (0, 1): shares 2 and -1.
    terms = torch.tensor([[0.0, 0.0], [2.0, -1.0]])
    assert term_variance_shares(terms, torch.ones(2), valid[:2]) == pytest.approx([2.0, -1.0])
    assert term_variance_shares(terms * 0, torch.ones(2), valid[:2]) == [0.0, 0.0]
    assert term_variance_shares(terms, torch.ones(2), ~valid[:2]) == [0.0, 0.0]


def test_divergence_of_equal_policies_is_zero() -> None:
    same = torch.tensor([[-1.0, -2.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert kl_statistics(same, same, mask) == {"k1": 0.0, "k2": 0.0, "k3": 0.0}
