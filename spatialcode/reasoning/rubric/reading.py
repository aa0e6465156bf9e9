"""A completion read against a question and a code: what all terms of the rubric look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spatialcode.errors import SchemaError
from spatialcode.questions.types import Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.answers import given_answer, is_numeric, other_answers
from spatialcode.reasoning.rubric.claims import Located
from spatialcode.reasoning.rubric.entailed import (
    Allows,
    Case,
    allowed,
    concluded,
    judged,
    needs_of,
)
from spatialcode.reasoning.rubric.facts import Fact, facts_of
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.reasoning.rubric.verify import HALF_M, Context
from spatialcode.scene.schema import SpatialCode

if TYPE_CHECKING:  # settings are made of the terms, which are functions of what is read
    from spatialcode.reasoning.rubric.scoring import RubricConfig


@dataclass(frozen=True)
class Given:
    """The answer given, and the true one.

    ``value``: a number in the question's unit, a letter or words; None where there is none, or
    more than one. ``error``: why a program gave none. ``well_formed``: it stands where it should,
    at the end. ``hedge``: why two answers were seen, "" if they were not. ``printed``: how far the
    gold may be off by its own printing.
    """

    value: float | str | None
    well_formed: bool
    hedge: str
    gold: float | str
    printed: float
    error: str = ""


@dataclass(frozen=True)
class Reading:
    """A completion's facts against a question's needs.

    ``useful``: of each fact, whether it is true and serves a need, or is a conclusion asked for.
    ``met``: needs that a true fact serves. ``num_stated``: lines of reasoning with their repeats,
    ``num_useful``: those of them that are useful. ``false_conclusion``: the first, "" if none.
    ``allows``, ``concludes``: what the used quantities and the conclusions say of the answer.
    """

    facts: list[Fact]
    needs: list[Need]
    contradiction: str
    useful: list[bool]
    met: set[int]
    num_stated: int
    num_useful: int
    false_conclusion: str
    allows: Allows | None
    concludes: Allows | None


@dataclass(frozen=True)
class ReadCompletion:
    """What a term of the rubric judges.

    ``completion``: the text, "" for one that is too long. ``statements``: as they were written, or
    of a program's trace. ``given``, ``reading``: the answer, and the statements recomputed.
    """

    question: Question
    code: SpatialCode
    completion: str
    config: RubricConfig
    given: Given
    reading: Reading
    statements: list[say.Statement]


def read_given(
    completion: str, located: list[Located], question: Question, gold: float | str
) -> Given:
    """The one answer that a completion gives.

    On a line of its own ("Answer: …"); failing that boxed, bold or in JSON, which is not the form
    asked for. Different answers anywhere are a hedge. SchemaError if gold is no answer.
    """
    finals = {s.statement.value for s in located if isinstance(s.statement, say.Final)}
    stated = {given_answer(text, question) for text in finals}
    others = other_answers(completion, question)
    value = next(iter(stated)) if len(stated) == 1 else None
    if not finals and len(others) == 1:
        value = next(iter(others))
    hedge = ""
    if len(stated) > 1 or len(others | (stated - {None})) > 1:
        value, hedge = None, "two different answers are given"
    formed = value is not None and bool(finals) and _ends(completion, located)
    return Given(value, formed, hedge, gold_of(gold, question), printed(gold))


def _ends(completion: str, located: list[Located]) -> bool:
    """Whether the last line that holds anything is an answer."""
    if not located or not isinstance(located[-1].statement, say.Final):
        return False
    return not completion[located[-1].end :].strip()


def gold_of(gold: float | str, question: Question) -> float | str:
    """The true answer as `given_answer` reads it; SchemaError if it is none."""
    if isinstance(gold, float | int) and is_numeric(question):
        return float(gold)
    true = given_answer(str(gold), question)
    if true is None:
        raise SchemaError("gold", f"an answer to a {question.family} question", gold)
    return true


def printed(gold: float | str) -> float:
    """Half a unit of the gold's last printed digit: a gold of "123" stands for 122.5 to 123.5."""
    if not isinstance(gold, str):
        return HALF_M
    return HALF_M + 0.5 * 10.0 ** -len(gold.strip().partition(".")[2])


def reading_of(statements: list[say.Statement], question: Question, code: SpatialCode) -> Reading:
    """Statements recomputed from the code, and matched with what the question needs."""
    context = Context(code)
    read = facts_of(statements, context)
    case = Case.of(question, read.cast, context)
    verdicts = [judged(fact, case) for fact in read.facts]
    facts = [fact for fact, _ in verdicts]
    needs = needs_of(case)
    serves = [[n for n, need in enumerate(needs) if need.accepts(fact)] for fact in facts]
    useful = [
        fact.ok and (asked or bool(serve))
        for (fact, asked), serve in zip(verdicts, serves, strict=True)
    ]
    used = [fact for fact, serve in zip(facts, serves, strict=True) if fact.ok and serve]
    conclusions = [fact for fact, asked in verdicts if asked]
    origins = {id(fact.origin) for fact, use in zip(facts, useful, strict=True) if use}
    keys = {fact.key for fact, use in zip(facts, useful, strict=True) if use}
    return Reading(
        facts=facts,
        needs=needs,
        contradiction=read.contradiction,
        useful=useful,
        met={n for fact, serve in zip(facts, serves, strict=True) if fact.ok for n in serve},
        num_stated=read.num_stated,
        num_useful=len(origins) + sum(key in keys for key in read.renamed),
        false_conclusion=next((f.reason for f in facts if f.is_conclusion and not f.ok), ""),
        allows=allowed(case, used) if needs else None,
        concludes=concluded(case, conclusions) if needs else None,
    )
