"""Terms about the answer that is given. They pay whatever the reasoning beside them is worth."""

from __future__ import annotations

import math

from spatialcode.reasoning.rubric.answers import is_numeric
from spatialcode.reasoning.rubric.reading import ReadCompletion
from spatialcode.reasoning.rubric.terms.registry import TermValue, term
from spatialcode.reasoning.rubric.verify import HALF_M

#: VSI-Bench's confidence thresholds, .50 to .95.
_THRESHOLDS = tuple(0.5 + 0.05 * n for n in range(10))
#: Keeps 1 - .95 from losing to the float that stands for it.
_FLOAT_EDGE = 1e-9
#: How fast the smooth answer falls: exp(-4 x relative error).
_STEEPNESS = 4.0


@term(weight=0.05, process=False)
def format(read: ReadCompletion) -> TermValue:  # noqa: A001 - the term's name
    """The answer's form.

    1 if the last line is `Answer: …` of the right kind and no other line says another answer.
    """
    given = read.given
    if given.value is None:
        return TermValue(0.0, given.error or "no line gives one answer of the kind asked for")
    if not given.well_formed:
        return TermValue(0.0, "the answer asked for is not the last line")
    return TermValue(1.0)


@term(weight=0.40, process=False)
def answer(read: ReadCompletion) -> TermValue:
    """The answer.

    Exact letter (or words, where a choice has no options); for numbers mean relative accuracy over
    the thresholds .50 to .95, with the rounding to 2 decimals forgiven.
    """
    value, gold = read.given.value, read.given.gold
    told = read.given.error or f"given {value}, expected {gold}"
    if not isinstance(value, float) or not isinstance(gold, float):
        return TermValue(1.0 if value == gold else 0.0, told)
    # answers are written with 2 decimals: what this rounds away is no error
    error = max(0.0, abs(value - gold) - HALF_M) / max(abs(gold), HALF_M)
    passed = sum(error < 1.0 - threshold + _FLOAT_EDGE for threshold in _THRESHOLDS)
    return TermValue(passed / len(_THRESHOLDS), told)


@term(weight=0.10, process=False)
def smooth(read: ReadCompletion) -> TermValue | None:
    """The smooth numeric answer.

    Of numbers: exp(-4 × relative error), with half a unit of the gold's last printed digit
    forgiven.
    """
    if not is_numeric(read.question):
        return None
    value, gold = read.given.value, read.given.gold
    if not isinstance(value, float) or not isinstance(gold, float):
        return TermValue(0.0, "no number is given")
    error = max(0.0, abs(value - gold) - read.given.printed)
    told = f"given {value}, expected {gold}"
    return TermValue(math.exp(-_STEEPNESS * error / max(abs(gold), 2 * HALF_M)), told)
