"""The canonical program of every question, and a program's value as an answer to one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from spatialcode.errors import ProgramError, SchemaError
from spatialcode.questions.names import plain, reference, singular
from spatialcode.questions.types import Question, Reference, UnparsedQuestion
from spatialcode.reasoning.evidence import Answer, letter_of
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.program.interpreter import DEFAULT_LIMITS, Limits, run
from spatialcode.reasoning.solver import with_letter
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode


def to_program(question: Question) -> str:
    """The program that answers the question as the solver does, where the solver is grounded.

    SchemaError for an `UnparsedQuestion`, or a reference that no phrase says.
    """
    if isinstance(question, UnparsedQuestion):
        raise SchemaError("question", "one that was understood", question)
    return family_of(question).program(question)


def answer_of_program(
    source: str, question: Question, code: SpatialCode, limits: Limits = DEFAULT_LIMITS
) -> Answer:
    """Run a program and take its value for the answer to a question, with the trace as evidence.

    Numbers are in the question's unit; true is yes; a text, a thing or a list is the option that
    says so. ``grounded``: the program used the code. Of orders that differ only in things first
    seen at one time, the first option is meant, as for the solver. ProgramError of kind "answer"
    where the value answers another kind of question or is no option; SchemaError for an
    `UnparsedQuestion`.
    """
    if isinstance(question, UnparsedQuestion):
        raise SchemaError("question", "one that was understood", question)
    result = run(source, code, limits)
    family = family_of(question)
    value: float | str
    read = family.read_value(question, result.value, SceneIndex.of(code))
    if isinstance(read, float):
        value, option, unit = read, None, family.unit(question)
    else:
        value, option, unit = read.words, read.letter or letter_of(question.options, read.words), ""
        if question.options and option is None:
            offered = ", ".join(repr(one.text) for one in question.options)
            raise not_an_answer(f"no option says {value!r}; there are: {offered}")
    trace = result.trace
    sure = math.prod(code.object(name).score for name in trace.object_ids)
    return with_letter(question, Answer(value, option, trace, bool(trace.statements), sure, unit))


def not_an_answer(reason: str) -> ProgramError:
    """The error of a program whose value answers another kind of question."""
    return ProgramError("answer", 1, 1, reason)


def quoted(text: str) -> str:
    """A text as a program writes it."""
    shown = "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"
        for c in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{shown}"'


def phrase_of(wanted: Reference) -> str:
    """A phrase that is read as the reference: its own words, its id, or words made from its parts.

    SchemaError where none of them is.
    """
    if wanted.object_id is not None:
        return wanted.object_id
    for phrase in (wanted.phrase, _built(wanted)):
        try:
            if _meaning(reference(phrase)) == _meaning(wanted):
                return " ".join(phrase.split())
        except SchemaError:
            continue
    raise SchemaError("reference", "one that a noun phrase says", wanted)


def _meaning(one: Reference) -> tuple[Any, ...]:
    selector = one.selector
    anchor = selector.anchor if selector else None
    noun = singular(plain(one.noun))
    kind = selector.kind if selector else None
    return one.object_id, noun, kind, _meaning(anchor) if anchor else None


def _built(one: Reference) -> str:
    if one.selector is None:
        return one.noun
    if one.selector.anchor is not None:
        return f"{one.noun} {one.selector.kind} {phrase_of(one.selector.anchor)}"
    if one.selector.kind in ("first_seen", "last_seen"):
        return f"{one.noun} seen {one.selector.kind[:-5]}"
    return f"{one.selector.kind} {one.noun}"


def said(wanted: Reference) -> str:
    """A thing as an argument of a program."""
    return quoted(phrase_of(wanted))


def listed(wanted: Sequence[Reference]) -> str:
    """Things as a list of a program."""
    return f"[{', '.join(map(said, wanted))}]"


def scaled(unit: str, metres: str) -> str:
    """A length in metres as one in ``unit``."""
    return f"100 * {metres}" if unit == "cm" else metres
