from __future__ import annotations

import torch

from spatialcode.grpo.batch import counted_tokens, length_mask


def test_lengths() -> None:
    got = length_mask(torch.tensor([0, 2, 3]), 3)
    assert got.tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_rows_that_count() -> None:
    lengths = torch.tensor([2, 1, 2, 2])
    valid = torch.tensor([True, True, False, True])
    finished = torch.tensor([True, True, True, False])
    kept = counted_tokens(lengths, 2, valid, finished)
    assert kept.tolist() == [[True, True], [True, False], [False, False], [True, True]]
    kept = counted_tokens(lengths, 2, valid, finished, mask_truncated=True)
    assert kept.tolist() == [[True, True], [True, False], [False, False], [False, False]]
