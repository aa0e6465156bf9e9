"""Stated conclusions, recomputed from the code by the relations' own definitions.

A conclusion is not believed because quantities seem to lead to it: "left", "above" or "closest"
is found again from the boxes. Those of another family than the question's have nobody to stand
anywhere, or nothing to compare; they are beside the point, and only `above`, `below`, `on` and
`inside`, which need no view, are checked everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from spatialcode.questions.types import (
    DIRECTION_WORDS,
    VIEWED_RELATIONS,
    AppearanceOrder,
    Configuration,
    Question,
    RelativeDirection,
    RelativeDistance,
    RoutePlanning,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.entailed import word_of
from spatialcode.reasoning.rubric.facts import Cast, Fact, Ids
from spatialcode.reasoning.rubric.needs import legs_of, viewed_ends
from spatialcode.reasoning.rubric.verify import Context, bind, signed_angle_deg, view_of
from spatialcode.scene import relations
from spatialcode.scene.relations import View

#: Exact numbers are compared: what is left is the order of float64 additions.
_EXACT_M = 1e-9
_STACKED = {
    "above": relations.above, "below": relations.below, "on": relations.on,
    "inside": relations.inside,
}  # fmt: skip


def judged(
    fact: Fact, question: Question, found: list[Ids], cast: Cast, context: Context
) -> tuple[Fact, bool]:
    """A conclusion with whether it is true, and whether it is one that the question asks for.

    Other facts come back as they are, and not as asked for.
    """
    if not fact.is_conclusion:
        return fact, False
    asked = bool(found) and all(found) and _is_asked(fact.statement, question, found)
    reason = _untrue(fact.statement, question, found, cast, context=context)
    if not reason:
        return fact, asked
    told = f"false: {fact.statement.text()} ({reason})"
    return replace(fact, ok=False, reason=told), asked


def _is_asked(s: Any, question: Question, found: list[Ids]) -> bool:
    match question:
        case RelativeDirection():
            fits = isinstance(s, say.Direction) and s.object_id in found[2]
            return fits and s.direction in DIRECTION_WORDS[question.level]
        case RelativeDistance():
            fits = isinstance(s, say.Extreme) and s.extreme == question.extreme
            return fits and s.anchor_id in found[0]
        case RoutePlanning():
            return isinstance(s, say.TurnAt)
        case AppearanceOrder():
            return isinstance(s, say.Order)
        case Configuration():
            fits = isinstance(s, say.Holds) and s.relation == question.relation
            return fits and s.a_id in found[0] and s.b_id in found[1]
    return False


def _untrue(s: Any, question: Question, found: list[Ids], cast: Cast, *, context: Context) -> str:
    """Why a conclusion is false; "" where it is true or is nobody's question."""
    if isinstance(s, say.Holds):
        return _holds(s, question, found, cast, context=context)
    if not found or not all(found):
        return ""
    match s, question:
        case say.Direction(), RelativeDirection():
            return _direction(s, question, found, cast, context=context)
        case say.Extreme(), RelativeDistance():
            return _extreme(s, found, context)
        case say.TurnAt(), RoutePlanning():
            return _turn(s, question, found, cast, context=context)
        case say.Order(), AppearanceOrder():
            return _order(s, found, context)
    return ""


def _holds(
    s: say.Holds, question: Question, found: list[Ids], cast: Cast, *, context: Context
) -> str:
    a, b = context.item(s.a_id), context.item(s.b_id)
    if a is None or b is None:
        return f"not in the code: {s.a_id if a is None else s.b_id}"
    if s.relation not in VIEWED_RELATIONS:
        holds = _STACKED[s.relation](a, b).holds
    else:
        if not isinstance(question, Configuration) or not found or not all(found):
            return ""  # nobody looks
        view = _view(question, found, cast, s.b_id, context=context)
        if view is None:
            return "there is no view to tell it from"
        stands, seen = view
        xy = (a.center_m[0], a.center_m[1]), (b.center_m[0], b.center_m[1])
        holds = relations.viewed(s.relation, seen, *xy, from_b=stands == s.b_id).holds
    return "" if holds == s.holds else f"it {'holds' if holds else 'does not hold'}"


