"""What a language model is, to the rest of the library: prompts in, completions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spatialcode.reasoning.prompts import Prompt


@dataclass(frozen=True)
class Completion:
    """What came back for one prompt.

    ``num_prompt_tokens``, ``num_tokens``: as the model counted them, the latter with its end
    token; None where it did not say. ``truncated``: stopped by the limit of tokens. ``seconds``:
    wall clock, of the whole batch where several prompts ran together. ``error``: why there is no
    text.
    """

    text: str
    num_prompt_tokens: int | None = None
    num_tokens: int | None = None
    truncated: bool = False
    seconds: float = 0.0
    error: str | None = None


class CompletionModel(Protocol):
    """A language model."""

    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """One completion a prompt, in order. A prompt that fails is a completion with an error."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has for this model, or an estimate that errs upward."""
        ...
