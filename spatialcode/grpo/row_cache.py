"""A cache of keys and values for rows that begin with one of a few prompts."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


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
