"""The parser's rules of questions that depend on where one stands and looks, and of routes."""

from __future__ import annotations

import re
from typing import Any

from spatialcode.questions.references import reference
from spatialcode.questions.rules import PLACE, Common, Match, Rule, rule
from spatialcode.questions.same import same_reference
from spatialcode.questions.sentences import thing
from spatialcode.questions.types import (
    Blank,
    Configuration,
    Forward,
    Level,
    Question,
    Relation,
    RelativeDirection,
    RoutePlanning,
)

_AT = r"(?:by|at|next to|beside|near)"
_FACE = r"(?:,| and|, and)? (?:am |is |are )?(?:facing|looking at|looking towards?)"
_WHO = (
    r"(?:(?:if|when|while|imagine|suppose|assume|assuming|for) )?(?:that )?(?:(?:i am|i'm|you are|"
    r"you're|someone|somebody|one|a person)(?: is| who is)? )?"
)
#: A sentence that says where one stands and looks, before the one that asks.
STANDS = re.compile(
    rf"{_WHO}standing {_AT} [^?.,;:()!]{{1,80}}?{_FACE} [^?.,;:()!]{{1,80}}", re.IGNORECASE
)

_DIRECTION_WORDS = frozenset({
    "to", "on", "in", "at", "of", "my", "the", "your", "his", "her", "their", "left", "right",
    "back", "behind", "rear", "front", "me", "you", "him", "them", "or", "and", "side", "quadrant",
    "located", "positioned",
})  # fmt: skip
_QUADRANT = re.compile(r"\b(front|back)[ -](left|right)\b")
_BORDER = re.compile(r"\([^()]*\)|, which begins at 135 degrees")


def _direction(found: Match, common: Common) -> Question | None:
    facing = thing(found["facing"])
    level = _level(found["rest"].lower(), facing)
    if level is None:
        return None
    return RelativeDirection(
        observer=thing(found["observer"]), facing=facing, target=thing(found["target"]),
        level=level, **common,
    )  # fmt: skip


def _level(rest: str, facing: Any) -> Level | None:
    """The level whose directions are asked for; None where other words stand among them."""
    rest = _BORDER.sub(" ", rest)
    quadrants = {match[0].replace(" ", "-") for match in _QUADRANT.finditer(rest)}
    rest = _QUADRANT.sub(" ", rest)
    # "the left or the right of the sofa": of what is faced
    if whose := re.search(r"\bof (?!me\b|you\b)([^,]+)$", rest):
        if not same_reference(thing(whose[1]), facing):
            return None
        rest = rest[: whose.start()]
    words = set(re.findall(r"[a-z0-9-]+", rest))
    if not words <= _DIRECTION_WORDS or "or" not in words:
        return None
    behind = bool(words & {"back", "behind", "rear"})
    sides = {"left", "right"} <= words
    if quadrants:
        plain = behind or words & {"left", "right", "front"}
        return "hard" if len(quadrants) == 4 and not plain else None
    if "front" in words or not sides:
        return None
    return "medium" if behind else "easy"


_RELATIONS: dict[str, Relation] = {
    "to the left of": "left", "left of": "left", "on the left of": "left",
    "on the left side of": "left", "to the right of": "right", "right of": "right",
    "on the right of": "right", "on the right side of": "right", "in front of": "front",
    "behind": "behind", "above": "above", "over": "above", "below": "below", "under": "below",
    "underneath": "below", "beneath": "below", "on top of": "on", "on": "on", "inside of": "inside",
    "inside": "inside", "in": "inside",
}  # fmt: skip
_VIEWING = r"(?:view|perspective|viewpoint|point of view)"
_SEEN = r"(?:as |when )?(?:(?:seen |viewed )?(?:from|in)) "
_CAMERA = rf"{_SEEN}the (?:first )?camera(?:'s(?: own)? {_VIEWING})?(?: at the start of the video)?"
_OWN = (
    rf"{_SEEN}(?:(?P<own>[^?.,;:()!]{{1,80}}?)(?:'s|') own (?:{_VIEWING}|front)|"
    rf"the (?:own )?{_VIEWING} of (?!someone|somebody)(?P<of>[^?.,;:()!]{{1,80}})|"
    rf"(?P<its>its) own (?:{_VIEWING}|front))"
)
_OBSERVER = (
    rf"(?:{_SEEN}(?:the {_VIEWING} of )?)?{_WHO}standing {_AT} (?P<observer>[^?.,;:()!]{{1,80}}?)"
    rf"(?:{_FACE} (?P<facing>[^?.,;:()!]{{1,80}}))?"
)
_VIEW = rf"(?:(?P<camera>{_CAMERA})|{_OWN}|{_OBSERVER})"
_PLACED = r"(?:(?:located|positioned|placed|situated|standing|lying|hanging|sitting) )?"
_IS = rf"is <a> {_PLACED}(?P<relation>{'|'.join(_RELATIONS)}) <b>"
_DETERMINED = re.compile(r"(?:the|a|an|my|this|that) .|[^\W\d]\w*_\d+$", re.IGNORECASE)


