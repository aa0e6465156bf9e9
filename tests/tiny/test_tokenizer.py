"""The tiny tokenizer: one word one token wherever it stands, programs back as they were."""

from __future__ import annotations

import pytest

from spatialcode.tasks.tasks import Task, TaskSettings, room_tasks
from spatialcode.tiny.model import (
    BEGIN_PROGRAM,
    END,
    frames,
    program_ids,
    program_text,
    prompt_ids,
    train_tokenizer,
)


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [task for room in range(25) for task in room_tasks(room, TaskSettings())]


@pytest.fixture(scope="module")
def tokenizer(tasks):
    texts = [*(task.prompt for task in tasks), *(task.program for task in tasks)]
    return train_tokenizer([*texts, "bed chair trash bin " * 50], 800)


def test_programs_come_back(tasks, tokenizer):
    for task in tasks:
        ids = program_ids(tokenizer, task.program)
        assert program_text(tokenizer, ids) == task.program.lower()


@pytest.mark.parametrize(
    "program",
    [
        'count("chair")',
        'distance("chair_2", "trash bin")',
        'order(["bed", "chair_12"])',
        'largest("t-shirt rack")',
        "100 * 2 + 0.5",
    ],
)
def test_ids_hyphens_and_numbers_come_back(tokenizer, program):
    assert program_text(tokenizer, program_ids(tokenizer, program)) == program


def test_what_stands_around_names_is_one_token(tokenizer):
    for frame in frames():
        assert len(tokenizer(frame, add_special_tokens=False)["input_ids"]) == 1, frame


@pytest.mark.parametrize(
    "text",
    ["the bed", "bed 3, chair", "(bed, chair)", "is\nbed", "Bed?", "bed's own", "front-bed"],
)
def test_a_word_is_the_same_token_everywhere(tokenizer, text):
    (bed,) = tokenizer("bed", add_special_tokens=False)["input_ids"]
    assert bed in tokenizer(text, add_special_tokens=False)["input_ids"]
    assert bed in program_ids(tokenizer, 'distance("bed", "chair")')
    assert bed in program_ids(tokenizer, 'distance("chair", "bed")')


def test_digits_stand_alone(tokenizer):
    one, two = (tokenizer(d, add_special_tokens=False)["input_ids"][0] for d in "12")
    assert tokenizer("12", add_special_tokens=False)["input_ids"] == [one, two]


def test_prompt_and_program_end_with_their_marks(tasks, tokenizer):
    ids = prompt_ids(tokenizer, tasks[0].prompt)
    begin, end = (tokenizer.convert_tokens_to_ids(mark) for mark in (BEGIN_PROGRAM, END))
    assert (ids.count(begin), ids[-1]) == (1, begin)
    assert program_ids(tokenizer, tasks[0].program)[-1] == end
    assert tokenizer.eos_token_id == end


def test_any_text_can_be_encoded(tokenizer):
    text = "größe 椅子 \U0001f6cb"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text


def test_the_template_is_the_prompt_itself(tokenizer):
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "bed\nHow many?"}], add_generation_prompt=True, tokenize=False
    )
    assert tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) == prompt_ids(
        tokenizer, "bed\nHow many?"
    )


def test_saved_and_read_back_it_is_the_same(tasks, tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for task in tasks[:50]:
        assert prompt_ids(again, task.prompt) == prompt_ids(tokenizer, task.prompt)
        ids = program_ids(tokenizer, task.program)
        assert program_text(again, ids) == task.program.lower()
