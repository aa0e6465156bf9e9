from __future__ import annotations

import math

import pytest
import torch

from spatialcode.grpo.statistics import (
    _ratios,
    logprob_difference,
    masked_mean,
    ratio_statistics,
)
from tests.grpo.batches import floats
from tests.grpo.torch_stepper import TorchStepper


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
    got = floats(logprob_difference(logprobs, other, mask))
    assert got == pytest.approx(
        {
            "num": 2,
            "mean": 1.125,
            "minimum": 0.25,
            "maximum": 2.0,
            "mean_abs_log": 1.5 * log2,
            "max_abs_log": 2 * log2,
            # (2 - 1 - log 2 + 1/4 - 1 + 2 log 2) / 2
            "kl": (0.25 + log2) / 2,
        },
        rel=1e-5,
    )


def test_statistics_of_parts_are_those_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    log_ratio = 0.1 + torch.rand(8, 5, generator=generator)  # no ratio as small as 1
    mask = torch.rand(8, 5, generator=generator) > 0.4
    mask[2:4] = False
    parts = [
        ratio_statistics(log_ratio[rows], mask[rows])
        for rows in (slice(0, 1), slice(1, 2), slice(2, 4), slice(4, 8))
    ]
    expected = floats(ratio_statistics(log_ratio, mask))
    alone = TorchStepper(torch.nn.Identity(), None)
    assert _ratios(alone, parts) == pytest.approx(expected, rel=1e-5)
    nothing = floats(ratio_statistics(log_ratio, mask & False))
    assert _ratios(alone, []) == _ratios(alone, parts[2:3]) == nothing
