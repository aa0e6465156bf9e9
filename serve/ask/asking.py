"""Answers to questions about a spatial code, by the exact solver or by a language model.

A model may be asked several times; one of its samples is chosen by what can be checked without
knowing the right answer (`choosing`). ``verified`` then refers to the chosen one alone. Where codes
come from, where a model runs and how long it may take is not known here.

`ServedModel` is the language model that the service's settings describe. A single answer is decoded
greedily; several are sampled, since they would otherwise be equal.
"""

from __future__ import annotations

import copy
import math
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from serve.ask.choosing import Claim, JudgedSample, chosen, judge
from serve.config import ReasonerDeploymentConfig
from serve.http.messages import AskAnswer, EvidenceObject, EvidenceOut, Quantity
from spatialcode.api import ask
from spatialcode.config import require
from spatialcode.errors import ModelError, SpatialCodeError
from spatialcode.questions.types import Question, UnparsedQuestion
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.evidence import Answer, Evidence
from spatialcode.reasoning.families.registry import family_of, parse
from spatialcode.reasoning.models.endpoint import OpenAICompatible
from spatialcode.reasoning.models.loading import (
    CompletionModel,
    ModelSpec,
    bundled,
    load_model,
)
from spatialcode.reasoning.models.local import HuggingFaceModel
from spatialcode.reasoning.reasoner import ModelAnswer, ProgramReasoner, TextReasoner
from spatialcode.reasoning.solver import solve, with_letter
from spatialcode.reasoning.statements import Assumed
from spatialcode.scene.schema import SpatialCode

REASONERS = ("solver", "program", "text")
#: Time and memory of reasoning grow with the square of the number of objects: this many take half
#: a second on one core. A code in a request may hold any number.
MAX_OBJECTS = 300


class AskingError(SpatialCodeError):
    """Base of the reasons why a question has no answer; ``status``: the HTTP status."""

    code = "asking"
    status = 422


class QuestionNotUnderstoodError(AskingError, ValueError):
    """The question is not of any known family."""

    code = "question_not_understood"


class CodeTooLargeError(AskingError, ValueError):
    """The code has too many objects."""

    code = "code_too_large"


class PromptTooLongError(AskingError, ValueError):
    """The question and the objects that it names do not fit into the model's context."""

    code = "prompt_too_long"


class ReasonerMissingError(AskingError, LookupError):
    """The service has no language model for this reasoner."""

    code = "reasoner_missing"


class NoAnswerError(AskingError, RuntimeError):
    """None of the model's samples contains an answer to the question."""

    code = "no_answer"


class ModelFailedError(AskingError, RuntimeError):
    """The language model, or its endpoint, failed for every sample."""

    code = "model"
    status = 503


@dataclass(frozen=True)
class Asked:
    """A question in words. ``options``: "A. left" or "left"; none for a number. ``reasoner``: one
    of `REASONERS`. ``num_samples``: samples to draw from a model. Raises ConfigError.
    """

    question: str
    options: tuple[str, ...] = ()
    reasoner: str = "solver"
    num_samples: int = 1

    def __post_init__(self) -> None:
        require(self.reasoner in REASONERS, "reasoner", " or ".join(REASONERS), self.reasoner)
        require(self.num_samples >= 1, "num_samples", "a whole number >= 1", self.num_samples)


def answer(asked: Asked, code: SpatialCode, model: CompletionModel | None = None) -> AskAnswer:
    """The answer to a question about a code. ``model``: needed by all reasoners but the solver.

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


def _solved(asked: Asked, code: SpatialCode) -> AskAnswer:
    """The solver's answer. Its statements come from the code; only assumptions are doubts."""
    found = ask(code, asked.question, asked.options)
    claims = tuple(
        Claim(one, one.text() if isinstance(one, Assumed) else "")
        for one in found.evidence.statements
    )
    doubts = tuple(claim.doubt for claim in claims if claim.doubt)
    if not found.grounded and not doubts:
        doubts = ("not everything that the question names is in the code",)
    return AskAnswer(
        answer=found.final(), value=found.value, option=found.option, unit=found.unit,
        grounded=found.grounded, confidence=found.confidence, verified=not doubts,
        reasoner="solver", evidence=evidence_of(claims, code, found.evidence.object_ids),
        doubts=doubts,
    )  # fmt: skip


def _reasoned(
    asked: Asked, question: Question, code: SpatialCode, model: CompletionModel
) -> AskAnswer:
    """The best of a model's samples."""
    kind = ProgramReasoner if asked.reasoner == "program" else TextReasoner
    try:
        drawn = kind(model).answer_all([(question, code)] * asked.num_samples)
    except ModelError as error:  # an endpoint is not set up
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
    return AskAnswer(
        answer=given.final(), value=given.value, option=given.option, unit=given.unit,
        grounded=solve(question, code).grounded,
        confidence=_confidence(verdict, evidence, code), verified=verdict.verified,
        reasoner="program" if kind is ProgramReasoner else "text", evidence=evidence,
        doubts=verdict.doubts, program=sample.program or None, num_samples=len(drawn),
        num_prompt_tokens=sum(one.num_prompt_tokens or 0 for one in completions),
        num_tokens=sum(one.num_tokens or 0 for one in completions),
    )  # fmt: skip


