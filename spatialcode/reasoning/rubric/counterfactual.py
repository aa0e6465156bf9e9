"""Does the stated reasoning follow the room, or only repeat it? Change the room and re-run it.

A completion's statements are read as formulas: which vectors, angles, distances, heights of which
objects. In a changed room they are evaluated anew, and must give what the solver finds there. The
room is first cut down to the objects that the reasoning cites, so that nobody is asked to foresee
objects that have become closer or surer. Three changes, each where it makes sense:

- *mirror* (x negated): directions, routes and viewed relations turn round.
- *delete* each cited object that the question names: the result must become impossible, or change;
  a count must be lower by one.
- *permute* the boxes of two cited objects, where each name can mean one cited object only: all
  families but counting, sizes and order of sight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from spatialcode.questions.types import (
    VIEWED_RELATIONS,
    AbsoluteDistance,
    Configuration,
    Counting,
    Forward,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoutePlanning,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.answers import Meaning, meaning_of
from spatialcode.reasoning.rubric.changes import mirrored, permuted, without
from spatialcode.reasoning.rubric.entailed import Allows, allowed
from spatialcode.reasoning.rubric.facts import CONCLUSIONS, facts_of, ids_of
from spatialcode.reasoning.rubric.needs import needs_of, references
from spatialcode.reasoning.rubric.verify import Context, recomputed
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode

_PERMUTED = (
    AbsoluteDistance, RelativeDistance, RelativeDirection, RoutePlanning, Configuration,
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A changed room, and what has been deleted from it, if anything."""

    code: SpatialCode
    deleted: str | None = None


def share_followed(question: Question, code: SpatialCode, statements: Sequence[Any]) -> float:
    """Share of the changes that the stated reasoning follows; 1 where none makes sense.

    0 where the reasoning gives nothing even in the room as it is.
    """
    question = replace(question, options=())
    context = Context(code)
    named = {i for reference in references(question) for i in ids_of(reference, context)}
    formulas = [s for s in statements if not isinstance(s, say.Final | say.Assumed)]
    cited = [i for i in _cited(formulas) if context.item(i) is not None]
    if not cited:
        return 1.0 if not named else 0.0
    room = replace(code, objects=tuple(item for item in code.objects if item.id in set(cited)))
    question = _pinned(question, Context(room))
    before = _rerun(question, room, formulas)
    truth = _truth(question, room)
    if before is None or truth is None or not before(truth):
        return 0.0
    followed = [
        _follows(question, change, formulas, truth)
        for change in _changes(question, room, [i for i in cited if i in named])
    ]
    known = [one for one in followed if one is not None]
    return sum(known) / len(known) if known else 1.0


def _pinned(question: Question, context: Context) -> Question:
    """The question with ids for what only one cited object can be meant by.

    A deleted thing then stays missing, rather than having its neighbour taken for it.
    """
    if isinstance(question, Counting):
        return question

    def pin(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(pin, value))
        if isinstance(value, Forward):
            return Forward(pin(value.until))
        ids = ids_of(value, context) if isinstance(value, Reference) else ()
        return replace(value, object_id=next(iter(ids)), selector=None) if len(ids) == 1 else value

    return replace(question, **{one.name: pin(getattr(question, one.name))
                                for one in fields(question)})  # fmt: skip


def _follows(
    question: Question, change: Change, formulas: Sequence[Any], before: Meaning
) -> bool | None:
    """Whether the re-run reasoning gives the changed room's truth; None where neither does."""
    now, truth = _rerun(question, change.code, formulas), _truth(question, change.code)
    if change.deleted is not None:
        if isinstance(question, Counting):
            assert isinstance(before, float)
            if before == 1.0:
                return now is None
            return truth == before - 1.0 and now is not None and now(truth)
        return now is None or not now(before)
    if truth is None:
        return None
    return now is not None and now(truth)


def _cited(formulas: Sequence[Any]) -> list[str]:
    """Ids that quantities are about, in order; a conclusion or a bare role uses nothing."""
    found: dict[str, None] = {}
    for s in formulas:
        if isinstance(s, (*CONCLUSIONS, say.RoleOf)):
            continue
        ids = list(getattr(s, "object_ids", ()))
        ids += [getattr(s, name) for name in _ENDS if hasattr(s, name)]
        found.update(dict.fromkeys(ids))
    return list(found)


_ENDS = ("object_id", "a_id", "b_id", "tail_id", "head_id")


def _rerun(question: Question, code: SpatialCode, formulas: Sequence[Any]) -> Allows | None:
    """What the formulas, evaluated in a room, allow as an answer; None where they give nothing."""
    context = Context(code)
    values = [recomputed(s, context) for s in formulas if not isinstance(s, CONCLUSIONS)]
    read = facts_of([value for value in values if value is not None], Context(code))
    found = [ids_of(reference, context) for reference in references(question)]
    if not all(found):
        return None
    needs = needs_of(question, found, read.cast, context)
    used = [fact for fact in read.facts if any(need.accepts(fact) for need in needs)]
    return allowed(question, used, found, read.cast, context)


def _truth(question: Question, code: SpatialCode) -> Meaning | None:
    """The solver's answer in a room, as a meaning; None where things are missing."""
    answer = solve(question, code)
    if not answer.grounded:
        return None
    return meaning_of(question, answer.value)


def _changes(question: Question, room: SpatialCode, named: list[str]) -> Iterator[Change]:
    if isinstance(question, RelativeDirection | RoutePlanning) or (
        isinstance(question, Configuration) and question.relation in VIEWED_RELATIONS
    ):
        yield Change(mirrored(room))
    for object_id in named:
        yield Change(without(room, object_id), object_id)
    single = all(one.object_id is not None for one in references(question))
    if single and isinstance(question, _PERMUTED):
        for a_id, b_id in pairwise(named):
            yield Change(permuted(room, a_id, b_id))
