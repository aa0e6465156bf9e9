"""Which of a model's answers to take where nobody knows the right one.

The rubric scores a completion against a gold answer. Without one, each sample is held to its own
answer: what is left are the terms for form, cited objects, perspective, geometry and whether the
reasoning leads to the answer given, all recomputed from the code. So a sample whose claims are true
and entail its answer goes before one that is right by luck; a sample that answers another question
than was asked is not seen through if its claims serve this one too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from spatialcode.errors import SchemaError
from spatialcode.questions.types import Question
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.answers.forms import after_thinking
from spatialcode.reasoning.reasoner import ModelAnswer
from spatialcode.reasoning.rubric.claims import read_statements
from spatialcode.reasoning.rubric.config import RubricConfig
from spatialcode.reasoning.rubric.reading import reading_of
from spatialcode.reasoning.rubric.scoring import score
from spatialcode.reasoning.rubric.verify import Context, check
from spatialcode.reasoning.statements import Statement
from spatialcode.scene.schema import SpatialCode

#: The terms that need no gold answer. Brevity is not among them: all samples are of one model.
WITHOUT_GOLD = RubricConfig(weight_answer=0.0, weight_smooth=0.0, weight_brevity=0.0)


@dataclass(frozen=True)
class Claim:
    """A statement, and why the code does not bear it out; "" where it does."""

    statement: Statement
    doubt: str


@dataclass(frozen=True)
class JudgedSample:
    """A sample without its answer: what it claims, whether that holds and leads to the answer.

    ``score``: of the rubric without gold, 0 to 1. ``doubts``: why it is not verified.
    """

    claims: tuple[Claim, ...]
    score: float
    verified: bool
    doubts: tuple[str, ...]


def claims_of(
    statements: Sequence[Statement], question: Question, code: SpatialCode
) -> tuple[Claim, ...]:
    """Each statement recomputed from the code, final answers left out.

    Quantities one by one, since a repeat may say something else; conclusions as the question's
    view has them. What is assumed, the code does not hold.
    """
    context, claims = Context(code), []
    facts = reading_of(list(statements), question, code).facts
    false = {fact.statement.text(): fact.reason for fact in facts if not fact.ok}
    for one in statements:
        if isinstance(one, say.Final):
            continue
        doubt = "" if isinstance(one, say.Assumed) else check(one, context).reason
        if isinstance(one, say.Assumed):
            doubt = one.text()
        claims.append(Claim(one, doubt or false.get(one.text(), "")))
    return tuple(claims)


def judge(question: Question, code: SpatialCode, sample: ModelAnswer) -> JudgedSample:
    """A sample that holds an answer, recomputed."""
    if sample.evidence is not None:
        # its value is its answer, whatever else was written around the program
        completion = f"```program\n{sample.program}\n```"
        statements: Sequence[Statement] = sample.evidence.evidence.statements
    else:
        completion = (after_thinking(sample.text) or "").strip()
        statements = [located.statement for located in read_statements(completion)]
    claims = claims_of(statements, question, code)
    false = [claim.doubt for claim in claims if claim.doubt]
    try:
        terms, why = _terms(question, code, completion, _own_answer(question, sample))
    except SchemaError as error:  # an answer that the rubric, stricter than a reader, cannot hold
        return JudgedSample(claims, 0.0, False, (*false, str(error)))
    leads = terms.get("consistency", 0.0) > 0.0
    if not leads and why not in false:
        false.append(why)
    weights = {name: getattr(WITHOUT_GOLD, f"weight_{name}") for name in terms}
    total = sum(weights[name] * terms[name] for name in terms) / sum(weights.values())
    return JudgedSample(claims, total, not false, tuple(false))


def _own_answer(question: Question, sample: ModelAnswer) -> float | str:
    """What the sample is held to; SchemaError where that is none of the options."""
    own = sample.option if question.options else sample.value
    if own is None:
        raise SchemaError("answer", "one of the options", sample.value)
    return own


def _terms(
    question: Question, code: SpatialCode, completion: str, own: float | str
) -> tuple[dict[str, float], str]:
    """The rubric's terms, and why the reasoning does not lead to the answer.

    An answer that the rubric does not read where it stands ("the answer is B") costs the form, not
    the reasoning: it is read again with the answer on a line of its own.
    """
    scored = score(question, code, completion, own, WITHOUT_GOLD)
    terms = scored.terms
    if terms["answer"] == 0.0:
        line = f"{own:.6f}" if isinstance(own, float) else own
        scored = score(question, code, f"{completion}\nAnswer: {line}", own, WITHOUT_GOLD)
        terms = scored.terms | {"format": 0.0}
    why = scored.reasons.get("consistency", "nothing that is stated leads to this answer")
    return terms, why.removeprefix("shut: ")


def chosen(samples: Sequence[ModelAnswer], judged: Sequence[JudgedSample]) -> int:
    """The place of the best sample: verified, then by score, then the answer of most, then first.

    ``samples`` hold answers and are not empty.
    """
    answers = [(one.value, one.option) for one in samples]
    votes = Counter(answers)
    ranks = [
        (one.verified, round(one.score, 6), votes[given], -n)
        for n, (one, given) in enumerate(zip(judged, answers, strict=True))
    ]
    return ranks.index(max(ranks))
