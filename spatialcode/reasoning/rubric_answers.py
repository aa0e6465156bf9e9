"""The answer given, and the answer that the stated quantities entail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from spatialcode.questions.types import (
    TURNS,
    AbsoluteDistance,
    AppearanceOrder,
    Configuration,
    Counting,
    ObjectSize,
    Question,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning import rubric_terms as terms
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric_terms import Fact
from spatialcode.reasoning.verify import HALF_M, Context

_QUANTITY = re.compile(r"([-+]?\d{1,9}(?:\.\d{1,9})?)\s*([a-zA-Z²]{0,8}2?)\.?")
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.):]\s*(.{1,200}))?")
_PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
_AREA_UNITS = ("", "m2", "m²", "sqm")


def unit_of(question: Question) -> str:
    """The unit of a numeric question's answer; "" for a count."""
    if isinstance(question, ObjectSize | AbsoluteDistance):
        return question.unit
    return "m2" if isinstance(question, RoomSize) else ""


def is_numeric(question: Question) -> bool:
    """Whether a number answers the question."""
    return isinstance(question, Counting | ObjectSize | AbsoluteDistance | RoomSize)


def given_answer(text: str, question: Question) -> float | str | None:
    """A final answer as a number in the question's unit, or an option's letter; None if neither.

    A letter with other words behind it than that option's own is neither.
    """
    return _number(text, question) if is_numeric(question) else _letter(text, question)


def _number(text: str, question: Question) -> float | None:
    match = _QUANTITY.fullmatch(text.strip())
    if not match:
        return None
    value, unit = float(match[1]), match[2].lower()
    if isinstance(question, RoomSize):
        return value if unit in _AREA_UNITS else None
    if isinstance(question, Counting):
        return value
    if unit and unit not in _PER_METRE:
        return None
    return value if not unit else value / _PER_METRE[unit] * _PER_METRE[unit_of(question)]


def _letter(text: str, question: Question) -> str | None:
    text = text.strip().rstrip(".")
    for option in question.options:
        if text.lower() == bare(option.text):
            return option.letter
    match = _LETTER.fullmatch(text)
    if not match:
        return None
    chosen = [o for o in question.options if o.letter == match[1]]
    if not chosen or (match[2] and match[2].lower() != bare(chosen[0].text)):
        return None
    return match[1]


def bare(option: str) -> str:
    """An option's words in lower case, without its letter."""
    return re.sub(r"^\s*[A-Z][.)]\s*", "", option).strip().rstrip(".").lower()


def turn_word(angle_deg: float, level: str) -> str:
    """The direction word of an angle, at a level of `DIRECTION_WORDS`."""
    side = "left" if angle_deg > 0 else "right"
    if level == "easy":
        return side
    if level == "medium":
        return "back" if abs(angle_deg) >= 135.0 else side
    return f"{'front' if abs(angle_deg) < 90.0 else 'back'}-{side}"


def entailed(question: Question, used: Sequence[Fact], context: Context) -> tuple[Any, Any]:
    """(what the stated quantities entail, what the stated conclusion says).

    Each a number in the question's unit, or a tuple of words, or None where nothing is stated.
    Only ``used`` quantities count: those that serve the question.
    """
    match question:
        case Counting():
            return _only(used, say.Count, "value"), None
        case ObjectSize():
            return _in_unit(_only(used, say.Longest, "value_m"), question), None
        case AbsoluteDistance():
            return _in_unit(_only(used, say.Distance, "value_m"), question), None
        case RoomSize():
            return _only(used, say.Area, "value_m2"), None
    return _choice(question, used, context)


def _choice(question: Question, used: Sequence[Fact], context: Context) -> tuple[Any, Any]:
    match question:
        case RelativeDistance():
            return _nearest(question, used, context)
        case RelativeDirection():
            angle = _only(used, say.Angle, "value_deg")
            said = [f.statement for f in used if isinstance(f.statement, say.Direction)]
            target = terms.ids_of(question.target, context)
            words = [s.direction for s in said if s.object_id in target]
            word = None if angle is None else (turn_word(angle, question.level),)
            return word, (words[0],) if words else None
        case RoutePlanning():
            return _turns(question, used, context)
        case AppearanceOrder():
            return _ordered(question, used, context)
        case Configuration():
            a, b = (terms.ids_of(r, context) for r in (question.a, question.b))
            held = [f.statement for f in used if isinstance(f.statement, say.Holds)]
            fits = [
                s for s in held
                if s.relation == question.relation and s.a_id in a and s.b_id in b
            ]  # fmt: skip
            word = ("yes" if fits[0].holds else "no",) if fits else None
            shown = any(isinstance(f.statement, say.Angle | say.Height) for f in used)
            return (word if shown else None), word
    return None, None


