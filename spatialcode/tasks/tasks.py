"""Tasks for a reasoner that writes programs: a prompt, the question behind it, its code and answer.

`made_up_tasks` needs no files: rooms, questions and words follow from a seed and a number.
`tasks_of` takes a set of questions over codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from spatialcode.config import require
from spatialcode.errors import ProgramError, SchemaError
from spatialcode.questions.types import Question, QuestionItem, UnparsedQuestion
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.families.registry import is_numeric, parse
from spatialcode.reasoning.generate import GenerateConfig, generate
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.program import answer_of_program, to_program
from spatialcode.reasoning.prompts import compact_text
from spatialcode.scene.schema import SpatialCode
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.tasks.rooms import RoomSettings, furnished_room, made_up_room
from spatialcode.tasks.wordings import reworded

_ARTICLE = re.compile(r'"(?:the|a|an) (?=[^"]+")', re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """One question about one code. ``prompt``: the text that a model reads. ``gold``: a letter, or
    a number as text, in the question's unit.
    """

    prompt: str
    question: Question
    code: SpatialCode
    gold: str
    family: str

    @property
    def program(self) -> str:
        """The shortest usual program that answers it: what supervised training shows."""
        return target_program(self.question)


@dataclass(frozen=True)
class TaskSettings:
    """``first_room``: rooms are counted from here. ``wording_share``: of questions put into a
    grammar's words (`wordings`), never where sentences are held out. ``furnished``: floor plans as
    they are rendered for videos, in place of boxes at random.
    """

    first_room: int = 0
    seed: int = 0
    wording_share: float = 0.45
    furnished: bool = False
    room: RoomSettings = field(default_factory=RoomSettings)
    questions: GenerateConfig = field(
        default_factory=lambda: GenerateConfig(
            questions_per_family=3, paraphrase_share=0.5, referring_share=0.35, use_ids=True
        )
    )

    def __post_init__(self) -> None:
        require(0 <= self.wording_share <= 1, "wording_share", "0 to 1", self.wording_share)
        held_out = self.questions.paraphrases != "train"
        require(
            not (held_out and self.wording_share), "wording_share", "0 with held-out sentences",
            self.wording_share,
        )  # fmt: skip


def target_program(question: Question) -> str:
    """`to_program`, without the articles of names."""
    return _ARTICLE.sub('"', to_program(question))


def held_out_settings(words: Literal["standard", "heldout"], seed: int = 0) -> TaskSettings:
    """Rooms never trained on, all questions in the standard or in held-out sentences."""
    other = words == "heldout"
    questions = GenerateConfig(
        questions_per_family=2, paraphrase_share=1.0 if other else 0.0, referring_share=0.35,
        paraphrases="heldout" if other else "train", use_ids=True,
    )  # fmt: skip
    return TaskSettings(HELD_OUT_ROOMS.start, seed, 0.0, questions=questions)


def made_up_tasks(settings: TaskSettings, start: int = 0) -> Iterator[list[Task]]:
    """The tasks of one made-up room after the other, without end, from the ``start``-th on."""
    number = settings.first_room + start
    while True:
        code = furnished_room(number) if settings.furnished else made_up_room(number, settings.room)
        made = generate(
            code, scene=f"made-up-{number}", seed=settings.seed, config=settings.questions
        )
        rng = np.random.default_rng([settings.seed, number, 11])
        yield tasks_of(made.items, {f"made-up-{number}": code}, settings.wording_share, rng)
        number += 1


def tasks_of(
    items: Sequence[QuestionItem],
    codes: Mapping[str, SpatialCode],
    wording_share: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[Task]:
    """Tasks of the questions that are understood and whose code is there."""
    made = []
    for item in items:
        code = codes.get(item.scene)
        question = parse(item.question, item.options)
        if code is None or isinstance(question, UnparsedQuestion):
            continue
        if rng is not None and rng.random() < wording_share:
            question = reworded(question, rng)
        prompt = compact_text(question, code.objects)
        made.append(Task(prompt, question, code, item.ground_truth, item.question_type))
    return made


def answer(task: Task, program: str) -> Answer | None:
    """What a program says; None where it says nothing that answers the question."""
    try:
        return answer_of_program(program, task.question, task.code)
    except (ProgramError, SchemaError):
        return None


def accuracy(task: Task, program: str) -> float:
    """0 to 1: the right letter, or mean relative accuracy of a number (as VSI-Bench scores)."""
    given = answer(task, program)
    return 0.0 if given is None else score_of(task, given)


def score_of(task: Task, given: Answer) -> float:
    """`accuracy` of an answer."""
    if is_numeric(task.family):
        return mean_relative_accuracy(float(given.value), float(task.gold))
    return float(given.option == task.gold)
