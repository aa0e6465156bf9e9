"""An engine over a transformers model in this process."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from spatialcode.errors import ConfigError, PromptError, WeightsError
from spatialcode.grpo.attention import plain_model
from spatialcode.grpo.sampling import sample
from spatialcode.grpo.types import Sample, SamplerSettings


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

    The model may be the trainer's own (`follow` after an update) or a copy (`load_weights`).
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
        if max_rows < 1:
            raise ConfigError(f"max_rows: expected 1 or more, got {max_rows!r}")
        self.max_rows = max_rows
        self._version = weight_version
        self._half_loaded = False

    @property
    def weight_version(self) -> int:
        return self._version

    def follow(self, version: int) -> None:
        """Say that the model's weights were changed in place and are now ``version``."""
        self._version = version

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        """``num_samples`` completions of each prompt, in the prompts' order.

        Raises PromptError where a prompt and its completion exceed the model's positions, and
        WeightsError after a `load_weights` that failed half-way.
        """
        if self._half_loaded:
            raise WeightsError("the last load_weights failed: load all weights again")
        limit = getattr(plain_model(self.model).config, "max_position_embeddings", None)
        longest = max((len(prompt) for prompt in prompts), default=0)
        if limit is not None and longest + settings.max_new_tokens > limit:
            raise PromptError(
                f"expected prompt and completion within the model's {limit} positions, got "
                f"{longest} prompt tokens and up to {settings.max_new_tokens} new ones"
            )
        return sample(
            self.model,
            prompts,
            num_samples,
            settings,
            end_ids=self.end_ids,
            weight_version=self._version,
            max_rows=self.max_rows,
        )

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
        self._version = version
