"""The update: a rollout batch in, changed weights and statistics out.

Losses of micro-batches are divided by the count of their whole minibatch over all workers, so
that their sum, and its gradient, is that of one big batch on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.errors import ConfigError
from spatialcode.grpo.batch import RolloutBatch
from spatialcode.grpo.importance import truncated_importance_weights
from spatialcode.grpo.losses import (
    LOSSES,
    LossSettings,
    LossTerms,
    denominator,
    merge_loss_terms,
)
from spatialcode.grpo.packing import PackedRows
from spatialcode.grpo.scoring import (
    ScoringSettings,
    micro_batches,
    padded,
    score,
    sequence_logprobs,
)
from spatialcode.grpo.step_statistics import StepStatistics, WorkerStep, over_workers
from spatialcode.grpo.stepper import Stepper

__all__ = ["OLD_POLICIES", "StepStatistics", "UpdateConfig", "update"]

OLD_POLICIES = ("sampled", "recomputed")


@dataclass(frozen=True)
class UpdateConfig:
    """``loss``: a name in `losses.LOSSES`. ``entropy_coefficient``: nats a token times this are
    taken off the loss. Every epoch goes through the batch once, in ``num_minibatches`` optimizer
    steps of whole groups.

    ``old_policy``: what ratios compare with: log-probabilities as "sampled", or "recomputed" by
    the trainer before the update, with importance weights up to ``importance_cap`` for samples
    that an older policy or another implementation drew.
    """

    loss: str = "grpo"
    settings: LossSettings = field(default_factory=LossSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    entropy_coefficient: float = 0.0
    num_epochs: int = 1
    num_minibatches: int = 1
    old_policy: str = "sampled"
    importance_cap: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ConfigError(f"loss: expected one of {sorted(LOSSES)}, got {self.loss!r}")
        if self.loss == "dr_grpo" and self.settings.max_completion_tokens is None:
            raise ConfigError("settings.max_completion_tokens: dr_grpo needs the sampler's limit")
        if not math.isfinite(self.entropy_coefficient):
            raise ConfigError(f"entropy_coefficient: got {self.entropy_coefficient!r}")
        for name in ("num_epochs", "num_minibatches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more, got {getattr(self, name)!r}")
        if self.old_policy not in OLD_POLICIES:
            known = ", ".join(OLD_POLICIES)
            raise ConfigError(f"old_policy: expected one of {known}, got {self.old_policy!r}")


@dataclass(frozen=True)
class _Old:
    """What ratios compare with, and the weights of samples that it did not draw."""

    logprobs: Float[Tensor, "b t"]
    weights: Tensor | None


def update(stepper: Stepper, batch: RolloutBatch, config: UpdateConfig) -> StepStatistics:
    """Train on the batch; the model is left in training mode.

    Where no token of any worker counts, nothing is changed and ``num_steps`` is 0.
    Raises ConfigError where the loss wants what the batch has not (a reference).
    """
    old = _old_policy(stepper.model, batch, config)
    stepper.model.train()
    steps = []
    for epoch in range(config.num_epochs):
        for numbers in batch.minibatches(config.num_minibatches, config.seed + epoch):
            step = _optimizer_step(stepper, batch, old, numbers, config)
            if step is not None:
                steps.append(step)
    return over_workers(stepper, steps)


def _old_policy(model: Any, batch: RolloutBatch, config: UpdateConfig) -> _Old:
    if config.old_policy == "sampled":
        return _Old(batch.logprobs, None)
    recomputed = sequence_logprobs(model, batch.samples, config.scoring)[0].cpu()
    weights = truncated_importance_weights(
        recomputed,
        batch.logprobs,
        batch.mask,
        cap=config.importance_cap,
        level="sequence" if config.loss == "gspo" else "token",
    )
    return _Old(recomputed, weights)


def _optimizer_step(
    stepper: Stepper,
    batch: RolloutBatch,
    old: _Old,
    numbers: Sequence[int],
    config: UpdateConfig,
) -> WorkerStep | None:
    """Backward over the samples numbered, then one step. None where no worker has a token."""
    counted = batch.mask[list(numbers)]
    whole = stepper.total(float(denominator(config.loss, counted, config.settings)))
    num_tokens = stepper.total(float(counted.sum()))
    if not num_tokens:
        return None
    used = [number for number, row in zip(numbers, counted, strict=True) if bool(row.any())]
    # A worker without samples computes one that counts for nothing: the others wait for it.
    packs = micro_batches(stepper.model, batch.samples, used or [0], config.scoring)
    totals = _Totals(whole, num_tokens)
    parts: list[_Part] = []
    for number in range(int(stepper.largest(len(packs)))):
        packed = packs[min(number, len(packs) - 1)]
        part = _part(stepper.model, packed, batch, old, (config, totals))
        real = bool(used) and number < len(packs)
        stepper.backward(part.loss if real else part.loss * 0.0)
        if real:
            parts.append(part.detached())
    return WorkerStep(
        terms=merge_loss_terms([part.terms for part in parts]) if parts else None,
        entropy=sum(part.entropy for part in parts),
        num_tokens=float(counted.sum()),
        num_sequences=len(used),
        grad_norm=stepper.step(),
    )


@dataclass(frozen=True)
class _Totals:
    """What one optimizer step divides by: its loss's sums, and its entropies', of all workers."""

    denominator: float
    num_tokens: float


@dataclass(frozen=True)
class _Part:
    """One micro-batch: the loss to go backward from, and what is kept of it."""

    loss: Tensor
    terms: LossTerms
    entropy: float

    def detached(self) -> _Part:
        """Without the graph, which holds all activations."""
        loss = self.loss.detach()
        return replace(self, loss=loss, terms=replace(self.terms, loss=self.terms.loss.detach()))


def _part(
    model: Any,
    packed: PackedRows,
    batch: RolloutBatch,
    old: _Old,
    how: tuple[UpdateConfig, _Totals],
) -> _Part:
    """Forward pass and loss of the samples packed."""
    config, totals = how
    with_entropy = config.entropy_coefficient != 0
    temperature = config.scoring.temperature
    found, entropies = score(model, packed, temperature, entropy_gradient=with_entropy)
    numbers, inverse = torch.unique(packed.numbers, return_inverse=True)
    packed = replace(packed, numbers=inverse)
    shape = (len(numbers), batch.shape[1])

    def rows(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[numbers].to(found.device)

    mask = batch.mask[numbers].to(found.device)
    terms = LOSSES[config.loss](
        padded(found, packed, shape),
        old.logprobs[numbers].to(found.device),
        batch.advantages[numbers].to(found.device),
        mask,
        config.settings,
        weights=rows(old.weights),
        ref_logprobs=rows(batch.ref_logprobs),
        normaliser=totals.denominator,
    )
    entropy = torch.where(mask, padded(entropies, packed, shape), 0.0).sum()
    loss = terms.loss
    if with_entropy:
        loss = loss - config.entropy_coefficient * entropy / totals.num_tokens
    return _Part(loss, terms, float(entropy.detach()))
