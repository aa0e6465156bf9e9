"""The canonical program of every kind of question, and a program's value as an answer to one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from spatialcode.errors import ProgramError, SchemaError
from spatialcode.questions.names import plain, singular
from spatialcode.questions.references import reference
from spatialcode.questions.types import (
    DIRECTION_WORDS,
    TURNS,
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    ObjectSize,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.program.interpreter import DEFAULT_LIMITS, Limits, Result, Value, run
from spatialcode.reasoning.program.values import kind_of
from spatialcode.reasoning.program.views import TURN_MARK
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.solver import with_letter
from spatialcode.reasoning.stating import bare, letter_of
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject, SpatialCode

_RELATIONS = {"left": "left_of", "right": "right_of", "front": "in_front_of"}


def to_program(question: Question) -> str:
    """The program that answers the question as the solver does, where the solver is grounded.

    SchemaError for an `UnparsedQuestion`, or a reference that no phrase says.
    """
    write = _PROGRAMS.get(type(question))
    if write is None:
        raise SchemaError("question", "one that was understood", question)
    return write(question)


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
    read = _ANSWERS.get(type(question))
    if read is None:
        raise SchemaError("question", "one that was understood", question)
    result = run(source, code, limits)
    value, option, unit = read(question, result, SceneIndex.of(code))
    if isinstance(value, str) and question.options and option is None:
        offered = ", ".join(repr(one.text) for one in question.options)
        raise _wrong(f"no option says {value!r}; there are: {offered}")
    ids = result.trace.object_ids
    sure = math.prod(code.object(name).score for name in ids)
    answer = Answer(value, option, result.trace, bool(result.trace.statements), sure, unit)
    return with_letter(question, answer)


def _wrong(reason: str) -> ProgramError:
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


def _say(wanted: Reference) -> str:
    return quoted(phrase_of(wanted))


def _listed(wanted: Sequence[Reference]) -> str:
    return f"[{', '.join(map(_say, wanted))}]"


def _scaled(unit: str, metres: str) -> str:
    return f"100 * {metres}" if unit == "cm" else metres


def _nearest(question: RelativeDistance) -> str:
    name = "nearest" if question.extreme == "closest" else "farthest"
    return f"{name}({_listed(question.candidates)}, to={_say(question.anchor)})"


def _direction(question: RelativeDirection) -> str:
    roles = (question.observer, question.facing, question.target)
    observer, facing, target = map(_say, roles)
    return (
        f"direction(observer={observer}, facing={facing}, target={target}, "
        f'level="{question.level}")'
    )


def _turns(question: RoutePlanning) -> str:
    steps = (
        quoted(TURN_MARK) if isinstance(step, Blank) else _say(step.until)
        for step in question.steps
    )
    path = list(steps)
    if isinstance(question.steps[-1], Blank):  # the last turn is the one towards the destination
        path.append(_say(question.destination))
    start, facing = _say(question.start), _say(question.facing)
    return f"turns(start={start}, facing={facing}, path=[{', '.join(path)}])"


def _relation(question: Configuration) -> str:
    name = _RELATIONS.get(question.relation, question.relation)
    parts = [_say(question.a), _say(question.b)]
    if question.relation in (*_RELATIONS, "behind"):
        if question.view == "object":
            parts.append('view="object"')
        if question.observer is not None:
            parts.append(f"observer={_say(question.observer)}")
            if question.facing is not None:
                parts.append(f"facing={_say(question.facing)}")
    return f"{name}({', '.join(parts)})"


_PROGRAMS: dict[type, Callable[[Any], str]] = {
    Counting: lambda q: f"count({_say(q.target)})",
    ObjectSize: lambda q: _scaled(q.unit, f"longest({_say(q.target)})"),
    RoomSize: lambda _: "area()",
    AbsoluteDistance: lambda q: _scaled(q.unit, f"distance({_say(q.a)}, {_say(q.b)})"),
    RelativeDistance: _nearest,
    RelativeDirection: _direction,
    RoutePlanning: _turns,
    AppearanceOrder: lambda q: f"order({_listed(q.candidates)})",
    Configuration: _relation,
}

#: Value, option, unit.
Read = tuple[float | str, str | None, str]


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(f"the question asks for a number; the program gave {kind_of(value)}")
    if value < 0:
        raise _wrong(f"the question asks for a number >= 0; the program gave {value:g}")
    return float(value)


def _whole(_: Counting, result: Result, __: SceneIndex) -> Read:
    value = _number(result.value)
    if not value.is_integer():
        raise _wrong(f"the question asks for a whole number; the program gave {value:g}")
    return value, None, ""


def _measure(question: Any, result: Result, _: SceneIndex) -> Read:
    unit = "m2" if isinstance(question, RoomSize) else question.unit
    return _number(result.value), None, unit


def _candidate(question: RelativeDistance, result: Result, index: SceneIndex) -> Read:
    value, names = result.value, [bare(one.phrase) for one in question.candidates]
    if isinstance(value, str) and bare(value) in names:
        at = names.index(bare(value))
    elif isinstance(value, SceneObject):
        of = [n for n, one in enumerate(question.candidates) if value in resolve(one, index)]
        if len(of) != 1:
            raise _wrong(f"{value.id} is {len(of)} of the things to choose from")
        at = of[0]
    else:
        shown = repr(value) if isinstance(value, str) else kind_of(value)
        raise _wrong(f"the question asks for one of the things it names; the program gave {shown}")
    letter = question.options[at].letter if question.options else None
    return question.candidates[at].phrase, letter, ""


def _word(question: RelativeDirection, result: Result, _: SceneIndex) -> Read:
    value, words = result.value, DIRECTION_WORDS[question.level]
    if not isinstance(value, str) or value not in words:
        shown = repr(value) if isinstance(value, str) else kind_of(value)
        raise _wrong(f"the question asks for one of {', '.join(words)}; the program gave {shown}")
    return value, letter_of(question.options, value), ""


def _route(question: RoutePlanning, result: Result, _: SceneIndex) -> Read:
    num = sum(isinstance(step, Blank) for step in question.steps)
    turns = result.value if isinstance(result.value, list) else [result.value]
    if len(turns) != num or not all(isinstance(one, str) and one in TURNS for one in turns):
        raise _wrong(f"the question asks for a list of {num} of {', '.join(TURNS)}")
    words = ", ".join(f"Turn {str(turn).capitalize()}" for turn in turns)
    return words, letter_of(question.options, words), ""


def _sequence(question: AppearanceOrder, result: Result, index: SceneIndex) -> Read:
    names = [bare(one.phrase) for one in question.candidates]
    listed = result.value if isinstance(result.value, list) else []
    given = [bare(one) for one in listed if isinstance(one, str)]
    if len(given) != len(listed) or sorted(given) != sorted(names):
        raise _wrong("the question asks for a list of all the things it names, as it names them")
    words = ", ".join(question.candidates[names.index(one)].phrase for one in given)
    times_s = {
        name: min((item.first_seen_s for item in resolve(one, index)), default=math.inf)
        for name, one in zip(names, question.candidates, strict=True)
    }
    for option in question.options:
        parts = [(part,) for part in bare(option.text)]
        if sorted(parts) == sorted(names) and (
            [times_s[part] for part in parts] == [times_s[name] for name in given]
        ):
            said = ", ".join(question.candidates[names.index(part)].phrase for part in parts)
            return said, option.letter, ""
    return words, letter_of(question.options, words), ""


def _yes_or_no(question: Configuration, result: Result, _: SceneIndex) -> Read:
    if not isinstance(result.value, bool):
        raise _wrong(f"the question is answered by true or false, not {kind_of(result.value)}")
    word = "yes" if result.value else "no"
    return word, letter_of(question.options, word), ""


_ANSWERS: dict[type, Callable[[Any, Result, SceneIndex], Read]] = {
    Counting: _whole,
    ObjectSize: _measure,
    RoomSize: _measure,
    AbsoluteDistance: _measure,
    RelativeDistance: _candidate,
    RelativeDirection: _word,
    RoutePlanning: _route,
    AppearanceOrder: _sequence,
    Configuration: _yes_or_no,
}
