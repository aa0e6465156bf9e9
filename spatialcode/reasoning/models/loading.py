"""What a language model is to the library, and the one that settings name, loaded.

torch, transformers and openai are imported where a model is made, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from spatialcode.config import checked, setting
from spatialcode.reasoning.prompts import Prompt

#: The tiny reasoner that comes with the software: it writes programs, from compact prompts.
BUNDLED_REASONER = Path(__file__).parents[2] / "assets" / "reasoner_tiny"
#: The most tokens of one of its programs; its context has room for a prompt of 384 beside it.
BUNDLED_TOKENS = 128


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


@dataclass(frozen=True)
@checked
class ModelSpec:
    """Which model, as settings of a job. With ``base_url`` an endpoint, else a local model.

    ``device``: "cpu", "cuda", "cuda:1", or "auto" for the GPU where there is one. ``temperature`` 0
    is greedy; else a local model samples with ``seed``. ``thinking`` is passed to chat templates
    that know it (Qwen3's ``enable_thinking``).
    """

    model: str = setting("name at the endpoint, or folder (or hub name) of a local model", "")
    base_url: str = setting("OpenAI-compatible endpoint, http://host:port/v1; empty: local", "")
    api_key_env: str = setting("environment variable with the endpoint's key; empty: none", "")
    max_tokens: int = setting("tokens of an answer", 1024, at_least=1)
    temperature: float = setting("0: greedy", 0.0, at_least=0)
    timeout_s: float = setting("endpoint: seconds for one attempt", 120.0, above=0)
    max_retries: int = setting("endpoint: attempts after the first", 4, at_least=0)
    concurrency: int = setting("endpoint: requests under way at once", 8, at_least=1)
    device: str = setting("local: cpu, cuda or auto", "auto")
    dtype: str = setting(
        "local: auto, float32, bfloat16 or float16; auto: as the weights are stored",
        "auto",
        one_of=("auto", "float32", "bfloat16", "float16"),
    )
    batch_size: int = setting("local: prompts that run together", 8, at_least=1)
    seed: int = setting("local: seed of sampling", 0)
    thinking: bool = setting("local: let the chat template ask for thinking", False)


def bundled(spec: ModelSpec) -> ModelSpec:
    """The same settings with the bundled tiny reasoner for the model.

    Its programs have at most some hundred tokens; what exceeds its context is cut off there.
    """
    max_tokens = min(spec.max_tokens, BUNDLED_TOKENS)
    return replace(spec, model=str(BUNDLED_REASONER), max_tokens=max_tokens)


def load_model(spec: ModelSpec) -> CompletionModel:
    """The model that a spec names, ready. ModelError where it is not there or not set up."""
    from spatialcode.reasoning.models.endpoint import OpenAICompatible
    from spatialcode.reasoning.models.local import HuggingFaceModel

    if spec.base_url:
        return OpenAICompatible(spec)
    return HuggingFaceModel(spec.model, spec)
