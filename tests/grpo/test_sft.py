"""Supervised steps: the loss counts completions alone, every example is met once, it is learnt."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from spatialcode.errors import ConfigError
from spatialcode.plain_recipe.sft import (
    Example,
    SftSettings,
    batches,
    completion_loss,
    endless,
    learning_rate,
    make_optimizers,
    repeated,
    sft_steps,
)
from spatialcode.tasks.tasks import TaskSettings, made_up_tasks
from spatialcode.tiny.model import TinyShape, make_model, program_ids, prompt_ids
from spatialcode.tiny.tokenizer import train_tokenizer

SMALL = TinyShape(hidden=32, layers=2, heads=2, kv_heads=1, intermediate=64)


@pytest.fixture(scope="module")
def tokenizer():
    tasks = next(made_up_tasks(TaskSettings()))
    return train_tokenizer([*(t.prompt for t in tasks), *(t.program for t in tasks)], 700)


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    return make_model(tokenizer, SMALL)


@pytest.fixture(scope="module")
def examples(tokenizer):
    tasks = next(made_up_tasks(TaskSettings()))[:12]
    return [Example(prompt_ids(tokenizer, t.prompt), program_ids(tokenizer, t.program))
            for t in tasks]  # fmt: skip


def test_loss_is_the_mean_over_completion_tokens(model, examples):
    """Against one example at a time, without padding, token by token."""
    total, num = 0.0, 0
    with torch.no_grad():
        for example in examples:
            whole = example.prompt_ids + example.completion_ids
            logprobs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            for at in range(len(example.prompt_ids), len(whole)):
                total -= float(logprobs[at - 1, whole[at]])
                num += 1
        assert completion_loss(model, examples)[1] == pytest.approx(total / num, rel=1e-4)


def test_repeats_in_prompts_count_by_weight(model, tokenizer):
    """Of 5 6 7 5 6 the last follows its 5 again; of the completion both tokens count."""
    assert repeated((5, 6, 7, 5, 6)) == [4]
    assert repeated((5, 5, 5)) == [2]
    example = Example((5, 6, 7, 5, 6), (8, 9))
    with torch.no_grad():
        logprobs = model(torch.tensor([[5, 6, 7, 5, 6, 8, 9]])).logits[0].log_softmax(-1)
        own = -float(logprobs[4, 8] + logprobs[5, 9])
        repeat = -float(logprobs[3, 6])
        total, shown = completion_loss(model, [example], 0.5)
        plain, same = completion_loss(model, [example])
    assert shown == pytest.approx(own / 2, rel=1e-4)
    assert float(total) == pytest.approx((own + 0.5 * repeat) / 2.5, rel=1e-4)
    assert float(plain) == same == pytest.approx(own / 2, rel=1e-4)


def test_what_comes_after_the_end_of_a_row_has_no_influence(model, examples):
    longest = max(examples, key=len)
    short = min(examples, key=len)
    with torch.no_grad():
        alone = [completion_loss(model, [one])[1] for one in (short, longest)]
        together = completion_loss(model, [short, longest])[1]
    sizes = [len(one.completion_ids) for one in (short, longest)]
    assert together == pytest.approx(np.average(alone, weights=sizes), rel=1e-4)


def test_a_pass_holds_every_example_once(examples):
    rng = np.random.default_rng(0)
    many = [Example(e.prompt_ids[:n], e.completion_ids) for e in examples for n in range(1, 40)]
    made = list(batches(many, 500, rng))
    assert sorted(hash(e) for batch in made for e in batch) == sorted(map(hash, many))
    assert all(len(b) == 1 or max(map(len, b)) * len(b) <= 500 for b in made)
    assert len(made) < sum(map(len, many)) / 500 * 1.3  # hardly any padding


def test_steps_learn_a_fixed_batch(model, examples):
    settings = SftSettings(steps=25, learning_rate=1e-2, warmup_steps=3)
    steps = list(sft_steps(model, endless(lambda _: iter([examples])), settings))
    assert len(steps) == 25
    assert steps[0].loss == pytest.approx(np.log(len(model.lm_head.weight)), rel=0.1)
    assert steps[-1].loss < 0.6 * steps[0].loss


def test_muon_takes_the_matrices_inside_the_layers(model, examples):
    settings = SftSettings(steps=4, learning_rate=2e-3, warmup_steps=1, muon=True, weight_decay=0.0)
    adamw, muon = make_optimizers(model, settings)
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    left = {id(p) for group in adamw.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    inside = {id(p) for name, p in named.items() if ".layers." in name and p.ndim == 2}
    assert taken == inside
    assert left == {id(p) for p in named.values()} - inside
    before = {name: p.detach().clone() for name, p in named.items()}
    steps = list(sft_steps(model, endless(lambda _: iter([examples])), settings))
    assert steps[-1].loss < steps[0].loss
    assert not [name for name, p in named.items() if torch.equal(p, before[name])]


def test_the_rate_rises_falls_and_ends_where_it_should():
    settings = SftSettings(steps=100, learning_rate=1.0, warmup_steps=10, final_share=0.1)
    assert learning_rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(settings, 9, 0.0) == pytest.approx(1.0)
    assert learning_rate(settings, 50, 0.5) == pytest.approx(0.1 + 0.9 * 0.5)
    assert learning_rate(settings, 99, 1.0) == pytest.approx(0.1)


def test_seconds_end_the_schedule(model, examples):
    settings = SftSettings(steps=10**6, max_seconds=0.3)
    steps = list(islice(sft_steps(model, endless(lambda _: iter([examples])), settings), 10**4))
    assert 1 <= len(steps) < 10**4
    assert steps[-1].seconds < 3.0
    with pytest.raises(ConfigError, match="learning_rate"):
        replace(settings, learning_rate=0.0)
