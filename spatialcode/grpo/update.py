"""Updates of the weights: from a batch of rollouts, or from examples that are taught.

Losses of micro-batches are divided by the count of their whole minibatch over all workers, so
that their sum, and its gradient, is that of one big batch on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from spatialcode.config import require
from spatialcode.errors import ConfigError
from spatialcode.grpo.batch import RolloutBatch
from spatialcode.grpo.losses import (
    LOSSES,
    LossInputs,
    LossSettings,
    LossTerms,
    denominator,
)
from spatialcode.grpo.objective import truncated_importance_weights
from spatialcode.grpo.scoring import (
    PackedRows,
    ScoringSettings,
    micro_batches,
    padded,
    score,
    sequence_logprobs,
)
from spatialcode.grpo.statistics import StepStatistics, WorkerStep, over_workers
from spatialcode.grpo.types import Trajectory

OLD_POLICIES = ("sampled", "recomputed")


class Stepper(Protocol):
    """What an update needs of a model and its optimizer.

    Workers call everything equally often and together. `backward` gets this worker's share of a
    loss that was divided by the count of all workers: shares and their gradients add up.
    """

    @property
    def model(self) -> Any:
        """What to call for a forward pass."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this worker's share."""
        ...

    def step(self) -> float:
        """Update the weights and clear the gradients; their norm before clipping."""
        ...

    def total(self, value: float) -> float:
        """The sum of the workers' values."""
        ...

    def largest(self, value: float) -> float:
        """The largest of the workers' values."""
        ...

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over workers by name; a name that a worker does not have counts as 0 there."""
        ...

    def set_learning_rate(self, learning_rate: float) -> None:
        """The rate of the next steps."""
        ...

    def full_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Names and whole weights, as the plain model's ``named_parameters``."""
        ...


