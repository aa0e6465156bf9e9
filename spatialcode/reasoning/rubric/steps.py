"""Steps of reasoning that several families need, and which statements serve each.

A `Need` accepts the statements that serve one step towards the answer: those about the objects that
the question names, in their roles. A true statement that no need accepts is beside the point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.facts import Fact, Ids, StatementTerm


@dataclass(frozen=True)
class Need:
    """One step of the reasoning. It must be stated if it is ``required``, else it may be."""

    term: StatementTerm
    what: str
    accepts: Callable[[Fact], bool]
    required: bool = True


def about(kind: Any, ids: Ids) -> Callable[[Fact], bool]:
    """Accepts statements of a kind about one of the objects."""
    return lambda fact: isinstance(fact.statement, kind) and fact.statement.object_id in ids


def position(ids: Ids, what: str, required: bool = True) -> Need:
    """The position of one of the objects."""
    return Need("grounding", f"position of the {what}", about(say.Position, ids), required)


def role(role: str, ids: Ids, required: bool = True) -> Need:
    """That one of the objects plays a role."""

    def accepts(fact: Fact) -> bool:
        s = fact.statement
        return isinstance(s, say.RoleOf) and s.role == role and s.object_id in ids

    return Need("perspective" if required else "grounding", f"role {role}", accepts, required)


def distance(pairs: frozenset[Ids]) -> Need:
    """The distance of one of the pairs of objects."""

    def accepts(fact: Fact) -> bool:
        s = fact.statement
        return isinstance(s, say.Distance) and frozenset((s.a_id, s.b_id)) in pairs

    return Need("geometry", "smallest distance", accepts)


def height(face: str, ids: Ids) -> Need:
    """The height of a face of one of the objects."""

    def accepts(fact: Fact) -> bool:
        s = fact.statement
        return isinstance(s, say.Height) and s.face == face and s.object_id in ids

    return Need("geometry", f"{face} of {'/'.join(sorted(ids))}", accepts)


def _vector(tail: Ids, head: Ids, what: str) -> Need:
    def accepts(fact: Fact) -> bool:
        s = fact.statement
        return isinstance(s, say.Vector) and s.tail_id in tail and s.head_id in head

    return Need("perspective", f"vector {what}", accepts)


Ends = tuple[Ids, Ids, Ids, Ids]


def is_between(fact: Fact, ends: Ends) -> bool:
    """Whether a product or angle is of vectors with these ends: (tail, head) twice."""
    u, v = fact.u, fact.v
    if u is None or v is None:
        return False
    return (
        u.tail_id in ends[0] and u.head_id in ends[1]
        and v.tail_id in ends[2] and v.head_id in ends[3]
    )  # fmt: skip


def _between(kind: Any, ends: Ends, required: bool) -> Need:
    def accepts(fact: Fact) -> bool:
        return isinstance(fact.statement, kind) and is_between(fact, ends)

    return Need("geometry", kind.__name__.lower(), accepts, required)


def turned(ends: Ends) -> list[Need]:
    """Vectors and angle of a turn from one way, (tail, head), to the next; products optional."""
    return [_vector(*ends[:2], "forward"), _vector(*ends[2:], "onward")] + [
        _between(kind, ends, kind is say.Angle) for kind in (say.Angle, say.Dot, say.Cross)
    ]
