"""What answers the questions about one room: the exact solver, or a model over text or programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.evaluate.config import EvaluateConfig
from spatialcode.questions.types import Question
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.kept import kept_code
from spatialcode.reasoning.models.loading import ModelSpec, bundled
from spatialcode.reasoning.priors.guesses import guess as guess_from
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.solver import solve
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

if TYPE_CHECKING:
    from spatialcode.reasoning.reasoner import ModelAnswer, ProgramReasoner, TextReasoner

Row = dict[str, Any]


class RoomReasoner(Protocol):
    """Answers questions about one room."""

    def answer_all(
        self, questions: Sequence[Question], code: SpatialCode, priors: Priors | None
    ) -> list[Row]:
        """One outcome a question, in order: an answer's columns, or ``error`` saying why not."""
        ...


def load_reasoner(config: EvaluateConfig) -> RoomReasoner:
    """The reasoner that a configuration names, its model loaded. ModelError where it cannot be."""
    if config.reasoner == "solver":
        return SolverReasoner(config.keep)
    from spatialcode.reasoning.models.loading import load_model
    from spatialcode.reasoning.prompts import PromptSettings
    from spatialcode.reasoning.reasoner import ProgramReasoner, TextReasoner

    model = load_model(model_of(config))
    settings = PromptSettings(max_tokens=config.prompt_tokens, keep=config.keep)
    kind = {"text": TextReasoner, "program": ProgramReasoner}[config.reasoner]
    return ModelReasoner(kind(model, settings), config.fallback == "priors")


def check_reasoner(config: EvaluateConfig) -> None:
    """ModelError where the model that is set is not there; a local one is not loaded for this."""
    if config.reasoner == "solver":
        return
    spec = model_of(config)
    if spec.base_url or not Path(spec.model).exists():
        load_reasoner(config)


def model_of(config: EvaluateConfig) -> ModelSpec:
    """The model that is set; for programs without one, the bundled tiny reasoner."""
    spec = config.model
    named = config.reasoner != "program" or spec.model or spec.base_url
    return spec if named else bundled(spec)


class SolverReasoner:
    """The exact solver; ``keep`` "named": it is shown only the boxes that a question names."""

    def __init__(self, keep: str = "all") -> None:
        self.keep = keep

    def answer_all(
        self, questions: Sequence[Question], code: SpatialCode, priors: Priors | None
    ) -> list[Row]:
        return [self._answer(question, code, priors) for question in questions]

    def _answer(self, question: Question, code: SpatialCode, priors: Priors | None) -> Row:
        try:
            shown = kept_code(question, code) if self.keep == "named" else code
            return outcome(solve(question, shown, priors))
        except Exception as error:  # the one boundary of a question: an error is data
            return failed(f"{type(error).__name__}: {error}")


class ModelReasoner:
    """A language model.

    With ``fall_back`` a question that it does not answer, because an object is missing from the
    code or its completion holds no answer, is guessed from priors.
    """

    def __init__(self, reasoner: TextReasoner | ProgramReasoner, fall_back: bool) -> None:
        self.reasoner = reasoner
        self.fall_back = fall_back

    def answer_all(
        self, questions: Sequence[Question], code: SpatialCode, priors: Priors | None
    ) -> list[Row]:
        given = self.reasoner.answer_all([(question, code) for question in questions])
        return [
            self._outcome(question, code, priors, answer)
            for question, answer in zip(questions, given, strict=True)
        ]

    def _outcome(
        self, question: Question, code: SpatialCode, priors: Priors | None, given: ModelAnswer
    ) -> Row:
        wrote = {"completion": given.text, "program": given.program or None}
        if given.error is not None:
            why = f"{given.stage}: {given.error}"
            if given.stage == "model":  # an endpoint's failure says nothing about the model
                return {**wrote, **failed(why)}
            if self.fall_back:
                guess = outcome(guess_from(question, SceneIndex.of(code), priors or Priors()))
                return {**wrote, **guess, "evidence": f"{why}\n{guess['evidence']}"}
            return {**wrote, **unanswered(why)}
        shown = given.option if given.option is not None else given.value
        row = {"answer": shown, "option": given.option, "value": given.value, "error": None}
        if given.evidence is not None:
            row.update(outcome(given.evidence))
        return {**wrote, **row}


def outcome(answer: Answer) -> Row:
    """An answer's columns."""
    return {
        "answer": answer.final(), "option": answer.option, "value": answer.value,
        "grounded": answer.grounded, "confidence": answer.confidence,
        "evidence": answer.evidence.text(), "error": None,
    }  # fmt: skip


def unanswered(why: str) -> Row:
    """The columns of a question that a reasoner does not answer."""
    return {"option": None, "value": None, "error": why}


def failed(why: str) -> Row:
    """The columns of a question at which an endpoint or our own code failed."""
    return {**unanswered(why), "failed": True}
