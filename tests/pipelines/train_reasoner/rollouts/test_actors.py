from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.train_reasoner.rollouts.actors import (
    ActorRollouts,
    AheadRollouts,
    RolloutActors,
    RolloutPoolConfig,
    shards,
)
from pipelines.train_reasoner.rollouts.engines import EngineSpec, load_engine
from pipelines.train_reasoner.rollouts.rollouts import RolloutRequest
from spatialcode.errors import (
    ActorsLostError,
    ConfigError,
    ModelError,
    StaleSampleError,
    WeightsError,
    WeightSyncError,
)
from spatialcode.grpo.types import Engine, Sample, SamplerSettings
from tests.pipelines.train_reasoner.rollouts import stand_in_engine
from tests.pipelines.train_reasoner.rollouts.stand_in_engine import Echo

SETTINGS = SamplerSettings(seed=5, max_new_tokens=3)
CONFIG = RolloutPoolConfig(num_actors=2, num_cpus=0.5, prompts_per_call=2)
#: Ten prompts, three of them alike.
PROMPTS = [(n, n + 1) for n in range(7)] + [(3, 4), (9, 9, 9), (3, 4)]


def weights(number: float) -> list[tuple[str, torch.Tensor]]:
    return [("w", torch.tensor([number]))]


def plain(number: float, version: int, prompts: Any = PROMPTS) -> list[list[Sample]]:
    """What one engine in this process writes with these weights."""
    engine = Echo()
    engine.load_weights(weights(number), version)
    return engine.generate(prompts, 2, SETTINGS)


def nobody(number: int, group: list[Sample]) -> None:
    """Does not listen."""


def unversioned(groups: list[list[Sample]]) -> list[list[tuple[Any, ...]]]:
    return [[(s.prompt_ids, s.completion_ids, s.logprobs, s.finished) for s in g] for g in groups]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines") / "journal"


@pytest.fixture(scope="module")
def pool(ray_session: Any, journal: Path) -> Iterator[RolloutActors]:
    """Two actors that take a tenth of a second a prompt."""
    spec = EngineSpec(stand_in_engine.NAME, {"slow_s": 0.1, "journal": str(journal)})
    pool = RolloutActors(spec, CONFIG)
    pool.pids()
    yield pool
    pool.close()


def written(journal: Path) -> Counter[int]:
    """How often each prompt was written, by its first token."""
    return Counter(int(line.split()[1]) for line in journal.read_text().splitlines())


def test_shards_keep_equal_prompts_together_and_order_within() -> None:
    assert shards(PROMPTS, 4) == [[0, 1, 2], [3, 7, 9, 4], [5, 6, 8]]
    assert shards([], 4) == []
    assert shards([(1,)] * 3, 2) == [[0, 1, 2]]


@given(st.lists(st.integers(0, 6), max_size=30), st.integers(1, 8))
def test_shards_hold_every_prompt_once(tokens: list[int], size: int) -> None:
    prompts = [(token,) for token in tokens]
    parts = shards(prompts, size)
    assert sorted(n for part in parts for n in part) == list(range(len(prompts)))
    for token in set(tokens):
        holding = [part for part in parts if any(tokens[n] == token for n in part)]
        assert len(holding) == 1
        alike = [n for n in holding[0] if tokens[n] == token]
        assert alike == sorted(alike)


def test_the_pool_is_an_engine_that_writes_what_one_engine_writes(pool: RolloutActors) -> None:
    assert isinstance(pool, Engine)
    pool.load_weights(weights(1.5), 1)
    assert pool.weight_version == 1
    assert pool.generate(PROMPTS, 2, SETTINGS) == plain(1.5, 1)
    assert plain(1.5, 1)[3] != plain(1.5, 1)[7], "equal prompts get completions of their own"
    # others with other weights, and with another seed
    pool.load_weights(weights(2.5), 2)
    assert pool.generate(PROMPTS, 2, SETTINGS) == plain(2.5, 2)
    assert unversioned(plain(2.5, 2)) != unversioned(plain(1.5, 1))
    streamed = dict(pool.stream(PROMPTS[:3], 2, SETTINGS))
    assert [streamed[n] for n in range(3)] == plain(2.5, 2, PROMPTS[:3])
    with pytest.raises(WeightSyncError, match="version 1: older than the one sent before, 2"):
        pool.load_weights(weights(1.0), 1)


