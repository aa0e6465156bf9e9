"""Log-probabilities and entropies of sampled tokens, by the trainer's forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from spatialcode.errors import ConfigError
from spatialcode.grpo.attention import accepts, additive, plain_model, takes_own_masks
from spatialcode.grpo.packing import PackedRows, pack, plan_micro_batches, plan_rows
from spatialcode.grpo.types import Sample

#: Logits of more numbers than this are scored in chunks and again in the backward pass: 256 MiB.
_MAX_LOGITS = 2**26
PACKINGS = ("auto", "tree", "padded")


@dataclass(frozen=True)
class ScoringSettings:
    """``temperature``: that of the sampler (0 counts as 1). ``packing``: "tree" shares a prompt
    among its completions, "padded" does not, "auto" takes the tree where the model can.
    ``max_tokens``: of one forward pass, padding included; ``max_row_tokens``: of one shared row.
    """

    temperature: float = 1.0
    packing: str = "auto"
    max_tokens: int = 2_048
    max_row_tokens: int = 2_048

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ConfigError(f"temperature: expected 0 or more, got {self.temperature!r}")
        if self.packing not in PACKINGS:
            raise ConfigError(f"packing: expected one of {PACKINGS}, got {self.packing!r}")
        for name in ("max_tokens", "max_row_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more, got {getattr(self, name)!r}")

    def shares_rows(self, model: Any) -> bool:
        """Whether completions share rows with this model; may run a small forward pass."""
        return self.packing == "tree" or (self.packing == "auto" and takes_own_masks(model))


def micro_batches(
    model: Any, samples: Sequence[Sample], numbers: Sequence[int], settings: ScoringSettings
) -> list[PackedRows]:
    """The samples numbered, packed for the model; no sample in two batches."""
    shared = settings.shares_rows(model)
    rows = plan_rows(samples, numbers, shared=shared, max_row_tokens=settings.max_row_tokens)
    batches = plan_micro_batches(rows, settings.max_tokens)
    return [pack(samples, batch, shared=shared) for batch in batches]


def score(
    model: Any, packed: PackedRows, temperature: float = 1.0, *, entropy_gradient: bool = False
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Log-probability of each scored token and entropy (nats) of where it was drawn, in
    float32 or better.

    Entropies carry a gradient only if asked to.
    """
    weight = next(plain_model(model).parameters())
    packed = packed.to(weight.device)
    given: dict[str, Any] = {}
    if accepts(model, "position_ids"):
        given["position_ids"] = packed.position_ids
    first = packed.first_column if accepts(model, "logits_to_keep") else 0
    if first:
        given["logits_to_keep"] = packed.input_ids.shape[1] - first
    if packed.shared:
        dtype = _mask_dtype(weight)
        given["attention_mask"] = additive(packed.visible[:, None], dtype)
    else:
        given["attention_mask"] = packed.visible.long()
    logits = model(input_ids=packed.input_ids, use_cache=False, **given).logits
    chosen = logits[packed.rows, packed.columns - first]
    temperature = temperature or 1.0
    if chosen.numel() <= _MAX_LOGITS:
        return _of_logits(chosen, packed.targets, temperature, entropy_gradient)
    step = max(1, _MAX_LOGITS // chosen.shape[-1])
    parts = [
        checkpoint(_of_logits, rows, targets, temperature, entropy_gradient, use_reentrant=False)
        for rows, targets in zip(chosen.split(step), packed.targets.split(step), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def padded(
    values: Float[Tensor, " n"], packed: PackedRows, shape: tuple[int, int]
) -> Float[Tensor, "b t"]:
    """Values of scored tokens at their sample and place, 0 elsewhere; keeps the gradient."""
    where = (packed.numbers.to(values.device), packed.places.to(values.device))
    return values.new_zeros(shape).index_put(where, values)


@torch.no_grad()
def sequence_logprobs(
    model: Any, samples: Sequence[Sample], settings: ScoringSettings
) -> tuple[Float[Tensor, "b t"], Float[Tensor, "b t"]]:
    """Log-probabilities and entropies of all completion tokens, padded with 0, in evaluation mode.

    For a reference policy, for the policy before an update, and for the parity gate.
    """
    device = next(plain_model(model).parameters()).device
    shape = (len(samples), max(len(sample.completion_ids) for sample in samples))
    logprobs, entropies = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
    was_training = model.training
    model.eval()
    try:
        for packed in micro_batches(model, samples, range(len(samples)), settings):
            found, entropy = score(model, packed, settings.temperature)
            logprobs += padded(found, packed, shape)
            entropies += padded(entropy, packed, shape)
    finally:
        model.train(was_training)
    return logprobs, entropies


def _of_logits(
    logits: Float[Tensor, "n v"],
    targets: Int[Tensor, " n"],
    temperature: float,
    entropy_gradient: bool,
) -> tuple[Tensor, Tensor]:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if temperature != 1:
        logits = logits / temperature
    logprobs = logits.log_softmax(-1)
    with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
        # 0 · -inf of a token that cannot be drawn counts as 0
        entropy = -(logprobs.exp() * logprobs.clamp(min=torch.finfo(logprobs.dtype).min)).sum(-1)
    return logprobs.gather(-1, targets[:, None])[:, 0], entropy


def _mask_dtype(weight: Tensor) -> torch.dtype:
    """That of attention's queries, which autocast may have changed."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
