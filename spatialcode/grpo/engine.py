"""An engine over a transformers model in this process, and how it draws completions.

Prompts of different lengths are batched. A prompt's keys and values are computed once, whatever the
number of its samples; rows that ended leave the batch. A sample's random numbers come from the
seed, its prompt and its number alone: it is the same in any batch, up to rounding of the logits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from spatialcode.config import require
from spatialcode.errors import ConfigError, ModelError, PromptError, WeightsError
from spatialcode.grpo.attention import (
    accepts,
    additive,
    cache_argument,
    plain_model,
    takes_own_masks,
)
from spatialcode.grpo.types import Sample, SamplerSettings

#: Rows that ended are dropped once they are this share of the batch: dropping copies the cache.
_DROPPED_SHARE = 0.15
#: Probabilities held at once in float64 while drawing: 128 MiB.
_MAX_DRAWN_NUMBERS = 2**24


def end_ids_of(model: Any) -> tuple[int, ...]:
    """The tokens that end a completion, from the generation configuration or the model's own."""
    plain = plain_model(model)
    for config in (getattr(plain, "generation_config", None), plain.config):
        found = getattr(config, "eos_token_id", None)
        if found is not None:
            return (found,) if isinstance(found, int) else tuple(found)
    return ()


class HFEngine:
    """Draws completions from any transformers causal language model.

    The model may be the trainer's own (set ``weight_version`` after an update) or a copy
    (`load_weights`).
    ``max_rows``: completions written at once, a bound on the cache's memory. ``end_ids``: by
    default those that the model's configuration names. Raises ConfigError where there are none.
    """

    def __init__(
        self,
        model: Any,
        *,
        end_ids: Collection[int] | None = None,
        weight_version: int = 0,
        max_rows: int = 256,
    ) -> None:
        self.model = model
        self.end_ids = tuple(end_ids_of(model) if end_ids is None else end_ids)
        if not self.end_ids:
            raise ConfigError("end_ids: expected at least one token that ends a completion")
        require(max_rows >= 1, "max_rows", "1 or more", max_rows)
        self.max_rows = max_rows
        self.weight_version = weight_version
        self._half_loaded = False

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        """``num_samples`` completions of each prompt, in the prompts' order.

        A completion ends with the first end token, which belongs to it, or unfinished after
        ``settings.max_new_tokens``. The model is in evaluation mode meanwhile and no gradient
        flows. Raises ValueError for an empty prompt; PromptError where a prompt and its completion
        exceed the model's positions; WeightsError after a `load_weights` that failed half-way;
        ModelError for a model without a cache of keys and values and for logits that are not
        numbers.
        """
        self._check(prompts, num_samples, settings)
        places = _places(prompts, num_samples)
        shortest_first = sorted(range(len(prompts)), key=lambda n: len(prompts[n]))
        per_batch = max(1, self.max_rows // num_samples)
        found: list[list[Sample]] = [[] for _ in prompts]
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                for start in range(0, len(prompts), per_batch):
                    numbers = shortest_first[start : start + per_batch]
                    batch = _Batch(
                        self.model,
                        tuple(tuple(prompts[n]) for n in numbers),
                        tuple(places[n] for n in numbers),
                        num_samples,
                        settings,
                        frozenset(self.end_ids),
                    )
                    groups = _written(batch, self.weight_version)
                    for n, group in zip(numbers, groups, strict=True):
                        found[n] = group
        finally:
            self.model.train(was_training)
        return found

    def _check(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> None:
        if self._half_loaded:
            raise WeightsError("the last load_weights failed: load all weights again")
        if num_samples < 1:
            raise ValueError(f"num_samples: expected 1 or more, got {num_samples!r}")
        for number, prompt in enumerate(prompts):
            if not prompt:
                raise ValueError(f"prompts[{number}]: expected at least one token, got none")
        plain = plain_model(self.model)
        limit = getattr(plain.config, "max_position_embeddings", None)
        longest = max((len(prompt) for prompt in prompts), default=0)
        if limit is not None and longest + settings.max_new_tokens > limit:
            raise PromptError(
                f"expected prompt and completion within the model's {limit} positions, got "
                f"{longest} prompt tokens and up to {settings.max_new_tokens} new ones"
            )
        if cache_argument(self.model) is None:
            name = type(plain).__name__
            raise ModelError(f"{name} keeps no cache of keys and values: it cannot be sampled here")

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Copy weights into the model by name; a tied weight may come under any of its names.

        Raises WeightsError for an unknown name, another shape, or weights that did not come; the
        engine then refuses to generate until a load succeeds.
        """
        plain = plain_model(self.model)
        targets = dict(plain.named_parameters(remove_duplicate=False))
        loaded = set()
        self._half_loaded = True
        with torch.no_grad():
            for name, tensor in tensors:
                target = targets.get(name)
                if target is None:
                    raise WeightsError(f"{name}: the model has no such weight")
                if target.shape != tensor.shape:
                    raise WeightsError(
                        f"{name}: expected shape {tuple(target.shape)}, got {tuple(tensor.shape)}"
                    )
                target.copy_(tensor)
                loaded.add(id(target))
        missing = [name for name, held in plain.named_parameters() if id(held) not in loaded]
        if missing:
            named = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise WeightsError(f"{len(missing)} of the model's weights did not come: {named}")
        self._half_loaded = False
        self.weight_version = version


def _places(prompts: Sequence[Sequence[int]], num_samples: int) -> list[int]:
    """Number of the first sample of each prompt: the n-th of equal prompts begins at n × samples,
    so that asking twice for one prompt gives other completions.
    """
    seen: dict[tuple[int, ...], int] = {}
    places = []
    for prompt in prompts:
        key = tuple(prompt)
        places.append(seen.get(key, 0) * num_samples)
        seen[key] = seen.get(key, 0) + 1
    return places


@dataclass(frozen=True)
class _Batch:
    """Prompts whose samples are written together."""

    model: Any
    prompts: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    num_samples: int
    settings: SamplerSettings
    end_ids: frozenset[int]

    @property
    def num_rows(self) -> int:
        return len(self.prompts) * self.num_samples

    def uniforms(self) -> Float[Tensor, "b t"]:
        """The random numbers of every row."""
        count, seed = self.settings.max_new_tokens, self.settings.seed
        if self.settings.temperature == 0:
            return torch.zeros(self.num_rows, count, dtype=torch.float64)
        rows = [
            uniform_numbers(seed, prompt, place + number, count)
            for prompt, place in zip(self.prompts, self.places, strict=True)
            for number in range(self.num_samples)
        ]
        return torch.from_numpy(np.stack(rows))


class _Decoder:
    """A model with the cache of its rows, which shrink as they end."""

    def __init__(self, batch: _Batch) -> None:
        self.batch, self.model = batch, batch.model
        weight = next(plain_model(batch.model).parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.own_masks = takes_own_masks(batch.model)
        name = cache_argument(batch.model)
        assert name is not None
        self.cache_argument = name
        lengths = torch.tensor([len(prompt) for prompt in batch.prompts])
        width, repeats = int(lengths.max()), batch.num_samples
        ids = torch.zeros(len(batch.prompts), width, dtype=torch.long)
        for row, prompt in enumerate(batch.prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
        present = torch.arange(width) >= width - lengths[:, None]
        self.logits = self._read(ids.to(self.device), present.to(self.device))
        self.logits = self.logits.repeat_interleave(repeats, 0)
        self.positions = lengths.to(self.device).repeat_interleave(repeats)
        room = torch.ones(len(ids), batch.settings.max_new_tokens, dtype=torch.bool)
        self.visible = torch.cat([present, room], 1).to(self.device).repeat_interleave(repeats, 0)
        self.filled = width

    def _read(self, ids: Int[Tensor, "g p"], present: Bool[Tensor, "g p"]) -> Tensor:
        """Logits after each prompt (padded on the left); fills the cache of all rows."""
        repeats, num_new = self.batch.num_samples, self.batch.settings.max_new_tokens
        order = torch.arange(ids.shape[1], device=self.device)
        positions = (present.long().cumsum(1) - 1).clamp(min=0)
        cache: Cache
        if self.own_masks:
            # a padding token sees itself: a row of nothing visible would be no distribution
            visible = (present[:, None] & (order <= order[:, None])) | (order == order[:, None])
            cache = DynamicCache()
            logits = self._logits(ids, additive(visible[:, None], self.dtype), positions, cache)
            self.cache = row_cache(cache, repeats, num_new - 1)
            return logits
        cache = DynamicCache(config=plain_model(self.model).config)
        logits = self._logits(ids, present.long(), positions, cache)
        if repeats > 1:
            cache.batch_repeat_interleave(repeats)
        self.cache = cache
        return logits

    def _logits(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        given: dict[str, Any] = {self.cache_argument: cache, "use_cache": True}
        if accepts(self.model, "position_ids"):
            given["position_ids"] = positions
        if accepts(self.model, "logits_to_keep"):
            given["logits_to_keep"] = 1
        return self.model(input_ids=ids, attention_mask=mask, **given).logits[:, -1]

    def advance(self, tokens: Int[Tensor, " b"]) -> None:
        """Append a token to every row; ``logits`` are then those after it."""
        self.filled += 1
        visible = self.visible[:, : self.filled]
        mask = additive(visible[:, None, None], self.dtype) if self.own_masks else visible.long()
        positions = self.positions[:, None]
        self.logits = self._logits(tokens[:, None], mask, positions, self.cache)
        self.positions = self.positions + 1

    def keep(self, rows: Int[Tensor, " b"]) -> None:
        """Leave out all other rows."""
        self.cache.batch_select_indices(rows)
        self.visible, self.positions = self.visible[rows], self.positions[rows]


def _written(batch: _Batch, weight_version: int) -> list[list[Sample]]:
    """The samples of every prompt of one batch."""
    decoder = _Decoder(batch)
    device, num_new = decoder.device, batch.settings.max_new_tokens
    tokens = torch.zeros(batch.num_rows, num_new, dtype=torch.long, device=device)
    logprobs = torch.zeros(batch.num_rows, num_new, device=device)
    lengths = torch.full((batch.num_rows,), num_new, device=device)
    ended = torch.zeros(batch.num_rows, dtype=torch.bool, device=device)
    ends = torch.tensor(sorted(batch.end_ids), dtype=torch.long, device=device)
    uniforms = batch.uniforms().to(device)
    rows = torch.arange(batch.num_rows, device=device)  # those that are still in the decoder
    for step in range(num_new):
        drawn, chosen = draw(decoder.logits, uniforms[rows, step], batch.settings)
        tokens[rows, step], logprobs[rows, step] = drawn, chosen
        over = torch.isin(drawn, ends) & ~ended[rows]
        lengths[rows[over]], ended[rows[over]] = step + 1, True
        left = (~ended[rows]).nonzero()[:, 0]
        if step + 1 == num_new or len(left) == 0:
            break
        if len(rows) - len(left) >= _DROPPED_SHARE * len(rows):
            rows, drawn = rows[left], drawn[left]
            decoder.keep(left)
        decoder.advance(drawn)
    written = zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), ended.tolist(), strict=True)
    samples = [
        Sample(
            prompt_ids=batch.prompts[row // batch.num_samples],
            completion_ids=tuple(ids[:length]),
            logprobs=tuple(likelihoods[:length]),
            finished=over,
            weight_version=weight_version,
        )
        for row, (ids, likelihoods, length, over) in enumerate(written)
    ]
    size = batch.num_samples
    return [samples[at : at + size] for at in range(0, len(samples), size)]


def draw(
    logits: Float[Tensor, "b v"], uniforms: Float[Tensor, " b"], settings: SamplerSettings
) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """A token for each row and its log-probability under the distribution it was drawn from.

    ``uniforms`` in [0, 1): the token is where the cumulated probability passes it. Temperature 0
    takes the likeliest token (the first of equals), with its log-probability at temperature 1.
    Raises ModelError for logits that are not numbers.
    """
    logprobs = sampling_logprobs(logits, settings)
    if settings.temperature == 0:
        tokens = logits.argmax(-1)
    else:
        step = max(1, _MAX_DRAWN_NUMBERS // logits.shape[-1])
        parts = [
            _passed(rows, numbers)
            for rows, numbers in zip(logprobs.split(step), uniforms.split(step), strict=True)
        ]
        tokens = torch.cat(parts)
    tokens = tokens.clamp(max=logits.shape[-1] - 1)  # reached only by what is not a number
    chosen = logprobs.gather(-1, tokens[:, None])[:, 0]
    if not bool(torch.isfinite(chosen).all()):
        raise ModelError("the model's logits are not finite: its weights are damaged")
    return tokens, chosen


def sampling_logprobs(
    logits: Float[Tensor, "*b v"], settings: SamplerSettings
) -> Float[Tensor, "*b v"]:
    """Logarithms of the probabilities that are sampled, float32; -inf for what is cut off.

    ``top_k`` keeps the k likeliest and all that equal the last of them; ``top_p`` then the fewest
    of the likeliest whose probabilities reach p.
    """
    logits = logits.float()
    if settings.temperature not in (0, 1):
        logits = logits / settings.temperature
    if 0 < settings.top_k < logits.shape[-1]:
        least = logits.topk(settings.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if settings.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        shares = ordered.softmax(-1)
        before = shares.cumsum(-1) - shares
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(
            -1, order, before >= settings.top_p
        )
        logits = logits.masked_fill(cut, float("-inf"))
    return logits.log_softmax(-1)


def _passed(logprobs: Tensor, uniforms: Tensor) -> Tensor:
    """Rows' first tokens at which the cumulated probability exceeds the uniform number."""
    cumulated = logprobs.double().exp_().cumsum(-1)
    levels = uniforms.double()[:, None] * cumulated[:, -1:]
    return torch.searchsorted(cumulated, levels, right=True)[:, 0]


def uniform_numbers(seed: int, prompt: tuple[int, ...], number: int, count: int) -> np.ndarray:
    """``count`` numbers in [0, 1) for one sample, float64."""
    digest = hashlib.blake2b(np.array([seed, number, *prompt], dtype="<i8").tobytes())
    key = int.from_bytes(digest.digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).random(count)


def row_cache(prompts: Cache, repeats: int, num_new: int) -> Cache:
    """Each prompt's cache ``repeats`` times in a row, with room for ``num_new`` tokens more."""
    layers: list[Any] = []
    for layer in prompts.layers:
        assert isinstance(layer, DynamicLayer)
        layers.append(RowLayer(layer, repeats, num_new))
    return Cache(layers=layers)


class RowLayer(DynamicLayer):
    """One layer's keys and values, written in place into room for all tokens to come."""

    def __init__(self, prompt: DynamicLayer, repeats: int, num_new: int) -> None:
        super().__init__()
        assert prompt.keys is not None
        assert prompt.values is not None
        self.filled = prompt.keys.shape[2]
        self._keys = _with_room(prompt.keys, repeats, num_new)
        self._values = _with_room(prompt.values, repeats, num_new)
        self.dtype, self.device = self._keys.dtype, self._keys.device
        self.is_initialized = True
        self._show()

    def _show(self) -> None:
        self.keys = self._keys[:, :, : self.filled]
        self.values = self._values[:, :, : self.filled]

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        end = self.filled + key_states.shape[2]
        self._keys[:, :, self.filled : end] = key_states
        self._values[:, :, self.filled : end] = value_states
        self.filled = end
        self._show()
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.filled

    def batch_select_indices(self, indices: Tensor) -> None:
        self._keys, self._values = self._keys[indices], self._values[indices]
        self._show()


def _with_room(states: Tensor, repeats: int, num_new: int) -> Tensor:
    """(g, heads, p, d) to (g × repeats, heads, p + num_new, d), each row ``repeats`` times."""
    count, heads, length, width = states.shape
    room = states.new_empty(count, repeats, heads, length + num_new, width)
    room[:, :, :, :length] = states[:, None]
    return room.flatten(0, 1)