def _as_answer(question: Question, sample: ModelAnswer) -> Answer:
    """A model's answer in the form of the solver's answers."""
    if sample.evidence is not None:
        return sample.evidence
    assert sample.value is not None
    nothing = Evidence()
    unit = family_of(question).unit(question) if isinstance(sample.value, float) else ""
    return with_letter(question, Answer(sample.value, sample.option, nothing, False, 0.0, unit))


def _confidence(verdict: JudgedSample, evidence: EvidenceOut, code: SpatialCode) -> float:
    """The probability that all objects in the evidence exist; 0 if the answer is not verified."""
    if not verdict.verified:
        return 0.0
    return math.prod(code.object(one.id).score for one in evidence.objects)


def _failure(sample: ModelAnswer) -> AskingError:
    """Why there is no answer, according to the first sample."""
    why = sample.error or ""
    if sample.stage == "prompt":
        return PromptTooLongError(why)
    if sample.stage == "model":
        return ModelFailedError(f"the language model failed: {why}")
    return NoAnswerError(f"the language model did not answer the question: {why}")


#: ``reasoner.model=bundled`` is the tiny model that comes with the software.
BUNDLED = "bundled"


def reasoners_of(config: ReasonerDeploymentConfig) -> tuple[str, ...]:
    """The reasoners that a model makes possible; the bundled one only writes programs."""
    if not config.has_model:
        return ()
    return ("program",) if config.model == BUNDLED else ("program", "text")


class ServedModel:
    """A model that is loaded once and asked often. A local one answers one question at a time."""

    def __init__(self, config: ReasonerDeploymentConfig) -> None:
        self.names = reasoners_of(config)
        model = load_model(spec_of(config))
        self._sampling: CompletionModel = model
        self._greedy: CompletionModel = _greedy(model)
        self._turn = threading.Semaphore(1 if not config.base_url else 64)

    def answer(self, asked: Asked, code: SpatialCode) -> AskAnswer:
        """The answer. Raises the AskingError family."""
        with self._turn:
            model = self._greedy if asked.num_samples == 1 else self._sampling
            return answer(asked, code, model)


def spec_of(config: ReasonerDeploymentConfig) -> ModelSpec:
    """The settings as `load_model` takes them, with the bundled model by its folder."""
    spec = replace(config, batch_size=config.batch_size or config.max_samples)
    return bundled(spec) if config.model == BUNDLED else spec


def _greedy(model: CompletionModel) -> CompletionModel:
    """A model that shares the weights of another and always takes the most likely token."""
    assert isinstance(model, OpenAICompatible | HuggingFaceModel)
    twin = copy.copy(model)
    twin.settings = replace(model.settings, temperature=0.0)
    return twin


#: For each kind of statement, the field with its value and the unit of that value.
_VALUES: dict[type, tuple[str, str]] = {
    say.Position: ("center_m", "m"), say.Extents: ("size_m", "m"), say.RoleOf: ("role", ""),
    say.Vector: ("xy_m", "m"), say.Dot: ("value", ""), say.Cross: ("value", ""),
    say.Angle: ("value_deg", "deg"), say.Distance: ("value_m", "m"), say.Longest: ("value_m", "m"),
    say.Count: ("value", ""), say.FirstSeen: ("t_s", "s"), say.Area: ("value_m2", "m2"),
    say.Height: ("z_m", "m"), say.Direction: ("direction", ""), say.Extreme: ("object_id", ""),
    say.TurnAt: ("turn", ""), say.Order: ("object_ids", ""), say.Holds: ("holds", ""),
    say.Assumed: ("value", ""),
}  # fmt: skip
_ID_FIELDS = ("object_id", "a_id", "b_id", "anchor_id", "tail_id", "head_id")
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def evidence_of(
    claims: Sequence[Claim], code: SpatialCode, object_ids: Iterable[str] = ()
) -> EvidenceOut:
    """Claims as evidence. ``object_ids`` come first; others follow as they are mentioned."""
    things = {item.id: item for item in code.objects}
    quantities = tuple(_quantity(claim, things) for claim in claims)
    named = (name for one in quantities for name in one.objects)
    used = [things[name] for name in dict.fromkeys((*object_ids, *named)) if name in things]
    return EvidenceOut(
        text=tuple(one.text for one in quantities),
        objects=tuple(EvidenceObject.model_validate(item) for item in used),
        quantities=quantities,
    )


def _quantity(claim: Claim, things: dict[str, Any]) -> Quantity:
    statement: Any = claim.statement
    name, unit = _VALUES[type(statement)]
    if isinstance(statement, say.Vector) and statement.head_id == "front":
        unit = ""  # a direction of length 1
    ids = [getattr(statement, one, "") for one in _ID_FIELDS]
    ids += getattr(statement, "object_ids", ())
    return Quantity(
        kind=_CAPITAL.sub("_", type(statement).__name__).lower(),
        text=statement.text(),
        objects=tuple(dict.fromkeys(one for one in ids if one in things)),
        value=getattr(statement, name),
        unit=unit,
        recomputes=not claim.doubt,
    )
