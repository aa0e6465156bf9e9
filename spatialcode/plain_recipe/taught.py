"""Examples for supervised steps, made by one process or several: rooms take milliseconds each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from spatialcode.plain_recipe.sft import Example
from spatialcode.tasks.tasks import Task, TaskSettings, made_up_tasks
from spatialcode.tiny.model import program_ids, prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Rooms that a process makes at a time.
_ROOMS_AT_ONCE = 20


def example_of(tokenizer: PreTrainedTokenizerFast, task: Task) -> Example:
    """A task as it is taught: its prompt, and the usual program."""
    return Example(prompt_ids(tokenizer, task.prompt), program_ids(tokenizer, task.program))


def taught_examples(
    tokenizer: PreTrainedTokenizerFast, settings: TaskSettings, num: int, num_processes: int = 1
) -> list[Example]:
    """The first ``num`` tasks of the settings as examples, the same for any number of processes."""
    maker = _Maker(tokenizer, settings)
    if num_processes == 1:
        chunks = map(maker, _endless())
        return list(islice((one for chunk in chunks for one in chunk), num))
    made: list[Example] = []
    # spawned: torch's threads do not survive a fork
    with multiprocessing.get_context("spawn").Pool(num_processes) as pool:
        numbers = _endless()
        while len(made) < num:
            for chunk in pool.imap(maker, islice(numbers, 4 * num_processes)):
                made += chunk
    return made[:num]


@dataclass(frozen=True)
class _Maker:
    """Makes the n-th chunk of rooms' examples; picklable."""

    tokenizer: PreTrainedTokenizerFast
    settings: TaskSettings

    def __call__(self, number: int) -> list[Example]:
        rooms = islice(made_up_tasks(self.settings, number * _ROOMS_AT_ONCE), _ROOMS_AT_ONCE)
        return [example_of(self.tokenizer, task) for tasks in rooms for task in tasks]


def _endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1
