"""The loop: it learns what is rewarded, drops what teaches nothing, masks what was not scored."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, cycle

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from spatialcode.errors import ConfigError
from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.scoring import ScoringSettings
from spatialcode.grpo.step import UpdateConfig
from spatialcode.grpo.stepper import TorchStepper
from spatialcode.grpo.types import Sample, SamplerSettings, Scored
from spatialcode.plain_recipe.loop import Group, GrpoLoop, LoopConfig

END = 0


def tiny_model():
    torch.manual_seed(0)
    return Qwen3ForCausalLM(Qwen3Config(
        vocab_size=16, hidden_size=16, num_hidden_layers=1, intermediate_size=32,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True,
        max_position_embeddings=32, eos_token_id=END, pad_token_id=END,
    ))  # fmt: skip


def loop_of(reward, source=None, model=None, **changes):
    model = model or tiny_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    config = LoopConfig(
        num_groups=4, group_size=6, sampler=SamplerSettings(max_new_tokens=3), **changes
    )
    return GrpoLoop(
        TorchStepper(model, optimizer), HFEngine(model), source or cycle((3, 5)), reward, config,
        encode=lambda task: (task, 7), decode=lambda ids: " ".join(map(str, ids)),
    )  # fmt: skip


def share_of_own(tasks, texts):
    """Reward: how much of the completion repeats the task's own number."""
    found = [text.split().count(str(task)) / 3 for task, text in zip(tasks, texts, strict=True)]
    return [Scored({"own": share}, share) for share in found]


def test_it_learns_what_is_rewarded():
    loop = loop_of(share_of_own)
    steps = [loop.step() for _ in range(30)]
    assert steps[0].reward < 0.2
    assert sum(step.reward for step in steps[-5:]) / 5 > 0.7
    assert loop.engine.weight_version == sum(step.update is not None for step in steps)


def test_with_the_sign_turned_it_unlearns():
    def least(tasks, texts):
        return [Scored({}, -one.total) for one in share_of_own(tasks, texts)]

    loop = loop_of(least)
    assert sum(-loop.step().reward for _ in range(12)) / 12 < 0.1


def test_first_ratios_are_one():
    step = loop_of(share_of_own).step()
    assert step.update is not None
    assert step.update.first["mean"] == pytest.approx(1.0, abs=1e-4)
    assert step.update.first["max_abs_log"] < 1e-3


def test_groups_that_do_not_vary_are_dropped_and_refilled():
    """Tasks 3 are scored alike, tasks 5 are not: of 4 drawn 2 are kept, and so on."""
    number = count()

    def reward(tasks, texts):
        return [Scored({}, 0.5 if task == 3 else float(next(number))) for task in tasks]

    step = loop_of(reward, max_refills=1).step()
    assert (step.num_drawn, step.num_dropped, len(step.groups)) == (6, 3, 3)
    assert {group.task for group in step.groups} == {5}
    step = loop_of(reward, max_refills=0).step()
    assert (step.num_drawn, step.num_dropped, len(step.groups)) == (4, 2, 2)


def test_without_any_variance_nothing_is_updated():
    model = tiny_model()
    before = [p.clone() for p in model.parameters()]
    loop = loop_of(lambda tasks, _: [Scored({}, 1.0)] * len(tasks), model=model, max_refills=2)
    step = loop.step()
    assert (step.update, step.num_drawn, step.groups) == (None, 12, ())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert loop.engine.weight_version == 0


def test_a_sample_without_a_reward_is_masked_and_counted():
    """Of a group's six, two have no reward: four count, and their mean is not pulled to 0."""

    def reward(tasks, texts):
        scored = [Scored({}, float(n % 6)) for n in range(len(tasks))]
        return [Scored(None, None, error="hung") if one.total >= 4 else one for one in scored]

    step = loop_of(reward).step()
    assert step.num_invalid == 2 * 4
    assert step.reward == pytest.approx((0 + 1 + 2 + 3) / 4)
    assert step.update is not None
    assert step.update.num_sequences == 4 * 4


def test_a_group_varies_by_its_valid_rewards():
    sample = Sample((1,), (2,), (-0.1,), True, 0)

    def group(*totals):
        scored = [Scored(None, None, error="?") if t is None else Scored({}, t) for t in totals]
        return Group(0, (sample,) * len(totals), ("",) * len(totals), tuple(scored))

    assert group(0.0, 1.0).varies
    assert not group(1.0, 1.0).varies
    assert not group(1.0, None, 1.0).varies
    assert not group(1.0, None).varies


def test_the_update_must_know_the_samplers_temperature():
    with pytest.raises(ConfigError, match="temperature"):
        loop_of(share_of_own, update=UpdateConfig(scoring=ScoringSettings(temperature=0.5)))
    with pytest.raises(ConfigError, match="group_size"):
        replace(LoopConfig(), group_size=1)
