"""The tiny reasoner: a Qwen3 of about two million parameters that writes programs.

Its BPE tokenizer gives a word the same token in a question and in a program. Text is put into lower
case and split into words, digits and signs; blanks are dropped and every piece gets one before it,
so that ``("bed"`` and ``the bed`` hold the same `` bed``. What frames the names in a program
(``distance("``, ``", facing="``) is one token each: a program is hardly longer than its names.
Decoding takes the blanks away again where names and programs have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialcode.config import require
from spatialcode.reasoning.models.local import STYLE_FILE
from spatialcode.reasoning.program.functions import functions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_POSITIONS = 512


@dataclass(frozen=True)
class TinyShape:
    """Sizes of the network; ``intermediate`` is the width of the gated layers."""

    hidden: int = 192
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 512

    def __post_init__(self) -> None:
        require(self.hidden % (2 * self.heads) == 0, "hidden", "a multiple of 2 heads", self.hidden)
        require(self.heads % self.kv_heads == 0, "kv_heads", "a divisor of heads", self.kv_heads)

    @classmethod
    def of_width(cls, hidden: int, layers: int, heads: int, kv_heads: int) -> TinyShape:
        """Gated layers of about 8/3 of the width, in multiples of 64."""
        return cls(hidden, layers, heads, kv_heads, -(-hidden * 8 // 3 // 64) * 64)


def make_model(tokenizer: PreTrainedTokenizerFast, shape: TinyShape | None = None) -> Any:
    """A fresh Qwen3ForCausalLM for the tokenizer, float32, embeddings tied; drawn from torch's
    generator.
    """
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = shape or TinyShape()
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    end, pad = vocabulary[END], vocabulary[PAD]
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        intermediate_size=shape.intermediate, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.hidden // shape.heads,
        max_position_embeddings=MAX_POSITIONS, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        eos_token_id=end, pad_token_id=pad, bos_token_id=None, attention_bias=False,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = pad
    return model


def save_reasoner(model: Any, tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Weights as safetensors, tokenizer, and which prompt the model reads."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    style = json.dumps({"prompt_style": "compact"}, indent=1)
    (folder / STYLE_FILE).write_text(style + "\n", encoding="utf-8")


def load_reasoner(folder: str | Path, device: str) -> tuple[Any, PreTrainedTokenizerFast]:
    """Model, in float32, and tokenizer of a folder that `save_reasoner` wrote."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.to(device), PreTrainedTokenizerFast.from_pretrained(folder)


def prompt_ids(tokenizer: PreTrainedTokenizerFast, prompt: str) -> tuple[int, ...]:
    """A compact prompt as the model reads it: its tokens and the mark that a program follows."""
    text = prompt + BEGIN_PROGRAM
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def program_ids(tokenizer: PreTrainedTokenizerFast, program: str) -> tuple[int, ...]:
    """A program as the model should write it, its end included."""
    ids = tokenizer(program, add_special_tokens=False)["input_ids"]
    return (*ids, tokenizer.eos_token_id)


def program_text(tokenizer: PreTrainedTokenizerFast, ids: tuple[int, ...]) -> str:
    """What the model wrote, without its end."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


END, PAD, BEGIN_PROGRAM = "<end>", "<pad>", "<program>"
VOCABULARY_SIZE = 1024
_FRAMES = (
    'direction(observer="', '", facing="', '", target="', '", level="easy")', '", level="medium")',
    '", level="hard")', 'turns(start="', '", path=["', '", "?", "', '?", "', '"])', '")', '", "',
    "area()", '100 * longest("', '100 * distance("', 'nearest(["', 'farthest(["', '"], to="',
    'order(["', '", view="object")', '", observer="',
)  # fmt: skip
_PIECES = r"\p{L}+|\p{N}|\n|[^\s\p{L}\p{N}]"
#: Signs inside names: no blanks around them.
_INSIDE = "_-'./"
_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}" + BEGIN_PROGRAM + "{% endif %}"
)


def frames() -> tuple[str, ...]:
    """What stands around the names in programs, one token each."""
    return tuple(dict.fromkeys((*_FRAMES, *(f'{name}("' for name in functions()))))


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int = VOCABULARY_SIZE
) -> PreTrainedTokenizerFast:
    """A tokenizer fitted to texts, at most ``vocabulary_size`` tokens; any text can be encoded."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\S\n]+"), "removed"),
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    inside = [decoders.Replace(f"{mark} ", mark) for mark in ('("', '["', '="', '", "')]
    inside += [decoders.Replace(f" {sign} ", sign) for sign in _INSIDE]
    inside.append(decoders.Replace(Regex(r"(?<=\d) (?=\d)"), ""))
    inside.append(decoders.Replace(Regex(r"^ "), ""))
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), *inside])
    special = [PAD, END, BEGIN_PROGRAM]
    framing = [AddedToken(frame, normalized=False) for frame in frames()]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - len(framing),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(framing)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END,
        additional_special_tokens=[BEGIN_PROGRAM], chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False, model_max_length=512,
    )  # fmt: skip