def _configuration(found: Match, common: Common) -> Question | None:
    relation = _RELATIONS[found["relation"].lower()]
    short = found["relation"].lower() in ("on", "in")
    if short and not all(_DETERMINED.match(found[name]) for name in "ab"):
        return None  # "in good condition", "on fire"
    a, b = thing(found["a"]), thing(found["b"])
    stated = found.groupdict()
    parts: Common = {"a": a, "relation": relation, "b": b, **common}
    if stated.get("observer"):
        facing = thing(stated["facing"]) if stated["facing"] else None
        return Configuration(
            view="observer", observer=thing(stated["observer"]), facing=facing, **parts
        )
    if whose := stated.get("own") or stated.get("of"):
        # another thing's front would be another question
        return Configuration(view="object", **parts) if same_reference(thing(whose), b) else None
    return Configuration(view="object" if stated.get("its") else "camera", **parts)


_ROUTE = re.compile(
    r"\brobot,? (?:is )?(?:that |which )?(?:beginning|starting|begins|starts) "
    r"(?:at|by|from) (?:the )*(?P<start>[^.]{1,120}?),?(?: and)? (?:(?:facing|faces) "
    r"(?:(?:into|out|to|towards?) )?|(?=with your ))(?P<facing>[^.]{1,120}?)\s*\. "
    r"(?:you want to|you should|it should|it wants to|your goal is(?: to)?|its goal is(?: to)?)"
    r"(?: (?:navigate|go|get|walk|drive) to)? (?:the )*(?P<goal>[^.]{1,120}?)\s*\.",
    re.IGNORECASE,
)
#: "facing the door and to the left of the bin": only the first says where one looks.
_BESIDES = re.compile(r" and to | to the left| to the right", re.IGNORECASE)
_STEP = re.compile(r"(?:^|\s)\d{1,2}\. ")
_REACHED = re.compile(r"\.? ?(?:you|it) ha(?:ve|s) reached", re.IGNORECASE)
_ON_THE_WAY = re.compile(
    r"^(?:go|move|walk|drive) f\w+(?: through [^.]{1,40})?(?: (?:un\w+|to|past|passing))?"
    r"(?: (?:past|passing(?: by)?))?\s+",
    re.IGNORECASE,
)
_WHERE_SEEN = re.compile(r"\s+is (?:right )?(?:on|to|in) (?:your|my|the|front)\b.*$", re.IGNORECASE)


def route(text: str, common: Common) -> Question | None:
    """The whole text as a route with blanks; None where it is none. SchemaError for a nameless
    start, goal or step.
    """
    found = _ROUTE.search(text)
    if found is None:
        return None
    listed = _REACHED.split(text[found.end() :])[0]
    steps: list[Forward | Blank] = []
    for step in _STEP.split(listed)[1:]:
        if "fill in" in step.lower():
            steps.append(Blank())
        elif step.strip(" ."):
            goal = _WHERE_SEEN.sub("", _ON_THE_WAY.sub("", step.strip(" .")))
            steps.append(Forward(reference(goal)))
    if not any(isinstance(step, Blank) for step in steps):
        return None
    facing = _BESIDES.split(found["facing"])[0]
    return RoutePlanning(
        start=reference(found["start"].strip(" ,")), facing=reference(facing),
        destination=reference(found["goal"]), steps=tuple(steps), **common,
    )  # fmt: skip


RULES: tuple[Rule, ...] = (
    rule("standing",
         rf"{_WHO}standing {_AT} <observer>{_FACE} <facing>[,.] is <target> "
         r"(?P<rest>(?:located |positioned )?(?:to|on|in|at|left|behind)\b[^?]{1,200})",
         _direction),
    rule("is ", rf"{_IS}(?:,? {_VIEW})?(?: {PLACE})?", _configuration),
    rule("is ", rf"{_VIEW}, {_IS}", _configuration),
)  # fmt: skip
