"""Learning to copy before anything else: random words to be repeated, few at first.

A model that is shown programs at once learns to guess names from how frequent they are, and never
learns to copy them. Four to eight words are copied within some hundred steps; from there longer
runs follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spatialcode.config import checked, require, setting
from spatialcode.tiny.model import BEGIN_PROGRAM, END

#: Mean losses, nats a token: longer runs from the first on, done from the second on.
_LONGER_BELOW, _DONE_BELOW = 0.6, 0.15
#: Steps that the mean is over.
_WINDOW = 10


@dataclass(frozen=True)
class CopiedWords:
    """Token ids of words as a prompt, and of those to be repeated, the end token included."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


@dataclass(frozen=True)
@checked
class CopySettings:
    """Which runs are copied, and how fast they grow."""

    shortest: int = setting("words of the shortest run", 4, at_least=1)
    first: int = setting("words of the longest run at first", 8)
    growth: int = setting("words more after every success", 4, at_least=1)
    longest: int = setting("words of the longest run at last", 24)
    batch_tokens: int = setting("tokens of a step, prompts and completions", 900)

    def __post_init__(self) -> None:
        order = self.shortest <= self.first <= self.longest
        require(order, "shortest, first, longest", "in this order", self)
        least = 2 * self.longest + 3
        require(self.batch_tokens >= least, "batch_tokens", f"at least {least}", self.batch_tokens)


@dataclass(frozen=True)
class CopyProgress:
    """How far copying has come: ``longest`` words of a run at present, and the last losses, nats a
    token. ``learnt``: runs of the settings' longest are copied.
    """

    longest: int
    losses: tuple[float, ...] = ()
    learnt: bool = False

    @classmethod
    def begun(cls, settings: CopySettings) -> CopyProgress:
        return cls(settings.first)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> CopyProgress:
        """Inverse of `vars`, also after JSON has turned the losses into a list."""
        return cls(values["longest"], tuple(values["losses"]), values["learnt"])

    def after(self, loss: float, settings: CopySettings) -> CopyProgress:
        """The progress once a step showed this loss."""
        losses = (*self.losses, loss)[-_WINDOW:]
        mean = sum(losses) / len(losses)
        if len(losses) == _WINDOW and self.longest >= settings.longest:
            return CopyProgress(self.longest, losses, mean < _DONE_BELOW)
        if len(losses) == _WINDOW and mean < _LONGER_BELOW:
            return CopyProgress(min(settings.longest, self.longest + settings.growth))
        return CopyProgress(self.longest, losses)


@dataclass(frozen=True)
class CopyTokens:
    """``words``: tokens that are drawn; ``begin`` ends a prompt, ``close`` a program's names,
    ``end`` the completion.
    """

    words: tuple[int, ...]
    begin: int
    close: int
    end: int

    @classmethod
    def of(cls, tokenizer: Any) -> CopyTokens:
        """Those of a tokenizer of `tiny_tokenizer`: words, and pieces from within words."""
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        words = sorted(number for token, number in vocabulary.items() if _is_word(token))
        return cls(tuple(words), *(vocabulary[token] for token in (BEGIN_PROGRAM, '")', END)))

    def example(self, prompt: Sequence[int], repeated: Sequence[int]) -> CopiedWords:
        """A prompt of words and what of it is to be repeated."""
        return CopiedWords((*prompt, self.begin), (*repeated, self.close, self.end))


def copy_batch(
    tokens: CopyTokens, progress: CopyProgress, settings: CopySettings, rng: np.random.Generator
) -> list[CopiedWords]:
    """Runs of random words, each to be repeated, of lengths up to the present longest."""
    words = np.asarray(tokens.words)
    batch = []
    for _ in range(settings.batch_tokens // (2 * progress.longest + 3)):
        count = int(rng.integers(settings.shortest, progress.longest + 1))
        drawn = [int(word) for word in rng.choice(words, count)]
        batch.append(tokens.example(drawn, drawn))
    return batch


def copy_examples(num: int, tokens: CopyTokens, rng: np.random.Generator) -> list[CopiedWords]:
    """Runs of 8 to 32 words to keep copying alive among programs.

    Two thirds repeat all words, a third some of them, asked for by the first two.
    """
    made = []
    for _ in range(num):
        size = int(rng.integers(8, 33))
        drawn = [int(n) for n in rng.choice(np.asarray(tokens.words), size)]
        if rng.random() < 2 / 3:
            made.append(tokens.example(drawn, drawn))
            continue
        at = int(rng.integers(0, len(drawn) - 5))
        span = drawn[at : at + int(rng.integers(4, 9))]
        made.append(tokens.example((*drawn, *span[:2]), span[2:]))
    return made


def _is_word(token: str) -> bool:
    """Whether a token is letters: a word ("Ġ" is its blank), or a piece from within one."""
    letters = token.removeprefix("Ġ")
    return len(token) > 1 and letters.isascii() and letters.isalpha()
