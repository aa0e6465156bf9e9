"""Random padded batches with everything that makes losses differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spatialcode.grpo.losses import LOSSES, LossInputs, LossSettings, LossTerms
from spatialcode.grpo.statistics import RatioStatistics

CLIPS = (0.2, 0.28)
LIMIT = 9


@dataclass(frozen=True)
class Batch:
    """float64 throughout. Rows 2 and 5 count nothing; padding holds NaN."""

    logprobs: Tensor
    old: Tensor
    ref: Tensor
    advantages: Tensor
    weights: Tensor
    mask: Tensor


def random_batch(seed: int, clips: tuple[float, float] = CLIPS, rows: int = 7) -> Batch:
    """Ratios on both sides of both clips with either sign of advantage, none within 1% of a bound.

    There the derivative jumps, and finite differences would see neither side.
    """
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    width = 6
    lengths = torch.randint(1, width + 1, (rows,), generator=generator)
    lengths[2] = 0
    mask = torch.arange(width) < lengths[:, None]
    mask[0, 0] &= bool(lengths[0] == 1)  # a hole: masks need not be prefixes
    mask[5] = False
    old = -0.1 - 3 * rand(rows, width)
    scale = 3 * max(clips)
    # Each row drifts one way, so that means over a sequence pass the bounds as well.
    log_ratio = scale * (rand(rows, 1) - 0.5) + scale * (rand(rows, width) - 0.5)
    lower, upper = torch.tensor(1 - clips[0]).log(), torch.tensor(1 + clips[1]).log()
    for bound in (lower, upper):
        near = (log_ratio - bound).abs() < 0.01 * scale
        log_ratio = torch.where(near, log_ratio + 0.03 * scale, log_ratio)
    logprobs = torch.where(mask, old + log_ratio, torch.nan)
    return Batch(
        logprobs=logprobs,
        old=torch.where(mask, old, torch.inf),
        ref=torch.where(mask, old - 0.5 + rand(rows, width), torch.nan),
        advantages=torch.where(mask.any(1), 4 * rand(rows) - 2, torch.nan),
        weights=0.25 + rand(rows, width),
        mask=mask,
    )


def loss_of(
    name: str, logprobs: Tensor, old: Tensor, advantages: Tensor, *rest: Any, **more: Any
) -> LossTerms:
    """The loss named, of a mask and settings that follow, and of more inputs by name."""
    mask, settings = rest
    assert isinstance(settings, LossSettings)
    return LOSSES[name](LossInputs(logprobs, old, advantages, mask, **more), settings)


def floats(statistics: RatioStatistics) -> dict[str, float]:
    """The statistics by name, as plain numbers."""
    return {name: float(value) for name, value in vars(statistics).items()}
