"""Which label of a code a word in a question means: synonyms, then head nouns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

#: Words for one kind of thing; the first is the name used here.
_SYNONYMS = (
    ("trash bin", "trash can", "trashbin", "trashcan", "garbage bin", "garbage can", "waste bin",
     "wastebasket", "waste basket", "rubbish bin", "dustbin", "bin", "recycling bin"),
    ("tv", "television", "television set", "tv set", "tv screen", "flat screen"),
    ("monitor", "computer monitor", "computer screen", "display"),
    ("sofa", "couch", "settee", "loveseat"),
    ("refrigerator", "fridge"),
    ("washer", "washing machine", "clothes washer"),
    ("dishwasher", "dish washer", "dishwashing machine"),
    ("bookshelf", "bookcase", "book shelf", "book case", "shelf"),
    ("closet", "wardrobe"),
    ("cabinet", "cupboard"),
    ("nightstand", "night stand", "bedside table", "night table"),
    ("stove", "cooker", "gas stove", "range"),
    ("radiator", "heater"),
    ("lamp", "light", "floor lamp", "desk lamp"),
    ("backpack", "rucksack"),
    ("telephone", "phone"),
    ("pillow", "cushion"),
    ("bathtub", "bath", "bath tub", "tub"),
    ("table", "desk"),
    ("towel", "bath towel"),
    ("plant", "potted plant", "houseplant"),
    ("counter", "countertop", "worktop"),
    ("fan", "ventilator"),
    ("microwave", "microwave oven"),
    ("toilet", "lavatory"),
)  # fmt: skip
#: Kinds that are taken for each other only where nothing closer is there.
_NEIGHBOURS = (
    frozenset({"tv", "monitor"}), frozenset({"bed", "mattress"}), frozenset({"chair", "stool"}),
    frozenset({"bookshelf", "closet"}), frozenset({"table", "nightstand"}),
    frozenset({"table", "counter"}), frozenset({"cabinet", "closet"}),
    frozenset({"cabinet", "bookshelf"}), frozenset({"stove", "oven"}),
    frozenset({"refrigerator", "freezer"}), frozenset({"backpack", "bag"}),
    frozenset({"chair", "armchair"}), frozenset({"sofa", "armchair"}),
)  # fmt: skip
_CANONICAL = {word: group[0] for group in _SYNONYMS for word in group}
_IRREGULAR = {"shelves": "shelf", "bookshelves": "bookshelf", "people": "person", "knives": "knife"}
#: From here on a phrase says where or with what, and not what.
_AFTER_HEAD = frozenset({
    "with", "without", "on", "in", "at", "of", "under", "above", "below", "behind", "beside", "by",
    "near", "nearby", "next", "to", "toward", "towards", "from", "against", "facing", "closer",
    "closest", "nearest", "farther", "farthest", "that", "which",
})  # fmt: skip
#: Parts that have no box of their own: the corner of a table is where the table is.
_PARTS = frozenset({
    "head", "foot", "corner", "edge", "end", "side", "middle", "center", "centre", "part", "top",
    "bottom", "front", "back", "leg",
})  # fmt: skip
_ARTICLES = re.compile(r"^(?:(?:the|a|an|any|some|this|that|my)\s+)+")

SAME, SYNONYM, HEAD, NEIGHBOUR, NONE = 1.0, 0.9, 0.6, 0.4, 0.0


@lru_cache(maxsize=8192)
def singular(word: str) -> str:
    """One of many: "chairs" -> "chair", "shelves" -> "shelf"; the last word of a phrase."""
    head, _, last = word.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("ches", "shes", "xes", "sses")):
        last = last[:-2]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")) and len(last) > 2:
        last = last[:-1]
    return f"{head} {last}" if head else last


@lru_cache(maxsize=8192)
def plain(phrase: str) -> str:
    """Lower-case, without article, plural "(s)" and spare blanks."""
    text = " ".join(phrase.lower().replace("(s)", "").replace("_", " ").split()).strip(" .,?!'\"")
    return _ARTICLES.sub("", text)


@lru_cache(maxsize=8192)
def canonical(noun: str) -> str:
    """The name used here for a kind; an unknown word is its own."""
    word = plain(noun)
    if word in _CANONICAL:
        return _CANONICAL[word]
    one = singular(word)
    return _CANONICAL.get(one, one)


@lru_cache(maxsize=8192)
def head_noun(phrase: str) -> str:
    """What a phrase of several words is about: "table with two chairs" -> "table"; else nothing.

    A part stands for the whole: "corner of the bed" -> "bed". A compound with a synonym here is a
    kind of its own: a bedside table is a nightstand, and a kitchen trash can is a trash can.
    """
    words = plain(phrase).split()
    if len(words) < 2 or " ".join(words) in _CANONICAL:
        return ""
    after = next((n for n, word in enumerate(words) if word in _AFTER_HEAD), len(words))
    ends = [" ".join(words[n:after]) for n in range(1 if after == len(words) else 0, after)]
    head = (
        next((end for end in ends if singular(end) in _CANONICAL), words[after - 1])
        if after
        else ""
    )
    whole = " ".join(words[after + 1 :])
    if head in _PARTS and words[after : after + 1] == ["of"] and whole:
        return head_noun(whole) or plain(whole)
    return head


@lru_cache(maxsize=65536)
def match(noun: str, label: str) -> float:
    """How surely a word means a label: 1 the same word, 0.9 a synonym, 0.6 the head noun ("coffee
    table", "table"), 0.4 a kind often mistaken for it, 0 another thing.
    """
    a, b = singular(plain(noun)), singular(plain(label))
    if a == b:
        return SAME
    kind_a, kind_b = canonical(a), canonical(b)
    if kind_a == kind_b:
        return SYNONYM
    head_a, head_b = head_noun(a), head_noun(b)
    if (head_a and canonical(head_a) == kind_b) or (head_b and canonical(head_b) == kind_a):
        return HEAD
    return NEIGHBOUR if frozenset({kind_a, kind_b}) in _NEIGHBOURS else NONE


def candidates(noun: str, labels: Iterable[str]) -> list[tuple[str, float]]:
    """Labels that the word may mean, the surest first; equal ones in their order."""
    found = [(label, match(noun, label)) for label in dict.fromkeys(labels)]
    return sorted((pair for pair in found if pair[1] > 0.0), key=lambda pair: -pair[1])