def test_a_killed_actor_costs_its_own_prompts_and_they_are_written_again(
    pool: RolloutActors, journal: Path
) -> None:
    pool.load_weights(weights(3.5), 3)
    prompts = [(n, 0) for n in range(100, 124)]
    before = pool.num_repeated
    stream = pool.stream(prompts, 2, SETTINGS)
    found = dict([next(stream)])
    os.kill(pool.pids()[0], signal.SIGKILL)
    found |= dict(stream)
    # the one that took its place has the same weights
    assert [found[n] for n in range(24)] == plain(3.5, 3, prompts)
    assert pool.num_replaced == 1
    repeated = pool.num_repeated - before
    assert 0 < repeated <= CONFIG.prompts_per_call
    times = written(journal)
    assert all(times[n] >= 1 for n in range(100, 124))
    again = sum(times[n] - 1 for n in range(100, 124))
    assert again <= repeated, "prompts of the other actor were written twice"


def test_what_the_engine_raises_reaches_the_caller(pool: RolloutActors) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        pool.generate([(1,), ()], 1, SETTINGS)
    assert len(pool.generate([(1,)], 3, SETTINGS)[0]) == 3  # and the pool goes on


def test_a_batch_is_written_while_the_caller_trains(pool: RolloutActors, journal: Path) -> None:
    pool.load_weights(weights(4.0), 4)
    rollouts = AheadRollouts(pool)
    early: list[int] = []
    first, second = PROMPTS[:4], [(n, 1) for n in range(200, 216)]
    rollouts.start(RolloutRequest(first, 2, SETTINGS), lambda number, group: early.append(number))
    assert rollouts.take(4) == plain(4.0, 4, first)
    assert sorted(early) == [0, 1, 2, 3]

    rollouts.start(RolloutRequest(second, 2, SETTINGS), nobody)
    with pytest.raises(RuntimeError, match="not been taken"):
        rollouts.start(RolloutRequest(first, 2, SETTINGS), nobody)
    while not any(written(journal)[n] for n in range(200, 216)):
        time.sleep(0.02)  # "training", until the batch is begun
    rollouts.sync(weights(5.0), 5)
    groups = rollouts.take(5)
    versions = Counter(sample.weight_version for group in groups for sample in group)
    assert set(versions) == {4, 5}, "begun with the old weights, ended with the new ones"
    old, new = plain(4.0, 4, second), plain(5.0, 5, second)
    for number, group in enumerate(groups):  # every sample says truly what wrote it
        assert group == (old if group[0].weight_version == 4 else new)[number]
    assert rollouts.num_stale == 0
    with pytest.raises(RuntimeError, match="no batch"):
        rollouts.take(5)


def test_actors_write_a_batch_at_once(pool: RolloutActors) -> None:
    rollouts = ActorRollouts(pool)
    rollouts.sync(weights(5.5), 5)
    told: dict[int, list[Sample]] = {}
    rollouts.start(RolloutRequest(PROMPTS, 2, SETTINGS), told.__setitem__)
    assert [told[number] for number in range(len(PROMPTS))] == plain(5.5, 5)
    assert rollouts.take(5) == plain(5.5, 5)
    assert rollouts.write(RolloutRequest(PROMPTS[:3], 2, SETTINGS)) == plain(5.5, 5, PROMPTS[:3])


def test_an_evaluation_takes_nothing_from_the_batch_under_way() -> None:
    """The pool serves one stream at a time: a second one would drop what the first still wants."""
    open_streams: list[int] = []

    class OneStream:
        """Stands in for the pool of actors; slow, and strict about its one stream."""

        def stream(self, prompts: Any, num_samples: int, settings: Any) -> Iterator[Any]:
            assert not open_streams, "two streams at a time"
            open_streams.append(1)
            for number, prompt in enumerate(prompts):
                time.sleep(0.05)
                yield number, [Sample(prompt, (1,), (0.0,), True, 0)] * num_samples
            open_streams.clear()

        def generate(self, *args: Any) -> list[list[Sample]]:
            return [group for _, group in self.stream(*args)]

    rollouts = AheadRollouts(OneStream())  # type: ignore[arg-type]
    rollouts.start(RolloutRequest(PROMPTS[:4], 2, SETTINGS), nobody)
    while not open_streams:
        time.sleep(0.001)
    (evaluated,) = rollouts.write(RolloutRequest([(7, 7)], 1, SETTINGS))
    assert [sample.prompt_ids for sample in evaluated] == [(7, 7)]
    assert [group[0].prompt_ids for group in rollouts.take(0)] == list(PROMPTS[:4])


