"""A completion read against a question and a code: what all terms of the rubric look at.

The trace of a program is read like written reasoning: it must hold what the question needs, with
each object in its role, and must entail the program's value. A trace is true by construction, so
one more condition is checked: in a room where the question has another answer, the program must
give another value too. A program that calls the right functions but returns a constant earns
nothing for its calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spatialcode.errors import ProgramError, SchemaError
from spatialcode.questions.types import Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.program.of_question import answer_of_program
from spatialcode.reasoning.rubric.answers import given_answer, is_numeric, meaning_of, other_answers
from spatialcode.reasoning.rubric.changes import telling
from spatialcode.reasoning.rubric.claims import Located, read_statements
from spatialcode.reasoning.rubric.facts import Allows, Case, Fact, facts_of, judged
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.reasoning.rubric.verify import HALF_M, Context
from spatialcode.reasoning.solver import solve
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

    ``statements``: as they were written, or of a program's trace. ``useful``: of each fact, whether
    it is true and serves a need, or is a conclusion asked for. ``met``: needs that a true fact
    serves. ``num_stated``: lines of reasoning with their repeats, ``num_useful``: those of them
    that are useful. ``false_conclusion``: the first, "" if none. ``allows``, ``concludes``: what
    the used quantities and the conclusions say of the answer.
    """

    statements: list[say.Statement]
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

    ``completion``: the text, "" for one that is too long. ``given``, ``reading``: the answer, and
    the statements recomputed.
    """

    question: Question
    code: SpatialCode
    completion: str
    config: RubricConfig
    given: Given
    reading: Reading


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
    needs = case.family.needs(case) if all(case.found) else []
    serves = [[n for n, need in enumerate(needs) if need.accepts(fact)] for fact in facts]
    useful = [
        fact.ok and (asked or bool(serve))
        for (fact, asked), serve in zip(verdicts, serves, strict=True)
    ]
    used = [fact for fact, serve in zip(facts, serves, strict=True) if fact.ok and serve]
    stated = [fact.statement for fact, asked in verdicts if asked]
    concluded = needs and stated and not case.family.numeric
    origins = {id(fact.origin) for fact, use in zip(facts, useful, strict=True) if use}
    keys = {fact.key for fact, use in zip(facts, useful, strict=True) if use}
    return Reading(
        statements=statements,
        facts=facts,
        needs=needs,
        contradiction=read.contradiction,
        useful=useful,
        met={n for fact, serve in zip(facts, serves, strict=True) if fact.ok for n in serve},
        num_stated=read.num_stated,
        num_useful=len(origins) + sum(key in keys for key in read.renamed),
        false_conclusion=next((f.reason for f in facts if f.is_conclusion and not f.ok), ""),
        allows=case.family.allows(case, used) if needs else None,
        concludes=case.family.concludes(case, stated) if concluded else None,
    )


_FENCE = re.compile(r"\s{0,8}```\s{0,8}(\w{0,20})\s{0,8}")
_LINE = re.compile(r"\s{0,8}program\s{0,8}:\s{0,8}(\S.*)", re.IGNORECASE)
_SAYS_SO = ("program",)
_MAY_BE = ("", "python", "py")


@dataclass(frozen=True)
class Written:
    """A completion's last program: its source, whether nothing but an answer line follows it, and
    how many programs there are.
    """

    source: str
    ends: bool
    num: int


def find_program(completion: str, located: list[Located]) -> Written | None:
    """The program that a completion answers by; None for one that is to be read as text.

    A block fenced as ``program``, or a line ``program: …``; a block fenced as Python or as nothing
    where there is no answer line.
    """
    finals = any(isinstance(one.statement, say.Final) for one in located)
    tags = _SAYS_SO if finals else (*_SAYS_SO, *_MAY_BE)
    lines = completion.split("\n")
    found: list[tuple[str, int]] = []
    opened: tuple[int, str] | None = None
    for n, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        if opened is None and fence is None:
            single = _LINE.fullmatch(line)
            found += [(single[1], n)] if single else []
        elif opened is None and fence is not None:
            opened = n, fence[1].lower()
        elif opened is not None and fence is not None and not fence[1]:
            found += [("\n".join(lines[opened[0] + 1 : n]), n)] if opened[1] in tags else []
            opened = None
    if not found:
        return None
    source, last = found[-1]
    rest = [n for n in range(last + 1, len(lines)) if lines[n].strip()]
    answers = len(rest) == 1 and read_statements(lines[rest[0]])
    ends = not rest or bool(answers and isinstance(answers[-1].statement, say.Final))
    return Written(source.strip(), ends, len(found))


def read_program(
    written: Written, located: list[Located], question: Question, code: SpatialCode, *,
    gold: float | str, changed_rooms: bool = True,
) -> tuple[Given, Reading]:  # fmt: skip
    """The answer that a program gives, and its trace read against the question. An answer line
    beside it must say what it gives.

    ``changed_rooms``: also check whether its value changes with the room. Most of the time goes
    there, and it matters only where more than the answer is paid. SchemaError if gold is no answer
    to the question.
    """
    true, slack = gold_of(gold, question), printed(gold)
    nothing = Given(None, False, "", true, slack)
    try:
        answer = answer_of_program(written.source, question, code)
    except ProgramError as error:
        told = replace(nothing, error=f"the program fails: {error}")
        return told, reading_of([], question, code)
    value = _value(answer, question)
    finals = {one.statement.value for one in located if isinstance(one.statement, say.Final)}
    differs = any(not _same(given_answer(text, question), value) for text in finals)
    hedge = "two different answers are given" if differs else ""
    if written.num > 1:
        hedge = f"{written.num} programs are given"
    given = Given(None if hedge else value, written.ends and not hedge, hedge, true, slack)
    reading = reading_of(list(answer.evidence.statements), question, code)
    # all of a trace is true, whoever stood where; and the value itself is the conclusion
    concludes = reading.concludes or (lambda _: True)
    reading = replace(reading, contradiction="", concludes=concludes)
    meaning = meaning_of(question, value)
    entailed = reading.allows is not None and meaning is not None and reading.allows(meaning)
    if changed_rooms and entailed and not _depends(written.source, question, code, value):
        reading = replace(reading, false_conclusion="the value does not depend on the code")
    return given, reading


def _value(answer: Answer, question: Question) -> float | str | None:
    if answer.option is not None:
        return answer.option
    if isinstance(answer.value, str):
        return given_answer(answer.value, question)
    return float(answer.value)


def _same(a: float | str | None, b: float | str | None) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= HALF_M
    return a == b


def _depends(source: str, question: Question, code: SpatialCode, value: float | str | None) -> bool:
    """Whether the program's value differs in the first changed room where the true answer does."""
    plain = replace(question, options=())
    before, meant = solve(plain, code).value, meaning_of(question, value)
    for room in telling(question, code):
        answer = solve(plain, room)
        if not answer.grounded or answer.value == before:
            continue
        try:
            now = answer_of_program(source, plain, room)
        except ProgramError:
            return True
        return meaning_of(plain, _value(now, plain)) != meant
    return True
