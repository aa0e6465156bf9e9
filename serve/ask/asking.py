"""A question about a spatial code, answered: by the exact solver, or by a language model.

A model is asked several times, and what it can be held to without knowing the right answer chooses
among its answers (`choosing`). ``verified`` is then said of the chosen one alone. Where codes and
models come from, and how long a model may take, is not known here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from serve.ask.choosing import Claim, Judged, chosen, judge
from serve.ask.evidence import Evidence, evidence_of
from spatialcode.api import ask
from spatialcode.config import require
from spatialcode.errors import ModelError, SpatialCodeError
from spatialcode.questions.parse import parse
from spatialcode.questions.types import Question, UnparsedQuestion
from spatialcode.reasoning.answers.numbers import unit_of
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.evidence import Evidence as SolverEvidence
from spatialcode.reasoning.models.loading import CompletionModel
from spatialcode.reasoning.reasoner import ModelAnswer, ProgramReasoner, TextReasoner
from spatialcode.reasoning.solver import solve, with_letter
from spatialcode.reasoning.statements import Assumed
from spatialcode.scene.schema import SpatialCode

#: Another name, for those who do not ask what a model completes.
LanguageModel = CompletionModel
REASONERS = ("solver", "program", "text")
#: Reasoning takes time and memory of the square of the objects' number: half a second for this many
#: on one core. A code sent along may hold any number.
MAX_OBJECTS = 300


class AskingError(SpatialCodeError):
    """Base of why a question has no answer; ``status``: HTTP's, which says so."""

    code = "asking"
    status = 422


class QuestionNotUnderstoodError(AskingError, ValueError):
    """The question is of no known kind."""

    code = "question_not_understood"


class CodeTooLargeError(AskingError, ValueError):
    """The code has more objects than are reasoned over."""

    code = "code_too_large"


class PromptTooLongError(AskingError, ValueError):
    """The question and the objects it names do not fit into what the model reads."""

    code = "prompt_too_long"


class ReasonerMissingError(AskingError, LookupError):
    """The service has no language model for this reasoner."""

    code = "reasoner_missing"


class NoAnswerError(AskingError, RuntimeError):
    """None of the model's samples holds an answer to the question."""

    code = "no_answer"


class ModelFailedError(AskingError, RuntimeError):
    """The language model, or the endpoint behind which it is, failed for every sample."""

    code = "model"
    status = 503


@dataclass(frozen=True)
class Asked:
    """A question in words. ``options``: "A. left" or "left"; none for a number. ``reasoner``: one
    of `REASONERS`. ``num_samples``: answers to draw from a model. ConfigError names what is wrong.
    """

    question: str
    options: tuple[str, ...] = ()
    reasoner: str = "solver"
    num_samples: int = 1

    def __post_init__(self) -> None:
        require(self.reasoner in REASONERS, "reasoner", " or ".join(REASONERS), self.reasoner)
        require(self.num_samples >= 1, "num_samples", "a whole number >= 1", self.num_samples)


@dataclass(frozen=True)
class Answered:
    """An answer, as `messages.AskAnswer` sends it.

    ``verified``: every claim recomputes from the code, and they lead to the answer; else ``doubts``
    says why not. ``num_prompt_tokens``, ``num_tokens``: of all samples, as the model counted them.
    """

    answer: str
    value: float | str
    option: str | None
    unit: str
    grounded: bool
    confidence: float
    verified: bool
    reasoner: str
    evidence: Evidence
    doubts: tuple[str, ...] = ()
    program: str | None = None
    num_samples: int = 1
    num_prompt_tokens: int = 0
    num_tokens: int = 0


