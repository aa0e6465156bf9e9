"""The spatial rubric: a completion's score, every criterion recomputed from the code.

Process terms pay only for statements that are true, that the question needs, and that entail the
answer given; only where that answer is right or nearly so; and not at all beside a contradiction.
The definitions are in ``docs/rubric.md``. Pure and deterministic; work is linear in the text. It
cannot see why a model wrote a true line, and reads no prose.
"""

from __future__ import annotations

import math

from spatialcode.questions.types import Question
from spatialcode.reasoning.rubric.answers import is_numeric, meaning_of
from spatialcode.reasoning.rubric.claims import read_statements
from spatialcode.reasoning.rubric.config import RubricConfig, RubricScore
from spatialcode.reasoning.rubric.counterfactual import counterfactual
from spatialcode.reasoning.rubric.program import find_program, read_program
from spatialcode.reasoning.rubric.reading import Given, Reading, read_given, reading_of
from spatialcode.reasoning.rubric.steps import Need
from spatialcode.reasoning.rubric.terms import Term, term_of
from spatialcode.reasoning.rubric.verify import HALF_M
from spatialcode.scene.schema import SpatialCode

__all__ = ["RubricConfig", "RubricScore", "score"]

#: VSI-Bench's confidence thresholds, .50 to .95.
_THRESHOLDS = tuple(0.5 + 0.05 * n for n in range(10))
#: Keeps 1 - .95 from losing to the float that stands for it.
_FLOAT_EDGE = 1e-9
#: How fast the smooth answer falls: exp(-4 x relative error).
_STEEPNESS = 4.0
_FREE = ("format", "answer", "smooth")
_DEFAULT = RubricConfig()
#: A term's value, and why it is not 1.
Judged = tuple[float, str]


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
    completion = completion if short else ""
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
    terms = _terms(question, given, reading)
    if reading.needs and config.weight_counterfactual > 0:
        followed = counterfactual(question, code, statements)
        terms["counterfactual"] = followed, "the reasoning does not follow a changed room"
    terms["brevity"] = _brevity(completion, reading, config)
    shut = _shut(given, reading, terms, config) if short else (tuple(terms), "too long to be read")
    return _weighed(terms, shut, config)


def _terms(question: Question, given: Given, reading: Reading) -> dict[str, Judged]:
    terms = {"format": _format(given), "answer": _answer(given)}
    if is_numeric(question):
        terms["smooth"] = _smooth(given)
    names: tuple[Term, ...] = ("grounding", "perspective", "geometry")
    needed = {need.term for need in reading.needs if need.required}
    present = [name for name in names if name in needed]
    for name in present:
        terms[name] = _stated(reading, name, present)
    if reading.needs:
        terms["consistency"] = _consistency(question, given, reading)
    return terms


def _shut(
    given: Given, reading: Reading, terms: dict[str, Judged], config: RubricConfig
) -> tuple[tuple[str, ...], str]:
    """Terms that pay nothing, and why: hedges, contradictions, a wrong or unfounded answer."""
    if given.hedge:
        return tuple(terms), given.hedge
    if reading.contradiction:
        return tuple(name for name in terms if name != "format"), reading.contradiction
    process = tuple(name for name in terms if name not in _FREE)
    if terms["answer"][0] < config.gate:
        return process, "shut: the answer is wrong"
    value, reason = terms.get("consistency", (1.0, ""))
    return (process, f"shut: {reason}") if value == 0.0 else ((), "")


def _weighed(
    terms: dict[str, Judged], shut: tuple[tuple[str, ...], str], config: RubricConfig
) -> RubricScore:
    closed, why = shut
    values = {name: 0.0 if name in closed else value for name, (value, _) in terms.items()}
    weights = {name: getattr(config, f"weight_{name}") for name in terms}
    paid = sum(weights[name] * values[name] for name in terms)
    exact = all(value == 1.0 for value in values.values())
    total = 1.0 if exact else min(max(paid / sum(weights.values()), 0.0), 1.0)
    reasons = {
        name: why if name in closed else terms[name][1]
        for name, value in values.items()
        if value < 1.0
    }
    return RubricScore(total, values, reasons)


