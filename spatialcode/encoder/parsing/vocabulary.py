"""Which words a detector is asked for, and which label each of them means.

A user's list may be of any length and hold any words; a detector's text may not. So words are
cleaned, those of one kind of thing share a label, and what is asked is split into chunks by the
detector's own count of tokens. It does not know which words a detector has learned.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from spatialcode.errors import ConfigError
from spatialcode.scene.categories import SYNONYMS

#: The categories that VSI-Bench asks about in its rooms (Yang et al., "Thinking in Space", 2025).
VSI_BENCH: tuple[str, ...] = (
    "chair", "table", "sofa", "bed", "tv", "door", "window", "stool", "trash bin", "pillow",
    "refrigerator", "toilet", "stove", "bathtub", "washer", "backpack", "fireplace", "lamp",
    "mirror", "monitor", "printer", "radiator", "nightstand", "dishwasher", "towel", "bookshelf",
    "counter", "telephone", "microwave", "keyboard", "plant", "closet", "clock", "fan", "oven",
    "mattress", "piano", "ceiling light", "cabinet", "laptop", "whiteboard", "suitcase", "bucket",
    "basket", "sink", "shower", "headphones", "cup", "box", "book", "bag", "jacket", "blanket",
    "curtain", "computer tower", "computer mouse", "power strip", "shoe rack", "coat hanger",
)  # fmt: skip
MAX_WORD_CHARACTERS = 64
#: Ends a word in the text of grounded detectors, so no word may hold one.
_SEPARATORS = frozenset(".?,;")
_LABEL_OF = {word: group[0] for group in SYNONYMS for word in group}
_WORDS_OF = {group[0]: group for group in SYNONYMS}


def cleaned(word: str) -> str:
    """A word as it is compared and asked: NFKC, lower case, single spaces, no full stop at its end.

    Raises ConfigError where nothing is left, or it is too long, or holds what separates words.
    """
    if not isinstance(word, str):
        raise ConfigError(f"vocabulary: expected words, got {word!r}")
    text = " ".join(unicodedata.normalize("NFKC", word).casefold().replace("_", " ").split())
    text = text.rstrip(". ")
    if not 1 <= len(text) <= MAX_WORD_CHARACTERS:
        expected = f"words of 1 to {MAX_WORD_CHARACTERS} characters"
        raise ConfigError(f"vocabulary: expected {expected}, got {word!r}")
    if not text.isprintable() or _SEPARATORS & set(text):
        raise ConfigError(f"vocabulary: expected words without . ? , ; in them, got {word!r}")
    return text


def labels_of(words: Sequence[str] = ()) -> tuple[str, ...]:
    """The labels that a user's words stand for, each once, in the order of first sight.

    A synonym stands for its category ("couch" for "sofa"). No words: `VSI_BENCH`. Raises
    ConfigError where a word cannot be used, or the words are one string and no list.
    """
    if isinstance(words, str):
        raise ConfigError(f"vocabulary: expected a list of words, got {words!r}")
    clean = [cleaned(word) for word in words] or list(VSI_BENCH)
    return tuple(dict.fromkeys(_LABEL_OF.get(word, word) for word in clean))


@dataclass(frozen=True)
class AskedWords:
    """What a detector is asked: W different words, and the label that each one means."""

    words: tuple[str, ...]
    labels: tuple[str, ...]

    def part(self, rows: range) -> AskedWords:
        """Some of the words."""
        return AskedWords(self.words[rows.start : rows.stop], self.labels[rows.start : rows.stop])


def asked_words(labels: Sequence[str], num_synonyms: int) -> AskedWords:
    """The words to ask for labels: each label's own, and up to so many of its synonyms.

    A label keeps its own word even where another one counts it among its synonyms. Raises
    ConfigError where there is no label, or one cannot be used.
    """
    label_of = {cleaned(label): label for label in labels}
    if not label_of:
        raise ConfigError("vocabulary: expected at least one word, got none")
    for word, label in list(label_of.items()):
        others = [other for other in _WORDS_OF.get(word, ()) if other != word]
        for other in others[:num_synonyms]:
            label_of.setdefault(other, label)
    return AskedWords(tuple(label_of), tuple(label_of.values()))


def require_tokens(words: AskedWords, num_tokens: Sequence[int], limit: int) -> None:
    """Raise ConfigError, naming the first word that has more tokens than a detector reads."""
    for word, tokens in zip(words.words, num_tokens, strict=True):
        if tokens > limit:
            expected = f"words of at most {limit} tokens"
            raise ConfigError(f"vocabulary: expected {expected}, got {tokens} for {word!r}")


def chunked(num_tokens: Sequence[int], limit: int) -> list[range]:
    """Consecutive rows whose tokens together stay within a limit; every row is in one chunk.

    A row that is beyond it by itself is a chunk of its own: see `require_tokens`.
    """
    chunks: list[range] = []
    start = used = 0
    for row, tokens in enumerate(num_tokens):
        if row > start and used + tokens > limit:
            chunks.append(range(start, row))
            start, used = row, 0
        used += tokens
    if len(num_tokens) > start:
        chunks.append(range(start, len(num_tokens)))
    return chunks