@dataclass(frozen=True)
class UpdateConfig:
    """``loss``: a name in `losses.LOSSES`. ``entropy_coefficient``: nats a token times this are
    taken off the loss. ``num_epochs``: optimizer steps, each of the whole batch.

    ``old_policy``: what ratios compare with: log-probabilities as "sampled", or "recomputed" by
    the trainer before the update, with importance weights up to ``importance_cap`` for samples
    that an older policy or another implementation drew.
    """

    loss: str = "grpo"
    settings: LossSettings = field(default_factory=LossSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    entropy_coefficient: float = 0.0
    num_epochs: int = 1
    old_policy: str = "sampled"
    importance_cap: float = 2.0

    def __post_init__(self) -> None:
        require(self.loss in LOSSES, "loss", f"one of {sorted(LOSSES)}", self.loss)
        if self.loss == "dr_grpo" and self.settings.max_completion_tokens is None:
            raise ConfigError("settings.max_completion_tokens: dr_grpo needs the sampler's limit")
        if not math.isfinite(self.entropy_coefficient):
            raise ConfigError(f"entropy_coefficient: got {self.entropy_coefficient!r}")
        require(self.num_epochs >= 1, "num_epochs", "1 or more", self.num_epochs)
        known = ", ".join(OLD_POLICIES)
        require(self.old_policy in OLD_POLICIES, "old_policy", f"one of {known}", self.old_policy)


@dataclass(frozen=True)
class _Old:
    """What ratios compare with, and the weights of samples that it did not draw."""

    logprobs: Float[Tensor, "b t"]
    weights: Tensor | None


def update(stepper: Stepper, batch: RolloutBatch, config: UpdateConfig) -> StepStatistics:
    """Train on the batch; the model is left in training mode.

    Where no token of any worker counts, nothing is changed and ``num_steps`` is 0.
    Raises ConfigError where the loss needs something that the batch does not have (a reference).
    """
    old = _old_policy(stepper.model, batch, config)
    stepper.model.train()
    steps = []
    for _ in range(config.num_epochs):
        step = _optimizer_step(stepper, batch, old, config)
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


@dataclass(frozen=True)
class _Step:
    """What the micro-batches of one optimizer step share. ``denominator`` and ``num_tokens`` are
    of all workers: what sums of losses, and of entropies, are divided by.
    """

    model: Any
    batch: RolloutBatch
    old: _Old
    config: UpdateConfig
    denominator: float
    num_tokens: float


def _optimizer_step(
    stepper: Stepper, batch: RolloutBatch, old: _Old, config: UpdateConfig
) -> WorkerStep | None:
    """Backward over the batch, then one step. None where no worker has a token."""
    whole = stepper.total(float(denominator(config.loss, batch.mask, config.settings)))
    num_tokens = stepper.total(float(batch.mask.sum()))
    if not num_tokens:
        return None
    step = _Step(stepper.model, batch, old, config, whole, num_tokens)
    used = batch.mask.any(1).nonzero()[:, 0].tolist()
    # A worker without samples computes one that counts for nothing: the others wait for it.
    packs = micro_batches(stepper.model, batch.samples, used or [0], config.scoring)
    parts: list[LossTerms] = []
    entropy = 0.0
    for number in range(int(stepper.largest(len(packs)))):
        loss, terms, found = _loss_of(step, packs[min(number, len(packs) - 1)])
        real = bool(used) and number < len(packs)
        stepper.backward(loss if real else loss * 0.0)
        if real:
            # without the graph, which holds all activations
            parts.append(replace(terms, loss=terms.loss.detach()))
            entropy += float(found.detach())
    return WorkerStep(
        parts=parts,
        entropy=entropy,
        num_tokens=float(batch.mask.sum()),
        num_sequences=len(used),
        grad_norm=stepper.step(),
    )


def _loss_of(step: _Step, packed: PackedRows) -> tuple[Tensor, LossTerms, Tensor]:
    """Forward pass of the samples packed: the loss to go backward from, its terms, and the sum of
    entropies.
    """
    config, batch, old = step.config, step.batch, step.old
    with_entropy = config.entropy_coefficient != 0
    found, entropies = score(
        step.model, packed, config.scoring.temperature, entropy_gradient=with_entropy
    )
    numbers, inverse = torch.unique(packed.numbers, return_inverse=True)
    packed = replace(packed, numbers=inverse)
    shape = (len(numbers), batch.shape[1])

    def rows(values: Tensor) -> Tensor:
        return values[numbers].to(found.device)

    inputs = LossInputs(
        logprobs=padded(found, packed, shape),
        old_logprobs=rows(old.logprobs),
        advantages=rows(batch.advantages),
        mask=rows(batch.mask),
        weights=None if old.weights is None else rows(old.weights),
        ref_logprobs=None if batch.ref_logprobs is None else rows(batch.ref_logprobs),
        normaliser=step.denominator,
    )
    terms = LOSSES[config.loss](inputs, config.settings)
    entropy = torch.where(inputs.mask, padded(entropies, packed, shape), 0.0).sum()
    loss = terms.loss
    if with_entropy:
        loss = loss - config.entropy_coefficient * entropy / step.num_tokens
    return loss, terms, entropy


@dataclass(frozen=True)
class TaughtStep:
    """What a supervised step showed, over all workers. ``loss``: nats a completion token;
    ``grad_norm``: before clipping.
    """

    loss: float
    grad_norm: float
    num_tokens: float


def supervised_update(
    stepper: Stepper,
    examples: Sequence[Trajectory],
    max_tokens: int,
    repeat_weight: float = 0.0,
) -> TaughtStep:
    """One optimizer step of maximum likelihood on completions that are taught.

    ``examples``: this worker's share, at least one. ``max_tokens``: of one forward pass.
    ``repeat_weight``: what a token of a prompt counts that follows its predecessor not for the
    first time (names said twice teach copying); the prompts' other tokens never count.
    """
    weighted = [_Weighted.of(one, repeat_weight) for one in examples]
    num_tokens = stepper.total(sum(len(one.completion_ids) for one in examples))
    divisor = stepper.total(sum(sum(one.weights) for one in weighted))
    # no two share a prompt: rows of a tree would only cost masks
    settings = ScoringSettings(packing="padded", max_tokens=max_tokens)
    stepper.model.train()
    packs = micro_batches(stepper.model, weighted, range(len(weighted)), settings)
    weights = _padded_rows([one.weights for one in weighted])
    own = _padded_rows([one.own for one in weighted])
    summed = 0.0
    for number in range(int(stepper.largest(len(packs)))):
        # a worker with fewer packs repeats its last for nothing: the others wait for it
        packed = packs[min(number, len(packs) - 1)]
        logprobs = score(stepper.model, packed)[0]
        counted = weights[packed.numbers, packed.places].to(logprobs.device)
        loss = -(logprobs * counted).sum() / divisor
        loss = loss if number < len(packs) else loss * 0.0
        stepper.backward(loss)
        if number < len(packs):
            shown = own[packed.numbers, packed.places].to(logprobs.device)
            summed -= float((logprobs.detach() * shown).sum()) / num_tokens
    return TaughtStep(stepper.total(summed), stepper.step(), num_tokens)


@dataclass(frozen=True)
class _Weighted:
    """An example whose scored tokens have weights; ``own``: 1 where one is of its completion."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    weights: tuple[float, ...]
    own: tuple[float, ...]

    @classmethod
    def of(cls, example: Trajectory, repeat_weight: float) -> _Weighted:
        prompt, completion = example.prompt_ids, example.completion_ids
        ones = (1.0,) * len(completion)
        if repeat_weight == 0:
            return cls(prompt, completion, ones, ones)
        again = repeated(prompt)
        weights = tuple(repeat_weight * (at in again) for at in range(1, len(prompt)))
        own = (0.0,) * (len(prompt) - 1) + ones
        return cls(prompt[:1], prompt[1:] + completion, weights + ones, own)


def repeated(ids: Sequence[int]) -> set[int]:
    """Places of tokens that have followed the token before them earlier on."""
    seen: set[tuple[int, int]] = set()
    found = set()
    for at in range(1, len(ids)):
        pair = ids[at - 1], ids[at]
        if pair in seen:
            found.add(at)
        seen.add(pair)
    return found


def _padded_rows(rows: Sequence[Sequence[float]]) -> Tensor:
    """Rows of numbers as one tensor, padded with 0."""
    made = torch.zeros(len(rows), max(map(len, rows)))
    for number, row in enumerate(rows):
        made[number, : len(row)] = torch.tensor(row)
    return made
