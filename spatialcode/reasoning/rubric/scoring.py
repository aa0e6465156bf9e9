"""The spatial rubric: its settings, and a completion's score, every criterion recomputed.

The criteria are the terms of the registry (``terms/``). Process terms pay only for statements that
are true, that the question needs, and that entail the answer given; only where that answer is right
or nearly so; and not at all beside a contradiction. The definitions are in ``docs/rubric.md``. Pure
and deterministic; work is linear in the text. It cannot see why a model wrote a true line, and
reads no prose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, make_dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from spatialcode.config import require, setting
from spatialcode.questions.types import Question
from spatialcode.reasoning.rubric.claims import read_statements
from spatialcode.reasoning.rubric.reading import (
    ReadCompletion,
    find_program,
    read_given,
    read_program,
    reading_of,
)
from spatialcode.reasoning.rubric.terms import TERMS, TermValue
from spatialcode.reasoning.rubric.terms.registry import WATCHERS
from spatialcode.scene.schema import SpatialCode

_PREFIX = "weight_"


@dataclass(frozen=True)
class _RubricSettings:
    """The settings that are no term's weight, and what is asked of all of them."""

    gate: float = setting("answer term that opens process terms", 0.5)
    full_chars: int = setting("characters up to which brevity forgives length", 4000)
    zero_chars: int = setting("characters from which brevity is 0", 8000)
    max_chars: int = setting("characters of a completion that is read at all", 16000)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(math.isfinite(value) and value >= 0, name, "a finite number >= 0", value)
        ordered = self.full_chars < self.zero_chars <= self.max_chars
        require(ordered, "zero_chars", "full_chars < zero_chars <= max_chars", self.zero_chars)
        # these two apply to every question, so that there is always something to divide by
        weights = self.weights()
        paid = weights["format"] + weights["answer"]
        require(paid > 0, "weight_answer", "weight on format or answer", paid)

    def weights(self) -> dict[str, float]:
        """Each registered term's weight, in the registry's order."""
        return {name: getattr(self, _PREFIX + name) for name in TERMS}

    def with_weight(self, name: str, weight: float) -> Self:
        """The same settings but for one term's weight."""
        changed: dict[str, Any] = {_PREFIX + name: weight}
        return replace(self, **changed)

    @property
    def pays_process(self) -> bool:
        """Whether anything is paid beside the answer and its form."""
        weights = self.weights()
        return any(one.process and weights[name] > 0 for name, one in TERMS.items())


class RubricConfig(_RubricSettings):
    """A setting ``weight_<name>`` for each term of the registry, the gate, and lengths.

    Weights are renormalised over the terms that apply. ``gate``: the answer term that opens the
    process terms. ``full_chars``, ``zero_chars``: the length that brevity forgives, and the one
    from which it is 0. ``max_chars``: a longer completion is not read and scores 0.
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None: ...


def _take_weights() -> None:
    """Give `RubricConfig` one setting for each registered term.

    Its fields are inherited from a dataclass made of the registry, so that a term that is
    registered later becomes a setting too, of the one class that schemas name.
    """
    fields = []
    for one in TERMS.values():
        about = one.meaning[0].lower() + one.meaning[1:].rstrip(".")
        fields.append((_PREFIX + one.name, float, setting(f"weight of {about}", one.weight)))
    RubricConfig.__bases__ = (
        make_dataclass("Weights", fields, bases=(_RubricSettings,), frozen=True),
    )


WATCHERS.append(_take_weights)
_take_weights()


@dataclass(frozen=True)
class RubricScore:
    """``total`` in [0, 1]; the terms that apply, each in [0, 1]; why a term is below 1."""

    total: float
    terms: dict[str, float]
    reasons: dict[str, str]


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
    shut = _shut(read, terms) if short else dict.fromkeys(terms, "too long to be read")
    return _weighed(terms, shut, weights)


def _read(
    question: Question, code: SpatialCode, completion: str, gold: float | str, config: RubricConfig
) -> ReadCompletion:
    """The completion as its program's trace, or as the statements of its text."""
    located = read_statements(completion)
    written = find_program(completion, located)
    if written is not None:
        given, reading = read_program(
            written, located, question, code, gold=gold, changed_rooms=config.pays_process
        )
    else:
        given = read_given(completion, located, question, gold)
        reading = reading_of([one.statement for one in located], question, code)
    return ReadCompletion(question, code, completion, config, given, reading)


def _shut(read: ReadCompletion, terms: dict[str, TermValue]) -> dict[str, str]:
    """The terms that pay nothing, each with the reason: a hedge, a contradiction, or an answer that
    is wrong or does not follow.
    """
    if read.given.hedge:
        return dict.fromkeys(terms, read.given.hedge)
    if read.reading.contradiction:
        return {name: read.reading.contradiction for name in terms if name != "format"}
    process = [name for name in terms if TERMS[name].process]
    if terms["answer"].value < read.config.gate:
        return dict.fromkeys(process, "shut: the answer is wrong")
    consistency = terms.get("consistency")
    if consistency is not None and consistency.value == 0.0:
        return dict.fromkeys(process, f"shut: {consistency.reason}")
    return {}


def _weighed(
    terms: dict[str, TermValue], shut: dict[str, str], weights: dict[str, float]
) -> RubricScore:
    values = {name: 0.0 if name in shut else one.value for name, one in terms.items()}
    paid = sum(weights[name] * values[name] for name in terms)
    exact = all(value == 1.0 for value in values.values())
    applied = sum(weights[name] for name in terms)
    total = 1.0 if exact else min(max(paid / applied, 0.0), 1.0)
    reasons = {
        name: shut.get(name, terms[name].reason) for name, value in values.items() if value < 1.0
    }
    return RubricScore(total, values, reasons)