def _format(given: Given) -> Judged:
    """1 if the last line, and only one answer, says an answer of the right kind."""
    if given.value is None:
        return 0.0, given.error or "no line gives one answer of the kind asked for"
    return (1.0, "") if given.well_formed else (0.0, "the answer asked for is not the last line")


def _answer(given: Given) -> Judged:
    """1 or 0 for a letter; mean relative accuracy over ten thresholds for a number.

    Answers are written with 2 decimals: what this rounds away is no error.
    """
    value, gold = given.value, given.gold
    told = given.error or f"given {value}, expected {gold}"
    if not isinstance(value, float) or not isinstance(gold, float):
        return (1.0 if value == gold else 0.0), told
    error = max(0.0, abs(value - gold) - HALF_M) / max(abs(gold), HALF_M)
    passed = sum(error < 1.0 - threshold + _FLOAT_EDGE for threshold in _THRESHOLDS)
    return passed / len(_THRESHOLDS), told


def _smooth(given: Given) -> Judged:
    """exp(-4 x relative error), rounding of the gold set aside: a near miss has a gradient."""
    value, gold = given.value, given.gold
    if not isinstance(value, float) or not isinstance(gold, float):
        return 0.0, "no number is given"
    error = max(0.0, abs(value - gold) - given.printed)
    told = f"given {value}, expected {gold}"
    return math.exp(-_STEEPNESS * error / max(abs(gold), 2 * HALF_M)), told


def _stated(reading: Reading, name: Term, present: list[Term]) -> Judged:
    """Share of the term's needs that a true fact meets, times the share of its facts that serve."""
    needed: list[tuple[int, Need]] = [
        (n, need) for n, need in enumerate(reading.needs) if need.term == name and need.required
    ]
    own = [
        (fact, useful)
        for fact, useful in zip(reading.facts, reading.useful, strict=True)
        if term_of(fact, present) == name
    ]
    missing = [need.what for n, need in needed if n not in reading.met]
    beside = [fact for fact, useful in own if not useful]
    value = (1.0 - len(missing) / len(needed)) * (1.0 - len(beside) / len(own) if own else 1.0)
    reason = "; ".join(
        [fact.reason or f"beside the point: {fact.statement.text()}" for fact in beside[:2]]
        + ([f"not stated: {', '.join(missing[:3])}"] if missing else [])
    )
    return value, reason


def _consistency(question: Question, given: Given, reading: Reading) -> Judged:
    """1 if true, needed quantities entail the answer and the conclusion says so too, else 0.

    Half where the conclusion is left unsaid. A false quantity entails nothing, and a false
    conclusion follows from nothing.
    """
    meaning = meaning_of(question, given.value)
    if meaning is None:
        return 0.0, "there is no answer to entail"
    if reading.false_conclusion:
        return 0.0, reading.false_conclusion
    if reading.allows is None:
        return 0.0, "what is truly stated does not lead to an answer"
    if not reading.allows(meaning):
        return 0.0, f"what is truly stated leads to another answer than {given.value}"
    if is_numeric(question) or not isinstance(meaning, tuple):
        return 1.0, ""
    if reading.concludes is None:
        return 0.5, "the conclusion is not stated"
    if reading.concludes(meaning):
        return 1.0, ""
    return 0.0, f"the stated conclusion is another than {given.value}"


def _brevity(completion: str, reading: Reading, config: RubricConfig) -> Judged:
    """Share of the statements that serve the question, repeats not; falling with great length.

    The length alone where nothing needs to be stated. Empty text is not brief, it is missing.
    """
    if not completion.strip():
        return 0.0, "there is nothing"
    over = len(completion) - config.full_chars
    value = min(max(1.0 - over / (config.zero_chars - config.full_chars), 0.0), 1.0)
    reason = f"{len(completion)} characters" if over > 0 else ""
    if reading.needs and reading.num_stated:
        value *= reading.num_useful / reading.num_stated
        if reading.num_useful < reading.num_stated:
            reason = f"{reading.num_useful} of {reading.num_stated} statements serve the question"
    return value, reason
