"""The distribution that is sampled from, and one token drawn from it."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spatialcode.errors import ModelError
from spatialcode.grpo.types import SamplerSettings

#: Probabilities held at once in float64 while drawing: 128 MiB.
_MAX_DRAWN_NUMBERS = 2**24


def draw(
    logits: Float[Tensor, "b v"], uniforms: Float[Tensor, " b"], settings: SamplerSettings
) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """A token for each row and its log-probability under the distribution it was drawn from.

    ``uniforms`` in [0, 1): the token is where the cumulated probability passes it. Temperature 0
    takes the likeliest token (the first of equals), with its log-probability at temperature 1.
    Raises ModelError for logits that are not numbers.
    """
    logprobs = sampling_logprobs(logits, settings)
    if settings.temperature == 0:
        tokens = logits.argmax(-1)
    else:
        step = max(1, _MAX_DRAWN_NUMBERS // logits.shape[-1])
        parts = [
            _passed(rows, numbers)
            for rows, numbers in zip(logprobs.split(step), uniforms.split(step), strict=True)
        ]
        tokens = torch.cat(parts)
    tokens = tokens.clamp(max=logits.shape[-1] - 1)  # reached only by what is not a number
    chosen = logprobs.gather(-1, tokens[:, None])[:, 0]
    if not bool(torch.isfinite(chosen).all()):
        raise ModelError("the model's logits are not finite: its weights are damaged")
    return tokens, chosen


def sampling_logprobs(
    logits: Float[Tensor, "*b v"], settings: SamplerSettings
) -> Float[Tensor, "*b v"]:
    """Logarithms of the probabilities that are sampled, float32; -inf for what is cut off.

    ``top_k`` keeps the k likeliest and all that equal the last of them; ``top_p`` then the fewest
    of the likeliest whose probabilities reach p.
    """
    logits = logits.float()
    if settings.temperature not in (0, 1):
        logits = logits / settings.temperature
    if 0 < settings.top_k < logits.shape[-1]:
        least = logits.topk(settings.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if settings.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        shares = ordered.softmax(-1)
        before = shares.cumsum(-1) - shares
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(
            -1, order, before >= settings.top_p
        )
        logits = logits.masked_fill(cut, float("-inf"))
    return logits.log_softmax(-1)


def _passed(logprobs: Tensor, uniforms: Tensor) -> Tensor:
    """Rows' first tokens at which the cumulated probability exceeds the uniform number."""
    cumulated = logprobs.double().exp_().cumsum(-1)
    levels = uniforms.double()[:, None] * cumulated[:, -1:]
    return torch.searchsorted(cumulated, levels, right=True)[:, 0]


def uniform_numbers(seed: int, prompt: tuple[int, ...], number: int, count: int) -> np.ndarray:
    """``count`` numbers in [0, 1) for one sample, float64."""
    digest = hashlib.blake2b(np.array([seed, number, *prompt], dtype="<i8").tobytes())
    key = int.from_bytes(digest.digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).random(count)
