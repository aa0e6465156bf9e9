"""A step learns what is rewarded, drops what teaches nothing, and masks what was not scored."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from pipelines.train_reasoner import worker
from pipelines.train_reasoner.config import STAGES, TrainReasonerConfig
from pipelines.train_reasoner.prompts import PromptRow
from pipelines.train_reasoner.rewards.scorers import RewardSample
from pipelines.train_reasoner.rollouts import engines
from pipelines.train_reasoner.rollouts.rollouts import (
    OnGroup,
    RolloutRequest,
    TrainedModelEngine,
    TrainerRollouts,
    make_rollouts,
)
from pipelines.train_reasoner.step import (
    Harvester,
    Learner,
    StepOutcome,
    grpo_step,
    learning_rate,
    update_config,
)
from pipelines.train_reasoner.worker import Worker, WorkerSetup, stage_seed
from pipelines.training.checkpoints import FoundCheckpoint, RunPosition, seed_everything
from spatialcode.config import load_config
from spatialcode.grpo.types import Scored
from tests.grpo.torch_stepper import TorchStepper

END = 0
Reward = Callable[[str, str], Scored]


def tiny_model() -> Any:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(Qwen3Config(
        vocab_size=16, hidden_size=16, num_hidden_layers=1, intermediate_size=32,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True,
        max_position_embeddings=32, eos_token_id=END, pad_token_id=END,
    ))  # fmt: skip


class NumbersInTurn:
    """Prompts that are the numbers 3 and 5 in turn."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def draw(self, count: int) -> list[PromptRow]:
        drawn = list(itertools.islice(self.numbers, count))
        return [PromptRow(n, "f", "[]", "", str((3, 5)[n % 2]), "", "") for n in drawn]

    def skip_to(self, number: int) -> None:
        """Nobody else draws."""


