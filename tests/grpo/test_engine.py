from __future__ import annotations

import pytest
import torch

from spatialcode.errors import ConfigError, PromptError, WeightsError
from spatialcode.grpo.engine import HFEngine
from spatialcode.grpo.types import Engine, SamplerSettings
from tests.grpo.tiny_policy import PROMPTS, policy

SETTINGS = SamplerSettings(max_new_tokens=6, seed=2)


def written(engine: HFEngine) -> list:
    return [[one.completion_ids for one in g] for g in engine.generate(PROMPTS, 2, SETTINGS)]


def test_loaded_weights_write_what_their_owner_writes() -> None:
    source, engine = policy(seed=1), HFEngine(policy(seed=2))
    assert isinstance(engine, Engine)
    assert written(engine) != written(HFEngine(source))
    engine.load_weights(source.named_parameters(), version=3)
    assert written(engine) == written(HFEngine(source))
    assert engine.weight_version == 3
    assert engine.generate(PROMPTS[:1], 1, SETTINGS)[0][0].weight_version == 3
    with torch.no_grad():  # a copy, not a view
        source.lm_head.weight.zero_()
    assert engine.model.lm_head.weight.abs().sum() > 0


def test_incomplete_weights_are_refused_until_all_come() -> None:
    source, engine = policy(seed=1), HFEngine(policy(seed=2))
    named = list(source.named_parameters())
    with pytest.raises(WeightsError, match=r"2 of the model's weights"):
        engine.load_weights(named[:-2], version=1)
    with pytest.raises(WeightsError, match="again"):
        engine.generate(PROMPTS, 1, SETTINGS)
    assert engine.weight_version == 0
    engine.load_weights(named, version=1)
    assert len(engine.generate(PROMPTS, 1, SETTINGS)) == len(PROMPTS)


def test_foreign_weights_are_named() -> None:
    engine = HFEngine(policy())
    with pytest.raises(WeightsError, match="no such weight"):
        engine.load_weights([("other.weight", torch.zeros(2))], version=1)
    with pytest.raises(WeightsError, match=r"lm_head.*\(24, 32\).*\(2, 3\)"):
        engine.load_weights([("lm_head.weight", torch.zeros(2, 3))], version=1)


def test_tied_weights_may_come_once_under_either_name() -> None:
    source, target = policy("gpt2", seed=1), policy("gpt2", seed=2)
    named = dict(source.named_parameters(remove_duplicate=False))
    assert "lm_head.weight" in named
    del named["transformer.wte.weight"]
    engine = HFEngine(target)
    engine.load_weights(named.items(), version=1)
    assert written(engine) == written(HFEngine(source))


def test_follow_names_weights_changed_in_place() -> None:
    engine = HFEngine(policy())
    engine.weight_version = 4
    assert engine.generate(PROMPTS[:1], 1, SETTINGS)[0][0].weight_version == 4


def test_too_long_a_prompt_says_what_was_expected() -> None:
    engine = HFEngine(policy())
    prompt = [3] * 59  # 59 + 6 > 64 positions
    with pytest.raises(PromptError, match="64 positions, got 59"):
        engine.generate([prompt], 1, SETTINGS)
    assert engine.generate([prompt[:58]], 1, SETTINGS)


def test_an_engine_needs_an_end() -> None:
    model = policy()
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    with pytest.raises(ConfigError, match="end_ids"):
        HFEngine(model)
    assert HFEngine(model, end_ids=[1]).end_ids == (1,)
    model.generation_config.eos_token_id = [1, 2]
    assert HFEngine(model).end_ids == (1, 2)
