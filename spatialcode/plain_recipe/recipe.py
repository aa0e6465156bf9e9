"""A reasoner from nothing in three stages: copying, a few taught sentences, then answers alone.

Supervised steps show usual programs for VSI-Bench's own sentences only. GRPO meets many other
sentences and is told nothing but whether the program's answer was right. Every stage yields what it
does, so that a caller can log, evaluate, stop, or go on elsewhere with the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.step import UpdateConfig
from spatialcode.grpo.stepper import TorchStepper
from spatialcode.grpo.types import SamplerSettings
from spatialcode.plain_recipe.loop import GrpoLoop, LoopConfig, LoopStep
from spatialcode.plain_recipe.rewards import program_rewards
from spatialcode.plain_recipe.sft import (
    Example,
    SftSettings,
    SftStep,
    batches,
    endless,
    sft_steps,
)
from spatialcode.plain_recipe.taught import taught_examples
from spatialcode.reasoning.generate import GenerateConfig
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.tasks.rooms import RoomSettings
from spatialcode.tasks.tasks import Task, TaskSettings, made_up_tasks
from spatialcode.tiny.copying import (
    CopyProgress,
    CopySettings,
    CopyTokens,
    copy_batch,
    copy_examples,
)
from spatialcode.tiny.model import (
    TinyShape,
    make_model,
    program_text,
    prompt_ids,
)
from spatialcode.tiny.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Rooms that only the tokenizer sees.
_TOKENIZER_ROOM = 900_000_000


def _narrow() -> TaskSettings:
    questions = GenerateConfig(
        questions_per_family=3, paraphrase_share=0.0, referring_share=0.2, use_ids=True
    )
    return TaskSettings(wording_share=0.0, questions=questions)


def _wide() -> TaskSettings:
    return TaskSettings(first_room=100_000_000)


def _loop() -> LoopConfig:
    return LoopConfig(
        num_groups=24, group_size=8, sampler=SamplerSettings(max_new_tokens=56),
        update=UpdateConfig(loss="dapo", entropy_coefficient=0.005),
    )  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """``narrow``: what supervised training shows; ``wide``: what GRPO meets. ``num_taught``: taught
    examples, a pool gone through again and again; ``copied_share``: as many random words to repeat
    among them. ``grpo_learning_rate``: constant after a warm-up.
    """

    seed: int = 0
    shape: TinyShape = field(default_factory=TinyShape)
    num_tokenizer_rooms: int = 200
    num_taught: int = 20_000
    copied_share: float = 0.03
    copying: CopySettings = field(default_factory=CopySettings)
    copy_steps: SftSettings = field(
        default_factory=lambda: SftSettings(steps=1000, warmup_steps=20, final_share=0.5, muon=True)
    )
    teaching: SftSettings = field(
        default_factory=lambda: SftSettings(
            steps=400, batch_tokens=2560, warmup_steps=40, muon=True
        )
    )
    loop: LoopConfig = field(default_factory=_loop)
    grpo_learning_rate: float = 3e-4
    narrow: TaskSettings = field(default_factory=_narrow)
    wide: TaskSettings = field(default_factory=_wide)


def thorough() -> Recipe:
    """For a reasoner to ship: taught on many sentences, for as long as it pays."""
    return Recipe(
        num_taught=150_000,
        copying=CopySettings(growth=2, longest=32),
        teaching=SftSettings(
            steps=5000, batch_tokens=2560, warmup_steps=40, muon=True, repeat_weight=0.3
        ),
        narrow=replace(_wide(), first_room=5000, room=RoomSettings(nonsense_share=0.3)),
    )


@dataclass(frozen=True)
class Reasoner:
    """A model in training and its tokenizer."""

    model: Any
    tokenizer: PreTrainedTokenizerFast

    def prompt(self, task: Task) -> tuple[int, ...]:
        return prompt_ids(self.tokenizer, task.prompt)

    def text(self, completion_ids: tuple[int, ...]) -> str:
        return program_text(self.tokenizer, completion_ids)


def start(recipe: Recipe) -> Reasoner:
    """A tokenizer fitted to made-up rooms' questions, and fresh weights from the recipe's seed."""
    rooms = replace(recipe.wide, first_room=_TOKENIZER_ROOM, room=RoomSettings(nonsense_share=0.08))
    seen = list(tasks_from(rooms, recipe.num_tokenizer_rooms))
    tokenizer = train_tokenizer([*(t.prompt for t in seen), *(t.program for t in seen)])
    torch.manual_seed(recipe.seed)
    return Reasoner(make_model(tokenizer, recipe.shape), tokenizer)


def tasks_from(settings: TaskSettings, num_rooms: int) -> Iterator[Task]:
    """The tasks of the first rooms."""
    for tasks in islice(made_up_tasks(settings), num_rooms):
        yield from tasks


def held_out(settings: TaskSettings, num_rooms: int, per_family: int = 2) -> list[Task]:
    """Tasks worded as in the settings, about rooms never trained on."""
    questions = replace(settings.questions, questions_per_family=per_family)
    there = replace(settings, first_room=HELD_OUT_ROOMS.start, questions=questions)
    return list(tasks_from(there, num_rooms))


def copy_stage(reasoner: Reasoner, recipe: Recipe) -> Iterator[SftStep]:
    """Supervised steps on random words to be repeated, until they are or the steps are over."""
    rng = np.random.default_rng([recipe.seed, 1])
    tokens = CopyTokens.of(reasoner.tokenizer)
    progress = CopyProgress.begun(recipe.copying)

    def source() -> Iterator[list[Example]]:
        while True:
            yield copy_batch(tokens, progress, recipe.copying, rng)

    for step in sft_steps(reasoner.model, source(), recipe.copy_steps):
        yield step
        progress = progress.after(step.loss, recipe.copying)
        if progress.learnt:
            return


def teaching_stage(reasoner: Reasoner, recipe: Recipe, num_processes: int = 1) -> Iterator[SftStep]:
    """Supervised steps on usual programs of the narrow tasks, which several processes may make."""
    rng = np.random.default_rng([recipe.seed, 2])
    settings = replace(recipe.narrow, seed=recipe.seed)
    made = taught_examples(reasoner.tokenizer, settings, recipe.num_taught, num_processes)
    num_copied = round(recipe.copied_share * recipe.num_taught)
    made += copy_examples(num_copied, CopyTokens.of(reasoner.tokenizer), rng)
    return _taught(reasoner, made, recipe.teaching, rng)


def _taught(
    reasoner: Reasoner, examples: list[Example], settings: SftSettings, rng: np.random.Generator
) -> Iterator[SftStep]:
    source = endless(lambda _: batches(examples, settings.batch_tokens, rng))
    return sft_steps(reasoner.model, source, settings)


def grpo_loop(reasoner: Reasoner, recipe: Recipe) -> GrpoLoop[Task]:
    """The loop over wide tasks, rewarded by their answers."""
    model = reasoner.model
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.grpo_learning_rate, betas=(0.9, 0.95), weight_decay=0.0
    )
    return GrpoLoop(
        TorchStepper(model, optimizer), HFEngine(model), shuffled(recipe.wide, recipe.seed),
        program_rewards, replace(recipe.loop, sampler=replace(recipe.loop.sampler)),
        encode=reasoner.prompt, decode=reasoner.text,
    )  # fmt: skip


def grpo_stage(reasoner: Reasoner, recipe: Recipe, steps: int) -> Iterator[LoopStep[Task]]:
    """So many steps of `grpo_loop`, the rate warmed up over the first ten."""
    loop = grpo_loop(reasoner, recipe)
    assert isinstance(loop.stepper, TorchStepper)
    for step in range(steps):
        loop.stepper.set_learning_rate(recipe.grpo_learning_rate * min(1.0, (step + 1) / 10))
        yield loop.step()


def shuffled(settings: TaskSettings, seed: int, num_rooms: int = 32) -> Iterator[Task]:
    """Tasks without end, mixed over so many rooms at a time, families evenly."""
    rng = np.random.default_rng([seed, 3])
    rooms = made_up_tasks(replace(settings, seed=seed))
    while True:
        pool = [task for tasks in islice(rooms, num_rooms) for task in tasks]
        for n in rng.permutation(len(pool)):
            yield pool[n]
