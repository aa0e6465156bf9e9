"""Tasks for a reasoner that writes programs: a prompt, the question behind it, its code and answer.

`room_tasks` needs no files: room, questions and words follow from a seed and the room's number.
`tasks_of` takes a set of questions over codes.

For training, some questions are put into other words: each family's own grammars
(`Family.grammars`). The sentences that the generator keeps apart (`Sentences.heldout`) are never
made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from spatialcode.config import require
from spatialcode.questions.types import Question, QuestionItem, UnparsedQuestion
from spatialcode.reasoning.drawing import Rng, drawn
from spatialcode.reasoning.families.registry import family_of, parse, templates
from spatialcode.reasoning.generate import GenerateConfig, generate
from spatialcode.reasoning.program.of_question import to_program
from spatialcode.reasoning.prompts import compact_text
from spatialcode.scene.schema import SpatialCode
from spatialcode.tasks.rooms import RoomSettings, furnished_room, made_up_room

_ARTICLE = re.compile(r'"(?:the|a|an) (?=[^"]+")', re.IGNORECASE)


@dataclass(frozen=True)
class Task:
    """One question about one code. ``prompt``: the text that a model reads. ``item``: the question
    as it was asked first, with its right answer.
    """

    prompt: str
    question: Question
    code: SpatialCode
    item: QuestionItem

    @property
    def gold(self) -> str:
        """A letter, or a number as text, in the question's unit."""
        return self.item.ground_truth

    @property
    def family(self) -> str:
        return self.item.question_type

    @property
    def program(self) -> str:
        """The shortest usual program that answers it: what supervised training shows."""
        return target_program(self.question)


@dataclass(frozen=True)
class TaskSettings:
    """``wording_share``: share of questions put into a grammar's words (`Family.wording`), 0 where
    sentences are held out. ``furnished``: floor plans as they are rendered for videos, in place of
    random boxes.
    """

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
    """All questions in the standard or in held-out sentences, for rooms of `HELD_OUT_ROOMS`."""
    other = words == "heldout"
    questions = GenerateConfig(
        questions_per_family=2, paraphrase_share=1.0 if other else 0.0, referring_share=0.35,
        paraphrases="heldout" if other else "train", use_ids=True,
    )  # fmt: skip
    return TaskSettings(seed, 0.0, questions=questions)


def room_tasks(number: int, settings: TaskSettings) -> list[Task]:
    """The tasks of the made-up room of this number."""
    code = furnished_room(number) if settings.furnished else made_up_room(number, settings.room)
    scene = f"made-up-{number}"
    made = generate(code, scene=scene, seed=settings.seed, config=settings.questions)
    rng = np.random.default_rng([settings.seed, number, 11])
    return tasks_of(made.items, {scene: code}, settings.wording_share, rng)


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
        made.append(Task(prompt, question, code, item))
    return made


_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


def reworded(question: Question, rng: Rng) -> Question:
    """The question in other words, with the same meaning; as it is where there are none."""
    family = family_of(question)
    wording = family.wording(question, rng)
    if wording is None:
        return question
    grammars = family.grammars[wording.grammar]
    heldout = {text for sentences in templates().values() for text in sentences.heldout}
    while (sentence := expand(drawn(grammars, rng), rng)) in heldout:
        pass
    text = sentence.format(**wording.slots)
    text = text[:1].upper() + text[1:]
    said = {
        name: replace(getattr(question, name), phrase=wording.slots[slot])
        for slot, name in wording.phrases.items()
        if f"{{{slot}}}" in sentence
    }
    return replace(question, text=text, **said)


def expand(grammar: str, rng: Rng) -> str:
    """One sentence of a grammar, its slots still open."""
    text = grammar
    while _CHOICE.search(text):
        text = _CHOICE.sub(lambda found: drawn(found[1].split("|"), rng), text)
    return " ".join(text.split())
