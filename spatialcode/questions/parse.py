"""The parser of questions: sentences tried against rules, which each family of questions brings.

Every sentence is tried with every rule, and a rule reads a whole sentence, from its first to its
last word, or nothing. So what is not quite a question of some family becomes an
`UnparsedQuestion`, as does a text that asks two things. Whether a word names a thing is judged by
grammar only: "the distance between Paris and London" is a distance between two things.

In a rule's template ``<name>`` stands for a noun phrase. `reasoning.families.registry.parse` is
the parser with the rules of all registered families.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from spatialcode.errors import SchemaError
from spatialcode.questions.names import bare, flat, sentences
from spatialcode.questions.types import Option, Question, UnparsedQuestion, same_meaning

Common = dict[str, Any]
Match = re.Match[str]
#: Makes a question of a matched sentence; None where it is none after all. SchemaError says why.
Build = Callable[[Match, Common], Question | None]

#: Longer texts are not questions.
MAX_CHARS = 4000
#: Longer sentences are not read.
_MAX_SENTENCE = 800
_OPTION = re.compile(r"^\s*\(?([A-Za-z])\s*[.):]\s*(.*)$", re.DOTALL)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#: A noun phrase: bounded, so that the time to read it is bounded too.
_NOUN = r"[^?.,;:()!]{1,80}"
_SLOT = re.compile(r"(?<!\?P)<(\w+)>")

# Pieces of sentences that the rules of several families share.
THE_ROOM = (
    r"(?:this|the|that|my|our)(?: whole| entire| combined)? "
    r"(?:rooms?|spaces?|apartment|flat|house|office|hall|kitchen|bathroom|bedroom)"
)
PLACE = (
    r"(?:in|inside|within|throughout) (?:this|the|that|my|our)(?: whole| entire)? (?:rooms?|video|"
    r"scene|clip|footage|images?|spaces?|house|apartment|flat|office|kitchen|bathroom|bedroom|hall)"
)
UNITS = r"centimet(?:er|re)s?|cm|met(?:er|re)s?|m"
IN_UNIT = rf"(?:,? \(?(?:(?:as )?(?:measured|expressed|given) )?in (?P<unit>{UNITS})\)?)?"
UNIT_FIRST = rf"(?:in (?P<unit_first>{UNITS}), )?"
WHAT_IS = r"(?:what is|what's|what would be|what will be|what was|give|state|estimate|find|name)"
LIST = r"[^?:()]{1,400}"
AT = r"(?:by|at|next to|beside|near)"
FACE = r"(?:,| and|, and)? (?:am |is |are )?(?:facing|looking at|looking towards?)"
WHO = (
    r"(?:(?:if|when|while|imagine|suppose|assume|assuming|for) )?(?:that )?(?:(?:i am|i'm|you are|"
    r"you're|someone|somebody|one|a person)(?: is| who is)? )?"
)
#: A sentence that says where one stands and looks, before the one that asks.
_STANDS = re.compile(
    rf"{WHO}standing {AT} [^?.,;:()!]{{1,80}}?{FACE} [^?.,;:()!]{{1,80}}", re.IGNORECASE
)


@dataclass(frozen=True)
class Rule:
    """``words``: one of them is in every sentence that the rule reads.

    ``patterns``: the same sentence with all noun phrases as short as possible, then with one of
    them as long as possible: "the chair farthest from the door from the tv" needs that.
    """

    words: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    build: Build


@dataclass(frozen=True)
class Reader:
    """How questions of one family are read: by ``rules``, a sentence each; ``whole`` reads a text
    of several sentences at once (on one line, see `flat`), and is tried before any rule.
    """

    rules: tuple[Rule, ...] = ()
    whole: Callable[[str, Common], Question | None] | None = None


def rule(words: str, template: str, build: Build) -> Rule:
    """``words``: alternatives, separated by ``|``."""
    longest = (None, *_SLOT.findall(template))
    patterns = tuple(re.compile(_filled(template, name), re.IGNORECASE) for name in longest)
    return Rule(tuple(words.split("|")), patterns, build)


def _filled(template: str, longest: str | None) -> str:
    """The template with noun phrases for its slots: short ones, but the one named."""
    return _SLOT.sub(
        lambda slot: f"(?P<{slot[1]}>{_NOUN}{'' if slot[1] == longest else '?'})", template
    )


def unit_named(found: Match, default: str) -> Any:
    """The unit "cm" or "m", as the sentence says it (`IN_UNIT`, `UNIT_FIRST`), else the default."""
    groups = found.groupdict()
    word = (groups.get("unit") or groups.get("unit_first") or default).lower()
    return "cm" if word.startswith("c") else "m"


def read_options(options: Sequence[str]) -> tuple[Option, ...]:
    """Options with their letters; bare words get A, B, C, … in order."""
    read = []
    for n, text in enumerate(options):
        found = _OPTION.match(text)
        letter = found[1].upper() if found else _LETTERS[n % 26]
        read.append(Option(letter, (found[2] if found else text).strip()))
    return tuple(read)


def parse_with(readers: Sequence[Reader], text: str, options: Sequence[str] = ()) -> Question:
    """The typed question; `UnparsedQuestion` where no rule fits. Never raises for a string."""
    common: Common = {"text": text, "options": read_options(options)}
    line = flat(text) if len(text) <= MAX_CHARS else text
    if len(line) > MAX_CHARS:  # some characters stand for many
        return UnparsedQuestion(reason=f"longer than {MAX_CHARS} characters", **common)
    reasons: list[str] = []
    for reader in readers:
        try:
            if reader.whole is not None and (found := reader.whole(line, common)):
                return found
        except SchemaError as error:
            reasons.append(str(error))
    asked = _asked(sentences(line))
    if len(asked) > 1 and _is_marked(asked[0]):
        return UnparsedQuestion(reason=f"{len(asked)} questions in one text", **common)
    rules = [rule for reader in readers for rule in reader.rules]
    # lines without a mark are sentences too, unless a sentence runs over them
    by_line = [part for row in text.splitlines() for part in sentences(flat(row))]
    for parts in (asked, _asked(by_line)):
        first: Question | None = None
        for sentence in parts:
            for one in _readings(sentence, rules, common, reasons):
                if first is not None and not same_meaning(first, one):
                    families = f"{first.family}, {one.family}"
                    return UnparsedQuestion(reason=f"two readings: {families}", **common)
                first = first or one
        if first is not None:
            return first
    reason = f"; {reasons[-1]}" if reasons else ""
    return UnparsedQuestion(reason="no known kind of question" + reason, **common)


def _asked(parts: Sequence[str]) -> list[str]:
    """The sentences with a question mark, else all; each with where one stands, if said before."""
    asked = []
    for n, part in enumerate(parts):
        before = bare(parts[n - 1]) if n else ""
        stands = _STANDS.fullmatch(before) if len(before) <= _MAX_SENTENCE else None
        asked.append(f"{before}, {part}" if stands else part)
    return [part for part in asked if _is_marked(part)] or asked


def _is_marked(sentence: str) -> bool:
    return sentence.rstrip("\"' )").endswith("?")


def _readings(
    sentence: str, rules: Sequence[Rule], common: Common, reasons: list[str]
) -> list[Question]:
    """What the rules make of a sentence; ``reasons`` gets why one that fitted made nothing."""
    if len(sentence) > _MAX_SENTENCE:
        reasons.append(f"a sentence longer than {_MAX_SENTENCE} characters")
        return []
    sentence = bare(sentence)
    lower = sentence.lower()
    read: list[Question] = []
    for one in rules:
        if not any(word in lower for word in one.words):
            continue
        for pattern in one.patterns:
            found = pattern.fullmatch(sentence)
            if found is None:
                break  # the other one would not fit either
            try:
                question = one.build(found, common)
            except SchemaError as error:
                reasons.append(str(error))
                continue
            if question is not None:
                read.append(question)
    return read
