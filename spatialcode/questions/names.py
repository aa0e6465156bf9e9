"""Which label of a code a word in a question means: synonyms, then head nouns.

Also noun phrases as references ("the largest table", "chair_2"), and the sentences they stand in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from spatialcode.errors import SchemaError
from spatialcode.questions.types import Reference, Selector, SelectorKind
from spatialcode.scene.categories import SYNONYMS

#: Kinds that are taken for each other only where nothing closer is there.
_NEIGHBOURS = (
    frozenset({"tv", "monitor"}), frozenset({"bed", "mattress"}), frozenset({"chair", "stool"}),
    frozenset({"bookshelf", "closet"}), frozenset({"table", "nightstand"}),
    frozenset({"table", "counter"}), frozenset({"cabinet", "closet"}),
    frozenset({"cabinet", "bookshelf"}), frozenset({"stove", "oven"}),
    frozenset({"refrigerator", "freezer"}), frozenset({"backpack", "bag"}),
    frozenset({"chair", "armchair"}), frozenset({"sofa", "armchair"}),
)  # fmt: skip
_CANONICAL = {word: group[0] for group in SYNONYMS for word in group}
_IRREGULAR = {"shelves": "shelf", "bookshelves": "bookshelf", "people": "person", "knives": "knife"}
#: From these words on, a phrase says where or with what a thing is, and not what it is.
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


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_PLAIN = str.maketrans({
    "‘": "'", "’": "'", "ʼ": "'", "′": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
    "‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-", "¿": None, "\u200b": None, "\u200c": None,
    "\u200d": None, "\u2060": None, "\ufeff": None, "\u00ad": None,
})  # fmt: skip
#: A mark ends a sentence, but not a list's number ("1.").
_END = re.compile(r"(?<=[.?!])(?<!\d\.)[\"')]*\s+")
#: What may stand before a question and changes nothing of it.
_LEAD = re.compile(
    r"(?:(?:please|so|then|now|next|question|q)\b[:,]? "
    r"|(?:can|could|would) you (?:please )?(?:tell me|say|estimate|count) "
    r"|(?:tell me|i (?:want|would like) to know)[:,]? "
    r"|(?:in|within|throughout) (?:this|the) (?:room|video|scene|clip|footage), "
    r"|(?:based on|according to|given) (?:this|the) (?:room|video|scene|clip|footage|code), "
    r"|(?:measuring|measured) (?:from|at|between) (?:the|their) closest points?"
    r"(?: of (?:each|the|both|these|all) (?:object|thing)s?)?, )",
    re.IGNORECASE,
)
#: Words that no name of a thing holds: where one is left in a name, a sentence was misread.
_NO_NAME = _words(
    "is are was were be been being am do does did has have had can could will would shall should "
    "may might must not no it its he she they them his her their you your i me we us our there "
    "here this that these those what which who whom whose when where why how many much or and but "
    "nor if than then because while as so the an a in on at from to for with without into onto "
    "between behind above below under over inside left right front back nearest closest farthest "
    "furthest nearer closer farther further across through during until both either each every "
    "all any some none other another same more most less least fewer last second third fourth "
    "fifth leftmost rightmost two three four five"
)
#: Heads that are no kind of thing a box could hold, singular.
_NO_THING = _words(
    "meter metre centimeter centimetre millimeter millimetre kilometer kilometre foot feet inch "
    "yard mile cm mm km ft degree percent time second minute hour day week month year century "
    "way step kind type sort category color colour size length width height depth area volume "
    "distance number amount room space place world universe earth movie video film clip frame "
    "image scene question answer option word letter reason side center centre middle edge corner "
    "dimension direction thing object item something anything everything nothing someone anyone "
    "somebody condition order end beginning start trip journey flight walk life story"
)
_MEASURED_OF = re.compile(
    r"\b(?:size|length|width|height|depth|area|volume|distance|number|side|cent(?:er|re)|middle|"
    r"edge|corner|top|bottom|front|back|half|part|rest|most|end|kind|type|color|colour) of\b"
)
#: Last words of a statement about a thing: "is the picture on the wall straight".
_STATES = _words(
    "straight crooked broken clean dirty empty full open closed shut visible hidden free taken new "
    "old on off there hanging standing lying sitting located positioned placed situated real "
    "available ready safe big small large tall blue red"
)
_MOST_WORDS = 6
_IN_ROW = re.compile(r"\s*(?:,\s*(?:and|or)\b|,|\band\b|\bor\b)\s*", re.IGNORECASE)


def flat(text: str) -> str:
    """The text on one line: straight quotes, hyphens, single blanks, no invisible characters."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_PLAIN)).translate(_PLAIN).split())


def sentences(text: str) -> list[str]:
    """The sentences of flat text, with their marks."""
    return [part for part in _END.split(text) if part]


def bare(sentence: str) -> str:
    """A sentence without its mark and what may stand before a question."""
    sentence = sentence.strip(" \"'").rstrip(" ?.!\"'")
    while lead := _LEAD.match(sentence):
        sentence = sentence[lead.end() :]
    return sentence


@lru_cache(maxsize=8192)
def thing(phrase: str) -> Reference:
    """The thing that a phrase names; SchemaError where it names none, or holds more than a name."""
    found = reference(phrase.strip(" \"'"))
    one: Reference | None = found
    while one is not None:
        words = one.noun.split()
        wrong = (
            len(words) > _MOST_WORDS
            or not _NO_NAME.isdisjoint(words)
            or words[-1] in _NO_THING
            or words[0] in _NO_THING
            or (words[0] == "first" and words[1:2] != ["aid"])
            or (len(words) > 1 and words[-1] in _STATES)
            or _MEASURED_OF.search(one.noun)
            or not any(c.isalpha() for c in one.noun)
        )
        if wrong and one.object_id is None:
            raise SchemaError("phrase", "the name of a thing", phrase)
        one = one.selector.anchor if one.selector is not None else None
    return found


def things(listed: str) -> tuple[Reference, ...]:
    """The things of "a chair, a table and a tv", at least two; SchemaError otherwise."""
    parts = [part for part in _IN_ROW.split(listed.strip()) if part]
    if len(parts) < 2:
        raise SchemaError("listed", "two things or more", listed)
    return tuple(thing(part) for part in parts)