def _view(
    question: Configuration, found: list[Ids], cast: Cast, b_id: str, *, context: Context
) -> tuple[str, View] | None:
    """Who looks, and the view; None where it has no horizontal direction."""
    if question.view == "camera":
        view = view_of(context.code, None)
        return None if view is None else ("camera", view)
    if question.view == "object":
        view = view_of(context.code, context.item(b_id))
        return None if view is None else (b_id, view)
    ends = viewed_ends(question, found, cast)
    stands = cast.one(ends[0], "observer", context)
    faced = b_id if question.facing is None else cast.one(ends[1], "facing", context)
    ahead, stand = bind(context, stands, faced), context.item(stands)
    if ahead is None or stand is None or ahead.xy_m == (0.0, 0.0):
        return None
    return stands, View((stand.center_m[0], stand.center_m[1]), ahead.xy_m)


def _bearing(context: Context, ends: tuple[str, str, str, str]) -> float | None:
    u, v = bind(context, *ends[:2]), bind(context, *ends[2:])
    return None if u is None or v is None else signed_angle_deg(u.xy_m, v.xy_m)


def _direction(
    s: say.Direction, question: RelativeDirection, found: list[Ids], cast: Cast, *, context: Context
) -> str:
    observer = cast.one(found[0], "observer", context)
    facing = cast.one(found[1], "facing", context)
    bearing = _bearing(context, (observer, facing, observer, s.object_id))
    if bearing is None:
        return f"not in the code: {s.object_id}"
    # a word of another level than the one asked for may be true as well
    levels = [question.level, *(level for level in DIRECTION_WORDS if level != question.level)]
    level = next((each for each in levels if s.direction in DIRECTION_WORDS[each]), question.level)
    true = word_of(bearing, level)
    return "" if s.direction == true else f"it is to the {true}"


def _extreme(s: say.Extreme, found: list[Ids], context: Context) -> str:
    anchors, *candidates = found
    metres = [
        {i: min((context.index.distance_m(i, j) for j in anchors if j != i), default=0.0)
         for i in ids}
        for ids in candidates
    ]  # fmt: skip
    said = [each[s.object_id] for each in metres if s.object_id in each]
    if not said or s.anchor_id not in anchors:
        return "neither asked nor offered"
    nearest = [min(each.values()) for each in metres]
    best = min(nearest) if s.extreme == "closest" else max(nearest)
    return "" if abs(said[0] - best) <= _EXACT_M else f"the {s.extreme} one is at {best:.2f} m"


def _turn(
    s: say.TurnAt, question: RoutePlanning, found: list[Ids], cast: Cast, *, context: Context
) -> str:
    legs = legs_of(question, found, cast, context)
    if not 1 <= s.step <= len(legs):
        return f"the route has {len(legs)} turns"
    ends = legs[s.step - 1]
    if s.object_id not in ends[2] or not all(ends):
        return "the turn is taken elsewhere"
    roles = ("start", "facing", "stop", "stop")
    tail, head, here, onward = (
        cast.one(ids, role, context) for ids, role in zip(ends, roles, strict=True)
    )
    bearing = _bearing(context, (tail, head, here, onward))
    true = None if bearing is None else relations.third(bearing)
    return "" if s.turn == true else f"it is {true}"


def _order(s: say.Order, found: list[Ids], context: Context) -> str:
    items = [item for i in s.object_ids if (item := context.item(i)) is not None]
    times = [item.first_seen_s for item in items]
    if len(times) != len(s.object_ids):
        return "it names things that are not in the code"
    if not frozenset().union(*found).issuperset(s.object_ids):
        return "it names things that are not asked for"
    return "" if times == sorted(times) else "not the order of first sight"
