"""Completions whose reasoning is a program: run it, and read what it looked at as statements.

The program's trace is scored like written reasoning: it must hold what the question needs, with
each object in its role, and must entail the program's value. A trace is true by construction, so
one more condition is checked: in a room where the question has another answer, the program must
give another value too. A constant beside the right calls earns nothing for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from spatialcode.errors import ProgramError
from spatialcode.questions.types import Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.program.of_question import answer_of_program
from spatialcode.reasoning.rubric.answers import given_answer, meaning_of
from spatialcode.reasoning.rubric.changes import telling
from spatialcode.reasoning.rubric.claims import Located, read_statements
from spatialcode.reasoning.rubric.reading import Given, Reading, gold_of, printed, reading_of
from spatialcode.reasoning.rubric.verify import HALF_M
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode

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


@dataclass(frozen=True)
class Ran:
    """A program's result: the answer given, and its trace read against the question."""

    given: Given
    reading: Reading
    statements: list[say.Statement]


def read_program(
    written: Written, located: list[Located], question: Question, code: SpatialCode, *,
    gold: float | str, changed_rooms: bool = True,
) -> Ran:  # fmt: skip
    """Run the program; an answer line beside it must say what it gives.

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
        return Ran(told, reading_of([], question, code), [])
    value = _value(answer, question)
    finals = {one.statement.value for one in located if isinstance(one.statement, say.Final)}
    differs = any(not _same(given_answer(text, question), value) for text in finals)
    hedge = "two different answers are given" if differs else ""
    if written.num > 1:
        hedge = f"{written.num} programs are given"
    given = Given(None if hedge else value, written.ends and not hedge, hedge, true, slack)
    statements = list(answer.evidence.statements)
    reading = reading_of(statements, question, code)
    # all of a trace is true, whoever stood where; and the value itself is the conclusion
    concludes = reading.concludes or (lambda _: True)
    reading = replace(reading, contradiction="", concludes=concludes)
    meaning = meaning_of(question, value)
    entailed = reading.allows is not None and meaning is not None and reading.allows(meaning)
    if changed_rooms and entailed and not _depends(written.source, question, code, value):
        reading = replace(reading, false_conclusion="the value does not depend on the code")
    return Ran(given, reading, statements)


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
