from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.errors import SchemaError
from spatialcode.grpo.advantages import (
    ADVANTAGES,
    MIN_RANGE,
    group_moments,
    leave_one_out_advantages,
    mean_advantages,
    mean_std_advantages,
)
from tests.grpo.loops import slow_advantages

NAN = float("nan")
#: Rewards in steps of 1/16: exact in floats, so that equal means equal.
SAMPLES = st.lists(
    st.tuples(st.integers(0, 16), st.integers(0, 3), st.booleans()), min_size=1, max_size=24
)


def flatten_groups(rewards: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rewards of g prompts with k completions each, flat, and their group ids 0 … g-1."""
    num_groups, size = rewards.shape
    return rewards.reshape(-1), torch.arange(num_groups).repeat_interleave(size)


def test_hand_computed_group() -> None:
    # Rewards 1, 0, 0, 3: mean 1, deviations 0, -1, -1, 2, squares 0 + 1 + 1 + 4 = 6, 6 / 3 = 2.
    rewards, ids = torch.tensor([1.0, 0.0, 0.0, 3.0]), torch.zeros(4, dtype=torch.long)
    root = math.sqrt(2)
    expected = torch.tensor([0.0, -1 / root, -1 / root, 2 / root])
    torch.testing.assert_close(mean_std_advantages(rewards, ids), expected)
    torch.testing.assert_close(mean_advantages(rewards, ids), torch.tensor([0.0, -1.0, -1.0, 2.0]))
    # Means of the others: 1, 4/3, 4/3, 1/3.
    expected = torch.tensor([0.0, -4 / 3, -4 / 3, 8 / 3])
    torch.testing.assert_close(leave_one_out_advantages(rewards, ids), expected)


def test_invalid_rewards_leave_mean_and_spread_alone_and_get_zero() -> None:
    # Group 7 without its invalid: 1, 3 (mean 2, std sqrt 2). Were the NaN a 0: mean 4/3.
    rewards = torch.tensor([1.0, NAN, 5.0, 3.0, 1.0])
    ids = torch.tensor([7, 7, 2, 7, 2])
    valid = torch.tensor([True, False, True, True, True])
    torch.testing.assert_close(
        mean_advantages(rewards, ids, valid), torch.tensor([-1.0, 0.0, 2.0, 1.0, -2.0])
    )
    half = 1 / math.sqrt(2)
    torch.testing.assert_close(
        mean_std_advantages(rewards, ids, valid), torch.tensor([-half, 0.0, half, half, -half])
    )
    torch.testing.assert_close(
        leave_one_out_advantages(rewards, ids, valid), torch.tensor([-2.0, 0.0, 4.0, 2.0, -4.0])
    )


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
@given(samples=SAMPLES)
@settings(deadline=None, max_examples=60)
def test_every_advantage_equals_the_loop(name: str, samples: list[tuple[int, int, bool]]) -> None:
    rewards = [reward / 16 for reward, _, _ in samples]
    groups = [group for _, group, _ in samples]
    valid = [ok for _, _, ok in samples]
    seen = torch.tensor(
        [r if ok else NAN for r, ok in zip(rewards, valid, strict=True)], dtype=torch.float64
    )
    got = ADVANTAGES[name](seen, torch.tensor(groups), torch.tensor(valid))
    expected = torch.tensor(slow_advantages(name, rewards, groups, valid), dtype=torch.float64)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ADVANTAGES))
@given(samples=SAMPLES, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_order_and_names_of_groups_do_not_matter(
    name: str, samples: list[tuple[int, int, bool]], seed: int
) -> None:
    rewards = torch.tensor([reward / 16 for reward, _, _ in samples], dtype=torch.float64)
    groups = torch.tensor([group for _, group, _ in samples])
    valid = torch.tensor([ok for _, _, ok in samples])
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
    renamed = torch.tensor([900, -3, 41, 7])[groups]
    got = ADVANTAGES[name](rewards[order], renamed[order], valid[order])
    torch.testing.assert_close(got, ADVANTAGES[name](rewards, groups, valid)[order])


@given(
    samples=SAMPLES,
    shift=st.integers(-100, 100),
    scale=st.sampled_from([0.25, 2.0, 64.0]),
)
@settings(deadline=None, max_examples=60)
def test_shift_and_scale_of_rewards(
    samples: list[tuple[int, int, bool]], shift: int, scale: float
) -> None:
    rewards = torch.tensor([reward / 16 for reward, _, _ in samples], dtype=torch.float64)
    groups = torch.tensor([group for _, group, _ in samples])
    shifts = shift * (1.0 + groups)  # each group its own
    for name, function in ADVANTAGES.items():
        moved = function(scale * rewards + shifts, groups)
        factor = 1.0 if name == "mean_std" else scale
        torch.testing.assert_close(moved, factor * function(rewards, groups))


def test_better_than_its_group_is_positive_and_sums_are_zero() -> None:
    rewards, ids = flatten_groups(torch.rand(5, 6, generator=torch.Generator().manual_seed(0)))
    assert ids.tolist() == [group for group in range(5) for _ in range(6)]
    for function in ADVANTAGES.values():
        grouped = function(rewards, ids).reshape(5, 6)
        assert (grouped.argmax(1) == rewards.reshape(5, 6).argmax(1)).all()
        assert (grouped.amax(1) > 0).all()
        assert (grouped.amin(1) < 0).all()
        torch.testing.assert_close(grouped.sum(1), torch.zeros(5), atol=1e-5, rtol=0)


def test_standardised_groups_have_unit_spread() -> None:
    rewards, ids = flatten_groups(torch.rand(4, 7, generator=torch.Generator().manual_seed(1)))
    spread = mean_std_advantages(rewards, ids).reshape(4, 7).std(1)
    torch.testing.assert_close(spread, torch.ones(4))


def test_groups_without_variance_are_found() -> None:
    # 0: equal; 1: vary; 2: a single one; 3: one valid; 4: none valid; 5: equal but for an invalid.
    ids = torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 5])
    rewards = torch.tensor([0.7, 0.7, 0.0, 1.0, 1.0, 1.0, NAN, NAN, 0.5, NAN, 0.5])
    valid = rewards.isfinite()
    moments = group_moments(rewards, ids, valid)
    assert moments.ids[~moments.varies].tolist() == [0, 2, 3, 4, 5]
    assert moments.varies[moments.index].tolist() == (ids == 1).tolist()
    assert moments.num_valid.tolist() == [2, 2, 1, 1, 0, 2]
    for function in ADVANTAGES.values():
        advantages = function(rewards, ids, valid)
        assert advantages.isfinite().all()
        assert advantages.nonzero()[:, 0].tolist() == [2, 3]


def test_rounding_is_no_variance() -> None:
    rewards = torch.tensor([0.1 + 0.2, 0.3], dtype=torch.float64)
    assert rewards[0] != rewards[1]
    assert mean_std_advantages(rewards, torch.zeros(2, dtype=torch.long)).tolist() == [0.0, 0.0]


def test_small_differences_are_variance_down_to_the_least_range() -> None:
    # Twice the least range is learnt from in full, half of it not at all.
    ids = torch.zeros(2, dtype=torch.long)
    for factor, expected in ((2.0, 1 / math.sqrt(2)), (0.5, 0.0)):
        rewards = torch.tensor([0.0, factor * MIN_RANGE], dtype=torch.float64)
        assert group_moments(rewards, ids).varies.tolist() == [expected > 0]
        assert mean_std_advantages(rewards, ids)[1].item() == pytest.approx(expected)


def test_large_offset_keeps_its_digits() -> None:
    # 2^40 + {0, 1/4}: the deviations are exactly 1/8, the std is 1/4 / sqrt 2. Squares of the
    # rewards themselves would need 80 bits.
    rewards = torch.tensor([2.0**40, 2.0**40 + 0.25], dtype=torch.float64)
    got = mean_std_advantages(rewards, torch.zeros(2, dtype=torch.long))
    half = 1 / math.sqrt(2)
    torch.testing.assert_close(got, torch.tensor([-half, half], dtype=torch.float64))


def test_empty_batch() -> None:
    nothing = torch.zeros(0)
    for function in ADVANTAGES.values():
        assert function(nothing, torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_wrong_inputs_are_named() -> None:
    ids = torch.zeros(2, dtype=torch.long)
    with pytest.raises(SchemaError, match="rewards: expected finite numbers where valid"):
        mean_advantages(torch.tensor([NAN, 1.0]), ids)
    with pytest.raises(SchemaError, match="group_ids"):
        mean_advantages(torch.ones(3), ids)
    with pytest.raises(SchemaError, match="valid"):
        mean_advantages(torch.ones(2), ids, torch.ones(3, dtype=torch.bool))
