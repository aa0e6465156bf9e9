"""The spatial rubric: a completion's score, every criterion recomputed from the code.

Process terms pay only for statements that are true, that the question needs, and that entail the
answer given; only where that answer is right or nearly so; and not at all beside a contradiction.
The definitions are in ``docs/rubric.md``. Pure and deterministic; work is linear in the text. It
cannot see why a model wrote a true line, and reads no prose.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from spatialcode.config import require, setting
from spatialcode.errors import SchemaError
from spatialcode.questions.types import Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.claims import Located, read_statements
from spatialcode.reasoning.counterfactual import counterfactual
from spatialcode.reasoning.rubric_answers import entailed, given_answer, is_numeric, says
from spatialcode.reasoning.rubric_needs import needs_of
from spatialcode.reasoning.rubric_terms import Fact, Need, Term, facts_of, term_of
from spatialcode.reasoning.verify import HALF_M, Context
from spatialcode.scene.schema import SpatialCode

#: VSI-Bench's confidence thresholds, .50 to .95.
_THRESHOLDS = tuple(0.5 + 0.05 * n for n in range(10))
_OTHER = re.compile(
    r"\\boxed\{([^{}\n]{1,60})\}|\"answer\"\s{0,4}:\s{0,4}\"?([^\",{}\n]{1,60})"
    r"|^\*\*([^*\n]{1,60})\*\*$",
    re.MULTILINE,
)
#: Keeps 1 - .95 from losing to the float that stands for it.
_FLOAT_EDGE = 1e-9


@dataclass(frozen=True)
class RubricConfig:
    """Weights (renormalised over the terms that apply), gate and lengths.

    ``gate``: the answer term that opens the process terms. ``full_chars``, ``zero_chars``:
    brevity falls from 1 to 0 between them. ``max_chars``: a longer completion is not read and
    scores 0.
    """

    weight_format: float = setting("weight of the answer's form", 0.05)
    weight_answer: float = setting("weight of the answer", 0.40)
    weight_smooth: float = setting("weight of the smooth numeric answer", 0.10)
    weight_grounding: float = setting("weight of cited objects", 0.10)
    weight_perspective: float = setting("weight of roles and vectors", 0.10)
    weight_geometry: float = setting("weight of recomputed quantities", 0.10)
    weight_consistency: float = setting("weight of reasoning entailing the answer", 0.10)
    weight_brevity: float = setting("weight of brevity", 0.05)
    weight_counterfactual: float = setting("weight of the mirrored room", 0.0)
    gate: float = setting("answer term that opens process terms", 0.5)
    full_chars: int = setting("characters up to which brevity is 1", 4000)
    zero_chars: int = setting("characters from which brevity is 0", 8000)
    max_chars: int = setting("characters of a completion that is read at all", 16000)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(math.isfinite(value) and value >= 0, name, "a finite number >= 0", value)
        ordered = self.full_chars < self.zero_chars <= self.max_chars
        require(ordered, "zero_chars", "full_chars < zero_chars <= max_chars", self.zero_chars)
        paid = self.weight_format + self.weight_answer
        require(paid > 0, "weight_answer", "weight on format or answer", paid)


@dataclass(frozen=True)
class RubricScore:
    """``total`` in [0, 1]; the terms that apply, each in [0, 1]; why a term is below 1."""

    total: float
    terms: dict[str, float]
    reasons: dict[str, str]


@dataclass(frozen=True)
class _Reading:
    """A completion read against a question: what all terms look at."""

    completion: str
    question: Question
    context: Context
    facts: list[Fact]
    needs: list[Need]
    given: float | str | None
    gold: float | str
    gold_slack: float
    contradiction: str
    ends: bool
    useful: list[bool]
    met: set[int]


def score(
    question: Question,
    code: SpatialCode,
    completion: str,
    gold: float | str,
    config: RubricConfig | None = None,
) -> RubricScore:
    """Score a completion. ``gold``: the letter, or the number in the question's unit.

    Raises SchemaError if gold is no answer to the question: that is our failure, not a zero.
    """
    config = config or RubricConfig()
    context = Context(code)
    short = len(completion) <= config.max_chars
    located = read_statements(completion) if short else []
    read = [found.statement for found in located]
    facts, contradiction = facts_of(read, context)
    finals = {s.value for s in read if isinstance(s, say.Final)}
    given = given_answer(next(iter(finals)), question) if len(finals) == 1 else None
    if short and not {given_answer(w, question) for w in _elsewhere(completion)} <= {given, None}:
        given, contradiction = None, "another answer is given in another form"
    needs = needs_of(question, context)
    serves = [[n for n, need in enumerate(needs) if need.accepts(fact)] for fact in facts]
    reading = _Reading(
        completion=completion if short else "",
        question=question,
        context=context,
        facts=facts,
        needs=needs,
        given=given,
        gold=_gold(gold, question),
        gold_slack=_printed_slack(gold),
        contradiction=contradiction,
        ends=_ends(completion, located),
        useful=[fact.ok and bool(serve) for fact, serve in zip(facts, serves, strict=True)],
        met={n for fact, serve in zip(facts, serves, strict=True) if fact.ok for n in serve},
    )
    terms = _terms(reading, config)
    gated = _gated(reading, terms, config)
    weights = {name: getattr(config, f"weight_{name}") for name in terms}
    paid = sum(weights[name] * gated[name] for name in terms)
    total = 1.0 if all(v == 1.0 for v in gated.values()) else paid / sum(weights.values())
    return RubricScore(min(max(total, 0.0), 1.0), gated, _reasons(reading, gated, short))


def _ends(completion: str, located: list[Located]) -> bool:
    """Whether the last line that holds anything is an answer."""
    if not located or not isinstance(located[-1].statement, say.Final):
        return False
    return not completion[located[-1].end :].strip()


def _elsewhere(completion: str) -> list[str]:
    """Answers in the forms that other readers take: boxed, bold alone on a line, JSON."""
    return [next(filter(None, match.groups())).strip() for match in _OTHER.finditer(completion)]


def _gold(gold: float | str, question: Question) -> float | str:
    true = given_answer(str(gold), question)
    if true is None:
        raise SchemaError("gold", f"an answer to a {question.family} question", gold)
    return true


def _printed_slack(gold: float | str) -> float:
    """Half a unit of the gold's last printed digit: a gold of "123" stands for 122.5 to 123.5."""
    if not isinstance(gold, str):
        return HALF_M
    return HALF_M + 0.5 * 10.0 ** -len(gold.strip().partition(".")[2])


