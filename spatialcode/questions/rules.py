"""What a rule of the parser is, and the rules of questions about numbers, lists and order.

A rule reads a sentence from its first to its last word: what it does not expect, it does not
read. In templates ``<name>`` stands for a noun phrase.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spatialcode.errors import SchemaError
from spatialcode.questions.sentences import thing, things
from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Counting,
    ObjectSize,
    Question,
    RelativeDistance,
    RoomSize,
)

Common = dict[str, Any]
Match = re.Match[str]
Build = Callable[[Match, Common], Question | None]

#: A noun phrase: bounded, so that reading is.
_NOUN = r"[^?.,;:()!]{1,80}"
_SLOT = re.compile(r"(?<!\?P)<(\w+)>")


@dataclass(frozen=True)
class Rule:
    """``words``: one of them is in every sentence that the rule reads.

    ``patterns``: the same sentence with all noun phrases as short as possible, then with one of
    them as long as possible: "the chair farthest from the door from the tv" needs that.
    """

    words: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    build: Build


def rule(words: str, template: str, build: Build) -> Rule:
    """``words``: alternatives, parted by ``|``."""
    longest = (None, *_SLOT.findall(template))
    patterns = tuple(re.compile(_filled(template, name), re.IGNORECASE) for name in longest)
    return Rule(tuple(words.split("|")), patterns, build)


def _filled(template: str, longest: str | None) -> str:
    """The template with noun phrases for its slots: short ones, but the one named."""
    return _SLOT.sub(
        lambda slot: f"(?P<{slot[1]}>{_NOUN}{'' if slot[1] == longest else '?'})", template
    )


_THIS = r"(?:this|the|that|my|our)(?: whole| entire| combined)?"
_ROOM = rf"{_THIS} (?:rooms?|spaces?|apartment|flat|house|office|hall|kitchen|bathroom|bedroom)"
_SHOWN = r"(?: (?:shown|seen|visible))?(?: in (?:this|the) (?:video|scene|clip|footage))?"
PLACE = (
    r"(?:in|inside|within|throughout) (?:this|the|that|my|our)(?: whole| entire)? (?:rooms?|video|"
    r"scene|clip|footage|images?|spaces?|house|apartment|flat|office|kitchen|bathroom|bedroom|hall)"
)
_UNITS = r"centimet(?:er|re)s?|cm|met(?:er|re)s?|m"
_IN_UNIT = rf"(?:,? \(?(?:(?:as )?(?:measured|expressed|given) )?in (?P<unit>{_UNITS})\)?)?"
_UNIT_FIRST = rf"(?:in (?P<unit_first>{_UNITS}), )?"
_SQUARE = r"(?:,? \(?(?:measured )?in (?:square met(?:er|re)s?|m2|m\^2|sqm|sq\.? m)\)?)?"
_WHAT_IS = r"(?:what is|what's|what would be|what will be|what was|give|state|estimate|find|name)"

_TAIL = (
    rf"(?:,? (?:are there|is there|there are|are|is|exist|visible|shown|present|in total|"
    r"altogether|appear|do you see|do we see|can you (?:see|count|find|spot)|"
    rf"can be (?:seen|counted|found)|does {_ROOM} (?:have|contain|hold)|{PLACE}))"
)
_LONGEST = r"(?:length of the )?longest (?:dimension|side|edge|extent)(?: \([^()?]{1,80}\))?"
_HOW = (
    r"(?:the )?(?:(?P<far>farthest|furthest|farther|further|most distant)|closest|nearest|closer|"
    r"nearer)(?: away)?(?: to| from)"
)
_LIST = r"[^?:()]{1,400}"
_THESE = r"(?:these|the following|those|the listed)(?: (?:objects|things|items))?"


def _unit(found: Match, default: str) -> Any:
    groups = found.groupdict()
    word = (groups.get("unit") or groups.get("unit_first") or default).lower()
    return "cm" if word.startswith("c") else "m"


def _counting(found: Match, common: Common) -> Question:
    return Counting(target=thing(found["what"]), **common)


def _size(found: Match, common: Common) -> Question:
    return ObjectSize(target=thing(found["what"]), unit=_unit(found, "cm"), **common)


def _room(_: Match, common: Common) -> Question:
    return RoomSize(**common)


def _distance(found: Match, common: Common) -> Question:
    """Of two things that stand in one of several places of the sentence."""
    groups = found.groupdict()
    pair = [groups[name] for name in "abcdef" if groups.get(name)]
    a, b = (thing(phrase) for phrase in pair)
    return AbsoluteDistance(a=a, b=b, unit=_unit(found, "m"), **common)


def _relative_distance(found: Match, common: Common) -> Question:
    groups = found.groupdict()
    listed = groups.get("listed") or groups.get("listed_first") or ""
    named = tuple(thing(option.text) for option in common["options"])
    named = named or things(listed)
    if len(named) < 2:
        raise SchemaError("options", "two things or more", named)
    extreme: Any = "farthest" if found["far"] else "closest"
    return RelativeDistance(
        anchor=thing(found["anchor"]), extreme=extreme, candidates=named, **common
    )


def _appearance(found: Match, common: Common) -> Question:
    return AppearanceOrder(candidates=things(found["listed"]), **common)


RULES: tuple[Rule, ...] = (
    rule("how many", rf"how many (?:different )?<what>(?:\(s\))?{_TAIL}{{0,4}}", _counting),
    rule("number of|count of",
         rf"(?:{_WHAT_IS} )?(?:the )?(?:total )?(?:number|count) of <what>(?:\(s\))?"
         rf"{_TAIL}{{0,3}}", _counting),
    rule("count", rf"count (?:all )?(?:of )?(?:the )?<what>(?:\(s\))?{_TAIL}{{0,3}}", _counting),
    rule("longest",
         rf"{_UNIT_FIRST}(?:how long is|{_WHAT_IS}|what does) the {_LONGEST} of <what>(?: measure)?"
         rf"{_IN_UNIT}", _size),
    rule("how l|how big", rf"{_UNIT_FIRST}how (?:long|large|big) is <what>{_IN_UNIT}", _size),
    rule("size|area",
         rf"{_WHAT_IS} the (?:approximate |total |combined |floor )*(?:size|area) of {_ROOM}"
         rf"{_SHOWN}{_SQUARE}", _room),
    rule("how l|how big|how spacious",
         rf"how (?:large|big|spacious) is {_ROOM}{_SHOWN}{_SQUARE}", _room),
    rule("how many square",
         rf"how many square met(?:er|re)s (?:is|are in|are there in|does|has) {_ROOM}"
         r"(?: have| measure| cover)?", _room),
    rule("distance",
         rf"{_UNIT_FIRST}{_WHAT_IS} the (?:shortest |smallest |minimum |closest )?distance "
         rf"(?:between <a> and <b>|from <c> to <d>)(?: {PLACE})?{_IN_UNIT}", _distance),
    rule("how far", rf"{_UNIT_FIRST}how far (?:away )?is <a> (?:away )?from <b>(?: {PLACE})?"
         rf"{_IN_UNIT}", _distance),
    rule("apart", rf"{_UNIT_FIRST}how far apart are <a> and <b>(?: {PLACE})?{_IN_UNIT}", _distance),
    rule("how many", rf"how many (?P<unit>{_UNITS}) (?:(?:lie|are|are there|is it) between <a> and "
         r"<b>|(?:away )?is <c> (?:away )?from <d>|(?:apart are) <e> and <f>)", _distance),
    rule("closest|nearest|closer|nearer|farthest|furthest|farther|further|most distant",
         rf"(?:which|what) (?:one )?of {_THESE}(?: \((?P<listed_first>{_LIST})\))? is {_HOW} "
         rf"<anchor>(?::(?P<listed>{_LIST}))?", _relative_distance),
    rule("closest|nearest|closer|nearer|farthest|furthest|farther|further|most distant",
         rf"(?:which|what)(?: one| thing| object| item)? is {_HOW} <anchor>"
         rf"(?:[:,](?P<listed>{_LIST}))?", _relative_distance),
    rule("closest|nearest|closer|nearer|farthest|furthest|farther|further|most distant",
         rf"(?:of|among) {_THESE}(?: \((?P<listed_first>{_LIST})\))?, which(?: one| thing| object)?"
         rf" is {_HOW} <anchor>(?::(?P<listed>{_LIST}))?", _relative_distance),
    rule("appearance order",
         rf"{_WHAT_IS} the (?:first-time )?appearance order of the following (?:categories|objects|"
         rf"things|items)(?: {PLACE})?: ?(?P<listed>{_LIST})", _appearance),
    rule("order",
         rf"in (?:which|what) order (?:do|did|are|were|will) (?P<listed>{_LIST}?) (?:first )?"
         r"(?:be )?(?:appear|seen|shown|come into view|show up|become visible)"
         rf"(?: first| for the first time)?(?: {PLACE})?", _appearance),
)  # fmt: skip
