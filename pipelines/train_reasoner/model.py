"""The language model of a training run: made from nothing, or loaded; and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.train_reasoner.config import PromptDataConfig, TrainReasonerConfig
from pipelines.train_reasoner.prompts import PromptMaker, PromptRow
from pipelines.training.checkpoints import seed_everything
from spatialcode.errors import ConfigError
from spatialcode.grpo.types import TaughtExample
from spatialcode.reasoning.models.local import STYLE_FILE
from spatialcode.seeds import TOKENIZER_ROOMS
from spatialcode.tiny.model import (
    TinyShape,
    make_model,
    program_ids,
    program_text,
    prompt_ids,
    save_reasoner,
    train_tokenizer,
)

START_FOLDER = "start"
#: Sets the start's random numbers apart from those of the stages.
_START_SEED = 41


def start_folder(config: TrainReasonerConfig) -> str:
    """Where the weights that a run starts from lie: its own folder, or the given source."""
    if config.model.source is not None and not config.dry_run:
        return config.model.source
    return str(Path(config.output, START_FOLDER))


def prepare_start(config: TrainReasonerConfig) -> str:
    """Make the model that the run starts from, unless it is given or there already.

    With ``dry_run`` a random tiny one of the class that ``model.architecture`` names.
    """
    folder = Path(start_folder(config))
    own = config.model.source is None or config.dry_run
    if not own or (folder / STYLE_FILE).is_file():
        return str(folder)
    seed_everything(config.seed, _START_SEED)
    tokenizer = train_tokenizer(_texts(config), config.model.vocabulary_size)
    if config.dry_run and config.model.source is not None:
        model = random_tiny(config.model.architecture, tokenizer)
        tokenizer.chat_template = None  # the plain layout of messages, see `ReasonerText`
    else:
        sizes = config.model
        shape = TinyShape.of_width(
            sizes.hidden_size, sizes.num_layers, sizes.num_heads, sizes.num_kv_heads
        )
        model = make_model(tokenizer, shape)
    save_reasoner(model, tokenizer, folder)
    return str(folder)


def random_tiny(architecture: str, tokenizer: Any) -> Any:
    """A model of a transformers class with a few thousand random weights."""
    import transformers

    model_class: Any = getattr(transformers, architecture, None)
    if model_class is None:
        raise ConfigError(f"model.architecture: transformers has no class {architecture!r}")
    end = tokenizer.eos_token_id
    settings = model_class.config_class(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=8192,
        tie_word_embeddings=True, eos_token_id=end, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )  # fmt: skip
    model = model_class(settings)
    model.generation_config.eos_token_id = end
    return model


def load_model(folder: str, bfloat16: bool = False, revision: str | None = None) -> Any:
    """The model in float32, or bfloat16, with transformers' own attention (it takes our masks)."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa", revision=revision
    )


@dataclass(frozen=True)
class ReasonerText:
    """Between text and tokens, and which of the two prompts a model reads."""

    tokenizer: Any
    compact: bool
    mode: str

    def prompt_ids(self, messages: str) -> tuple[int, ...]:
        """Tokens of a prompt, given as JSON of its messages."""
        listed = json.loads(messages)
        if self.compact:
            return prompt_ids(self.tokenizer, "".join(message["content"] for message in listed))
        if self.tokenizer.chat_template is None:
            text = "\n".join(message["content"] for message in listed) + "\n"
        else:
            text = self.tokenizer.apply_chat_template(
                listed, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def target_ids(self, target: str) -> tuple[int, ...]:
        """Tokens of what should be written, its end included."""
        return program_ids(self.tokenizer, target)

    def example(self, row: PromptRow) -> TaughtExample:
        """What supervised training shows for a prompt."""
        return TaughtExample(self.prompt_ids(row.messages), self.target_ids(row.target))

    def completion(self, ids: Sequence[int]) -> str:
        """What the rubric reads of written tokens: a small model writes a bare program."""
        text = program_text(self.tokenizer, tuple(ids))
        return f"program: {text}" if self.compact else text


def load_text(folder: str, config: TrainReasonerConfig) -> ReasonerText:
    """The tokenizer of a model's folder."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, revision=config.model.revision)
    if tokenizer.eos_token_id is None:
        raise ConfigError(f"model.source: the tokenizer of {folder} has no end token")
    return ReasonerText(tokenizer, is_compact(config), config.data.mode)


def is_compact(config: TrainReasonerConfig) -> bool:
    """Small models made here read the short prompt, others messages of a chat."""
    source = config.model.source
    return source is None or (Path(source, STYLE_FILE).is_file() and not config.dry_run)


def _texts(config: TrainReasonerConfig) -> list[str]:
    """Prompts and targets of rooms of the tokenizer's own."""
    data = PromptDataConfig(
        mode=config.data.mode,
        max_prompt_tokens=config.data.max_prompt_tokens,
        rooms_per_block=config.model.tokenizer_rooms if not config.dry_run else 4,
        first_room=TOKENIZER_ROOMS.start,
        nonsense_share=config.model.tokenizer_nonsense_share,
    )
    texts = []
    for row in PromptMaker(data, config.seed, is_compact(config)).block(0):
        texts += [message["content"] for message in json.loads(row.messages)] + [row.target]
    return texts
