"""VSI-Bench's own metrics, and what they add up to.

Yang et al., "Thinking in Space", CVPR 2025: numbers score mean relative accuracy, choices exact
match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spatialcode.reasoning.families.registry import families_with_levels

#: Confidence levels of mean relative accuracy: 0.50, 0.55, … 0.95.
MRA_LEVELS = tuple(round(0.5 + 0.05 * n, 2) for n in range(10))
#: Decimal thresholds such as 1 - 0.9 are not exact in binary; an error on the border counts.
_BORDER = 1e-9


def mean_relative_accuracy(predicted: float, truth: float) -> float:
    """Share of levels t with |predicted - truth| / truth <= 1 - t; for truth 0: 1 if exact."""
    if truth == 0.0:
        return float(predicted == 0.0)
    error = abs(predicted - truth) / abs(truth)
    return sum(error <= 1.0 - level + _BORDER for level in MRA_LEVELS) / len(MRA_LEVELS)


def interval95(
    scores: Sequence[float],
    rooms: Sequence[str],
    num_draws: int = 2000,
    tasks: Sequence[str] | None = None,
) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, by drawing whole rooms with replacement.

    With ``tasks``, one a score, of the mean over tasks as `overall` takes it: each task's own mean
    first, the levels of a family averaged into one. A task that a draw misses is left out of it.
    """
    names, room = np.unique(np.asarray(rooms), return_inverse=True)
    kinds, task = np.unique(np.asarray(tasks or [""] * len(scores)), return_inverse=True)
    cell = room * len(kinds) + task
    shape = (len(names), len(kinds))
    sums = np.bincount(cell, np.asarray(scores, dtype=float), shape[0] * shape[1]).reshape(shape)
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    weight = np.ones(len(kinds))
    for family in families_with_levels():
        levels = np.isin(kinds, family.names)
        weight[levels] = 1.0 / max(1, int(levels.sum()))
    drawn = np.random.default_rng(0).integers(0, len(names), (num_draws, len(names)))
    # how often each room was drawn, so that a draw is one matrix product
    times = np.stack([np.bincount(draw, minlength=len(names)) for draw in drawn]).astype(float)
    total = times @ counts
    means = np.divide(times @ sums, total, out=np.zeros_like(total), where=total > 0.0)
    present = weight * (total > 0.0)
    low, high = np.percentile((means * present).sum(axis=1) / present.sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def overall(task_scores: Mapping[str, float]) -> dict[str, float]:
    """The tasks with a family's levels averaged into one, as the benchmark does, and ``mean``."""
    tasks = dict(task_scores)
    for family in families_with_levels():
        levels = [tasks.pop(name) for name in family.names if name in tasks]
        if levels:
            tasks[family.group] = sum(levels) / len(levels)
    return {**tasks, "mean": sum(tasks.values()) / len(tasks)} if tasks else {}