def test_samples_that_lag_too_far_are_written_again_or_refused(pool: RolloutActors) -> None:
    pool.load_weights(weights(6.0), 6)
    rollouts = AheadRollouts(pool)
    prompts = [(n, 2) for n in range(300, 304)]
    again: list[int] = []
    asked = RolloutRequest(prompts, 2, SETTINGS)
    rollouts.start(asked, lambda number, group: again.append(number))
    while len(again) < 4:
        time.sleep(0.02)
    rollouts.sync(weights(8.0), 8)
    assert rollouts.take(8) == plain(8.0, 8, prompts)
    assert rollouts.num_stale == 4
    assert sorted(again) == [0, 0, 1, 1, 2, 2, 3, 3]

    rollouts.start(asked, nobody)
    with pytest.raises(StaleSampleError, match="version 9 to 10, the actors have 8: send them"):
        rollouts.take(10)
    rollouts.start(asked, nobody)
    with pytest.raises(StaleSampleError, match="version 8: the trainer is at 7"):
        rollouts.take(7)
    rollouts.start(asked, nobody)
    assert rollouts.take(9) == plain(8.0, 8, prompts), "one step off is near enough"
    assert rollouts.num_stale == 4


def test_a_hanging_engine_is_replaced_and_weights_that_do_not_fit_are_refused(
    ray_session: Any, tmp_path: Path
) -> None:
    (tmp_path / "hang").touch()
    spec = EngineSpec(stand_in_engine.NAME, {"hang_once": str(tmp_path / "hang")})
    pool = RolloutActors(spec, RolloutPoolConfig(1, 0.5, call_timeout_s=2.5, max_replaced=1))
    try:
        pool.load_weights(weights(1.0), 1)
        assert pool.generate(PROMPTS, 2, SETTINGS) == plain(1.0, 1)
        assert pool.num_replaced == 1
        with pytest.raises(WeightSyncError, match=r"w: expected .*\(1,\).*, got .*\(2,\)"):
            pool.load_weights([("w", torch.zeros(2))], 2)
        # refused, so that the old weights write on and say so
        assert pool.generate(PROMPTS, 2, SETTINGS) == plain(1.0, 1)
        os.kill(pool.pids()[0], signal.SIGKILL)
        with pytest.raises(ActorsLostError, match="more than 1 actors lost"):
            pool.generate(PROMPTS, 2, SETTINGS)
    finally:
        pool.close()


def test_an_engine_that_cannot_be_made_ends_the_run_and_says_why(ray_session: Any) -> None:
    pool = RolloutActors(EngineSpec("no_such.module:make"), RolloutPoolConfig(1, 0.5))
    try:
        with pytest.raises(ActorsLostError, match="no_such"):
            pool.generate(PROMPTS, 2, SETTINGS)
        assert pool.num_replaced == 0
    finally:
        pool.close()


def tiny_model() -> Any:
    from transformers import AutoModelForCausalLM, Qwen3Config

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, eos_token_id=1,
        tie_word_embeddings=True,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


def test_a_transformers_model_behind_actors_writes_what_it_writes_here(ray_session: Any) -> None:
    from spatialcode.grpo.engine import HFEngine

    model = tiny_model()
    here = HFEngine(model, weight_version=3)
    spec = EngineSpec("hf", {"model": model.config.to_dict()})
    pool = RolloutActors(spec, RolloutPoolConfig(1, 0.5, prompts_per_call=4))
    try:
        with pytest.raises(WeightSyncError, match="no weights yet"):
            pool.generate(PROMPTS, 2, SETTINGS)
        with pytest.raises(WeightsError, match="did not come"):
            pool.load_weights(list(model.named_parameters())[:-1], 3)
        pool.load_weights(model.named_parameters(), 3)
        there, expected = pool.generate(PROMPTS, 2, SETTINGS), here.generate(PROMPTS, 2, SETTINGS)
    finally:
        pool.close()
    for group, wanted in zip(there, expected, strict=True):
        for sample, own in zip(group, wanted, strict=True):
            assert sample.completion_ids == own.completion_ids
            assert (sample.prompt_ids, sample.weight_version) == (own.prompt_ids, 3)
            # the same float32 numbers in batches of another size
            assert sample.logprobs == pytest.approx(own.logprobs, abs=1e-5)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_vllm_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(ModelError, match=r"rollouts\.engine=vllm.*spatialcode\[vllm\]"):
        load_engine(EngineSpec("vllm", {"model": "x", "dtype": "bfloat16", "device": "cuda"}))


def test_engines_are_named_and_their_models_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no_such"):
        load_engine(EngineSpec("no_such.module:make"))
    with pytest.raises(ModelError, match="cannot be made"):
        load_engine(EngineSpec("hf", {"model": str(tmp_path / "nothing")}))
    with pytest.raises(ModelError, match="cannot be made"):
        load_engine(EngineSpec("hf", {"model": {"model_type": "no_such_model"}}))
    model = tiny_model()
    model.save_pretrained(tmp_path / "model")
    engine = load_engine(EngineSpec("hf", {"model": str(tmp_path / "model")}))
    assert engine.weight_version == 0
    assert len(engine.generate([(5, 6)], 2, SETTINGS)[0]) == 2
