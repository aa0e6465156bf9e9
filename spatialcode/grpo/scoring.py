"""Log-probabilities and entropies of sampled tokens, by the trainer's forward pass.

A prompt and its completions share one row, so that the update computes the prompt once:

    columns   [padding] prompt | completion 1 | completion 2 | …
    sees      each token: the prompt and its own completion up to itself
    position  a completion's first token follows the prompt's last one

A completion's last token predicts nothing and is left out. Models that take no masks of their own
(`attention.takes_own_masks`) get one padded row for each completion instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from spatialcode.config import require
from spatialcode.grpo.attention import accepts, additive, plain_model, takes_own_masks
from spatialcode.grpo.types import Trajectory

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
        require(self.temperature >= 0, "temperature", "0 or more", self.temperature)
        require(self.packing in PACKINGS, "packing", f"one of {PACKINGS}", self.packing)
        require(self.max_tokens >= 1, "max_tokens", "1 or more", self.max_tokens)
        require(self.max_row_tokens >= 1, "max_row_tokens", "1 or more", self.max_row_tokens)

    def shares_rows(self, model: Any) -> bool:
        """Whether completions share rows with this model; may run a small forward pass."""
        return self.packing == "tree" or (self.packing == "auto" and takes_own_masks(model))


def micro_batches(
    model: Any, samples: Sequence[Trajectory], numbers: Sequence[int], settings: ScoringSettings
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
    model: Any, samples: Sequence[Trajectory], settings: ScoringSettings
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


@dataclass(frozen=True)
class Row:
    """Numbers of the samples, all of one prompt, that share a row, and the row's length."""

    prompt_ids: tuple[int, ...]
    numbers: tuple[int, ...]
    num_tokens: int


@dataclass(frozen=True)
class PackedRows:
    """Rows ready for a model, and where in them each completion token is predicted.

    ``visible`` is (R, L, L) queries × keys for shared rows, (R, L) tokens for padded ones. Token n
    of the N that are scored is ``targets[n]``; the logits at ``rows[n]``, ``columns[n]`` predict
    it; it is token ``places[n]`` of sample ``numbers[n]``. Columns before ``first_column``
    predict none.
    """

    input_ids: Int[Tensor, "r l"]
    position_ids: Int[Tensor, "r l"]
    visible: Bool[Tensor, "*shape"]
    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " n"]
    targets: Int[Tensor, " n"]
    numbers: Int[Tensor, " n"]
    places: Int[Tensor, " n"]
    first_column: int

    @property
    def shared(self) -> bool:
        """Whether completions share rows."""
        return self.visible.ndim == 3

    def to(self, device: torch.device) -> PackedRows:
        moved: Any = {
            name: value.to(device) for name, value in vars(self).items() if name != "first_column"
        }
        return replace(self, **moved)


def plan_rows(
    samples: Sequence[Trajectory], numbers: Sequence[int], *, shared: bool, max_row_tokens: int
) -> list[Row]:
    """Rows for the samples numbered; a group longer than ``max_row_tokens`` takes several rows,
    each with the prompt. A single completion that is longer has a row of its own.
    """
    if not shared:
        return [
            Row(sample.prompt_ids, (number,), _length(sample.prompt_ids, [sample]))
            for number, sample in ((n, samples[n]) for n in numbers)
        ]
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for number in numbers:
        by_prompt.setdefault(samples[number].prompt_ids, []).append(number)
    rows = []
    for prompt, members in by_prompt.items():
        taken: list[int] = []
        length = len(prompt)
        for number in members:
            added = len(samples[number].completion_ids) - 1
            if taken and length + added > max_row_tokens:
                rows.append(Row(prompt, tuple(taken), length))
                taken, length = [], len(prompt)
            taken.append(number)
            length += added
        rows.append(Row(prompt, tuple(taken), length))
    return rows


