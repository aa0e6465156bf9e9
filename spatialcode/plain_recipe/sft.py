"""Supervised training on pairs of a prompt and a completion.

Examples of like length are put into one batch, padded on the right: with causal attention padding
is never looked at, and the head runs over the completions only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatialcode.config import require
from spatialcode.tiny.copying import Example

if TYPE_CHECKING:
    from torch import Tensor

#: Examples sorted by length at a time.
_SORTED_AT_ONCE = 2048
#: Muon's rate, as a multiple of AdamW's.
_MUON_RATE = 2.5


@dataclass(frozen=True)
class SftSettings:
    """AdamW with a linear warm-up and a cosine down to ``final_share`` of the rate.

    ``batch_tokens``: most tokens of a batch, padding included. ``steps``: all of them.
    ``max_seconds``: the schedule ends by then at the latest (0: by steps alone).
    ``repeat_weight``: what a prompt's token counts that follows its predecessor not for the first
    time; the other tokens of prompts never count. Names said twice teach copying. ``muon``: for the
    matrices inside the layers.
    """

    steps: int = 1000
    max_seconds: float = 0.0
    batch_tokens: int = 6144
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    final_share: float = 0.05
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    repeat_weight: float = 0.0
    muon: bool = False
    betas: tuple[float, float] = (0.9, 0.98)
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", "at least 1", self.steps)
        require(self.batch_tokens >= 1, "batch_tokens", "at least 1", self.batch_tokens)
        require(self.learning_rate > 0, "learning_rate", "more than 0", self.learning_rate)


@dataclass(frozen=True)
class SftStep:
    """What one step showed; ``loss``: nats a completion token."""

    step: int
    loss: float
    learning_rate: float
    num_examples: int
    seconds: float


def batches(
    examples: Sequence[Example], batch_tokens: int, rng: np.random.Generator
) -> Iterator[list[Example]]:
    """One pass: every example once, in batches of like length, in random order."""
    order = rng.permutation(len(examples))
    for at in range(0, len(order), _SORTED_AT_ONCE):
        part = sorted((examples[k] for k in order[at : at + _SORTED_AT_ONCE]), key=len)
        made: list[list[Example]] = [[]]
        for example in part:
            if made[-1] and len(example) * (len(made[-1]) + 1) > batch_tokens:
                made.append([])
            made[-1].append(example)
        for k in rng.permutation(len(made)):
            yield made[k]


def completion_loss(
    model: Any, batch: Sequence[Example], repeat_weight: float = 0.0
) -> tuple[Tensor, float]:
    """Mean negative log-likelihood of the tokens that count, by weight; that of completions alone.

    Both in nats; the first carries the gradient.
    """
    import torch
    import torch.nn.functional as F

    length = max(map(len, batch))
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    repeats: list[int] = []
    for row, example in enumerate(batch):
        whole = example.prompt_ids + example.completion_ids
        ids[row, : len(whole)] = torch.tensor(whole)
        start = len(example.prompt_ids) - 1  # the token before a completion token predicts it
        rows += [row] * len(example.completion_ids)
        columns += range(start, start + len(example.completion_ids))
        targets += example.completion_ids
        if repeat_weight:
            repeats += ((row << 16) + at for at in repeated(example.prompt_ids))
    num = len(targets)
    rows += (place >> 16 for place in repeats)
    columns += ((place & 0xFFFF) - 1 for place in repeats)
    device = model.lm_head.weight.device
    hidden = model.model(input_ids=ids.to(device), use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[rows, columns]).float()
    wanted = torch.tensor(targets + [int(ids[p >> 16, p & 0xFFFF]) for p in repeats], device=device)
    losses = F.cross_entropy(logits, wanted, reduction="none")
    own, others = losses[:num].sum(), losses[num:].sum()
    total = (own + repeat_weight * others) / (num + repeat_weight * len(repeats))
    return total, float(own.detach()) / num


def repeated(ids: Sequence[int]) -> list[int]:
    """Positions of tokens that have followed the token before them earlier on."""
    seen: set[tuple[int, int]] = set()
    found = []
    for at in range(1, len(ids)):
        pair = ids[at - 1], ids[at]
        if pair in seen:
            found.append(at)
        seen.add(pair)
    return found


def sft_steps(
    model: Any, source: Iterator[list[Example]], settings: SftSettings
) -> Iterator[SftStep]:
    """Train on batches of ``source`` as long as the settings say; one statistic a step."""
    import torch

    optimizers = make_optimizers(model, settings)
    rates = [group["lr"] for one in optimizers for group in one.param_groups]
    model.train()
    began = time.perf_counter()
    for step in range(settings.steps):
        elapsed = time.perf_counter() - began
        done = step / settings.steps
        if settings.max_seconds:
            done = max(done, elapsed / settings.max_seconds)
        if done >= 1.0:
            return
        rate = learning_rate(settings, step, done)
        groups = (group for one in optimizers for group in one.param_groups)
        for group, most in zip(groups, rates, strict=True):
            group["lr"] = most * rate / settings.learning_rate
        batch = next(source)
        loss, shown = completion_loss(model, batch, settings.repeat_weight)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        for optimizer in optimizers:
            optimizer.step()
        yield SftStep(step, shown, rate, len(batch), time.perf_counter() - began)


def make_optimizers(model: Any, settings: SftSettings) -> list[Any]:
    """AdamW over all, or Muon over the matrices inside the layers and AdamW over the rest.

    Muon (Jordan et al., 2024) takes a gradient's nearest orthogonal matrix; its rate is scaled to
    AdamW's usual size of a step (Liu et al., arXiv 2502.16982).
    """
    import torch

    def inside(name: str, weight: Tensor) -> bool:
        return settings.muon and weight.ndim == 2 and ".layers." in name

    named = list(model.named_parameters())
    matrices = [p for name, p in named if inside(name, p)]
    decayed = [p for name, p in named if p.ndim >= 2 and not inside(name, p)]
    plain = [p for _, p in named if p.ndim < 2]
    rate = settings.learning_rate
    adamw = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay},
         {"params": plain, "weight_decay": 0.0}], lr=rate, betas=settings.betas, fused=True,
    )  # fmt: skip
    if not matrices:
        return [adamw]
    muon = torch.optim.Muon(
        matrices, lr=_MUON_RATE * rate, momentum=0.95, weight_decay=0.0,
        adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip
    return [adamw, muon]


def learning_rate(settings: SftSettings, step: int, done: float) -> float:
    """The rate of a step; ``done``: share of the schedule that is over, 0 to 1."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return (
        settings.learning_rate
        * warm
        * (settings.final_share + (1.0 - settings.final_share) * cosine)
    )


def endless(make: Callable[[int], Iterator[list[Example]]]) -> Iterator[list[Example]]:
    """Pass after pass: ``make`` gets the number of the pass."""
    number = 0
    while True:
        yield from make(number)
        number += 1
