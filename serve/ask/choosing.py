"""Which of a model's samples to take when the right answer is not known.

The rubric scores a completion against a gold answer. Without one, each sample is scored against its
own answer. The terms that remain are those for form, cited objects, perspective, geometry and
whether the reasoning leads to the answer, all recomputed from the code. So a sample whose claims
are true and entail its answer is preferred to one that is right by luck. A sample that answers
another question than the one asked is not detected if its claims fit this question as well.
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
from spatialcode.reasoning.rubric.reading import reading_of
from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from spatialcode.reasoning.rubric.verify import Context, check
from spatialcode.reasoning.statements import Statement
from spatialcode.scene.schema import SpatialCode

#: The terms that need no gold answer, without brevity, since all samples are by one model.
WITHOUT_GOLD = RubricConfig(weight_answer=0.0, weight_smooth=0.0, weight_brevity=0.0)


@dataclass(frozen=True)
class Claim:
    """A statement, and why the code does not confirm it; "" if it does."""

    statement: Statement
    doubt: str


@dataclass(frozen=True)
class JudgedSample:
    """What a sample claims, and whether the claims are true and lead to its answer.

    ``score``: of the rubric without a gold answer, 0 to 1. ``doubts``: why it is not verified.
    """

    claims: tuple[Claim, ...]
    score: float
    verified: bool
    doubts: tuple[str, ...]


def claims_of(
    statements: Sequence[Statement], question: Question, code: SpatialCode
) -> tuple[Claim, ...]:
    """Each statement but the final answers, recomputed from the code.

    Quantities are checked one by one, since a repetition may say something else; conclusions are
    checked in the view of the question. An assumption is never in the code, so it is doubtful.
    """
    context, claims = Context(code), []
    facts = reading_of(list(statements), question, code).facts
    false = {fact.statement.text(): fact.reason for fact in facts if not fact.ok}
    for one in statements:
        if isinstance(one, say.Final):
            continue
        doubt = one.text() if isinstance(one, say.Assumed) else check(one, context)
        claims.append(Claim(one, doubt or false.get(one.text(), "")))
    return tuple(claims)


def judge(question: Question, code: SpatialCode, sample: ModelAnswer) -> JudgedSample:
    """Recompute the claims of a sample that has an answer."""
    if sample.evidence is not None:
        # the program's value is the answer, whatever else the completion says
        completion = f"```program\n{sample.program}\n```"
        statements: Sequence[Statement] = sample.evidence.evidence.statements
    else:
        completion = (after_thinking(sample.text) or "").strip()
        statements = [located.statement for located in read_statements(completion)]
    claims = claims_of(statements, question, code)
    false = [claim.doubt for claim in claims if claim.doubt]
    try:
        terms, why = _terms(question, code, completion, _own_answer(question, sample))
    except SchemaError as error:  # the rubric is stricter than the reader of answers
        return JudgedSample(claims, 0.0, False, (*false, str(error)))
    leads = terms.get("consistency", 0.0) > 0.0
    if not leads and why not in false:
        false.append(why)
    weights = {name: getattr(WITHOUT_GOLD, f"weight_{name}") for name in terms}
    total = sum(weights[name] * terms[name] for name in terms) / sum(weights.values())
    return JudgedSample(claims, total, not false, tuple(false))


def _own_answer(question: Question, sample: ModelAnswer) -> float | str:
    """The answer that a sample is scored against; SchemaError if it is none of the options."""
    own = sample.option if question.options else sample.value
    if own is None:
        raise SchemaError("answer", "one of the options", sample.value)
    return own


def _terms(
    question: Question, code: SpatialCode, completion: str, own: float | str
) -> tuple[dict[str, float], str]:
    """The rubric's terms, and why the reasoning does not lead to the answer.

    If the rubric cannot read the answer where it is ("the answer is B"), this costs the term for
    form but not the reasoning: the completion is scored again with the answer on its own line.
    """
    scored = score(question, code, completion, own, WITHOUT_GOLD)
    terms = scored.terms
    if terms["answer"] == 0.0:
        line = f"{own:.6f}" if isinstance(own, float) else own
        scored = score(question, code, f"{completion}\nAnswer: {line}", own, WITHOUT_GOLD)
        terms = scored.terms | {"format": 0.0}
    why = scored.reasons.get("consistency", "no statement leads to this answer")
    return terms, why.removeprefix("shut: ")


def chosen(samples: Sequence[ModelAnswer], judged: Sequence[JudgedSample]) -> int:
    """The index of the best sample: verified ones first, then by score, then the most frequent
    answer, then the first. ``samples`` are not empty, and all have answers.
    """
    answers = [(one.value, one.option) for one in samples]
    votes = Counter(answers)
    ranks = [
        (one.verified, round(one.score, 6), votes[given], -n)
        for n, (one, given) in enumerate(zip(judged, answers, strict=True))
    ]
    return ranks.index(max(ranks))
