"""The gate before the first update: does the trainer see the policy that the samples came from?

A wrong mask, position, temperature, weight or token shows here as a difference, and nowhere else:
training goes on with it, and learns something else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spatialcode.config import require
from spatialcode.errors import ParityError
from spatialcode.grpo.batch import length_mask
from spatialcode.grpo.scoring import ScoringSettings, sequence_logprobs
from spatialcode.grpo.statistics import logprob_difference
from spatialcode.grpo.types import Sample


@dataclass(frozen=True)
class ParityReport:
    """How trainer and sampler differ over ``num_tokens`` tokens.

    Differences are of log-probabilities, trainer minus sampler; ratios their exponentials; ``kl``
    the k3 estimate of KL(sampler || trainer) in nats a token. The largest difference is at token
    ``worst_place`` of sample ``worst_sample``. A value that is no number counts as infinite.
    """

    num_tokens: int
    mean_difference: float
    max_difference: float
    mean_ratio: float
    min_ratio: float
    max_ratio: float
    kl: float
    worst_sample: int
    worst_place: int

    def __str__(self) -> str:
        return (
            f"log-probabilities differ by up to {self.max_difference:.3g} (mean "
            f"{self.mean_difference:.3g}), ratios are {self.min_ratio:.4g} to "
            f"{self.max_ratio:.4g} (mean {self.mean_ratio:.4g}), KL {self.kl:.3g}, over "
            f"{self.num_tokens} tokens; most at token {self.worst_place} of sample "
            f"{self.worst_sample}"
        )


@dataclass(frozen=True)
class ParityTolerance:
    """Largest differences allowed: of any log-probability, of their mean, and the KL estimate.

    The defaults are for float32 on both sides. Raises ConfigError for one that is not above 0.
    """

    max_difference: float = 1e-3
    mean_difference: float = 1e-3
    kl: float = 1e-4

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(value > 0, name, "above 0", value)


#: For models in bfloat16, whose log-probabilities have two to three digits.
BFLOAT16_TOLERANCE = ParityTolerance(max_difference=1.0, mean_difference=0.05, kl=0.01)


def compare(
    model: Any, samples: Sequence[Sample], scoring: ScoringSettings | None = None
) -> ParityReport:
    """The samples' stored log-probabilities against the trainer's forward pass.

    ``scoring`` must have the temperature they were drawn with, and be what the update uses.
    """
    if not samples:
        raise ValueError("samples: expected at least one, got none")
    logprobs, _ = sequence_logprobs(model, samples, scoring or ScoringSettings())
    logprobs = logprobs.cpu()
    stored = torch.zeros_like(logprobs)
    for row, sample in enumerate(samples):
        stored[row, : len(sample.logprobs)] = torch.tensor(sample.logprobs)
    lengths = torch.tensor([len(sample.completion_ids) for sample in samples])
    mask = length_mask(lengths, logprobs.shape[1])
    difference = torch.where(mask, logprobs - stored, 0.0).abs().nan_to_num(math.inf, math.inf)
    worst = int(difference.argmax())
    ratios = logprob_difference(logprobs, stored, mask)
    return ParityReport(
        num_tokens=int(mask.sum()),
        mean_difference=float(difference.sum() / mask.sum()),
        max_difference=float(difference.max()),
        mean_ratio=float(ratios.mean),
        min_ratio=float(ratios.minimum),
        max_ratio=float(ratios.maximum),
        kl=float(ratios.kl),
        worst_sample=worst // mask.shape[1],
        worst_place=worst % mask.shape[1],
    )


def check_parity(
    model: Any,
    samples: Sequence[Sample],
    tolerance: ParityTolerance = ParityTolerance(),
    scoring: ScoringSettings | None = None,
) -> ParityReport:
    """`compare`, or a ParityError that says by how much where a tolerance is exceeded."""
    report = compare(model, samples, scoring)
    for name, limit in vars(tolerance).items():
        if not getattr(report, name) <= limit:
            got = getattr(report, name)
            raise ParityError(
                f"{name}: expected at most {limit:g} between sampler and trainer, got {got:.3g}: "
                f"{report}"
            )
    return report
