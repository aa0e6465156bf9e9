"""Answers questions about many rooms: a room with its questions is one row of a Ray Data stage, or
of a plain loop.

Questions are read from their text and options alone. A question that cannot be answered is a scored
row that says why; no question is lost.

Who answers is the exact solver, or a language model over text or programs.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.evaluate.config import EvaluateConfig
from pipelines.on_ray.dataset import through_actors
from spatialcode.questions.types import Question, QuestionItem, UnparsedQuestion
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.models.loading import ModelSpec, bundled
from spatialcode.reasoning.priors.fit import MostFrequent
from spatialcode.reasoning.priors.guesses import guess as guess_from
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.resolve import kept_code
from spatialcode.reasoning.solver import solve, solve_blind
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SpatialCode
from spatialcode.threads import limit_threads

Row = dict[str, Any]
#: Called after every room with the numbers of rooms done, failed (always 0), and in all.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Known:
    """What may be known of a room's questions before its code is seen, fitted on other rooms.

    ``priors``: for the reasoner, None for one that has none; ``blind``: for the baseline that
    sees nothing.
    """

    priors: Priors | None
    blind: Priors
    frequent: MostFrequent


@dataclass(frozen=True)
class AskedRoom:
    """A room's code and its questions; ``known``: the index of the `Known` that holds for it."""

    scene: str
    code: SpatialCode
    items: tuple[QuestionItem, ...]
    known: int = 0


class Answerer:
    """The stage: one pickled room with its questions in, one row with an answer to each out."""

    def __init__(self, config: EvaluateConfig, known: Sequence[Known]) -> None:
        limit_threads(1)
        self.known = known
        self.reasoner = load_reasoner(config)

    def __call__(self, row: Row) -> Row:
        room: AskedRoom = pickle.loads(row["room"])  # noqa: S301 - pickled by `answer_rooms`
        known = self.known[room.known]
        read = [(item, parse(item.question, item.options)) for item in room.items]
        asked = [(n, q) for n, (_, q) in enumerate(read) if not isinstance(q, UnparsedQuestion)]
        results = [_nothing(item, question) for item, question in read]
        outcomes = self.reasoner.answer_all([q for _, q in asked], room.code, known.priors)
        for (n, question), outcome in zip(asked, outcomes, strict=True):
            item = read[n][0]
            results[n].update(outcome)
            results[n]["score"] = score(outcome["option"], outcome["value"], item)
            results[n].update(_blind(question, item, known))
        for (item, _), result in zip(read, results, strict=True):
            result["most_frequent"] = score(*known.frequent.answer(item), item)
        return {"answers": json.dumps(results)}


def _blind(question: Question, item: QuestionItem, known: Known) -> Row:
    """The score of a guess from priors alone."""
    try:
        guess = solve_blind(question, known.blind)
        return {"priors_only": score(guess.option, guess.value, item)}
    except Exception as error:  # the one boundary of a question: an error is data
        return {"failed": True, "error": f"priors only: {type(error).__name__}: {error}"}


def _nothing(item: QuestionItem, question: Question) -> Row:
    """The row of a question before it is answered: 0 points."""
    unread = question.reason if isinstance(question, UnparsedQuestion) else None
    return {
        "id": item.id, "scene": item.scene, "dataset": item.dataset, "task": item.question_type,
        "question": item.question, "ground_truth": item.ground_truth, "answer": None,
        "option": None, "value": None, "score": 0.0, "priors_only": 0.0, "most_frequent": 0.0,
        "grounded": False, "confidence": 0.0, "evidence": "", "completion": None, "program": None,
        "failed": False,
        "error": None if unread is None else f"not understood: {unread}",
    }  # fmt: skip


def score(option: str | None, value: float | str | None, item: QuestionItem) -> float:
    """0 to 100: exact match of the letter, or mean relative accuracy; 0 for no answer."""
    if item.options:
        return 100.0 * float(option == item.ground_truth)
    if not isinstance(value, float):
        return 0.0
    return 100.0 * mean_relative_accuracy(value, float(item.ground_truth))


def answer_rooms(
    rooms: Sequence[AskedRoom], known: Sequence[Known], config: EvaluateConfig,
    on_progress: Progress | None = None,
) -> list[Row]:  # fmt: skip
    """Every answer of every room, by scene and id."""
    rows = [{"room": pickle.dumps(room)} for room in rooms]
    if config.num_workers:
        check_reasoner(config)  # a wrong model fails here, not in every actor
    answers: list[Row] = []
    for done, row in enumerate(through_actors(rows, Answerer, (config, known), config.workers), 1):
        answers += json.loads(row["answers"])
        if on_progress is not None:
            on_progress(done, 0, len(rows))
    assert len(answers) == sum(len(room.items) for room in rooms), "an answer was lost"
    return sorted(answers, key=lambda answer: (answer["scene"], answer["id"]))


if TYPE_CHECKING:
    from spatialcode.reasoning.reasoner import ModelAnswer, ProgramReasoner, TextReasoner


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
