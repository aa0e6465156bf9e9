"""A question about a spatial code, answered: by the exact solver, or by a language model.

A model is asked several times, and what it can be held to without knowing the right answer chooses
among its answers (`choosing`). ``verified`` is then said of the chosen one alone. Where codes and
models come from, and how long a model may take, is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import require
from spatialcode.errors import SpatialCodeError
from spatialcode.reasoning.models.completions import CompletionModel
from spatialcode.scene.schema import SpatialCode

#: Another name, for those who do not ask what a model completes.
LanguageModel = CompletionModel
REASONERS = ("solver", "program", "text")


class AskingError(SpatialCodeError):
    """Base of why a question has no answer; ``status`` is the HTTP status that says so."""

    code = "asking"
    status = 422


class QuestionNotUnderstoodError(AskingError, ValueError):
    """The question is of no known kind."""

    code = "question_not_understood"


class PromptTooLongError(AskingError, ValueError):
    """The question and the objects it names do not fit into what the model reads."""

    code = "prompt_too_long"


class ReasonerMissingError(AskingError, LookupError):
    """The service has no language model for this reasoner."""

    code = "reasoner_missing"


class NoAnswerError(AskingError, RuntimeError):
    """None of the model's samples holds an answer to the question."""

    code = "no_answer"
    status = 502


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
class SeenObject:
    """An object that an answer rests on; seconds from the video's first frame."""

    id: str
    label: str
    first_seen_s: float
    last_seen_s: float


@dataclass(frozen=True)
class Quantity:
    """One statement as data. ``value`` in ``unit`` ("m", "m2", "s", "deg", "" for none);
    ``objects``: ids of the code; ``recomputes``: the code gives this value too.
    """

    kind: str
    text: str
    objects: tuple[str, ...]
    value: float | bool | str | tuple[float, ...] | tuple[str, ...]
    unit: str
    recomputes: bool


@dataclass(frozen=True)
class Evidence:
    """What an answer rests on; ``text`` holds the quantities as lines."""

    text: tuple[str, ...]
    objects: tuple[SeenObject, ...]
    quantities: tuple[Quantity, ...]


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
    raise NotImplementedError
