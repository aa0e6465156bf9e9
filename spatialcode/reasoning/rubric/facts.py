"""What a completion states, as distinct and checked facts, which objects it chose, and which of its
conclusions are true.

What a phrase means, with selectors like "the largest", is decided as the solver decides it
(`resolve`). Where a plain noun may mean several objects, the roles that the completion states say
which one it chose, and the rest of it must be about that one.

A conclusion is not believed because quantities seem to lead to it: "left", "above" or "closest" is
found again from the boxes. Conclusions of another family than the question's are beside the point;
of these only `above`, `below`, `on` and `inside`, which need no viewer, are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal

from spatialcode.questions.types import VIEWED_RELATIONS, Reference
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.families.family import Family, Q
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric.verify import HALF_M, Bound, Context, check
from spatialcode.scene import relations

#: The terms of the rubric that one statement each counts in.
StatementTerm = Literal["grounding", "perspective", "geometry"]
Ids = frozenset[str]
#: What follows from quantities; whether it does depends on the question.
CONCLUSIONS = (say.Direction, say.Extreme, say.TurnAt, say.Order, say.Holds)
_TERM_OF: dict[type, StatementTerm] = {
    say.Position: "grounding",
    say.Extents: "grounding",
    say.RoleOf: "perspective",
    say.Vector: "perspective",
}
#: Roles that several objects may play at once.
_SHARED_ROLES = ("candidate", "stop")


@dataclass(frozen=True)
class Fact:
    """One distinct statement: what it is about (``key``), what it says, and why it is false ("").

    ``u``, ``v``: the vectors that a product or an angle is of. ``origin``: the statement that it
    was read from, since a role is often stated together with a position.
    """

    statement: Any
    key: tuple[Any, ...]
    said: Any
    reason: str
    u: Bound | None = None
    v: Bound | None = None
    origin: Any = None

    @property
    def ok(self) -> bool:
        return not self.reason

    @property
    def is_conclusion(self) -> bool:
        return isinstance(self.statement, CONCLUSIONS)


@dataclass(frozen=True)
class Cast:
    """Which objects a completion chose: by role, and all that it cites in order."""

    roles: dict[str, str] = field(default_factory=dict)
    cited: tuple[str, ...] = ()

    def narrow(self, ids: Ids, role: str) -> Ids:
        """The object that plays the role, if it is among ``ids``; else all of ``ids``."""
        chosen = self.roles.get(role)
        return frozenset({chosen}) if chosen in ids else ids

    def one(self, ids: Ids, role: str, context: Context) -> str:
        """The object chosen among ``ids``, of which there is at least one: the one that plays the
        role, else the first that is cited, else the one with the highest score.
        """
        chosen = self.roles.get(role)
        if chosen in ids:
            return str(chosen)
        cited = next((i for i in self.cited if i in ids), None)
        rows = context.index.row
        return cited or max(sorted(ids), key=lambda i: context.index.objects[rows[i]].score)


@dataclass
class Facts:
    """A completion's distinct facts in order, its first contradiction ("" if none), its cast.

    ``num_stated``: statements with their repeats, without final answers and assumptions.
    ``renamed``: keys of vectors that a later name was given to, and used in a product or an angle.
    """

    facts: list[Fact]
    contradiction: str
    cast: Cast
    num_stated: int
    renamed: list[tuple[Any, ...]]


def ids_of(reference: Reference | None, context: Context) -> Ids:
    """Ids of the objects that a reference may mean."""
    if reference is None:
        return frozenset()
    return frozenset(item.id for item in resolve(reference, context.index))


def facts_of(statements: Sequence[Any], context: Context) -> Facts:
    """Distinct facts; a contradiction is one quantity stated with two values.

    Saying the same twice is one fact. Conclusions are taken as true here.
    """
    facts: dict[tuple[Any, ...], Fact] = {}
    names: dict[str, tuple[Any, ...]] = {}
    contradiction, num_stated = "", 0
    for statement in statements:
        if isinstance(statement, say.Assumed | say.Final):
            continue
        num_stated += 1
        fact = _fact(statement, context)
        for one in (fact, _role_fact(fact)):
            if one is None:
                continue
            known = facts.setdefault(one.key, one)
            if isinstance(one.statement, say.Vector) and one.statement.name != known.statement.name:
                names[one.statement.name] = one.key
            both_true = known.ok and one.ok and not isinstance(one.statement, _EXACT)
            if known.said != one.said and not both_true:
                told = f"contradiction: {known.statement.text()} / {one.statement.text()}"
                contradiction = contradiction or told[:200]
    found = list(facts.values())
    turned = [
        f.statement for f in found if isinstance(f.statement, say.Dot | say.Cross | say.Angle)
    ]
    used = {name for one in turned for name in (one.u, one.v)}
    renamed = [key for name, key in names.items() if name in used]
    return Facts(found, contradiction, _cast_of(found), num_stated, renamed)


#: Two different statements of these kinds contradict each other even if each could be true.
_EXACT = (*CONCLUSIONS, say.RoleOf)


def _cast_of(facts: Sequence[Fact]) -> Cast:
    roles: dict[str, str] = {}
    cited: dict[str, None] = {}
    for fact in facts:
        s = fact.statement
        if isinstance(s, say.RoleOf) and s.role not in _SHARED_ROLES:
            roles[s.role] = s.object_id
        elif isinstance(s, say.Position | say.Extents):
            cited.setdefault(s.object_id)
            if isinstance(s, say.Extents):
                roles.setdefault("measured", s.object_id)
        elif isinstance(s, say.Holds):
            roles.setdefault("first", s.a_id)
            roles.setdefault("second", s.b_id)
    return Cast(roles, tuple(cited))


def _fact(statement: Any, context: Context) -> Fact:
    reason = check(statement, context)
    u = v = None
    if isinstance(statement, say.Dot | say.Cross | say.Angle):
        u, v = context.vectors.get(statement.u), context.vectors.get(statement.v)
    key, said = _key(statement, u, v)
    return Fact(statement, key, said, reason, u, v, statement)


#: Of a statement: what it is about, and what it says of that.
_PARTS: dict[type, Callable[[Any], tuple[tuple[Any, ...], Any]]] = {
    say.Position: lambda s: ((s.object_id,), s.center_m),
    say.Extents: lambda s: ((s.object_id,), s.size_m),
    say.RoleOf: lambda s: (
        (s.role, s.object_id if s.role in _SHARED_ROLES else ""), s.object_id
    ),
    say.Vector: lambda s: ((s.tail_id, s.head_id), s.xy_m),
    say.Distance: lambda s: (tuple(sorted((s.a_id, s.b_id))), s.value_m),
    say.Longest: lambda s: ((s.object_id,), s.value_m),
    say.FirstSeen: lambda s: ((s.object_id,), s.t_s),
    say.Height: lambda s: ((s.object_id, s.face), s.z_m),
    say.Count: lambda s: ((s.noun,), (s.value, frozenset(s.object_ids))),
    say.Direction: lambda s: ((s.object_id,), s.direction),
    say.Extreme: lambda s: ((), (s.extreme, s.object_id)),
    say.TurnAt: lambda s: ((s.step,), (s.object_id, s.turn)),
    say.Holds: lambda s: ((s.a_id, s.relation, s.b_id), s.holds),
}  # fmt: skip


def _key(s: Any, u: Bound | None, v: Bound | None) -> tuple[tuple[Any, ...], Any]:
    kind = type(s)
    if isinstance(s, say.Dot | say.Cross | say.Angle):
        ends = (u.tail_id, u.head_id, v.tail_id, v.head_id) if u and v else (s.u, s.v)
        return (kind, *ends), s.value_deg if isinstance(s, say.Angle) else s.value
    about, said = _PARTS[kind](s) if kind in _PARTS else ((), s.text())
    return (kind, *about), said


def _role_fact(fact: Fact) -> Fact | None:
    s = fact.statement
    if not isinstance(s, say.Position) or s.role is None:
        return None
    role = say.RoleOf(s.role, s.object_id)
    key, said = _key(role, None, None)
    return Fact(role, key, said, fact.reason, origin=s)


def term_of(fact: Fact, present: Sequence[StatementTerm]) -> StatementTerm | None:
    """The term, of those that apply, in which a fact counts; None for conclusions."""
    if fact.is_conclusion or not present:
        return None
    name = _TERM_OF.get(type(fact.statement), "geometry")
    if name in present:
        return name
    return "grounding" if name == "perspective" and "grounding" in present else present[-1]


#: Whether a meaning (`rubric.answers`) is one that is allowed.
Allows = Callable[[Any], bool]
#: Two quoted numbers that are compared differ by no more than their rounding.
TIE_M = 2 * HALF_M


@dataclass(frozen=True)
class Case(Generic[Q]):
    """A question against a code, and what a completion chose to look at.

    ``found``: the ids of each thing that the question names, in the order of the family's
    `references`. ``cast``: which objects the completion chose.
    """

    question: Q
    found: list[Ids]
    cast: Cast
    context: Context

    @classmethod
    def of(cls, question: Q, cast: Cast, context: Context) -> Case[Q]:
        """The case of a question in the context's code."""
        named = family_of(question).references(question)
        return cls(question, [ids_of(one, context) for one in named], cast, context)

    @property
    def family(self) -> Family[Q]:
        """The family of the question."""
        return family_of(self.question)

    def chosen(self, place: int, role: str) -> Ids:
        """The named thing at a place in ``found``, narrowed to the one that plays the role."""
        return self.cast.narrow(self.found[place], role)