def _terms(reading: _Reading, config: RubricConfig) -> dict[str, float]:
    terms = {"format": _format(reading), "answer": _answer(reading)}
    if is_numeric(reading.question):
        terms["smooth"] = _smooth(reading)
    names: tuple[Term, ...] = ("grounding", "perspective", "geometry")
    present: list[Term] = [
        n for n in names if any(need.term == n and need.required for need in reading.needs)
    ]
    for name in present:
        terms[name] = _stated(reading, name, present)
    if reading.needs:
        terms["consistency"] = _consistency(reading)
        if config.weight_counterfactual > 0:
            terms["counterfactual"] = counterfactual(
                reading.question, reading.context.code, [f.statement for f in reading.facts]
            )
    terms["brevity"] = _brevity(reading, config)
    return terms


def _gated(reading: _Reading, terms: dict[str, float], config: RubricConfig) -> dict[str, float]:
    """Process terms shut where the answer is wrong, nothing entails it, or a contradiction."""
    if reading.contradiction:
        return {name: 0.0 if name != "format" else value for name, value in terms.items()}
    is_open = terms["answer"] >= config.gate
    entails = terms.get("consistency", 1.0) > 0
    free = {"format", "answer", "smooth"}
    shut = {n for n in terms if n not in free and not (is_open and entails)}
    return {name: 0.0 if name in shut else value for name, value in terms.items()}


def _format(reading: _Reading) -> float:
    """1 if the last line, and only one answer, says an answer of the right kind."""
    return 1.0 if reading.ends and reading.given is not None else 0.0


def _answer(reading: _Reading) -> float:
    """1 or 0 for a letter; mean relative accuracy over ten thresholds for a number."""
    given, gold = reading.given, reading.gold
    if not isinstance(given, float) or not isinstance(gold, float):
        return 1.0 if given == gold else 0.0
    if gold == 0.0:
        return 1.0 if given == 0.0 else 0.0
    error = abs(given - gold) / abs(gold)
    return sum(error < 1.0 - threshold + _FLOAT_EDGE for threshold in _THRESHOLDS) / 10


def _smooth(reading: _Reading) -> float:
    """exp(-4 x relative error), rounding of the answer set aside: a near miss has a gradient."""
    given, gold = reading.given, reading.gold
    if not isinstance(given, float) or not isinstance(gold, float):
        return 0.0
    error = max(0.0, abs(given - gold) - reading.gold_slack)
    return math.exp(-4.0 * error / max(abs(gold), 0.01))


def _stated(reading: _Reading, name: Term, present: list[Term]) -> float:
    """Share of the term's needs that a true fact meets, times the share of its facts that serve."""
    needed = [n for n, need in enumerate(reading.needs) if need.term == name and need.required]
    own = [
        useful
        for fact, useful in zip(reading.facts, reading.useful, strict=True)
        if _counts_in(fact, present) == name
    ]
    met = sum(n in reading.met for n in needed)
    return met / len(needed) * (sum(own) / len(own) if own else 1.0)


def _counts_in(fact: Fact, present: list[Term]) -> Term | None:
    name = term_of(fact)
    return name if name is None or name in present else present[-1]


def _consistency(reading: _Reading) -> float:
    """1 if true, needed quantities entail the answer and the conclusion says so too, else 0.

    Half where the conclusion is left unsaid. A false quantity entails nothing.
    """
    used = [
        fact
        for fact, useful in zip(reading.facts, reading.useful, strict=True)
        if useful or term_of(fact) is None
    ]
    derived, concluded = entailed(reading.question, used, reading.context)
    if not says(reading.question, reading.given, derived):
        return 0.0
    if is_numeric(reading.question):
        return 1.0
    if concluded is None:
        return 0.5
    return 1.0 if says(reading.question, reading.given, concluded) else 0.0


def _brevity(reading: _Reading, config: RubricConfig) -> float:
    """1 up to ``full_chars``, 0 from ``zero_chars``; empty text is not brief, it is missing."""
    over = len(reading.completion) - config.full_chars
    share = 1.0 - over / (config.zero_chars - config.full_chars)
    return min(max(share, 0.0), 1.0) if reading.completion.strip() else 0.0


def _reasons(reading: _Reading, terms: dict[str, float], short: bool) -> dict[str, str]:
    if all(value == 1.0 for value in terms.values()):
        return {}
    lies = next((f.reason for f in reading.facts if not f.ok), "")
    missing = next(
        (n.what for i, n in enumerate(reading.needs) if n.required and i not in reading.met), ""
    )
    why = "too long to be read" if not short else reading.contradiction
    default = why or lies or (f"not stated: {missing}" if missing else "")
    fixed = {"answer": f"given {reading.given}, expected {reading.gold}", "smooth": "not exact"}
    return {
        name: (why or fixed.get(name) or default or "shut, or beside the point")
        for name, value in terms.items()
        if value < 1.0
    }
