"""What an update reports: sums of its optimizer steps, over workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spatialcode.grpo.losses import LossTerms
from spatialcode.grpo.statistics import RatioStatistics, merge_ratio_statistics
from spatialcode.grpo.stepper import Stepper


@dataclass(frozen=True)
class StepStatistics:
    """Of one update over all workers; means over its optimizer steps unless said otherwise.

    ``first`` is the ratio to the old policy in the first optimizer step, before any weight
    changed: 1 throughout where trainer and sampler agree and samples are fresh. ``before`` and
    ``after``: of all steps, as computed and as the clip left it. ``kl``: to the reference, 0
    without one. ``entropy``: nats a token. ``grad_norm``: the largest, before clipping.
    ``num_skipped``: steps not taken because their gradient was no finite number.
    """

    loss: float
    policy: float
    kl: float
    entropy: float
    grad_norm: float
    clip_fraction: float
    clip_fraction_low: float
    clip_fraction_high: float
    first: dict[str, float]
    before: dict[str, float]
    after: dict[str, float]
    num_sequences: int
    num_tokens: int
    num_steps: int
    num_skipped: int

    def as_floats(self) -> dict[str, float]:
        """Flat, for metrics: ``first/mean``, ``before/maximum`` and so on."""
        flat: dict[str, float] = {}
        for name, value in vars(self).items():
            if isinstance(value, dict):
                flat |= {f"{name}/{key}": inner for key, inner in value.items()}
            else:
                flat[name] = float(value)
        return flat


@dataclass(frozen=True)
class WorkerStep:
    """One optimizer step on one worker: sums over its samples; ``grad_norm`` is all workers'."""

    terms: LossTerms | None  # None where it had no sample
    entropy: float
    num_tokens: float
    num_sequences: float
    grad_norm: float


def over_workers(stepper: Stepper, steps: Sequence[WorkerStep]) -> StepStatistics:
    """The statistics of the steps. Workers call it together, with equally many steps."""
    terms = [step.terms for step in steps if step.terms is not None]
    first = [step.terms for step in steps[:1] if step.terms is not None]
    num_tokens = stepper.total(sum(step.num_tokens for step in steps))
    entropy = stepper.total(sum(step.entropy for step in steps))
    weights = [float(term.before.num) for term in terms]
    num_ratios = stepper.total(sum(weights))

    def per_step(name: str) -> float:
        added = stepper.total(sum(float(getattr(term, name)) for term in terms))
        return added / max(1, len(steps))

    def per_ratio(name: str) -> float:
        parts = zip(terms, weights, strict=True)
        added = stepper.total(sum(float(getattr(term, name)) * weight for term, weight in parts))
        return added / max(1.0, num_ratios)

    norms = [step.grad_norm for step in steps]
    return StepStatistics(
        loss=per_step("loss"),
        policy=per_step("policy"),
        kl=per_step("kl"),
        entropy=entropy / max(1.0, num_tokens),
        grad_norm=max((norm for norm in norms if math.isfinite(norm)), default=0.0),
        clip_fraction=per_ratio("clip_fraction"),
        clip_fraction_low=per_ratio("clip_fraction_low"),
        clip_fraction_high=per_ratio("clip_fraction_high"),
        first=_ratios(stepper, [term.before for term in first]),
        before=_ratios(stepper, [term.before for term in terms]),
        after=_ratios(stepper, [term.after for term in terms]),
        num_sequences=int(stepper.total(sum(step.num_sequences for step in steps))),
        num_tokens=int(num_tokens),
        num_steps=len(steps),
        num_skipped=sum(not math.isfinite(norm) for norm in norms),
    )


def _ratios(stepper: Stepper, parts: Sequence[RatioStatistics]) -> dict[str, float]:
    """Of the union of parts and workers; ratios of 1 where nothing was counted."""
    known = merge_ratio_statistics(parts).as_floats() if parts else {"num": 0.0}
    num = known["num"]
    total = stepper.total(num)
    found = {"num": total}
    neutral = {"mean": 1.0, "mean_abs_log": 0.0, "kl": 0.0}
    for name, value in neutral.items():
        added = stepper.total(known[name] * num if num else 0.0)
        found[name] = added / total if total else value
    for name, sign, value in (("minimum", -1, 1.0), ("maximum", 1, 1.0), ("max_abs_log", 1, 0.0)):
        largest = stepper.largest(sign * known[name] if num else -math.inf)
        found[name] = sign * largest if total else value
    return found
