"""Which tokens of a padded batch count in a loss, and the reward for staying short.

A mask is (B, T) over completion tokens, True where a token counts. A row without any is as if it
were not in the batch: losses and statistics leave it out of their denominators too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spatialcode.errors import ConfigError


def rewards_of(
    totals: Sequence[float | None],
) -> tuple[Float[Tensor, " b"], Bool[Tensor, " b"]]:
    """Rewards, and which are valid. None is invalid and becomes NaN, so that no one reads it."""
    rewards = torch.tensor([float("nan") if total is None else total for total in totals])
    return rewards, torch.tensor([total is not None for total in totals], dtype=torch.bool)


def length_mask(lengths: Int[Tensor, " b"], width: int) -> Bool[Tensor, "b t"]:
    """True for the first ``lengths`` tokens of each row of ``width``."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def up_to_end(completion_ids: Int[Tensor, "b t"], end_ids: Collection[int]) -> Bool[Tensor, "b t"]:
    """True up to and with a row's first end token: the model chose to stop, and learns that too.

    A row without one counts whole. Says nothing of padding that is no end token.
    """
    ends = torch.isin(completion_ids, torch.tensor(list(end_ids), device=completion_ids.device))
    return (ends.long().cumsum(1) - ends.long()) == 0


def without_rows(mask: Bool[Tensor, "b t"], keep: Bool[Tensor, " b"]) -> Bool[Tensor, "b t"]:
    """The mask with the rows emptied that are not kept.

    ``keep``: valid rewards, or completions that ended by themselves. Leaving truncated ones out is
    the overlong filtering of DAPO, arXiv 2503.14476, section 3.4: what was cut was never judged.
    """
    return mask & keep[:, None]


def counted_tokens(
    lengths: Int[Tensor, " b"],
    width: int,
    valid: Bool[Tensor, " b"],
    finished: Bool[Tensor, " b"],
    *,
    mask_truncated: bool = False,
) -> Bool[Tensor, "b t"]:
    """Tokens of completions with a valid reward; of those cut by the limit unless masked."""
    keep = valid & finished if mask_truncated else valid
    return without_rows(length_mask(lengths, width), keep)


def soft_overlong_penalty(
    lengths: Int[Tensor, " b"], max_tokens: int, buffer_tokens: int
) -> Float[Tensor, " b"]:
    """To add to the reward: 0 up to max - buffer tokens, falling linearly to -1 at max and beyond.

    Source: DAPO, arXiv 2503.14476, equation 13. Raises ConfigError unless 0 < buffer <= max.
    """
    if not 0 < buffer_tokens <= max_tokens:
        raise ConfigError(f"buffer_tokens: expected 1 to {max_tokens}, got {buffer_tokens!r}")
    over = lengths - (max_tokens - buffer_tokens)
    return -(over / buffer_tokens).clamp(0.0, 1.0)
