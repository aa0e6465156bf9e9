"""Settings of the training that reach its rollout actors."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.rollouts import actors, rollouts
from spatialcode.config import load_config


def test_what_is_set_for_rollout_actors_reaches_their_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[actors.RolloutPoolConfig] = []

    def no_actors(engine: Any, config: actors.RolloutPoolConfig) -> None:
        made.append(config)

    monkeypatch.setattr(actors, "RolloutActors", no_actors)
    monkeypatch.setattr(rollouts, "plain_model", lambda model: model)
    monkeypatch.setattr(rollouts, "end_ids_of", lambda model: [0])
    given = ["num_actors=4", "num_cpus=2.0", "prompts_per_call=3", "call_timeout_s=60.0",
             "max_replaced=7", "one_step_off=true"]  # fmt: skip
    dotlist = ["output=x", "num_workers=2", *(f"rollouts.{one}" for one in given)]
    config = load_config(TrainReasonerConfig, None, dotlist)
    writer = rollouts.make_rollouts(config, None, "cpu", "weights")
    assert isinstance(writer, actors.AheadRollouts)
    assert made == [
        actors.RolloutPoolConfig(
            num_actors=2, num_cpus=2.0, num_gpus=0.0, prompts_per_call=3, call_timeout_s=60.0,
            max_replaced=7,
        )
    ]  # fmt: skip