def plan_micro_batches(rows: Sequence[Row], max_tokens: int) -> list[list[Row]]:
    """Rows of like lengths together, at most ``max_tokens`` with padding unless one row has more.

    No sample is left out or in two; the order of the batches is by length.
    """
    batches: list[list[Row]] = []
    prompt = rest = 0  # longest of the batch: padding goes before prompts and after the rest
    for row in sorted(rows, key=lambda row: (row.num_tokens, row.numbers)):
        own = len(row.prompt_ids)
        longer = max(prompt, own) + max(rest, row.num_tokens - own)
        if not batches or longer * (len(batches[-1]) + 1) > max_tokens:
            batches.append([])
            prompt = rest = 0
        batches[-1].append(row)
        prompt, rest = max(prompt, own), max(rest, row.num_tokens - own)
    return batches


def pack(samples: Sequence[Trajectory], rows: Sequence[Row], *, shared: bool) -> PackedRows:
    """The rows as tensors. Raises ValueError for no rows."""
    if not rows:
        raise ValueError("rows: expected at least one, got none")
    longest = max(len(row.prompt_ids) for row in rows)
    # Shared rows align the prompts' ends, so that few columns need logits. Padding after the rest
    # asks nothing of a model but to be causal.
    starts = [longest - len(row.prompt_ids) if shared else 0 for row in rows]
    width = max(start + row.num_tokens for start, row in zip(starts, rows, strict=True))
    table = _Table(len(rows), width)
    for number, (start, row) in enumerate(zip(starts, rows, strict=True)):
        table.write(number, start, row, samples)
    segment = torch.from_numpy(table.segments)
    scored = torch.from_numpy(np.concatenate(table.scored, axis=1))
    return PackedRows(
        input_ids=torch.from_numpy(table.ids),
        position_ids=torch.from_numpy(table.positions),
        visible=_tree_mask(segment) if shared else segment >= 0,
        rows=scored[0],
        columns=scored[1],
        targets=scored[2],
        numbers=scored[3],
        places=scored[4],
        first_column=int(scored[1].min()),
    )


class _Table:
    """Rows being written: token ids, positions, and which prompt or completion a token is of."""

    def __init__(self, num_rows: int, width: int) -> None:
        self.ids = np.zeros((num_rows, width), dtype=np.int64)
        self.positions = np.zeros((num_rows, width), dtype=np.int64)
        self.segments = np.full((num_rows, width), -1, dtype=np.int64)  # -1 padding, 0 prompt
        self.scored: list[np.ndarray] = []

    def write(self, number: int, start: int, row: Row, samples: Sequence[Trajectory]) -> None:
        end = start + len(row.prompt_ids)
        self._put(number, start, np.array(row.prompt_ids), 0, 0)
        at = end
        for segment, which in enumerate(row.numbers, start=1):
            tokens = np.array(samples[which].completion_ids)
            length = len(tokens)
            self._put(number, at, tokens[:-1], len(row.prompt_ids), segment)
            scored = np.empty((5, length), dtype=np.int64)
            scored[0], scored[2], scored[3] = number, tokens, which
            scored[1, 0], scored[1, 1:] = end - 1, np.arange(at, at + length - 1)
            scored[4] = np.arange(length)
            self.scored.append(scored)
            at += length - 1

    def _put(self, row: int, at: int, tokens: np.ndarray, position: int, segment: int) -> None:
        to = at + len(tokens)
        self.ids[row, at:to] = tokens
        self.positions[row, at:to] = np.arange(position, position + len(tokens))
        self.segments[row, at:to] = segment


def _tree_mask(segment: Int[Tensor, "r l"]) -> Bool[Tensor, "r l l"]:
    """Queries × keys: the prompt and what came before in one's own completion; padding itself."""
    order = torch.arange(segment.shape[1])
    key, query = segment[:, None], segment[:, :, None]
    visible = (order <= order[:, None]) & ((key == 0) | (key == query)) & (key >= 0)
    return visible | (order == order[:, None])


def _length(prompt: Sequence[int], members: Sequence[Trajectory]) -> int:
    return len(prompt) + sum(len(member.completion_ids) - 1 for member in members)
