"""VSI-Bench's own metrics, and what they add up to.

Yang et al., "Thinking in Space", CVPR 2025: numbers score mean relative
accuracy, choices exact match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

#: Confidence levels of mean relative accuracy: 0.50, 0.55, … 0.95.
MRA_LEVELS = tuple(round(0.5 + 0.05 * n, 2) for n in range(10))
#: Decimal thresholds such as 1 - 0.9 are not exact in binary; an error on the border counts.
_BORDER = 1e-9
DIRECTION_LEVELS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))


def mean_relative_accuracy(predicted: float, truth: float) -> float:
    """Share of levels t with |predicted - truth| / truth <= 1 - t; for truth 0: 1 if exact."""
    if truth == 0.0:
        return float(predicted == 0.0)
    error = abs(predicted - truth) / abs(truth)
    return sum(error <= 1.0 - level + _BORDER for level in MRA_LEVELS) / len(MRA_LEVELS)


def interval95(
    scores: Sequence[float], rooms: Sequence[str], num_draws: int = 2000
) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, by drawing whole rooms with replacement."""
    names, which = np.unique(np.asarray(rooms), return_inverse=True)
    sums = np.bincount(which, weights=np.asarray(scores, dtype=float))
    counts = np.bincount(which).astype(float)
    drawn = np.random.default_rng(0).integers(0, len(names), (num_draws, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def overall(task_scores: Mapping[str, float]) -> dict[str, float]:
    """The tasks with direction's levels averaged into one, as the benchmark does, and ``mean``."""
    tasks = {name: score for name, score in task_scores.items() if name not in DIRECTION_LEVELS}
    levels = [task_scores[name] for name in DIRECTION_LEVELS if name in task_scores]
    if levels:
        tasks["object_rel_direction"] = sum(levels) / len(levels)
    return {**tasks, "mean": sum(tasks.values()) / len(tasks)} if tasks else {}
