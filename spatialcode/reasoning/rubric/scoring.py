"""The spatial rubric: a completion's score, every criterion recomputed from the code.

The criteria are the terms of the registry (``terms/``). Process terms pay only for statements that
are true, that the question needs, and that entail the answer given; only where that answer is right
or nearly so; and not at all beside a contradiction. The definitions are in ``docs/rubric.md``. Pure
and deterministic; work is linear in the text. It cannot see why a model wrote a true line, and
reads no prose.
"""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.questions.types import Question
from spatialcode.reasoning.rubric.claims import read_statements
from spatialcode.reasoning.rubric.config import RubricConfig, RubricScore
from spatialcode.reasoning.rubric.program import find_program, read_program
from spatialcode.reasoning.rubric.reading import ReadCompletion, read_given, reading_of
from spatialcode.reasoning.rubric.terms import TERMS, TermValue
from spatialcode.scene.schema import SpatialCode

__all__ = ["RubricConfig", "RubricScore", "score"]

_DEFAULT = RubricConfig()


def score(
    question: Question,
    code: SpatialCode,
    completion: str,
    gold: float | str,
    config: RubricConfig = _DEFAULT,
) -> RubricScore:
    """Score a completion. ``gold``: the letter, or the number in the question's unit. A number as
    text ("3.9") also says how it was rounded, which is then forgiven.

    Raises SchemaError if gold is no answer to the question: that is our failure, not a zero. So
    is whatever a broken code makes the recomputing raise: nothing is caught here.
    """
    short = len(completion) <= config.max_chars
    read = _read(question, code, completion if short else "", gold, config)
    weights = config.weights()
    judged = {
        name: term.judge(read)
        for name, term in TERMS.items()
        if weights[name] > 0 or not term.only_if_paid
    }
    terms = {name: value for name, value in judged.items() if value is not None}
    shut = _shut(read, terms) if short else _Shut(frozenset(terms), "too long to be read")
    return _weighed(terms, shut, weights)


def _read(
    question: Question, code: SpatialCode, completion: str, gold: float | str, config: RubricConfig
) -> ReadCompletion:
    """The completion as its program's trace, or as the statements of its text."""
    located = read_statements(completion)
    written = find_program(completion, located)
    if written is not None:
        ran = read_program(
            written, located, question, code, gold=gold, changed_rooms=config.pays_process
        )
        given, reading, statements = ran.given, ran.reading, ran.statements
    else:
        given = read_given(completion, located, question, gold)
        statements = [one.statement for one in located]
        reading = reading_of(statements, question, code)
    return ReadCompletion(question, code, completion, config, given, reading, statements)


@dataclass(frozen=True)
class _Shut:
    """Terms that pay nothing, and why."""

    names: frozenset[str] = frozenset()
    why: str = ""


def _shut(read: ReadCompletion, terms: dict[str, TermValue]) -> _Shut:
    """What hedges, contradictions, and a wrong or unfounded answer shut."""
    if read.given.hedge:
        return _Shut(frozenset(terms), read.given.hedge)
    if read.reading.contradiction:
        return _Shut(frozenset(terms) - {"format"}, read.reading.contradiction)
    process = frozenset(name for name in terms if TERMS[name].process)
    if terms["answer"].value < read.config.gate:
        return _Shut(process, "shut: the answer is wrong")
    consistency = terms.get("consistency")
    if consistency is not None and consistency.value == 0.0:
        return _Shut(process, f"shut: {consistency.reason}")
    return _Shut()


def _weighed(terms: dict[str, TermValue], shut: _Shut, weights: dict[str, float]) -> RubricScore:
    values = {name: 0.0 if name in shut.names else one.value for name, one in terms.items()}
    paid = sum(weights[name] * values[name] for name in terms)
    exact = all(value == 1.0 for value in values.values())
    applied = sum(weights[name] for name in terms)
    total = 1.0 if exact else min(max(paid / applied, 0.0), 1.0)
    reasons = {
        name: shut.why if name in shut.names else terms[name].reason
        for name, value in values.items()
        if value < 1.0
    }
    return RubricScore(total, values, reasons)
