"""Language models run in this process through transformers.

Only safetensors are loaded and no code that comes with a model is run. Results of a batch equal
those of single prompts up to the rounding of the device's arithmetic.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

from spatialcode.errors import FormatError, ModelError
from spatialcode.files import read_json
from spatialcode.reasoning.models.loading import Completion, ModelSpec
from spatialcode.reasoning.prompts import Prompt, Style

#: Beside the weights, optional: ``{"prompt_style": "compact"}``.
STYLE_FILE = "spatialcode.json"


class HuggingFaceModel:
    """A causal language model from a folder, or by its name on the Hugging Face hub.

    A folder holds config, tokenizer and safetensors, as ``save_pretrained`` writes them, and may
    hold `STYLE_FILE`, which says what prompts the model was trained on. ModelError names what is
    missing or does not load.
    """

    def __init__(self, path: str | Path, settings: ModelSpec | None = None) -> None:
        self.path = str(path)
        self.settings = settings or ModelSpec()
        self.device = _device(self.settings.device)
        self.model, self.tokenizer = _load(self.path, self.settings.dtype, self.device)
        self.prompt_style = prompt_style(self.path)
        generation, tokenizer = self.model.generation_config, self.tokenizer
        ends = generation.eos_token_id if generation.eos_token_id is not None else []
        listed = list(ends) if isinstance(ends, list | tuple) else [ends]
        own = tokenizer.eos_token_id
        self.end_ids = sorted({*listed, *([] if own is None else [own])})
        pad = tokenizer.pad_token_id
        # padding is masked, so any id will do where a tokenizer has none of its own
        self.pad_id = pad if pad is not None else self.end_ids[0] if self.end_ids else 0

    def complete(self, prompts: Sequence[Prompt]) -> list[Completion]:
        """One completion a prompt, in order. A prompt longer than the model's context, or a batch
        that fails (out of memory), gives completions with errors.
        """
        size = self.settings.batch_size
        batches = [prompts[at : at + size] for at in range(0, len(prompts), size)]
        return [completion for batch in batches for completion in self._batch(batch)]

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without those of the chat template."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt: by the chat template, else ``role: content`` lines and
        ``assistant:`` last.
        """
        messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False,
                enable_thinking=self.settings.thinking,
            )  # fmt: skip
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        lines = [f"{message['role']}: {message['content']}" for message in messages]
        return list(self.tokenizer("\n".join([*lines, "assistant:"]))["input_ids"])

    def _batch(self, prompts: Sequence[Prompt]) -> list[Completion]:
        start = time.perf_counter()
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        room = getattr(self.model.config, "max_position_embeddings", None)
        fits = [room is None or len(one) + self.settings.max_tokens <= room for one in ids]
        error = None
        rows: list[list[int]] = []
        if any(fits):
            try:
                rows = self._generate([one for one, ok in zip(ids, fits, strict=True) if ok])
            except (RuntimeError, ValueError) as failure:  # out of memory is a RuntimeError
                error = f"{type(failure).__name__}: {failure}"[:500]
        seconds = time.perf_counter() - start
        made = iter(rows)
        completions = []
        for one, ok in zip(ids, fits, strict=True):
            if not ok:
                why = (
                    f"expected at most {room} tokens, prompt and answer together; got {len(one)} "
                    f"and up to {self.settings.max_tokens}"
                )
                completions.append(Completion("", len(one), seconds=seconds, error=why))
            elif error is not None:
                completions.append(Completion("", len(one), seconds=seconds, error=error))
            else:
                completions.append(self._completion(one, next(made), seconds))
        return completions

    def _generate(self, ids: list[list[int]]) -> list[list[int]]:
        """New token ids for each list of ids, padded on the left while they run together."""
        import torch
        from transformers import GenerationConfig

        length = max(map(len, ids))
        padded = [[self.pad_id] * (length - len(one)) + one for one in ids]
        mask = [[0] * (length - len(one)) + [1] * len(one) for one in ids]
        sampled = self.settings.temperature > 0.0
        # Everything is said: what is left out would come from the model's own generation config.
        config = GenerationConfig(
            max_new_tokens=self.settings.max_tokens, do_sample=sampled, num_beams=1,
            temperature=self.settings.temperature if sampled else 1.0, top_k=0, top_p=1.0,
            repetition_penalty=1.0, pad_token_id=self.pad_id, eos_token_id=self.end_ids or None,
        )  # fmt: skip
        inputs = torch.tensor(padded, device=self.device)
        attention = torch.tensor(mask, device=self.device)
        devices = [self.device] if self.device.startswith("cuda") else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.settings.seed)
            made = self.model.generate(inputs, attention_mask=attention, generation_config=config)
        rows: list[list[int]] = made[:, length:].tolist()
        return rows

    def _completion(self, prompt_ids: list[int], row: list[int], seconds: float) -> Completion:
        end = next((n for n, token in enumerate(row) if token in self.end_ids), None)
        kept = row if end is None else row[: end + 1]
        text = self.tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text, len(prompt_ids), len(kept), end is None, seconds)


def prompt_style(folder: str) -> Style:
    """The prompts that a folder's model was trained on; "full" where nothing is said.

    ModelError for a file that says something else.
    """
    path = Path(folder) / STYLE_FILE
    if not path.is_file():
        return "full"
    try:
        found = read_json(path)
    except FormatError as error:
        raise ModelError(str(error)) from error
    style = found.get("prompt_style") if isinstance(found, dict) else None
    if style not in get_args(Style):
        raise ModelError(f"{path}: prompt_style: expected full or compact, got {style!r}")
    return cast(Style, style)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device: expected one that is there, got {name!r} without a GPU")
    return name


def _load(path: str, dtype: str, device: str) -> tuple[Any, Any]:
    """Model in evaluation mode on the device, and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    is_name = path.count("/") == 1 and not path.startswith((".", "/", "~"))
    if not Path(path).is_dir() and not is_name:
        raise ModelError(f"model: expected a folder or a hub name, got {path!r}, which is neither")
    kind = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=kind, use_safetensors=True, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # the one boundary of loading: many libraries, many errors
        reason = " ".join(str(error).split())[:400]
        raise ModelError(f"model {path!r}: {type(error).__name__}: {reason}") from error
    model, info = loaded
    if info["missing_keys"]:  # transformers would fill them with random numbers
        missing = ", ".join(sorted(info["missing_keys"])[:5])
        raise ModelError(f"model {path!r}: its weights lack {missing}")
    return model.to(device).eval(), tokenizer
