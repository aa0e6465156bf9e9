"""Examples are the same whoever makes them."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from spatialcode.plain_recipe.recipe import Recipe, start, tasks_from
from spatialcode.plain_recipe.taught import taught_examples
from spatialcode.tiny.model import TinyShape, program_text

RECIPE = Recipe(
    shape=TinyShape(hidden=32, layers=1, heads=2, kv_heads=1, intermediate=64),
    num_tokenizer_rooms=4,
)  # fmt: skip
TOKENIZER = start(RECIPE).tokenizer


def test_examples_are_tasks_in_order():
    made = taught_examples(TOKENIZER, RECIPE.narrow, 30)
    tasks = list(islice(tasks_from(RECIPE.narrow, 20), 30))
    assert [program_text(TOKENIZER, one.completion_ids) for one in made] == [
        task.program for task in tasks
    ]
    assert all(one.completion_ids[-1] == TOKENIZER.eos_token_id for one in made)


def test_two_processes_make_the_same_as_one():
    """Past the rooms that a process makes at a time, where their order could be lost."""
    num = 700
    alone = taught_examples(TOKENIZER, RECIPE.narrow, num)
    assert taught_examples(TOKENIZER, RECIPE.narrow, num, num_processes=2) == alone
    assert len(set(alone)) > 0.9 * num
    other = taught_examples(TOKENIZER, replace(RECIPE.narrow, first_room=5), 30)
    assert other != alone[:30]
