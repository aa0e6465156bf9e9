"""Noun phrases as references: "the largest table", "chair_2", "chair beside the screen"."""

from __future__ import annotations

import re
from functools import lru_cache

from spatialcode.questions.names import plain, singular
from spatialcode.questions.types import Reference, Selector, SelectorKind

_SUPERLATIVES: dict[str, SelectorKind] = {
    "largest": "largest", "biggest": "largest", "smallest": "smallest", "longest": "longest",
    "tallest": "tallest", "shortest": "shortest", "highest": "highest", "lowest": "lowest",
}  # fmt: skip
_ID = re.compile(r"^[a-z][a-z0-9_]*_\d+$")
_SEEN = re.compile(r"^(.+?)(?: that is| that was)? seen (first|last)$|^(first|last)[- ]seen (.+)$")
_NEAR = re.compile(
    r"^(.+?)(?: that is| which is)? (nearest|closest|farthest|furthest|beside|next to|near|by)"
    r"(?: to| from)? (?:the |a )?(.+)$"
)
#: Words before a noun that boxes cannot decide.
_MODIFIERS = frozenset({
    "black", "white", "red", "green", "blue", "yellow", "orange", "brown", "gray", "grey", "pink",
    "purple", "beige", "dark", "light", "silver", "wooden", "metal", "glass", "plastic", "leather",
    "small", "large", "big", "little", "tall", "open", "closed", "round", "square",
})  # fmt: skip


@lru_cache(maxsize=8192)
def reference(phrase: str) -> Reference:
    """The reference that a noun phrase is; ValueError for one without a word."""
    text = plain(phrase)
    if _ID.match(phrase.strip().lower()):
        name = phrase.strip().lower()
        return Reference(name.rpartition("_")[0].replace("_", " "), name, object_id=name)
    if seen := _SEEN.match(text):
        noun, when = (seen[1], seen[2]) if seen[1] else (seen[4], seen[3])
        kind: SelectorKind = "first_seen" if when == "first" else "last_seen"
        return _noun(noun, phrase, Selector(kind))
    # an id among the words ("chair nearest tv_2") keeps its underscores
    if near := _NEAR.match(plain(phrase.replace("_", "\0")).replace("\0", "_")):
        far = near[2] in ("farthest", "furthest")
        selector = Selector("farthest" if far else "nearest", reference(near[3]))
        return _noun(near[1], phrase, selector)
    first, _, rest = text.partition(" ")
    if rest and first in _SUPERLATIVES:
        return _noun(rest, phrase, Selector(_SUPERLATIVES[first]))
    return _noun(text, phrase, None)


def _noun(text: str, phrase: str, selector: Selector | None) -> Reference:
    words = plain(text).split()
    modifiers = []
    while len(words) > 1 and words[0] in _MODIFIERS:
        modifiers.append(words.pop(0))
    return Reference(singular(" ".join(words)), phrase.strip(), tuple(modifiers), selector)
