"""Prompts of the reasoner's training: by number, from made-up rooms or from a question set.

A block is the questions of some rooms, mixed; blocks follow one another without end. A prompt's
number is its block and its place there, so that any process makes the same prompt for a number, and
"the first number not drawn yet" says where a run stands, for any number of workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.stored.questions import read_questions
from pipelines.stored.reading import read_codes
from pipelines.train_reasoner.config import PromptDataConfig
from pipelines.train_reasoner.rewards.scorers import RewardSample, item_to_json
from spatialcode.errors import InputError, PromptError
from spatialcode.files import read_json, write_json
from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.generate import GenerateConfig
from spatialcode.reasoning.prompts import PromptSettings, render
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import SpatialCode
from spatialcode.scene.text import to_json
from spatialcode.tasks.rooms import RoomSettings
from spatialcode.tasks.tasks import Task, TaskSettings, held_out_settings, room_tasks, tasks_of

#: Numbers that a block has; more than the questions of any block.
BLOCK_NUMBERS = 100_000
#: Where a run that streams prompts stands; makers of prompts skip what lies before.
POSITION_FILE = "next_task.json"


@dataclass(frozen=True)
class PromptRow:
    """One prompt as plain values, fit for a Ray Data row.

    ``messages``: JSON list of role and content. ``target``: what supervised training shows.
    ``item``, ``code_id``, ``code``: what rewards are computed from, see `RewardSample`.
    """

    number: int
    family: str
    messages: str
    target: str
    item: str
    code_id: str
    code: str

    @property
    def prompt(self) -> str:
        """The messages' text, for a reader."""
        return "\n\n".join(message["content"] for message in json.loads(self.messages))

    def reward_sample(self, completion: str) -> RewardSample:
        return RewardSample(self.item, self.code_id, self.code, completion)


