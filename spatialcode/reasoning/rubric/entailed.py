"""What stated quantities allow as an answer, and what stated conclusions say.

Both as a test of a meaning (`rubric.answers`). Quantities are written rounded: every answer that
numbers within half a unit of their last digit would give is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from spatialcode.questions.types import (
    NUMERIC_FAMILIES,
    VIEWED_RELATIONS,
    AbsoluteDistance,
    AppearanceOrder,
    Configuration,
    Counting,
    Level,
    ObjectSize,
    Question,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.answers import Meaning, nearest_offers, per_metre
from spatialcode.reasoning.rubric.facts import Cast, Fact, Ids
from spatialcode.reasoning.rubric.needs import direction_ends, legs_of, viewed_ends
from spatialcode.reasoning.rubric.steps import Ends, is_between
from spatialcode.reasoning.rubric.verify import HALF_DEG, HALF_M, Context
from spatialcode.scene import relations

Allows = Callable[[Any], bool]
_READ = {"easy": relations.side, "medium": relations.third, "hard": relations.quadrant}
#: Two quoted numbers that are compared.
_TIE = 2 * HALF_M


def word_of(bearing_deg: float, level: Level) -> str:
    """The direction word of a bearing, at a level."""
    return str(_READ[level](bearing_deg))


def allowed(
    question: Question, used: Sequence[Fact], found: list[Ids], cast: Cast, context: Context
) -> Allows | None:
    """Which meanings the true, needed quantities allow; None where they do not suffice."""
    match question:
        case Counting():
            return _number(question, _only(used, say.Count, "value"), 0.0)
        case ObjectSize():
            return _number(question, _only(used, say.Longest, "value_m"))
        case AbsoluteDistance():
            return _number(question, _only(used, say.Distance, "value_m"))
        case RoomSize():
            return _number(question, _only(used, say.Area, "value_m2"))
        case RelativeDistance():
            return _nearest(question, used, found)
        case RelativeDirection():
            words = _turn_words(used, direction_ends(found, cast), question.level)
            return None if words is None else lambda meaning: meaning[0] in words
        case RoutePlanning():
            return _turns(used, legs_of(question, found, cast, context))
        case AppearanceOrder():
            return _ordered(used, found)
        case Configuration() if question.relation in VIEWED_RELATIONS:
            return _viewed(question, used, viewed_ends(question, found, cast))
        case Configuration():
            return _stacked(question, used, (found[0], found[1]), cast)
    return None


def concluded(question: Question, facts: Sequence[Fact], found: list[Ids]) -> Allows | None:
    """Which meanings the stated conclusions say; None where none is stated, or none is needed."""
    if question.family in NUMERIC_FAMILIES:
        return None
    said: Any = [fact.statement for fact in facts]
    if not said:
        return None
    match question:
        case RelativeDirection():
            return lambda meaning: all(s.direction == meaning[0] for s in said)
        case Configuration():
            return lambda meaning: all(s.holds == (meaning[0] == "yes") for s in said)
        case RelativeDistance():
            return lambda meaning: all(s.object_id in found[1 + int(meaning[0])] for s in said)
        case RoutePlanning():
            turns = tuple(s.turn for s in sorted(said, key=lambda s: s.step))
            return lambda meaning: turns == meaning
        case AppearanceOrder():
            ids = said[0].object_ids
            return lambda meaning: (
                len(ids) == len(meaning)
                and all(i in found[int(n)] for i, n in zip(ids, meaning, strict=True))
            )
    return None


def _only(used: Sequence[Fact], kind: Any, name: str) -> Any:
    values = [getattr(f.statement, name) for f in used if isinstance(f.statement, kind)]
    return values[0] if values else None


def _number(question: Question, stated: float | None, half: float = HALF_M) -> Allows | None:
    """A number stated in metres against one in the question's unit, both rounded."""
    if stated is None:
        return None
    scale = per_metre(question)
    value, slack = stated * scale, half * (1.0 + scale)
    if question.options:
        offers = nearest_offers(question, value, 2.0 * slack)
        return lambda meaning: meaning in offers
    return lambda meaning: abs(meaning - value) <= slack


def _nearest(question: RelativeDistance, used: Sequence[Fact], found: list[Ids]) -> Allows | None:
    anchors, *sets = found
    stated: list[float] = []
    for ids in sets:
        values = [
            f.statement.value_m
            for f in used
            if isinstance(f.statement, say.Distance) and _joins(f.statement, anchors, ids)
        ]
        if not values:
            return None
        stated.append(min(values))
    if question.extreme == "closest":
        best = min(stated)
        return lambda meaning: stated[int(meaning[0])] <= best + _TIE
    most = max(stated)
    return lambda meaning: stated[int(meaning[0])] >= most - _TIE


