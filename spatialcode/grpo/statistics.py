"""What an update reports: ratios to the old policy, and sums of its optimizer steps over workers.

Nothing here carries a gradient or enters a loss. Where there is nothing to count, means are 0 and
ratios 1, with a count of 0 beside them: never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from spatialcode.grpo.objective import LOG_RATIO_LIMIT

if TYPE_CHECKING:
    from spatialcode.grpo.losses import LossTerms
    from spatialcode.grpo.update import Stepper

Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class RatioStatistics:
    """Of π / π_old over ``num`` tokens (or sequences): 0-d tensors.

    ``max_abs_log`` and ``mean_abs_log`` are of log π - log π_old as it came; the others are of its
    exponential, taken of at most ± ``LOG_RATIO_LIMIT``. ``kl`` is the k3 estimate of
    KL(π_old || π).
    """

    num: Scalar
    mean: Scalar
    minimum: Scalar
    maximum: Scalar
    mean_abs_log: Scalar
    max_abs_log: Scalar
    kl: Scalar


def masked_mean(values: Shaped[Tensor, "*s"], mask: Bool[Tensor, "*s"]) -> Scalar:
    """Mean where the mask is True; 0 if it nowhere is. What the mask hides may be NaN."""
    num = mask.sum().clamp(min=1)
    return torch.where(mask, values, torch.zeros_like(values)).sum(dtype=torch.float32) / num


def masked_extremes(
    values: Float[Tensor, "*s"], mask: Bool[Tensor, "*s"], neutral: float
) -> tuple[Scalar, Scalar]:
    """Smallest and largest where the mask is True; ``neutral`` twice if it nowhere is."""
    nothing = values.new_tensor(neutral)
    if values.numel() == 0:
        return nothing, nothing
    some = mask.any()
    low = torch.where(mask, values, torch.inf).amin()
    high = torch.where(mask, values, -torch.inf).amax()
    return torch.where(some, low, nothing), torch.where(some, high, nothing)


@torch.no_grad()
def ratio_statistics(log_ratio: Float[Tensor, "*s"], mask: Bool[Tensor, "*s"]) -> RatioStatistics:
    """Statistics of exp(log_ratio) where the mask is True."""
    log_ratio = torch.where(mask, log_ratio.float(), 0.0)
    limited = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = limited.exp()
    low, high = masked_extremes(ratio, mask, 1.0)
    return RatioStatistics(
        num=mask.sum().float(),
        mean=torch.where(mask.any(), masked_mean(ratio, mask), 1.0),
        minimum=low,
        maximum=high,
        mean_abs_log=masked_mean(log_ratio.abs(), mask),
        max_abs_log=masked_extremes(log_ratio.abs(), mask, 0.0)[1],
        kl=masked_mean(ratio - 1.0 - limited, mask),
    )


def logprob_difference(
    logprobs: Float[Tensor, "b t"], other: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> RatioStatistics:
    """Statistics of exp(logprobs - other): of two computations of what should be the same."""
    return ratio_statistics(logprobs.detach() - other.detach(), mask)


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

    parts: Sequence[LossTerms]  # one a micro-batch, without graph; none where it had no sample
    entropy: float
    num_tokens: float
    num_sequences: float
    grad_norm: float


def over_workers(stepper: Stepper, steps: Sequence[WorkerStep]) -> StepStatistics:
    """The statistics of the steps. Workers call it together, with equally many steps."""
    terms = [part for step in steps for part in step.parts]
    first = [part for step in steps[:1] for part in step.parts]
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
    """Of all parts and workers, means weighted by count; ratios of 1 where nothing was counted."""
    counted = [part for part in parts if part.num > 0]
    num = stepper.total(sum(float(part.num) for part in counted))
    found = {"num": num}
    for name, value in {"mean": 1.0, "mean_abs_log": 0.0, "kl": 0.0}.items():
        own = sum(float(getattr(part, name)) * float(part.num) for part in counted)
        added = stepper.total(own)
        found[name] = added / num if num else value
    for name, sign, value in (("minimum", -1, 1.0), ("maximum", 1, 1.0), ("max_abs_log", 1, 0.0)):
        own = max((sign * float(getattr(part, name)) for part in counted), default=-math.inf)
        largest = stepper.largest(own)
        found[name] = sign * largest if num else value
    return found
