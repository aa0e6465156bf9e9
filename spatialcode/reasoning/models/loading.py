"""Language models that answer prompts: behind an endpoint, or in this process.

torch, transformers and openai are imported where a model is made, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spatialcode.config import checked, setting
from spatialcode.reasoning.models.completions import Completion, CompletionModel
from spatialcode.reasoning.models.endpoint import OpenAICompatible
from spatialcode.reasoning.models.local import HuggingFaceModel, LocalSettings

#: The tiny reasoner that comes with the software: it writes programs, from compact prompts.
BUNDLED_REASONER = Path(__file__).parents[2] / "assets" / "reasoner_tiny"
#: Most tokens of a program of its; its context has room for a prompt of 384 beside.
BUNDLED_TOKENS = 128

__all__ = [
    "BUNDLED_REASONER",
    "BUNDLED_TOKENS",
    "Completion",
    "CompletionModel",
    "HuggingFaceModel",
    "LocalSettings",
    "ModelSpec",
    "OpenAICompatible",
    "load_model",
]


@dataclass(frozen=True)
@checked
class ModelSpec:
    """Which model, as settings of a job. With ``base_url`` an endpoint, else a local model."""

    model: str = setting("name at the endpoint, or folder (or hub name) of a local model", "")
    base_url: str = setting("OpenAI-compatible endpoint, http://host:port/v1; empty: local", "")
    api_key_env: str = setting("environment variable with the endpoint's key; empty: none", "")
    max_tokens: int = setting("tokens of an answer", 1024, at_least=1)
    temperature: float = setting("0: greedy", 0.0, at_least=0)
    timeout_s: float = setting("endpoint: seconds for one attempt", 120.0, above=0)
    max_retries: int = setting("endpoint: attempts after the first", 4, at_least=0)
    concurrency: int = setting("endpoint: requests under way at once", 8, at_least=1)
    device: str = setting("local: cpu, cuda or auto", "auto")
    dtype: str = setting("local: auto, float32, bfloat16 or float16", "auto")
    batch_size: int = setting("local: prompts that run together", 8, at_least=1)
    seed: int = setting("local: seed of sampling", 0)
    thinking: bool = setting("local: let the chat template ask for thinking", False)


def load_model(spec: ModelSpec) -> CompletionModel:
    """The model that a spec names, ready. ModelError where it is not there or not set up."""
    if spec.base_url:
        return OpenAICompatible(
            base_url=spec.base_url, model=spec.model, api_key_env=spec.api_key_env,
            max_tokens=spec.max_tokens, temperature=spec.temperature, timeout_s=spec.timeout_s,
            max_retries=spec.max_retries, concurrency=spec.concurrency,
        )  # fmt: skip
    settings = LocalSettings(
        device=spec.device, dtype=spec.dtype, max_tokens=spec.max_tokens,
        temperature=spec.temperature, batch_size=spec.batch_size, seed=spec.seed,
        thinking=spec.thinking,
    )  # fmt: skip
    return HuggingFaceModel(spec.model, settings)
