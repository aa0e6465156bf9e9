"""What the question's family says of a completion's facts: what must be stated, what the stated
quantities allow as an answer, which conclusions are true.

Quantities are written rounded: every answer that numbers within half a unit of their last digit
would give is allowed. A conclusion is not believed because quantities seem to lead to it: "left",
"above" or "closest" is found again from the boxes. Conclusions of another family than the
question's are beside the point; of these only `above`, `below`, `on` and `inside`, which need no
viewer, are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from spatialcode.questions.types import VIEWED_RELATIONS, Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.rubric.facts import Cast, Fact, Ids, ids_of
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.reasoning.rubric.verify import HALF_M, Context
from spatialcode.scene import relations

#: Whether a meaning (`rubric.answers`) is one that is allowed.
Allows = Callable[[Any], bool]
#: Two quoted numbers that are compared differ by no more than their rounding.
TIE_M = 2 * HALF_M

Q = TypeVar("Q", bound=Question)


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
    def names_things(self) -> bool:
        """Whether the question names things, and the code holds all of them."""
        return bool(self.found) and all(self.found)

    def chosen(self, place: int, role: str) -> Ids:
        """The named thing at a place in ``found``, narrowed to the one that plays the role."""
        return self.cast.narrow(self.found[place], role)


def needs_of(case: Case[Any]) -> list[Need]:
    """What must be stated; none where the code does not hold what the question names."""
    return family_of(case.question).needs(case) if all(case.found) else []


def allowed(case: Case[Any], used: Sequence[Fact]) -> Allows | None:
    """Which meanings the true, needed quantities allow; None where they do not suffice."""
    return family_of(case.question).allows(case, used)


def concluded(case: Case[Any], facts: Sequence[Fact]) -> Allows | None:
    """Which meanings the stated conclusions say; None where none is stated, or none is needed."""
    family = family_of(case.question)
    stated = [fact.statement for fact in facts]
    return family.concludes(case, stated) if stated and not family.numeric else None


def judged(fact: Fact, case: Case[Any]) -> tuple[Fact, bool]:
    """A conclusion with whether it is true, and whether it is one that the question asks for.

    Other facts come back as they are, and not as asked for.
    """
    if not fact.is_conclusion:
        return fact, False
    family = family_of(case.question)
    concludes = case.names_things and isinstance(fact.statement, family.conclusion)
    asked = concludes and family.asks(case, fact.statement)
    reason = _untrue(fact.statement, case)
    if not reason:
        return fact, asked
    told = f"false: {fact.statement.text()} ({reason})"
    return replace(fact, ok=False, reason=told), asked


def _untrue(conclusion: Any, case: Case[Any]) -> str:
    """Why a conclusion is false; "" where it is true or is nobody's question."""
    if isinstance(conclusion, say.Holds):
        a, b = (case.context.item(name) for name in (conclusion.a_id, conclusion.b_id))
        if a is None or b is None:
            return f"not in the code: {conclusion.a_id if a is None else conclusion.b_id}"
        if conclusion.relation not in VIEWED_RELATIONS:
            holds = relations.VERTICAL[conclusion.relation](a, b).holds
            return "" if holds == conclusion.holds else f"it {_holds(holds)}"
    family = family_of(case.question)
    concludes = case.names_things and isinstance(conclusion, family.conclusion)
    return family.refutes(case, conclusion) if concludes else ""


def _holds(holds: bool) -> str:
    return "holds" if holds else "does not hold"


def differs(holds: bool, stated: say.Holds) -> str:
    """Why a stated relation is false, where it is."""
    return "" if holds == stated.holds else f"it {_holds(holds)}"
