from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.errors import ConfigError
from spatialcode.grpo.masks import (
    counted_tokens,
    length_mask,
    rewards_of,
    soft_overlong_penalty,
    up_to_end,
    without_rows,
)


def test_none_is_invalid_and_no_zero() -> None:
    rewards, valid = rewards_of([0.5, None, 0.0])
    assert valid.tolist() == [True, False, True]
    assert rewards[valid].tolist() == [0.5, 0.0]
    assert math.isnan(rewards[1].item())
    assert rewards_of([])[1].dtype == torch.bool


def test_lengths() -> None:
    got = length_mask(torch.tensor([0, 2, 3]), 3)
    assert got.tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_tokens_after_the_end_do_not_count_and_the_end_does() -> None:
    # 9 and 8 end; what follows may look like anything, another end included.
    ids = torch.tensor([[1, 9, 9, 5], [1, 2, 3, 4], [8, 1, 9, 1], [1, 2, 3, 9]])
    expected = [
        [True, True, False, False],
        [True, True, True, True],
        [True, False, False, False],
        [True, True, True, True],
    ]
    assert up_to_end(ids, {8, 9}).tolist() == expected
    assert up_to_end(ids, ()).all()
    assert up_to_end(torch.zeros(2, 0, dtype=torch.long), [9]).shape == (2, 0)


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6))
def test_up_to_end_equals_reading_token_by_token(rows: list[list[int]]) -> None:
    expected = []
    for row in rows:
        ended, counts = False, []
        for token in row:
            counts.append(not ended)
            ended = ended or token == 3
        expected.append(counts)
    assert up_to_end(torch.tensor(rows), [3]).tolist() == expected


def test_rows_that_count() -> None:
    lengths = torch.tensor([2, 1, 2, 2])
    valid = torch.tensor([True, True, False, True])
    finished = torch.tensor([True, True, True, False])
    kept = counted_tokens(lengths, 2, valid, finished)
    assert kept.tolist() == [[True, True], [True, False], [False, False], [True, True]]
    kept = counted_tokens(lengths, 2, valid, finished, mask_truncated=True)
    assert kept.tolist() == [[True, True], [True, False], [False, False], [False, False]]
    mask = length_mask(lengths, 2)
    assert torch.equal(without_rows(without_rows(mask, valid), finished), kept)


def test_soft_overlong_penalty_by_hand() -> None:
    # Limit 10, buffer 4: free up to 6, then a quarter a token.
    got = soft_overlong_penalty(torch.tensor([0, 6, 7, 9, 10, 30]), 10, 4)
    assert got.tolist() == [0.0, 0.0, -0.25, -0.75, -1.0, -1.0]
    for buffer in (0, 11):
        with pytest.raises(ConfigError, match="buffer_tokens"):
            soft_overlong_penalty(torch.tensor([1]), 10, buffer)
