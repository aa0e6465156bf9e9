"""One way to Ray: which options reach `ray.init`, without starting one."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from cluster.connect import connect
from pipelines.train_encoder.config import TrainEncoderConfig
from pipelines.train_encoder.launch import train_on_ray
from serve import app
from serve.config import ServeConfig


class StoppedError(Exception):
    pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `ray.init` is given; it ends there."""
    given: list[dict[str, Any]] = []

    def init(**options: Any) -> None:
        given.append(options)
        raise StoppedError

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return given


def test_a_ray_of_this_machine_offers_the_cores_that_a_job_needs(
    asked: list[dict[str, Any]],
) -> None:
    with pytest.raises(StoppedError):
        connect(min_cpus=999.5, object_store_memory=7)
    (options,) = asked
    assert (options["num_cpus"], options["object_store_memory"]) == (1000, 7)
    assert options["include_dashboard"] is False


@pytest.mark.parametrize("from_environment", [False, True])
def test_a_cluster_is_joined_without_the_options_of_a_local_ray(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, from_environment: bool
) -> None:
    if from_environment:
        monkeypatch.setenv("RAY_ADDRESS", "1.2.3.4:6379")
    address = None if from_environment else "1.2.3.4:6379"
    with pytest.raises(StoppedError):
        connect(address, min_cpus=5, object_store_memory=7)
    assert asked[0]["address"] == address
    assert not {"num_cpus", "object_store_memory", "include_dashboard"} & set(asked[0])


def test_starting_is_tried_three_times_where_the_machine_is_busy(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: Any) -> None:
        asked.append(options)
        raise RuntimeError("the raylet timed out during startup")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RuntimeError, match="timed out"):
        connect()
    assert len(asked) == 3


def test_the_service_and_the_training_come_to_ray_this_way(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(app, "build_app", lambda config: None)
    with pytest.raises(StoppedError):
        app.start(ServeConfig(metrics_port=4321))
    config = TrainEncoderConfig(
        output=str(tmp_path), num_workers=3, num_threads=200, num_renderers=9
    )
    with pytest.raises(StoppedError):
        train_on_ray(config)
    assert asked[0]["_metrics_export_port"] == 4321
    assert asked[1]["num_cpus"] == 3 * 200 + 9 + 1