def _joins(s: say.Distance, a: Ids, b: Ids) -> bool:
    return (s.a_id in a and s.b_id in b) or (s.b_id in a and s.a_id in b)


def _angle(used: Sequence[Fact], ends: Ends) -> Fact | None:
    kind = say.Angle
    return next((f for f in used if isinstance(f.statement, kind) and is_between(f, ends)), None)


def _spread(fact: Fact) -> list[float]:
    """A stated angle, and what it may have been rounded from, each in (-180, 180]."""
    value = fact.statement.value_deg
    return [180.0 - (180.0 - value - by) % 360.0 for by in (0.0, HALF_DEG, -HALF_DEG)]


def _turn_words(used: Sequence[Fact], ends: Ends, level: Level) -> set[str] | None:
    fact = _angle(used, ends)
    return None if fact is None else {word_of(angle, level) for angle in _spread(fact)}


def _turns(used: Sequence[Fact], legs: list[Ends]) -> Allows | None:
    words = [_turn_words(used, ends, "medium") for ends in legs]
    if not words or None in words:
        return None
    return lambda meaning: (
        len(meaning) == len(words)
        and all(turn in (choices or ()) for turn, choices in zip(meaning, words, strict=True))
    )


def _ordered(used: Sequence[Fact], found: list[Ids]) -> Allows | None:
    times: list[float] = []
    for ids in found:
        seen = [
            f.statement.t_s
            for f in used
            if isinstance(f.statement, say.FirstSeen) and f.statement.object_id in ids
        ]
        if not seen:
            return None
        times.append(min(seen))

    def allows(meaning: Meaning) -> bool:
        assert isinstance(meaning, tuple)
        listed = [times[int(n)] for n in meaning]
        return all(a <= b + _TIE for a, b in pairwise(listed))

    return allows


def _viewed(question: Configuration, used: Sequence[Fact], ends: Ends) -> Allows | None:
    """From the signed angle between the view and the way from b to a."""
    fact = _angle(used, ends)
    if fact is None or fact.u is None or fact.v is None:
        return None
    words = set()
    from_b = fact.u.tail_id == fact.v.tail_id
    for angle in _spread(fact):
        ahead = abs(angle) < 90.0
        holds = {
            "left": 0.0 < angle < 180.0,
            "right": -180.0 < angle < 0.0,
            "front": ahead if from_b else abs(angle) > 90.0,
            "behind": abs(angle) > 90.0 if from_b else ahead,
        }[question.relation]
        words.add("yes" if holds else "no")
    if max(map(abs, fact.v.xy_m)) <= _TIE:  # in one place, seen from above: no angle is known
        words = {"yes", "no"}
    return lambda meaning: meaning[0] in words


def _stacked(
    question: Configuration, used: Sequence[Fact], pair: tuple[Ids, Ids], cast: Cast
) -> Allows | None:
    """From heights: a gap rules a relation out; that footprints meet, no height can show."""
    a, b = cast.narrow(pair[0], "first"), cast.narrow(pair[1], "second")
    z_m: dict[tuple[str, str], float] = {}
    for fact in used:
        s = fact.statement
        if isinstance(s, say.Height):
            for name, ids in (("a", a), ("b", b)):
                if s.object_id in ids:
                    z_m.setdefault((name, s.face), s.z_m)
    try:
        refuted = _refuted(question.relation, z_m)
    except KeyError:  # a face that the relation compares is not stated
        return None
    return lambda meaning: not (meaning[0] == "yes" and refuted)


def _refuted(relation: str, z_m: dict[tuple[str, str], float]) -> bool:
    """Whether heights alone rule the relation out, rounding forgiven."""
    if relation == "inside":
        low = max(z_m["a", "bottom"], z_m["b", "bottom"])
        high = min(z_m["a", "top"], z_m["b", "top"])
        tall = z_m["a", "top"] - z_m["a", "bottom"]
        return high - low + _TIE < relations.INSIDE_SHARE * (tall - _TIE)
    if relation == "below":
        gap = z_m["b", "bottom"] - z_m["a", "top"]
    else:
        gap = z_m["a", "bottom"] - z_m["b", "top"]
    far = abs(gap) if relation == "on" else -gap
    return far > relations.CONTACT_M + _TIE