def answer(asked: Asked, code: SpatialCode, model: LanguageModel | None = None) -> Answered:
    """The answer to a question about a code. ``model``: not needed by the solver.

    Raises the AskingError family.
    """
    if len(code.objects) > MAX_OBJECTS:
        raise CodeTooLargeError(
            f"code: expected at most {MAX_OBJECTS} objects, got {len(code.objects)}"
        )
    question = parse(asked.question, asked.options)
    if isinstance(question, UnparsedQuestion):
        raise QuestionNotUnderstoodError(f"question: {question.reason}")
    if asked.reasoner == "solver":
        return _solved(asked, code)
    if model is None:
        raise ReasonerMissingError(
            f"reasoner: expected one that this service has, got {asked.reasoner!r} without a model"
        )
    return _reasoned(asked, question, code, model)


def _solved(asked: Asked, code: SpatialCode) -> Answered:
    """The exact answer: what it states is computed from the code, so only guesses are doubtful."""
    found = ask(code, asked.question, asked.options)
    claims = tuple(
        Claim(one, one.text() if isinstance(one, Assumed) else "")
        for one in found.evidence.statements
    )
    doubts = tuple(claim.doubt for claim in claims if claim.doubt)
    if not found.grounded and not doubts:
        doubts = ("not everything that the question names is in the code",)
    return Answered(
        answer=found.final(), value=found.value, option=found.option, unit=found.unit,
        grounded=found.grounded, confidence=found.confidence, verified=not doubts,
        reasoner="solver", evidence=evidence_of(claims, code, found.evidence.object_ids),
        doubts=doubts,
    )  # fmt: skip


def _reasoned(
    asked: Asked, question: Question, code: SpatialCode, model: LanguageModel
) -> Answered:
    """The best of several samples."""
    kind = ProgramReasoner if asked.reasoner == "program" else TextReasoner
    try:
        drawn = kind(model).answer_all([(question, code)] * asked.num_samples)
    except ModelError as error:  # an endpoint that is not set up
        raise ModelFailedError(f"the language model failed: {error}") from error
    samples = [sample for sample in drawn if sample.error is None]
    if not samples:
        raise _failure(drawn[0])
    judged = [judge(question, code, sample) for sample in samples]
    best = chosen(samples, judged)
    sample, verdict = samples[best], judged[best]
    given = _as_answer(question, sample)
    used = () if sample.evidence is None else sample.evidence.evidence.object_ids
    evidence = evidence_of(verdict.claims, code, used)
    completions = [one.completion for one in drawn if one.completion is not None]
    return Answered(
        answer=given.final(), value=given.value, option=given.option, unit=given.unit,
        grounded=solve(question, code).grounded,
        confidence=_confidence(verdict, evidence, code), verified=verdict.verified,
        reasoner=asked.reasoner, evidence=evidence, doubts=verdict.doubts,
        program=sample.program or None, num_samples=len(drawn),
        num_prompt_tokens=sum(one.num_prompt_tokens or 0 for one in completions),
        num_tokens=sum(one.num_tokens or 0 for one in completions),
    )  # fmt: skip


def _as_answer(question: Question, sample: ModelAnswer) -> Answer:
    """What a model said, in the form of the solver's answers."""
    if sample.evidence is not None:
        return sample.evidence
    assert sample.value is not None
    nothing = SolverEvidence()
    unit = unit_of(question) if isinstance(sample.value, float) else ""
    return with_letter(question, Answer(sample.value, sample.option, nothing, False, 0.0, unit))


def _confidence(verdict: Judged, evidence: Evidence, code: SpatialCode) -> float:
    """That all things which the answer rests on are there; 0 where it does not rest on them."""
    if not verdict.verified:
        return 0.0
    return math.prod(code.object(one.id).score for one in evidence.objects)


def _failure(sample: ModelAnswer) -> AskingError:
    """Why there is no answer, by the first sample."""
    why = sample.error or ""
    if sample.stage == "prompt":
        return PromptTooLongError(why)
    if sample.stage == "model":
        return ModelFailedError(f"the language model failed: {why}")
    return NoAnswerError(f"the language model gave no answer to the question: {why}")
