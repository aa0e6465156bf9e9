"""What the question's family says of a completion's facts: what must be stated, what the stated
quantities allow as an answer, which conclusions are true.

Quantities are written rounded: every answer that numbers within half a unit of their last digit
would give is allowed. A conclusion is not believed because quantities seem to lead to it: "left",
"above" or "closest" is found again from the boxes. Conclusions of another family than the
question's are beside the point; of these only `above`, `below`, `on` and `inside`, which need no
viewer, are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic

from spatialcode.questions.types import VIEWED_RELATIONS
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.families.family import Family, Q
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.rubric.facts import Cast, Fact, Ids, ids_of
from spatialcode.reasoning.rubric.verify import HALF_M, Context
from spatialcode.scene import relations

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
