"""The steps that each family's reasoning must state."""

from __future__ import annotations

from spatialcode.questions.types import (
    VIEWED_RELATIONS,
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
from spatialcode.reasoning.rubric_terms import Fact, Ids, Need
from spatialcode.reasoning.verify import HALF_M, Context


def needs_of(question: Question, context: Context) -> list[Need]:
    """What must be stated for the question; none where the code does not hold what it names."""
    found = [terms.ids_of(reference, context) for reference in terms.references(question)]
    if not all(found):
        return []
    match question:
        case Counting():
            return _counting(question, found[0])
        case ObjectSize():
            return [
                Need("grounding", "extents", terms.about(say.Extents, found[0])),
                Need("geometry", "longest", terms.about(say.Longest, found[0])),
            ]
        case RoomSize() if context.code.room is not None:
            return [Need("geometry", "area", lambda fact: isinstance(fact.statement, say.Area))]
        case AbsoluteDistance():
            return _pair(found, context)
        case RelativeDistance():
            return _relative(found, context)
        case RelativeDirection():
            return _direction(found)
        case RoutePlanning():
            return _route(question, found, context)
        case AppearanceOrder():
            return _order(found, context)
        case Configuration():
            return _configuration(question, found)
    return []


def _counting(question: Counting, ids: Ids) -> list[Need]:
    def accepts(fact: Fact) -> bool:
        s = fact.statement
        named = isinstance(s, say.Count) and terms.kind_matches(question.target.noun, s.noun)
        return named and bool(s.object_ids) and ids.issuperset(s.object_ids)

    return [Need("geometry", "count", accepts)]


def _pair(found: list[Ids], context: Context) -> list[Need]:
    a, b = found
    return [
        terms.position(a, "first"),
        terms.position(b, "second"),
        terms.distance(a, b, context),
        terms.role("first", a, required=False),
        terms.role("second", b, required=False),
    ]


def _relative(found: list[Ids], context: Context) -> list[Need]:
    anchor, *candidates = found
    needs = [terms.position(anchor, "anchor"), terms.role("anchor", anchor, required=False)]
    for ids in candidates:
        needs.append(terms.position(ids, "candidate"))
        needs.append(terms.role("candidate", ids, required=False))
        needs.append(terms.distance(anchor, ids, context))
    return needs


def _direction(found: list[Ids]) -> list[Need]:
    observer, facing, target = found
    needs = [
        need
        for role, ids in zip(("observer", "facing", "target"), found, strict=True)
        for need in (terms.position(ids, role), terms.role(role, ids))
    ]
    return needs + terms.turned((observer, facing, observer, target))


def _route(question: RoutePlanning, found: list[Ids], context: Context) -> list[Need]:
    start, facing, *stops, destination = found
    needs = [
        need
        for role, ids in (("start", start), ("facing", facing), ("destination", destination))
        for need in (
            terms.position(ids, role),
            terms.role(role, ids, required=role != "destination"),
        )
    ]
    for ids in stops:
        needs.append(terms.position(ids, "stop"))
        needs.append(terms.role("stop", ids, required=False))
    for ends in terms.legs_of(question, context):
        needs += terms.turned(ends)
    return needs


def _order(found: list[Ids], context: Context) -> list[Need]:
    needs = []
    for ids in found:
        seen = {i: context.index.objects[context.index.row[i]].first_seen_s for i in ids}
        first = frozenset(i for i in ids if seen[i] <= min(seen.values()) + HALF_M)
        needs.append(Need("geometry", "first sight", terms.about(say.FirstSeen, first)))
    return needs


def _configuration(question: Configuration, found: list[Ids]) -> list[Need]:
    a, b = found[:2]
    others = frozenset().union(*found[2:])
    positions = [terms.position(a, "first"), terms.position(b, "second")]
    if question.relation not in VIEWED_RELATIONS:
        heights = [Need("geometry", "height", terms.about(say.Height, ids)) for ids in (a, b)]
        return heights + [Need(n.term, n.what, n.accepts, required=False) for n in positions]
    stand = {"camera": frozenset({"camera"}), "object": b, "observer": others}[question.view]
    faced = frozenset({"front"}) | b | others
    roles = {"first": a, "second": b, "target": a, "anchor": b | others, "facing": b | others}
    roles["observer"] = stand | others
    optional = [terms.role(role, ids, required=False) for role, ids in roles.items()]
    optional += [terms.position(others, "observer")] if others else []
    optional = [Need(n.term, n.what, n.accepts, required=False) for n in optional]
    return positions + optional + terms.turned((stand | b, faced, stand | b, a | b))
