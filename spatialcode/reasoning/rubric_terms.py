"""What a question's reasoning must state, and what a completion does state, as facts.

A `Need` accepts the statements that serve one step of the answer: the objects that the question
names, in their roles. A true statement that no need accepts is beside the point. Objects are
matched by label; among several things of a kind the rubric does not decide which one a phrase like
"the largest table" means, except where the answer itself takes an extreme over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spatialcode.questions.names import HEAD, match
from spatialcode.questions.types import (
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
    RoutePlanning,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.verify import DISTANCE_M, Bound, Context, check

Term = Literal["grounding", "perspective", "geometry"]
Ids = frozenset[str]
_CONCLUSIONS = (say.Direction, say.Extreme, say.TurnAt, say.Order, say.Holds, say.Final)
_TERM_OF: dict[type, Term] = {
    say.Position: "grounding",
    say.Extents: "grounding",
    say.RoleOf: "grounding",
    say.Vector: "perspective",
}
#: Roles that several objects may play at once.
_SHARED_ROLES = ("candidate", "stop")


@dataclass(frozen=True)
class Fact:
    """One distinct statement: what it is about (``key``), what it says, whether it is true."""

    statement: Any
    key: tuple[Any, ...]
    said: Any
    ok: bool
    reason: str
    u: Bound | None = None
    v: Bound | None = None


@dataclass(frozen=True)
class Need:
    """One step that must be stated; optional ones may be."""

    term: Term
    what: str
    accepts: Callable[[Fact], bool]
    required: bool = True


def kind_matches(noun: str, label: str) -> bool:
    """Whether a label can be what a noun names: the same words, a synonym, or the noun's head."""
    return match(noun, label) >= HEAD


def ids_of(reference: Reference | None, context: Context) -> Ids:
    """Ids of the objects that a reference may mean."""
    if reference is None:
        return frozenset()
    return frozenset(item.id for item in resolve(reference, context.index))


def facts_of(statements: Sequence[Any], context: Context) -> tuple[list[Fact], str]:
    """Distinct facts in order, and the first contradiction ("" if none).

    A contradiction is one quantity stated with two values; saying the same twice is one fact.
    """
    facts: dict[tuple[Any, ...], Fact] = {}
    contradiction = ""
    for statement in statements:
        if isinstance(statement, say.Assumed):
            continue
        fact = _fact(statement, context)
        known = facts.setdefault(fact.key, fact)
        both_true = known.ok and fact.ok and not isinstance(statement, _CONCLUSIONS)
        if known.said != fact.said and not both_true:
            contradiction = contradiction or f"contradiction: {statement.text()}"[:200]
        roles = _role_fact(fact)
        if roles is not None:
            holder = facts.setdefault(roles.key, roles)
            if holder.said != roles.said:
                contradiction = contradiction or f"two objects are the {roles.key[1]}"
    return list(facts.values()), contradiction


def _fact(statement: Any, context: Context) -> Fact:
    checked = check(statement, context)
    u = v = None
    if isinstance(statement, say.Dot | say.Cross | say.Angle):
        u, v = context.vectors.get(statement.u), context.vectors.get(statement.v)
    key, said = _key(statement, u, v)
    return Fact(statement, key, said, checked.ok, checked.reason, u, v)


def _key(s: Any, u: Bound | None, v: Bound | None) -> tuple[tuple[Any, ...], Any]:
    kind = type(s)
    if kind is say.Position:
        return (kind, s.object_id), s.center_m
    if kind is say.Extents:
        return (kind, s.object_id), s.size_m
    if kind is say.RoleOf:
        holder = s.object_id if s.role in _SHARED_ROLES else ""
        return (say.RoleOf, s.role, holder), s.object_id
    if kind is say.Vector:
        return (kind, s.tail_id, s.head_id), s.xy_m
    if kind in (say.Dot, say.Cross, say.Angle):
        ends = (u.tail_id, u.head_id, v.tail_id, v.head_id) if u and v else (s.u, s.v)
        return (kind, *ends), s.value_deg if kind is say.Angle else s.value
    if kind is say.Distance:
        return (kind, *sorted((s.a_id, s.b_id))), s.value_m
    return _other_key(s)