def _only(used: Sequence[Fact], kind: Any, name: str) -> Any:
    values = [getattr(f.statement, name) for f in used if isinstance(f.statement, kind)]
    return values[0] if values else None


def _in_unit(value_m: float | None, question: Question) -> float | None:
    return None if value_m is None else value_m * _PER_METRE[unit_of(question)]


def _index_of(object_id: str, sets: Sequence[frozenset[str]]) -> str:
    return next((str(n) for n, ids in enumerate(sets) if object_id in ids), "?")


def _nearest(question: RelativeDistance, used: Sequence[Fact], context: Context) -> tuple[Any, Any]:
    sets = [terms.ids_of(c, context) for c in question.candidates]
    said: dict[str, float] = {}
    for fact in used:
        s = fact.statement
        if isinstance(s, say.Distance):
            for end in (s.a_id, s.b_id):
                at = _index_of(end, sets)
                said[at] = min(s.value_m, said.get(at, s.value_m))
    said.pop("?", None)
    pick = min if question.extreme == "closest" else max
    best = (pick(said, key=lambda n: said[n]),) if len(said) == len(sets) else None
    extreme = [f.statement for f in used if isinstance(f.statement, say.Extreme)]
    named = [s for s in extreme if s.extreme == question.extreme]
    return best, (_index_of(named[0].object_id, sets),) if named else None


def _turns(question: RoutePlanning, used: Sequence[Fact], context: Context) -> tuple[Any, Any]:
    words = []
    for ends in terms.legs_of(question, context):
        angles = [
            f.statement.value_deg for f in used
            if f.u and f.v and isinstance(f.statement, say.Angle)
            and all(i in ids for i, ids in zip(
                (f.u.tail_id, f.u.head_id, f.v.tail_id, f.v.head_id), ends, strict=True))
        ]  # fmt: skip
        words.append(turn_word(angles[0], "medium") if angles else None)
    turns = sorted(
        (f.statement for f in used if isinstance(f.statement, say.TurnAt)), key=lambda s: s.step
    )
    said = tuple(s.turn for s in turns)
    return (None if None in words or not words else tuple(words)), said or None


def _ordered(question: AppearanceOrder, used: Sequence[Fact], context: Context) -> tuple[Any, Any]:
    sets = [terms.ids_of(c, context) for c in question.candidates]
    times = {
        _index_of(f.statement.object_id, sets): f.statement.t_s
        for f in used
        if isinstance(f.statement, say.FirstSeen)
    }
    times.pop("?", None)
    best = tuple(sorted(times, key=lambda n: times[n])) if len(times) == len(sets) else None
    order = [f.statement for f in used if isinstance(f.statement, say.Order)]
    return best, tuple(_index_of(i, sets) for i in order[0].object_ids) if order else None


def says(question: Question, given: float | str | None, meaning: Any) -> bool:
    """Whether the answer given is what a quantity or conclusion of `entailed` means."""
    if meaning is None or given is None:
        return False
    if isinstance(given, float):
        if isinstance(question, Counting):
            return bool(given == meaning)
        return abs(given - meaning) <= HALF_M * (1 + _PER_METRE.get(unit_of(question), 1.0))
    option = next((bare(o.text) for o in question.options if o.letter == given), "")
    if isinstance(question, RelativeDistance):
        return meaning == (str([o.letter for o in question.options].index(given)),)
    if isinstance(question, RoutePlanning):
        return tuple(re.findall("|".join(TURNS), option)) == meaning
    if isinstance(question, AppearanceOrder):
        nouns = [c.noun for c in question.candidates]
        listed = [word.strip() for word in option.split(",")]
        return tuple(str(nouns.index(w)) if w in nouns else "?" for w in listed) == meaning
    return meaning == (option,)
