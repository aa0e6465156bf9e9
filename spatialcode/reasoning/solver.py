"""The deterministic reasoner: a typed question and a code in, an answer with evidence out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spatialcode.errors import SchemaError
from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Configuration,
    Counting,
    ObjectSize,
    Question,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
    UnparsedQuestion,
)
from spatialcode.reasoning import grounded
from spatialcode.reasoning.configurations import configuration
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.guesses import corrected, guess
from spatialcode.reasoning.priors import Priors
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode

_SOLVERS: dict[type, Callable[[Any, SceneIndex], Answer | None]] = {
    Counting: grounded.counting,
    ObjectSize: grounded.object_size,
    RoomSize: grounded.room_size,
    AbsoluteDistance: grounded.absolute_distance,
    RelativeDistance: grounded.relative_distance,
    RelativeDirection: grounded.relative_direction,
    RoutePlanning: grounded.route,
    AppearanceOrder: grounded.appearance,
    Configuration: configuration,
}


def solve(question: Question, code: SpatialCode, priors: Priors | None = None) -> Answer:
    """The answer to a question about a code.

    Exact where every thing named is in the code (``grounded``), else from ``priors`` (None: those
    that
    know nothing of any room). SchemaError for an `UnparsedQuestion`: there is nothing to answer.
    """
    if isinstance(question, UnparsedQuestion):
        raise SchemaError("question", "one that was understood", question.reason)
    index = SceneIndex.of(code)
    answer = _SOLVERS[type(question)](question, index)
    if answer is not None and (answer.option is not None or not question.options):
        return answer if priors is None else corrected(question, answer, priors)
    return guess(question, index, priors or Priors())


def solve_blind(question: Question, priors: Priors | None = None) -> Answer:
    """The answer of one who has seen nothing: priors alone."""
    if isinstance(question, UnparsedQuestion):
        raise SchemaError("question", "one that was understood", question.reason)
    return guess(question, None, priors or Priors())
