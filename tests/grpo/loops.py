"""Slow oracles: one sequence and one token at a time, plain Python numbers and scalar autograd.

Nothing is shared with the library: no masks, no broadcasting, no clamp. A row is a list of the
tokens that count; everything else of a batch does not reach these functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Row = list[tuple[Tensor, float, float, float]]  # log π, log π_old, advantage, weight


def clipped(log_ratio: Tensor, advantage: float, clips: tuple[float, float]) -> Tensor:
    """-min(r A, clip(r) A) by cases: which bound can bind depends on the advantage's sign."""
    ratio = torch.exp(log_ratio)
    if advantage > 0 and ratio.item() > 1 + clips[1]:
        return torch.tensor(-(1 + clips[1]) * advantage, dtype=ratio.dtype)
    if advantage < 0 and ratio.item() < 1 - clips[0]:
        return torch.tensor(-(1 - clips[0]) * advantage, dtype=ratio.dtype)
    return -ratio * advantage


def rows_of(
    logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, weights: Tensor
) -> list[Row]:
    rows: list[Row] = []
    for i in range(len(mask)):
        row: Row = []
        for t in range(mask.shape[1]):
            if mask[i, t].item():
                advantage = advantages[i] if advantages.ndim == 1 else advantages[i, t]
                weight = weights[i] if weights.ndim == 1 else weights[i, t]
                row.append((logprobs[i, t], old[i, t].item(), advantage.item(), weight.item()))
        rows.append(row)
    return [row for row in rows if row]


def slow_grpo(rows: Sequence[Row], clips: tuple[float, float], _limit: int) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        inner = torch.zeros((), dtype=torch.float64)
        for logprob, old, advantage, weight in row:
            inner = inner + weight * clipped(logprob - old, advantage, clips)
        total = total + inner / len(row)
    return total / len(rows)


def slow_dr_grpo(rows: Sequence[Row], clips: tuple[float, float], limit: int) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        for logprob, old, advantage, weight in row:
            total = total + weight * clipped(logprob - old, advantage, clips) / limit
    return total / len(rows)


def slow_dapo(rows: Sequence[Row], clips: tuple[float, float], _limit: int) -> Tensor:
    total, num = torch.zeros((), dtype=torch.float64), 0
    for row in rows:
        for logprob, old, advantage, weight in row:
            total = total + weight * clipped(logprob - old, advantage, clips)
            num += 1
    return total / num


def slow_gspo(rows: Sequence[Row], clips: tuple[float, float], _limit: int) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        log_ratio = torch.zeros((), dtype=torch.float64)
        for logprob, old, _, _ in row:
            log_ratio = log_ratio + (logprob - old)
        _, _, advantage, weight = row[0]
        total = total + weight * clipped(log_ratio / len(row), advantage, clips)
    return total / len(rows)


SLOW: dict[str, Callable[[Sequence[Row], tuple[float, float], int], Tensor]] = {
    "grpo": slow_grpo,
    "dr_grpo": slow_dr_grpo,
    "dapo": slow_dapo,
    "gspo": slow_gspo,
}


def slow_kl(name: str, logprob: Tensor, ref: float) -> Tensor:
    if name == "k1":
        return logprob - ref
    if name == "k2":
        return (logprob - ref) ** 2 / 2
    return torch.exp(ref - logprob) - (ref - logprob) - 1


def slow_mean_kl(name: str, loss: str, rows: Sequence[list[tuple[Tensor, float]]]) -> Tensor:
    """Divergence in the mean of the loss: of sequences' means for grpo and gspo, else of tokens."""
    if loss == "dapo":
        values = [slow_kl(name, logprob, ref) for row in rows for logprob, ref in row]
        return torch.stack(values).sum() / len(values)
    means = [torch.stack([slow_kl(name, *token) for token in row]).sum() / len(row) for row in rows]
    return torch.stack(means).sum() / len(rows)


def slow_advantages(
    name: str, rewards: Sequence[float], groups: Sequence[int], valid: Sequence[bool]
) -> list[float]:
    """Advantages by looking through the whole batch again for every sample."""
    result = []
    for i, reward in enumerate(rewards):
        same = [j for j in range(len(rewards)) if groups[j] == groups[i] and valid[j]]
        others = [rewards[j] for j in same if j != i]
        if not valid[i] or not others or all(rewards[j] == reward for j in same):
            result.append(0.0)
            continue
        mean = math.fsum(rewards[j] for j in same) / len(same)
        if name == "leave_one_out":
            result.append(reward - math.fsum(others) / len(others))
        elif name == "mean":
            result.append(reward - mean)
        else:
            squares = math.fsum((rewards[j] - mean) ** 2 for j in same)
            result.append((reward - mean) / math.sqrt(squares / (len(same) - 1)))
    return result
