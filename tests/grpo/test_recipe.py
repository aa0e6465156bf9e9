"""The recipe from nothing, at a size of seconds; a shipped reasoner answers through the harness."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from spatialcode.errors import ModelError
from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.types import SamplerSettings
from spatialcode.plain_recipe.heldout import greedy_accuracy, summarise
from spatialcode.plain_recipe.recipe import (
    Recipe,
    copy_stage,
    grpo_stage,
    held_out,
    shuffled,
    start,
    tasks_from,
    teaching_stage,
)
from spatialcode.plain_recipe.sft import SftSettings
from spatialcode.plain_recipe.shipping import ship
from spatialcode.reasoning.models.local import STYLE_FILE, HuggingFaceModel, LocalSettings
from spatialcode.reasoning.prompts import PromptSettings, compact_text, render
from spatialcode.reasoning.reasoner import ProgramReasoner
from spatialcode.seeds import HELD_OUT_ROOMS
from spatialcode.tiny.model import TinyShape

FEW = SftSettings(steps=3, batch_tokens=800, warmup_steps=1, muon=True)
RECIPE = Recipe(
    shape=TinyShape(hidden=32, layers=1, heads=2, kv_heads=1, intermediate=64),
    num_tokenizer_rooms=4, num_taught=60, copy_steps=FEW, teaching=FEW,
)  # fmt: skip


@pytest.fixture(scope="module")
def reasoner():
    return start(RECIPE)


def test_the_start_follows_from_the_seed(reasoner):
    again = start(RECIPE)
    assert again.tokenizer.get_vocab() == reasoner.tokenizer.get_vocab()
    weights = reasoner.model.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in again.model.state_dict().items())
    other = start(replace(RECIPE, seed=1)).model.state_dict()
    assert not torch.equal(other["lm_head.weight"], weights["lm_head.weight"])


def test_stages_run_and_change_the_weights():
    reasoner = start(RECIPE)
    before = reasoner.model.lm_head.weight.detach().clone()
    copied = list(copy_stage(reasoner, RECIPE))
    taught = list(teaching_stage(reasoner, RECIPE))
    assert len(copied) == len(taught) == 3
    assert not torch.equal(before, reasoner.model.lm_head.weight)
    loop = replace(
        RECIPE.loop, num_groups=2, group_size=2, max_refills=0,
        sampler=SamplerSettings(max_new_tokens=4),
    )  # fmt: skip
    (step,) = grpo_stage(reasoner, replace(RECIPE, loop=loop), 1)
    # a model that knows nothing is never right: all groups are dropped, and it says so
    assert (step.num_drawn, step.num_dropped, step.update) == (2, 2, None)


def test_rooms_of_the_stages_are_apart():
    def rooms(settings):
        found = list(islice(tasks_from(settings, 2), 50))
        return {task.code.video.uri for task in found}

    evaluated = {task.code.video.uri for task in held_out(RECIPE.wide, 2)}
    assert not rooms(RECIPE.narrow) & rooms(RECIPE.wide)
    assert not evaluated & (rooms(RECIPE.narrow) | rooms(RECIPE.wide))
    assert evaluated == {f"made-up:{HELD_OUT_ROOMS.start + n}" for n in range(2)}
    narrow = list(tasks_from(RECIPE.narrow, 2))
    assert all("(s)" in t.question.text for t in narrow if t.family == "object_counting")


def test_tasks_are_mixed_over_rooms():
    drawn = list(islice(shuffled(RECIPE.wide, 0, num_rooms=4), 40))
    assert len({task.code.video.uri for task in drawn}) == 4
    again = list(islice(shuffled(RECIPE.wide, 0, num_rooms=4), 40))
    assert [task.prompt for task in again] == [task.prompt for task in drawn]


def test_accuracy_counts_families_once():
    tasks = held_out(RECIPE.narrow, 2)
    perfect = summarise(tasks, [task.program for task in tasks])
    assert perfect.mean > 0.99
    families = sorted({task.family for task in tasks})
    one = [task.program if task.family == families[0] else "" for task in tasks]
    assert summarise(tasks, one).mean == pytest.approx(1 / len(families), abs=0.01)


def test_greedy_accuracy_does_not_depend_on_the_batch(reasoner):
    tasks = held_out(RECIPE.narrow, 1)[:6]
    engine = HFEngine(reasoner.model)
    together = greedy_accuracy(engine, reasoner.tokenizer, tasks)
    alone = greedy_accuracy(engine, reasoner.tokenizer, tasks, batch=1)
    assert together.programs == alone.programs


def test_a_shipped_reasoner_answers_through_the_harness(tmp_path):
    reasoner = start(RECIPE)
    weights = {name: w.clone() for name, w in reasoner.model.state_dict().items()}
    ship(reasoner.model, reasoner.tokenizer, tmp_path, {"data": "made up"})
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["data"] == "made up"
    assert card["num_parameters"] == sum(
        w.numel() for n, w in weights.items() if "lm_head" not in n
    )
    model = HuggingFaceModel(tmp_path, LocalSettings(device="cpu", max_tokens=5))
    assert model.prompt_style == "compact"
    assert model.model.dtype == torch.float32  # stored in half precision, not computed in it
    for name, weight in model.model.state_dict().items():
        np.testing.assert_allclose(weight, weights[name].half().float())
    tasks = held_out(RECIPE.narrow, 1)[:3]
    answers = ProgramReasoner(model).answer_all([(t.question, t.code) for t in tasks])
    for task, given in zip(tasks, answers, strict=True):
        assert given.stage != "prompt"
        assert given.prompt is not None
        assert given.prompt.messages[0].content == task.prompt
        assert model.prompt_ids(given.prompt) == list(reasoner.prompt(task))


def test_a_style_that_is_none_is_refused(tmp_path):
    reasoner = start(RECIPE)
    ship(reasoner.model, reasoner.tokenizer, tmp_path, {})
    (tmp_path / STYLE_FILE).write_text('{"prompt_style": "verse"}')
    with pytest.raises(ModelError, match="verse"):
        HuggingFaceModel(tmp_path, LocalSettings(device="cpu"))


def test_compact_prompts_keep_to_a_budget():
    (task, *_) = held_out(RECIPE.narrow, 1)
    full = render(task.question, task.code, PromptSettings("program", style="compact"))
    assert full.messages[0].content == compact_text(task.question, task.code.objects)
    short = render(
        task.question, task.code,
        PromptSettings("program", max_tokens=full.num_tokens - 5, style="compact"),
    )  # fmt: skip
    assert short.dropped_ids
    assert short.num_tokens <= full.num_tokens - 5
