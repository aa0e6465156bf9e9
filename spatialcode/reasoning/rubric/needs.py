"""The steps that each family's reasoning must state."""

from __future__ import annotations

from collections.abc import Callable

from spatialcode.questions.types import (
    VIEWED_RELATIONS,
    AbsoluteDistance,
    AppearanceOrder,
    Configuration,
    Counting,
    Forward,
    ObjectSize,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.facts import Cast, Fact, Ids, ids_of
from spatialcode.reasoning.rubric.steps import Ends, Need
from spatialcode.reasoning.rubric.verify import DISTANCE_M, HALF_M, Context

FRONT = frozenset({"front"})
CAMERA = frozenset({"camera"})
_FACES = {
    "above": (("bottom",), ("top",)), "on": (("bottom",), ("top",)),
    "below": (("top",), ("bottom",)), "inside": (("top", "bottom"), ("top", "bottom")),
}  # fmt: skip


def references(question: Question) -> list[Reference]:
    """Every thing that a question's reasoning must find in the code."""
    match question:
        case Counting() | ObjectSize():
            return [question.target]
        case AbsoluteDistance():
            return [question.a, question.b]
        case RelativeDistance():
            return [question.anchor, *question.candidates]
        case RelativeDirection():
            return [question.observer, question.facing, question.target]
        case RoutePlanning():
            stops = [s.until for s in question.steps if isinstance(s, Forward)]
            return [question.start, question.facing, *stops]
        case AppearanceOrder():
            return list(question.candidates)
        case Configuration():
            named = (question.a, question.b, question.observer, question.facing)
            return [reference for reference in named if reference is not None]
    return []


def needs_of(question: Question, found: list[Ids], cast: Cast, context: Context) -> list[Need]:
    """What must be stated; none where the code does not hold what the question names.

    ``found``: the objects of each of `references`. A count of things that a selector picks has no
    statement of its own, so nothing of it can be asked for.
    """
    if not all(found):
        return []
    match question:
        case Counting() if question.target.selector is None and question.target.object_id is None:
            return [Need("geometry", "count", _counts(found[0], context))]
        case ObjectSize():
            ids = cast.narrow(found[0], "measured")
            return [
                Need("grounding", "extents", steps.about(say.Extents, ids)),
                Need("geometry", "longest", steps.about(say.Longest, ids)),
            ]
        case RoomSize() if context.code.room is not None and context.code.room.area_m2 > 0.0:
            return [Need("geometry", "area", lambda fact: isinstance(fact.statement, say.Area))]
        case AbsoluteDistance():
            return _pair(found, context)
        case RelativeDistance():
            return _relative(found, context)
        case RelativeDirection():
            return _direction(found, cast)
        case RoutePlanning():
            return _route(question, found, cast, context)
        case AppearanceOrder():
            return [
                Need("geometry", "first sight", steps.about(say.FirstSeen, _earliest(ids, context)))
                for ids in found
            ]
        case Configuration():
            return _configuration(question, found, cast, context)
    return []


def _counts(ids: Ids, context: Context) -> Callable[[Fact], bool]:
    def accepts(fact: Fact) -> bool:
        s = fact.statement
        if not isinstance(s, say.Count) or not s.object_ids:
            return False
        twins = context.index.twins
        return all(i in ids or ids & twins.get(i, frozenset()) for i in s.object_ids)

    return accepts


def nearest_pairs(a: Ids, b: Ids, context: Context) -> frozenset[Ids]:
    """The pairs, one of each, that are closest, rounding forgiven."""
    pairs = {frozenset((i, j)): context.index.distance_m(i, j) for i in a for j in b if i != j} or {
        frozenset((i, j)): 0.0 for i in a for j in b
    }
    least = min(pairs.values())
    return frozenset(pair for pair, metres in pairs.items() if metres <= least + DISTANCE_M)


def _pair(found: list[Ids], context: Context) -> list[Need]:
    pairs = nearest_pairs(found[0], found[1], context)
    near: Ids = frozenset().union(*pairs)
    a, b = found[0] & near, found[1] & near
    return [
        steps.position(a, "first"),
        steps.position(b, "second"),
        steps.distance(pairs),
        steps.role("first", a, required=False),
        steps.role("second", b, required=False),
    ]


def _relative(found: list[Ids], context: Context) -> list[Need]:
    anchor, *candidates = found
    needs = [steps.position(anchor, "anchor"), steps.role("anchor", anchor, required=False)]
    for ids in candidates:
        pairs = nearest_pairs(anchor, ids, context)
        near = ids & frozenset().union(*pairs)
        needs.append(steps.position(near, "candidate"))
        needs.append(steps.role("candidate", near, required=False))
        needs.append(steps.distance(pairs))
        needs.append(steps.position(anchor & frozenset().union(*pairs), "anchor", required=False))
    return needs


def _direction(found: list[Ids], cast: Cast) -> list[Need]:
    roles = ("observer", "facing", "target")
    needs = [
        need
        for role, ids in zip(roles, found, strict=True)
        for need in (steps.position(ids, role), steps.role(role, ids))
    ]
    return needs + steps.turned(direction_ends(found, cast))


def direction_ends(found: list[Ids], cast: Cast) -> Ends:
    """Ends of the forward vector and of the one to the target."""
    roles = ("observer", "facing", "target")
    observer, facing, target = (
        cast.narrow(ids, role) for role, ids in zip(roles, found, strict=True)
    )
    return observer, facing, observer, target


def _route(question: RoutePlanning, found: list[Ids], cast: Cast, context: Context) -> list[Need]:
    start, facing, *stops = found
    needs = [
        need
        for role, ids in (("start", start), ("facing", facing))
        for need in (steps.position(ids, role), steps.role(role, ids))
    ]
    for ids in stops:
        needs.append(steps.position(ids, "stop", required=False))
        needs.append(steps.role("stop", ids, required=False))
    goal = ids_of(question.destination, context)
    needs.append(steps.position(goal, "destination", required=False))
    needs.append(steps.role("destination", goal, required=False))
    for ends in legs_of(question, found, cast, context):
        needs.append(steps.position(ends[3], "next stop"))
        needs += steps.turned(ends)
    return needs


def legs_of(question: RoutePlanning, found: list[Ids], cast: Cast, context: Context) -> list[Ends]:
    """A blank each: ids of (tail, head) of the way faced before the turn and of the way after."""
    here, ahead = cast.narrow(found[0], "start"), cast.narrow(found[1], "facing")
    upcoming = iter([*found[2:], ids_of(question.destination, context)])
    faced, goal, legs = (here, ahead), next(upcoming), []
    for step in question.steps:
        if isinstance(step, Forward):
            faced, here, goal = (here, goal), goal, next(upcoming, goal)
        else:
            legs.append((*faced, here, goal))
    return legs


def _earliest(ids: Ids, context: Context) -> Ids:
    seen = {i: context.index.objects[context.index.row[i]].first_seen_s for i in ids}
    return frozenset(i for i in ids if seen[i] <= min(seen.values()) + HALF_M)


def _configuration(
    question: Configuration, found: list[Ids], cast: Cast, context: Context
) -> list[Need]:
    a, b = cast.narrow(found[0], "first"), cast.narrow(found[1], "second")
    positions = [(a, "first"), (b, "second")]
    if question.relation not in VIEWED_RELATIONS:
        needs = [
            steps.height(face, ids)
            for ids, faces in zip((a, b), _FACES[question.relation], strict=True)
            for face in faces
        ]
        needs += [steps.position(ids, what, required=False) for ids, what in positions]
        return needs + [steps.role(what, ids, required=False) for ids, what in positions]
    ends = viewed_ends(question, found, cast)
    if ends[0] == CAMERA and not context.code.cameras:
        return []
    needs = [steps.position(ids, what) for ids, what in positions]
    roles = {"first": a, "second": b, "target": a, "anchor": b}
    if question.observer is not None:
        roles |= {"observer": ends[0], "facing": ends[1]}
        needs += [steps.position(ids, "viewer", required=False) for ids in ends[:2]]
    needs += [steps.role(what, ids, required=False) for what, ids in roles.items()]
    return needs + steps.turned(ends)


def viewed_ends(question: Configuration, found: list[Ids], cast: Cast) -> Ends:
    """Ends of the viewing direction, and of the vector from b to a."""
    a, b = cast.narrow(found[0], "first"), cast.narrow(found[1], "second")
    if question.view == "camera":
        return CAMERA, FRONT, b, a
    if question.view == "object":
        return b, FRONT, b, a
    observer = cast.narrow(found[2], "observer")
    faced = cast.narrow(found[3], "facing") if question.facing is not None else b
    return observer, faced, b, a
