"""What an update learns from: samples with advantages, as padded tensors.

A mask is (B, T) over completion tokens, True where a token counts. A row without any is as if it
were not in the batch: losses and statistics leave it out of their denominators too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.grpo.types import Sample


@dataclass(frozen=True)
class RolloutBatch:
    """B samples of completions up to T tokens.

    ``mask``: completion tokens that count; rows without any are left out of the update.
    ``logprobs``: those stored with the samples, 0 outside completions. ``advantages``: one a
    sample, or one a token. ``ref_logprobs``: of a reference policy (`scoring.sequence_logprobs`).
    Raises ValueError for no samples and for shapes that do not fit.
    """

    samples: tuple[Sample, ...]
    mask: Bool[Tensor, "b t"]
    logprobs: Float[Tensor, "b t"]
    advantages: Float[Tensor, " b"] | Float[Tensor, "b t"]
    ref_logprobs: Float[Tensor, "b t"] | None = None

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError("samples: expected at least one, got none")
        shape = self.shape
        found = {"mask": self.mask, "logprobs": self.logprobs, "ref_logprobs": self.ref_logprobs}
        for name, value in found.items():
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {tuple(value.shape)}")
        if tuple(self.advantages.shape) not in (shape, shape[:1]):
            got = tuple(self.advantages.shape)
            raise ValueError(f"advantages: expected shape {shape[:1]} or {shape}, got {got}")

    @property
    def shape(self) -> tuple[int, int]:
        """B and T."""
        return len(self.samples), max(len(sample.completion_ids) for sample in self.samples)


def rollout_batch(
    samples: Sequence[Sample],
    advantages: Float[Tensor, " b"] | Float[Tensor, "b t"],
    *,
    valid: Bool[Tensor, " b"] | None = None,
    mask_truncated: bool = False,
) -> RolloutBatch:
    """A batch of the samples, in their order.

    ``valid``: False for samples without a valid reward, which do not count. ``mask_truncated``:
    neither do those cut by the limit of tokens.
    """
    lengths = torch.tensor([len(sample.completion_ids) for sample in samples])
    width = int(lengths.max()) if len(samples) else 0
    logprobs = torch.zeros(len(samples), width)
    for row, sample in enumerate(samples):
        logprobs[row, : len(sample.logprobs)] = torch.tensor(sample.logprobs)
    counted = torch.ones(len(samples), dtype=torch.bool) if valid is None else valid
    finished = torch.tensor([sample.finished for sample in samples], dtype=torch.bool)
    mask = counted_tokens(lengths, width, counted, finished, mask_truncated=mask_truncated)
    # An invalid sample's advantage may be NaN, and NaN times 0 is NaN.
    rows = counted if advantages.ndim == 1 else counted[:, None]
    known = torch.where(rows, advantages, torch.zeros_like(advantages))
    return RolloutBatch(tuple(samples), mask, logprobs, known)


def length_mask(lengths: Int[Tensor, " b"], width: int) -> Bool[Tensor, "b t"]:
    """True for the first ``lengths`` tokens of each row of ``width``."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def counted_tokens(
    lengths: Int[Tensor, " b"],
    width: int,
    valid: Bool[Tensor, " b"],
    finished: Bool[Tensor, " b"],
    *,
    mask_truncated: bool = False,
) -> Bool[Tensor, "b t"]:
    """Tokens of completions with a valid reward; of those cut by the limit unless masked.

    Leaving truncated ones out is the overlong filtering of DAPO, arXiv 2503.14476, section 3.4:
    what was cut was never judged.
    """
    keep = valid & finished if mask_truncated else valid
    return length_mask(lengths, width) & keep[:, None]
