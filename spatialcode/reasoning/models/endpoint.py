"""Language models behind an HTTP endpoint that speaks OpenAI's chat completions.

vLLM, SGLang, llama.cpp, Ollama and hosted services do. How they use a seed or a chat template is up
to them; no text is cut here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spatialcode.errors import ModelError
from spatialcode.reasoning.models.loading import Completion, ModelSpec
from spatialcode.reasoning.prompts import Prompt, estimate_tokens

if TYPE_CHECKING:
    from openai import OpenAI

#: An error's text is cut there: servers send whole pages.
_ERROR_CHARS = 500
#: Sent where no key is needed; the client library insists on one.
_NO_KEY = "none"


class OpenAICompatible:
    """The model that a spec names at its ``base_url`` ("http://127.0.0.1:8000/v1").

    The key is read from the environment; it is never stored, shown or written. Timeouts, lost
    connections, 408, 409, 429 and 5xx are tried again, after 0.5 s doubling to 8 s or as the
    server's Retry-After says. ModelError where the address is none or the variable is not set.
    """

    def __init__(self, spec: ModelSpec) -> None:
        address = urlsplit(spec.base_url)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise ModelError(f"base_url: expected http(s)://host…/v1, got {spec.base_url!r}")
        if not spec.model:
            raise ModelError(f"model: expected the name of a model at {spec.base_url}, got none")
        self.settings = spec
        self._key()

    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """One completion a prompt, in order; what fails for good is a completion with an error."""
        from openai import OpenAI

        if not prompts:
            return []
        settings = self.settings
        with (
            OpenAI(
                base_url=settings.base_url, api_key=self._key(), timeout=settings.timeout_s,
                max_retries=settings.max_retries,
            ) as client,
            ThreadPoolExecutor(min(settings.concurrency, len(prompts))) as pool,
        ):  # fmt: skip
            return list(pool.map(lambda prompt: self._one(client, prompt), prompts))

    def count_tokens(self, text: str) -> int:
        """An estimate: the endpoint's tokenizer is not known here."""
        return estimate_tokens(text)

    def _key(self) -> str:
        if not self.settings.api_key_env:
            return _NO_KEY
        key = os.environ.get(self.settings.api_key_env, "")
        if not key:
            raise ModelError(f"api_key_env: the variable {self.settings.api_key_env} is not set")
        return key

    def _one(self, client: OpenAI, prompt: Prompt) -> Completion:
        start = time.perf_counter()
        messages: Any = [{"role": m.role, "content": m.content} for m in prompt.messages]
        try:
            response = client.chat.completions.create(
                model=self.settings.model, messages=messages, max_tokens=self.settings.max_tokens,
                temperature=self.settings.temperature,
            )  # fmt: skip
            text, truncated, usage = _read(response)
        except Exception as error:  # the one boundary of a request: an error is data
            why = f"{type(error).__name__}: {error}"
            if self.settings.api_key_env:  # servers quote the key that they refuse
                why = why.replace(self._key(), "***")
            return Completion("", seconds=time.perf_counter() - start, error=why[:_ERROR_CHARS])
        return Completion(
            text, usage.get("prompt_tokens"), usage.get("completion_tokens"), truncated,
            time.perf_counter() - start,
        )  # fmt: skip


def _read(response: Any) -> tuple[str, bool, dict[str, int]]:
    """Text, whether it was cut, and usage of a response, whatever the server sent."""
    choices = getattr(response, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ModelError(f"expected a chat completion with a choice, got {response!r:.200}")
    message = getattr(choices[0], "message", None)
    text = getattr(message, "content", None)
    truncated = getattr(choices[0], "finish_reason", None) == "length"
    # a reasoning model that is cut while it reasons has no content yet
    if text is None and truncated:
        text = ""
    if not isinstance(text, str):
        raise ModelError(f"expected message.content to be a text, got {text!r:.200}")
    usage = getattr(response, "usage", None)
    counts = {
        name: value
        for name in ("prompt_tokens", "completion_tokens")
        if isinstance(value := getattr(usage, name, None), int)
    }
    return text, truncated, counts