def _other_key(s: Any) -> tuple[tuple[Any, ...], Any]:
    kind = type(s)
    if kind is say.Count:
        return (kind, s.noun), (s.value, frozenset(s.object_ids))
    if kind is say.Height:
        return (kind, s.object_id, s.face), s.z_m
    if kind is say.Extreme:
        return (kind,), (s.extreme, s.object_id)
    if kind is say.TurnAt:
        return (kind, s.step), (s.object_id, s.turn)
    if kind is say.Holds:
        return (kind, s.a_id, s.relation, s.b_id), s.holds
    named = {say.Longest: "value_m", say.FirstSeen: "t_s", say.Direction: "direction"}
    if kind in named:
        return (kind, s.object_id), getattr(s, named[kind])
    return (kind,), s.text()


def _role_fact(fact: Fact) -> Fact | None:
    s = fact.statement
    if not isinstance(s, say.Position) or s.role is None:
        return None
    role = say.RoleOf(s.role, s.object_id)
    key, said = _key(role, None, None)
    return Fact(role, key, said, fact.ok, fact.reason)


def term_of(fact: Fact) -> Term | None:
    """Which term a fact counts in; None for conclusions."""
    if isinstance(fact.statement, _CONCLUSIONS):
        return None
    return _TERM_OF.get(type(fact.statement), "geometry")


# --- what each family needs ---


def about(kind: Any, ids: Ids) -> Callable[[Fact], bool]:
    """Accepts statements of a kind about one of the objects."""
    return lambda fact: isinstance(fact.statement, kind) and fact.statement.object_id in ids


def position(ids: Ids, what: str) -> Need:
    """The position of one of the objects."""
    return Need("grounding", f"position of the {what}", about(say.Position, ids))


def role(role: str, ids: Ids, required: bool = True) -> Need:
    """That one of the objects plays a role."""

    def accepts(fact: Fact) -> bool:
        s = fact.statement
        return isinstance(s, say.RoleOf) and s.role == role and s.object_id in ids

    return Need("perspective" if required else "grounding", f"role {role}", accepts, required)


def distance(a: Ids, b: Ids, context: Context) -> Need:
    """The distance of the nearest pair of objects, one of each."""
    pairs = {(i, j): context.index.distance_m(i, j) for i in a for j in b if i != j}
    least = min(pairs.values(), default=0.0)
    near = {frozenset(p) for p, d in pairs.items() if d <= least + DISTANCE_M}

    def accepts(fact: Fact) -> bool:
        s = fact.statement
        return isinstance(s, say.Distance) and frozenset((s.a_id, s.b_id)) in near

    return Need("geometry", "smallest distance", accepts)


def _vector(tail: Ids, head: Ids, what: str) -> Need:
    def accepts(fact: Fact) -> bool:
        s = fact.statement
        return isinstance(s, say.Vector) and s.tail_id in tail and s.head_id in head

    return Need("perspective", f"vector {what}", accepts)


def _between(kind: Any, ends: tuple[Ids, Ids, Ids, Ids], required: bool) -> Need:
    def accepts(fact: Fact) -> bool:
        u, v = fact.u, fact.v
        if not isinstance(fact.statement, kind) or u is None or v is None:
            return False
        said = (u.tail_id, u.head_id, v.tail_id, v.head_id)
        return all(name in ids for name, ids in zip(said, ends, strict=True))

    return Need("geometry", kind.__name__.lower(), accepts, required)


def turned(ends: tuple[Ids, Ids, Ids, Ids]) -> list[Need]:
    """Vectors, angle and products for a turn from one way, (tail, head), to the next."""
    return [_vector(*ends[:2], "forward"), _vector(*ends[2:], "onward")] + [
        _between(kind, ends, kind is say.Angle) for kind in (say.Angle, say.Dot, say.Cross)
    ]


def legs_of(question: RoutePlanning, context: Context) -> list[tuple[Ids, Ids, Ids, Ids]]:
    """A blank each: ids of (tail, head) of the way faced before the turn and of the way after."""
    here, ahead = ids_of(question.start, context), ids_of(question.facing, context)
    faced, legs = (here, ahead), []
    for n, step in enumerate(question.steps):
        if isinstance(step, Forward):
            there = ids_of(step.until, context)
            faced, here = (here, there), there
            continue
        later = [s.until for s in question.steps[n + 1 :] if isinstance(s, Forward)]
        onward = ids_of(later[0] if later else question.destination, context)
        legs.append((*faced, here, onward))
    return legs


def references(question: Question) -> list[Reference]:
    """Every thing that a question names."""
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
            return [question.start, question.facing, *stops, question.destination]
        case AppearanceOrder():
            return list(question.candidates)
        case Configuration():
            named = (question.a, question.b, question.observer, question.facing)
            return [reference for reference in named if reference is not None]
    return []