def judged(fact: Fact, case: Case[Any]) -> tuple[Fact, bool]:
    """A conclusion with whether it is true, and whether it is one that the question asks for.

    Other facts come back as they are, and not as asked for.
    """
    if not fact.is_conclusion:
        return fact, False
    conclusion, family = fact.statement, case.family
    known = bool(case.found) and all(case.found)
    concludes = known and isinstance(conclusion, family.conclusion)
    asked = concludes and family.asks(case, conclusion)
    reason = _untrue(conclusion, case.context) if isinstance(conclusion, say.Holds) else None
    if reason is None:
        reason = family.refutes(case, conclusion) if concludes else ""
    if not reason:
        return fact, asked
    return replace(fact, reason=f"false: {conclusion.text()} ({reason})"), asked


def _untrue(stated: say.Holds, context: Context) -> str | None:
    """Why a relation does not hold as stated, "" where it does; None where that needs a viewer."""
    a, b = (context.item(name) for name in (stated.a_id, stated.b_id))
    if a is None or b is None:
        return f"not in the code: {stated.a_id if a is None else stated.b_id}"
    if stated.relation in VIEWED_RELATIONS:
        return None
    return differs(relations.VERTICAL[stated.relation](a, b).holds, stated)


def differs(holds: bool, stated: say.Holds) -> str:
    """Why a stated relation is false, where it is."""
    return "" if holds == stated.holds else f"it {'holds' if holds else 'does not hold'}"
