"""A small BPE tokenizer in which a word is the same token in a question and in a program.

Text is put into lower case and split into words, digits and signs; blanks are dropped and every
piece gets one before it, so that ``("bed"`` and ``the bed`` hold the same `` bed``. What frames the
names in a program (``distance("``, ``", facing="``) is one token each: a program is hardly longer
than its names. Decoding takes the blanks away again where names and programs have none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from spatialcode.reasoning.program.functions import FUNCTIONS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

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
    return tuple(dict.fromkeys((*_FRAMES, *(f'{name}("' for name in FUNCTIONS))))


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
