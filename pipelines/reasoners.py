"""Who answers: the exact solver, or a model over text or programs. One room at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pipelines.evaluate_config import EvaluateConfig
from spatialcode.questions.types import Question
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.priors import Priors
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode

Row = dict[str, Any]


class RoomReasoner(Protocol):
    """Answers questions about one room."""

    def answer_all(
        self, questions: Sequence[Question], code: SpatialCode, priors: Priors | None
    ) -> list[Row]:
        """One outcome a question, in order: an answer's columns, or ``error`` saying why not."""
        ...


def load_reasoner(config: EvaluateConfig) -> RoomReasoner:
    """The reasoner that a configuration names, its model loaded."""
    return SolverReasoner(config.keep)


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
            return outcome(solve(question, code, priors))
        except Exception as error:  # the one boundary of a question: an error is data
            return failed(f"{type(error).__name__}: {error}")


def outcome(answer: Answer) -> Row:
    """An answer's columns."""
    return {
        "answer": answer.final(), "option": answer.option, "value": answer.value,
        "grounded": answer.grounded, "confidence": answer.confidence,
        "evidence": answer.evidence.text(), "error": None,
    }  # fmt: skip


def unanswered(why: str) -> Row:
    """The columns of a question that a reasoner has no answer to."""
    return {"option": None, "value": None, "error": why}


def failed(why: str) -> Row:
    """The columns of a question that could not be put to the reasoner, or broke it."""
    return {**unanswered(why), "failed": True}
