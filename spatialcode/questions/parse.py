"""Questions read from their text and options alone.

One rule a family, tried in order; what no rule reads becomes an `UnparsedQuestion`. Paraphrases
are read where they leave no doubt about the family.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from spatialcode.errors import SchemaError
from spatialcode.questions.references import reference
from spatialcode.questions.same import same_reference
from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    Forward,
    Level,
    ObjectSize,
    Option,
    Question,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
    UnparsedQuestion,
)

#: Longer texts are not questions; rules below are linear, but not free.
MAX_CHARS = 4000
_OPTION = re.compile(r"^\s*\(?([A-Za-z])\s*[.):]\s*(.*)$", re.DOTALL)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Common = dict[str, Any]


def read_options(options: Sequence[str]) -> tuple[Option, ...]:
    """Options with their letters; bare words get A, B, C, … in order."""
    read = []
    for n, text in enumerate(options):
        found = _OPTION.match(text)
        letter = found[1].upper() if found else _LETTERS[n % 26]
        read.append(Option(letter, (found[2] if found else text).strip()))
    return tuple(read)


def parse(text: str, options: Sequence[str] = ()) -> Question:
    """The typed question; `UnparsedQuestion` where no rule fits. Never raises for a string."""
    common: Common = {"text": text, "options": read_options(options)}
    if len(text) > MAX_CHARS:
        return UnparsedQuestion(reason=f"longer than {MAX_CHARS} characters", **common)
    flat = " ".join(text.split()).strip()
    for pattern, build in _RULES:
        found = pattern.search(flat)
        if found is None:
            continue
        try:
            question = build(found, common)
        except SchemaError as error:
            return UnparsedQuestion(reason=f"a part is empty: {error}", **common)
        if question is not None:
            return question
    return UnparsedQuestion(reason="no known kind of question", **common)


def _counting(found: re.Match[str], common: Common) -> Question:
    return Counting(target=reference(found["what"]), **common)


def _room(_: re.Match[str], common: Common) -> Question:
    return RoomSize(**common)


def _unit(text: str, default: str) -> Any:
    if re.search(r"centi|\bcm\b", text):
        return "cm"
    return "m" if re.search(r"\bmet(?:er|re)s?\b|\bm\b", text) else default


def _size(found: re.Match[str], common: Common) -> Question:
    unit = _unit(found.string.lower(), "cm")
    return ObjectSize(target=reference(found["what"]), unit=unit, **common)


def _distance(found: re.Match[str], common: Common) -> Question:
    unit = _unit(found.string.lower(), "m")
    a, b = reference(found["a"]), reference(found["b"])
    return AbsoluteDistance(a=a, b=b, unit=unit, **common)


def _relative_distance(found: re.Match[str], common: Common) -> Question | None:
    extreme: Any = "farthest" if found["how"].lower()[0] == "f" else "closest"
    named = [option.text for option in common["options"]]
    listed = found["listed"] or ""
    named = named or [part for part in re.split(r",| or | and ", listed) if part.strip()]
    if len(named) < 2:
        return None
    return RelativeDistance(
        anchor=reference(found["anchor"]), extreme=extreme,
        candidates=tuple(reference(name) for name in named), **common,
    )  # fmt: skip


def _direction(found: re.Match[str], common: Common) -> Question | None:
    rest = found["rest"].lower()
    level: Level
    if "front-left" in rest or "front left" in rest:
        level = "hard"
    elif "back" in rest or "behind" in rest:
        level = "medium"
    elif "left" in rest and "right" in rest:
        level = "easy"
    else:
        return None
    return RelativeDirection(
        observer=reference(found["observer"]), facing=reference(found["facing"]),
        target=reference(found["target"]), level=level, **common,
    )  # fmt: skip


_STEP = re.compile(
    r"\s*\d+\.\s*(.*?)(?=\s*\d+\.\s*(?:\[|Go|Turn)|\.?\s*You have reached|$)", re.IGNORECASE
)


def _route(found: re.Match[str], common: Common) -> Question | None:
    steps: list[Forward | Blank] = []
    for step in _STEP.findall(found["steps"]):
        if "fill in" in step.lower():
            steps.append(Blank())
        elif step.strip(" ."):
            goal = re.sub(r"^go (?:forward|straight)\s*", "", step.strip(" ."), flags=re.IGNORECASE)
            goal = re.sub(r"^(?:until|to)\s+(?:past\s+)?", "", goal, flags=re.IGNORECASE)
            steps.append(Forward(reference(goal)))
    if not any(isinstance(step, Blank) for step in steps):
        return None
    facing = re.split(r" and to | to the ", found["facing"])[0]
    return RoutePlanning(
        start=reference(found["start"].strip(" ,")), facing=reference(facing),
        destination=reference(found["goal"]), steps=tuple(steps), **common,
    )  # fmt: skip


def _appearance(found: re.Match[str], common: Common) -> Question | None:
    names = [part for part in re.split(r",|\band\b", found["listed"]) if part.strip()]
    if len(names) < 2:
        return None
    return AppearanceOrder(candidates=tuple(reference(name) for name in names), **common)


_RELATION_WORDS: dict[str, Any] = {
    "left": "left", "right": "right", "in front": "front", "behind": "behind", "above": "above",
    "over": "above", "below": "below", "under": "below", "on": "on", "on top": "on",
    "inside": "inside", "in": "inside",
}  # fmt: skip


_STANDING = re.compile(r"standing (?:by|at|next to) (.+?)(?: and|,)? facing (.+)$", re.IGNORECASE)


_PERSPECTIVE = re.compile(r"perspective of (.+)$", re.IGNORECASE)


def _configuration(found: re.Match[str], common: Common) -> Question | None:
    words = re.sub(r"^to the | of$", "", found["relation"].lower()).strip()
    relation = _RELATION_WORDS.get(words)
    if relation is None:
        return None
    a, b = reference(found["a"]), reference(found["b"])
    stated = found["view"] or found["view_first"] or ""
    if seen := _STANDING.search(stated):
        observer, facing = reference(seen[1]), reference(seen[2].rstrip(" ,"))
        return Configuration(
            a=a, relation=relation, b=b, view="observer", observer=observer, facing=facing, **common
        )
    own: Any = re.search(r"own (?:view|front|perspective)|where it faces", stated, re.IGNORECASE)
    if whose := _PERSPECTIVE.search(stated):
        own = same_reference(reference(whose[1].rstrip(" ,")), b)
    camera = not stated or re.search(r"camera", stated, re.IGNORECASE)
    if not own and not camera:
        return None
    view: Any = "camera" if camera else "object"
    return Configuration(a=a, relation=relation, b=b, view=view, **common)


def _rule(pattern: str, build: Callable[..., Question | None]) -> tuple[re.Pattern[str], Any]:
    return re.compile(pattern, re.IGNORECASE), build


_THE = r"(?:the |a |an )?"
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Common], Question | None]], ...] = (
    _rule(
        r"(?:beginning|starting|starts) (?:at|by) (?:the )*(?P<start>[^.]+?),?(?: and)? "
        r"(?:facing|faces|with your) (?P<facing>[^.]+?)\s*\. "
        r"(?:you want to navigate to|your goal is|it should get to) (?:the )*(?P<goal>[^.]+)\."
        r".*?(?:'turn right\.?'\)|actions)\s*:?"
        r"(?P<steps>.*)$", _route),
    _rule(r"appearance order of the following[^:]*: (?P<listed>[^?]+)\?", _appearance),
    _rule(r"in (?:which|what) order (?:do|are|did) (?P<listed>[^?]+?)"
          r" (?:first )?(?:appear|seen|come)[^?]*\?", _appearance),
    _rule(r"standing (?:by|at|next to) (?P<observer>[^?]+?)(?: and| is|,)? "
          r"facing (?P<facing>[^,.?]+)[,.] is (?P<target>[^?]+?) "
          r"(?=to (?:my|the)|on (?:my|the)|in )(?P<rest>[^?]*\bor\b[^?]*)\?",
          _direction),
    _rule(r"which of these[^(?]*(?:\((?P<listed>[^)]*)\))?[^?]*? is (?:the )?"
          r"(?P<how>closest|nearest|farthest|furthest)(?: to| from) (?P<anchor>[^?]+)\?",
          _relative_distance),
    _rule(r"(?:which|what) (?:one |thing |object )?is (?:the )?(?P<how>closest|nearest|nearer|"
          r"closer|farthest|furthest|farther)(?: to| from) (?P<anchor>[^?:,]+)[:,]?"
          r"(?P<listed>[^?]*)\?",
          _relative_distance),
    _rule(r"(?:distance|how (?:far|many met\w+)[^?]*?) between (?P<a>[^?]+?) and (?P<b>[^?(]+?)"
          r"(?: \(in[^)]*\)| in (?:centi)?met\w+)?\?", _distance),
    _rule(r"how far (?:away )?is (?P<a>[^?]+?) from (?P<b>[^?(]+?)"
          r"(?: \(?in (?:centi)?met\w+\)?)?\?",
          _distance),
    _rule(r"how far apart are (?P<a>[^?]+?) and (?P<b>[^?(,]+?)(?:,? \(?in (?:centi)?met\w+\)?)?\?",
          _distance),
    _rule(r"longest (?:dimension(?: \([^)]*\))?|side|edge|extent) of (?P<what>[^,?()]+?)"
          r"(?: measure)?(?:,| in |\?| \()", _size),
    _rule(r"how (?:long|large|big) is (?!(?:the|this) (?:room|space)\b)(?P<what>[^?]+?)"
          r"(?:,? (?:measured )?in (?:centi)?met\w+)?\?", _size),
    _rule(r"(?:size|area) of (?:this|the) (?:room|floor|space)|"
          r"how (?:large|big) is (?:this|the) (?:room|space)", _room),
    _rule(r"(?:how many|number of) (?P<what>[^?]+?)(?:\(s\))?"
          r"(?: (?:are|is) (?:there|in)\b[^?]*| can [^?]*| does [^?]*| do [^?]*| in (?:this|the) "
          r"[^?]*)?\?", _counting),
    _rule(r"^count (?:all )?(?P<what>[^?.]+?)(?:\(s\))? in (?:this|the) (?:room|video|scene)\b",
          _counting),
    _rule(r"^(?:in (?:this|the) (?:room|video|scene), )?"
          r"(?:(?P<view_first>(?:from|seen|for|if|when)[^?,]*(?:, facing [^,?]+)?), )?"
          r"is (?P<a>[^?]+?) (?P<relation>to the left of|to the right of|left of|right of|"
          r"in front of|behind|above|over|below|under|on top of|on|inside|in) " + _THE +
          r"(?P<b>[^?,]+?)(?:,?(?<!farthest)(?<!furthest) "
          r"(?P<view>(?:from|as seen|seen(?! first| last)|for|when)\b[^?]*))?\?",
          _configuration),
)  # fmt: skip