@dataclass(frozen=True)
class PromptMaker:
    """Makes blocks of prompts. Picklable: Ray Data tasks use it.

    ``compact``: the short prompt of small models in place of messages to a chat model.
    ``first_room``: rooms are counted from here. ``standard``: only VSI-Bench's own sentences.
    """

    config: PromptDataConfig
    seed: int
    compact: bool
    first_room: int = 0
    standard: bool = False

    def block(self, number: int) -> list[PromptRow]:
        """The prompts of a block, without those that do not fit."""
        rng = np.random.default_rng([self.seed, number, 23])
        made = self._made_up(number) if self.config.questions is None else self._stored(number)
        order = rng.permutation(len(made))
        first = number * BLOCK_NUMBERS
        rows = [self._row(first + place, made[k]) for place, k in enumerate(order.tolist())]
        return [row for row in rows if row is not None]

    def held_out(
        self, rooms: Sequence[int], words: str = "trained", furnished: bool = False
    ) -> list[PromptRow]:
        """Questions of rooms that are never trained on. ``words``: as in training, or those that
        `held_out_settings` names; ``furnished``: floor plans in place of boxes at random.
        """
        settings = self._task_settings()
        if words in ("standard", "heldout"):
            settings = held_out_settings("heldout" if words == "heldout" else "standard")
        settings = replace(settings, seed=self.seed, furnished=furnished)
        return self._rows(task for room in rooms for task in room_tasks(room, settings))

    def of_files(self, folder: Path, boxes: str = "scenes.jsonl") -> list[PromptRow]:
        """All questions of VSI-Bench's ``questions.jsonl`` about the boxes of a file beside it."""
        items, codes = read_questions(folder / "questions.jsonl"), read_codes(folder / boxes)
        return self._rows(tasks_of(items, codes))

    def _rows(self, tasks: Iterable[Task]) -> list[PromptRow]:
        rows = [self._row(number, task) for number, task in enumerate(tasks)]
        return [row for row in rows if row is not None]

    def _made_up(self, number: int) -> list[Task]:
        settings = replace(self._task_settings(), seed=self.seed)
        first = self.config.first_room + self.first_room + number * self.config.rooms_per_block
        rooms = range(first, first + self.config.rooms_per_block)
        return [task for room in rooms for task in room_tasks(room, settings)]

    def _task_settings(self) -> TaskSettings:
        room = RoomSettings(nonsense_share=self.config.nonsense_share)
        if not self.standard:
            share = 0.0 if self.config.mode == "text" else 0.45
            return TaskSettings(wording_share=share, room=room)
        questions = GenerateConfig(
            questions_per_family=3, paraphrase_share=0.0, referring_share=0.2, use_ids=True
        )
        return TaskSettings(wording_share=0.0, room=room, questions=questions)

    def _stored(self, number: int) -> list[Task]:
        """Every question once before any comes again, in another order each time."""
        items, codes = self._question_set
        size = min(len(items), 16 * self.config.rooms_per_block)
        epoch, part = divmod(number, -(-len(items) // size))
        order = np.random.default_rng([self.seed, epoch, 29]).permutation(len(items))
        chosen = [items[k] for k in order[part * size : (part + 1) * size]]
        return tasks_of(chosen, codes)

    @cached_property
    def _question_set(self) -> tuple[list[QuestionItem], dict[str, SpatialCode]]:
        assert self.config.questions is not None
        assert self.config.codes is not None
        codes = read_codes(self.config.codes)
        items = [i for i in read_questions(self.config.questions) if i.scene in codes]
        if not items:
            raise InputError(f"data.questions: no question is about a code of {self.config.codes}")
        return items, codes

    def _row(self, number: int, task: Task) -> PromptRow | None:
        try:
            messages, target = self._shown(task)
        except PromptError:
            return None
        text = json.dumps(messages, ensure_ascii=False)
        item = item_to_json(task.item)
        return PromptRow(
            number, task.family, text, target, item, task.item.scene, to_json(task.code)
        )

    def _shown(self, task: Task) -> tuple[list[dict[str, str]], str]:
        if self.compact:
            return [{"role": "user", "content": task.prompt}], task.program
        settings = PromptSettings(mode=self.config.mode, max_tokens=self.config.max_prompt_tokens)
        messages = [
            asdict(message) for message in render(task.question, task.code, settings).messages
        ]
        if self.config.mode == "program":
            return messages, f"```program\n{task.program}\n```"
        return messages, solve(task.question, task.code).text()


class Prompts(Protocol):
    """Where a training worker's prompts come from."""

    def draw(self, count: int) -> list[PromptRow]:
        """The next prompts of this worker."""
        ...

    def skip_to(self, number: int) -> None:
        """Leave out all prompts before a number, because other workers are past them."""
        ...


class LocalPrompts:
    """A worker's share of the prompts, made there: every ``world_size``-th. See `Prompts`."""

    def __init__(self, maker: PromptMaker, start: int, rank: int, world_size: int) -> None:
        self._maker = maker
        self._share = (rank, world_size)
        self._start = start
        self._rows = self._from(start)

    def draw(self, count: int) -> list[PromptRow]:
        return [next(self._rows) for _ in range(count)]

    def skip_to(self, number: int) -> None:
        self._start = max(self._start, number)

    def _from(self, start: int) -> Iterator[PromptRow]:
        rank, world_size = self._share
        block = start // BLOCK_NUMBERS
        while True:
            for row in self._maker.block(block):
                if row.number >= self._start and row.number % world_size == rank:
                    yield row
            block += 1


class StreamedPrompts:
    """A worker's share of a Ray Data stream, see `Prompts`. InputError when it ends."""

    def __init__(self, shard: Any, start: int) -> None:
        self._rows = iter(shard.iter_rows())
        self._start = start

    def draw(self, count: int) -> list[PromptRow]:
        drawn: list[PromptRow] = []
        for row in self._rows:
            if row["number"] >= self._start:
                drawn.append(PromptRow(**row))
            if len(drawn) == count:
                return drawn
        raise InputError(f"prompts: the stream ended {count - len(drawn)} short")

    def skip_to(self, number: int) -> None:
        """Workers draw from one stream: nothing comes twice, and nothing is left out."""


def prompt_rows(
    batch: Mapping[str, Any], maker: PromptMaker, output: str, stage: str, first_block: int
) -> Iterator[dict[str, Any]]:
    """Ray Data stage: numbers of blocks in, their prompts out, one block of rows each.

    Counted from ``first_block``; blocks that this stage of the run in ``output`` has had are left
    out.
    """
    start = next_task(output, stage)
    for number in batch["id"] + first_block:
        if int(number) < start // BLOCK_NUMBERS:
            continue
        rows = maker.block(int(number))
        names = PromptRow.__dataclass_fields__
        if rows:
            yield {name: np.array([getattr(row, name) for row in rows]) for name in names}


def next_task(output: str, stage: str) -> int:
    """The number of the first prompt that a stage of the run in a folder has not drawn yet."""
    path = Path(output, POSITION_FILE)
    held = read_json(path) if path.is_file() else {}
    return int(held.get(stage, 0))


def write_next_task(output: str, stage: str, number: int) -> None:
    """Keep that number; the file is written whole or not at all."""
    write_json(Path(output, POSITION_FILE), {stage: number})
