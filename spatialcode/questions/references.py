"""Noun phrases as references: "the largest table", "chair_2", "chair beside the screen"."""

from __future__ import annotations

import re
from functools import lru_cache

from spatialcode.errors import SchemaError
from spatialcode.questions.names import plain, singular
from spatialcode.questions.types import Reference, Selector, SelectorKind

_SUPERLATIVES: dict[str, SelectorKind] = {
    "largest": "largest", "biggest": "largest", "smallest": "smallest", "longest": "longest",
    "tallest": "tallest", "shortest": "shortest", "highest": "highest", "lowest": "lowest",
}  # fmt: skip
#: Anchors have anchors: the length bounds how many.
_MAX_CHARS = 200
#: Ids of a code, with an article or without: their stems are identifiers.
_ID = re.compile(r"^(?:(?:the|an?) )?(\S+_[1-9][0-9]*)$", re.IGNORECASE)
_SEEN = re.compile(r"^(.+?)(?: that is| that was)? seen (first|last)$|^(first|last)[- ]seen (.+)$")
_NEAR = re.compile(
    r"^(.+?)(?: that is| which is)? "
    r"(nearest|closest|closer|nearer|farthest|furthest|beside|next to|nearby|near by|near|by)"
    r"(?: to| from)? (?:the |a )?(.+)$"
)
_NEAREST = re.compile(r"^(nearest|closest|farthest|furthest) (.+?) (?:to|from) (?:the |a )?(.+)$")
#: Words before a noun that boxes cannot decide.
_MODIFIERS = frozenset({
    "black", "white", "red", "green", "blue", "yellow", "orange", "brown", "gray", "grey", "pink",
    "purple", "beige", "dark", "light", "silver", "wooden", "metal", "glass", "plastic", "leather",
    "small", "large", "big", "little", "tall", "open", "closed", "round", "square",
})  # fmt: skip


@lru_cache(maxsize=8192)
def reference(phrase: str) -> Reference:
    """The reference that a noun phrase is; SchemaError for one without a word, or too long."""
    if len(phrase) > _MAX_CHARS:
        raise SchemaError("phrase", f"at most {_MAX_CHARS} characters", f"{phrase[:40]}...")
    text = plain(phrase)
    if (named := _ID.match(phrase.strip())) and named[1].isidentifier():
        label = named[1].rpartition("_")[0].replace("_", " ").strip().lower()
        return Reference(label or named[1].lower(), phrase.strip(), object_id=named[1])
    if seen := _SEEN.match(text):
        noun, when = (seen[1], seen[2]) if seen[1] else (seen[4], seen[3])
        kind: SelectorKind = "first_seen" if when == "first" else "last_seen"
        return _noun(noun, phrase, Selector(kind))
    # an id among the words ("chair nearest tv_2") keeps its underscores
    kept = plain(phrase.replace("_", "\0")).replace("\0", "_")
    if near := _NEAREST.match(kept):
        return _noun(near[2], phrase, _by_distance(near[1], near[3]))
    if near := _NEAR.match(kept):
        return _noun(near[1], phrase, _by_distance(near[2], near[3]))
    first, _, rest = text.partition(" ")
    if rest and first in _SUPERLATIVES:
        return _noun(rest, phrase, Selector(_SUPERLATIVES[first]))
    return _noun(text, phrase, None)


def _by_distance(word: str, anchor: str) -> Selector:
    far = word in ("farthest", "furthest")
    return Selector("farthest" if far else "nearest", reference(anchor))


def _noun(text: str, phrase: str, selector: Selector | None) -> Reference:
    words = plain(text).split()
    modifiers = []
    while len(words) > 1 and words[0] in _MODIFIERS:
        modifiers.append(words.pop(0))
    return Reference(singular(" ".join(words)), phrase.strip(), tuple(modifiers), selector)