class ByFunction:
    """Rewards of a function of the prompt's number and the completion's text."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward
        self.done: dict[int, Scored] = {}
        self.numbers = itertools.count()

    def submit(self, samples: Sequence[RewardSample]) -> list[int]:
        handles = list(itertools.islice(self.numbers, len(samples)))
        for handle, one in zip(handles, samples, strict=True):
            self.done[handle] = self.reward(one.item, one.completion)
        return handles

    def collect(self, handles: Iterable[int] | None = None) -> Iterator[tuple[int, Scored]]:
        assert handles is not None
        yield from ((handle, self.done.pop(handle)) for handle in handles)

    def close(self) -> None:
        """Nothing to end."""


def learner_of(reward: Reward, model: Any = None, **changes: Any) -> Learner:
    settings = {"prompts_per_step": 4, "samples_per_prompt": 6, "max_new_tokens": 3,
                "learning_rate": 3e-2, "warmup_steps": 0, "loss": "grpo", "max_refills": 2,
                **changes}  # fmt: skip
    arguments = [f"grpo.{key}={value}" for key, value in settings.items()]
    config = load_config(TrainReasonerConfig, None, ["output=x", *arguments])
    model = model or tiny_model()
    rollouts = TrainerRollouts(TrainedModelEngine(model), 256)
    text: Any = SimpleNamespace(
        prompt_ids=lambda _: (3, 7), completion=lambda ids: " ".join(map(str, ids))
    )
    harvester = Harvester(config, text, rollouts, ByFunction(reward), NumbersInTurn())
    stepper = TorchStepper(model, torch.optim.Adam(model.parameters(), lr=3e-2))
    return Learner(config, stepper, harvester)


def steps_of(learner: Learner, count: int) -> list[StepOutcome]:
    return [grpo_step(learner, step, step) for step in range(count)]


def share_of_fives(_: str, text: str) -> Scored:
    """How much of a completion of three tokens is the number 5."""
    share = text.split().count("5") / 3
    return Scored({"answer": share}, share)


def test_it_learns_what_is_rewarded_and_hands_the_weights_on() -> None:
    learner = learner_of(share_of_fives)
    rewards = [outcome.figures["reward"] for outcome in steps_of(learner, 30)]
    assert rewards[0] < 0.2
    assert sum(rewards[-5:]) / 5 > 0.7
    rollouts = learner.harvester.rollouts
    assert isinstance(rollouts, TrainerRollouts)
    assert rollouts.engine.weight_version == 30


def test_with_the_sign_turned_it_unlearns() -> None:
    learner = learner_of(lambda item, text: Scored({}, -(share_of_fives(item, text).total or 0.0)))
    rewards = [-outcome.figures["reward"] for outcome in steps_of(learner, 12)]
    assert sum(rewards) / 12 < 0.1


def test_first_ratios_are_one() -> None:
    (outcome,) = steps_of(learner_of(share_of_fives), 1)
    assert outcome.figures["first/mean"] == pytest.approx(1.0, abs=1e-4)
    assert outcome.figures["first/max_abs_log"] < 1e-3
    assert outcome.figures["parity"]["max_difference"] < 1e-4


def drawn_for_fives() -> Reward:
    """Prompts 3 are scored alike, prompts 5 are not."""
    number = itertools.count()
    return lambda item, _: Scored({}, 0.5 if item == "3" else float(next(number)))


@pytest.mark.parametrize(("max_refills", "drawn", "kept"), [(1, 6, 3), (0, 4, 2)])
def test_groups_that_do_not_vary_are_dropped_and_refilled(
    max_refills: int, drawn: int, kept: int
) -> None:
    """Of four drawn two are kept; of two more, one."""
    learner = learner_of(drawn_for_fives(), max_refills=max_refills)
    (outcome,) = steps_of(learner, 1)
    assert outcome.next_task == drawn
    assert outcome.figures["num_samples"] == 6 * drawn
    assert outcome.figures["num_sequences"] == 6 * kept
    assert outcome.figures["without_variance"] == pytest.approx(1 - kept / drawn)


def test_without_any_variance_nothing_is_updated() -> None:
    model = tiny_model()
    before = [p.clone() for p in model.parameters()]
    (outcome,) = steps_of(learner_of(lambda *_: Scored({}, 1.0), model), 1)
    assert outcome.figures["num_steps"] == 0
    assert outcome.figures["num_samples"] == 12 * 6
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_sample_without_a_reward_is_masked_and_counted() -> None:
    """Where no completion that has a 5 is scored, the others count, and their mean with them."""

    def reward(item: str, text: str) -> Scored:
        if "5" in text.split():
            return Scored(None, None, error="hung")
        return Scored({}, float(len(set(text.split()))))

    (outcome,) = steps_of(learner_of(reward, max_refills=0), 1)
    figures = outcome.figures
    assert 0 < figures["invalid"] < 1
    assert figures["reward"] >= 1, "invalid ones would pull it towards 0"
    scored = round(figures["num_samples"] * (1 - figures["invalid"]))
    assert 0 < figures["num_sequences"] <= scored


def test_the_update_knows_the_samplers_temperature() -> None:
    learner = learner_of(share_of_fives, temperature=0.5)
    assert update_config(learner.config).scoring.temperature == 0.5
    (outcome,) = steps_of(learner, 1)
    assert outcome.figures["first/max_abs_log"] < 1e-3


def test_stages_and_ranks_draw_numbers_of_their_own() -> None:
    drawn = set()
    for name, rank in itertools.product(STAGES, range(2)):
        seed_everything(*stage_seed(5, rank, name))
        drawn.add(float(torch.rand(())))
    assert len(drawn) == 2 * len(STAGES)


class Noting(TrainerRollouts):
    """Writes as the trainer itself does, and notes the order of what it is asked."""

    def __init__(self, engine: TrainedModelEngine) -> None:
        super().__init__(engine, 256)
        self.asked: list[tuple[str, int]] = []

    def sync(self, tensors: Iterable[Any], version: int) -> None:
        self.asked.append(("sync", version))
        super().sync(tensors, version)

    def start(self, request: RolloutRequest, on_group: OnGroup) -> None:
        self.asked.append(("start", request.settings.seed))
        super().start(request, on_group)

    def take(self, version: int) -> list[Any]:
        self.asked.append(("take", version))
        return super().take(version)


def varied() -> Reward:
    number = itertools.count()
    return lambda *_: Scored({}, float(next(number)))


def test_one_step_off_the_next_batch_is_begun_before_the_weights_change() -> None:
    learner = learner_of(varied(), num_steps=3)
    rollouts = replace(learner.config.rollouts, num_actors=1, one_step_off=True)
    learner.config = learner.harvester.config = replace(learner.config, rollouts=rollouts)
    noting = Noting(TrainedModelEngine(learner.stepper.model))
    learner.harvester.rollouts = noting
    outcomes = steps_of(learner, 3)
    assert [name for name, _ in noting.asked] == [
        "start", "take", "start", "sync", "take", "start", "sync", "take", "sync",
    ]  # fmt: skip
    assert [number for name, number in noting.asked if name == "take"] == [0, 1, 2]
    assert [number for name, number in noting.asked if name == "sync"] == [1, 2, 3]
    # what is begun and not learnt from yet is drawn again after a crash
    assert [outcome.next_task for outcome in outcomes] == [4, 8, 12]


def test_every_batch_and_every_refill_is_drawn_with_numbers_of_its_own() -> None:
    learner = learner_of(lambda *_: Scored({}, 1.0), max_refills=2)
    noting = learner.harvester.rollouts = Noting(TrainedModelEngine(learner.stepper.model))
    steps_of(learner, 2)
    seeds = [number for name, number in noting.asked if name == "start"]
    assert len(set(seeds)) == len(seeds) == 2 * 3


def test_the_rate_rises_to_its_peak() -> None:
    config = learner_of(varied(), warmup_steps=4, learning_rate=1.0).config
    rates = [learning_rate(config, step) for step in range(6)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_an_engine_is_made_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def toy(model: str, **settings: Any) -> Any:
        made.append({"model": model, **settings})
        return SimpleNamespace()

    monkeypatch.setitem(engines.ENGINES, "toy", toy)
    arguments = ["output=x", "rollouts.engine=toy", "rollouts.max_rows=7", "zero.stage=2",
                 "zero.bfloat16=true", "model.revision=abc"]  # fmt: skip
    config = load_config(TrainReasonerConfig, None, arguments)
    make_rollouts(config, tiny_model(), "cpu", "the folder")
    assert made == [
        {"model": "the folder", "revision": "abc", "dtype": "bfloat16", "device": "cpu",
         "end_ids": (END,), "max_rows": 7}
    ]  # fmt: skip
    plain = load_config(TrainReasonerConfig, None, ["output=x", "rollouts.engine=toy"])
    make_rollouts(plain, tiny_model(), "cpu", "the folder")
    assert (made[1]["dtype"], made[1]["revision"]) == ("float32", None)


def test_a_resumed_stage_hands_its_weights_on_under_their_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From a checkpoint of version 7 the writers get 7, or their samples would count as stale."""
    config = load_config(TrainReasonerConfig, None, [f"output={tmp_path}"])
    position = RunPosition(stage="grpo", step=7, next_task=40, weight_version=7)
    learner = learner_of(varied())
    noting = Noting(TrainedModelEngine(learner.stepper.model))
    stepper = SimpleNamespace(
        engine=SimpleNamespace(module=None), device="cpu", full_weights=lambda: iter(())
    )
    drawn_from: list[int] = []
    setup = WorkerSetup(config, 0, lambda _, start: drawn_from.append(start), lambda *_: None)  # type: ignore[arg-type, func-returns-value]
    fresh = Worker.__new__(Worker)  # without tokenizer and held-out rooms
    fresh.setup, fresh.position = setup, RunPosition(stage="grpo", step=0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    for name, value in (("load_model", None), ("with_adapters", None),
                        ("DeepSpeedStepper", stepper), ("make_rollouts", noting)):  # fmt: skip
        monkeypatch.setattr(worker, name, lambda *_, _value=value, **__: _value)
    monkeypatch.setattr(worker.checkpoints, "load", lambda *_: position)
    fresh.open_stage("grpo", "a folder", FoundCheckpoint(tmp_path, position, 1, config.zero.stage))
    assert noting.asked == [("sync", 7)]
    assert noting.engine.weight_version == 7
    assert drawn_from == [40]
