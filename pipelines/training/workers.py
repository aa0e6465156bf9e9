"""How every training starts its workers on Ray Train: alike, but for what they do and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

#: The folder of Ray Train's own files in a run's output.
RUN_NAME = "ray"


class TrainingSettings(Protocol):
    """What the settings of every training say of its workers."""

    @property
    def output(self) -> str: ...
    @property
    def num_workers(self) -> int: ...
    @property
    def num_threads(self) -> int: ...
    @property
    def use_gpu(self) -> bool: ...
    @property
    def max_failures(self) -> int: ...


def train_on_workers(
    worker: Callable[[dict[str, Any]], None],
    config: TrainingSettings,
    datasets: Mapping[str, Any] | None = None,
    num_checkpoints: int | None = None,
) -> None:
    """Run ``worker`` in each of the run's workers until all are done, on one GPU each or on a core
    a thread; it is given ``{"config": config}``. A run of the same output goes on.

    ``datasets``: of Ray Data, by the names by which workers ask for their shards.
    ``num_checkpoints``: the latest ones are kept, None: all.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    resources: dict[str, float] = {"CPU": config.num_threads}
    trainer = TorchTrainer(
        worker,
        train_loop_config={"config": config},
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.use_gpu,
            resources_per_worker=resources | ({"GPU": 1} if config.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=RUN_NAME,
            storage_path=str(Path(config.output).resolve()),
            failure_config=FailureConfig(max_failures=config.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=num_checkpoints),
        ),
        datasets=dict(datasets or {}),
    )
    trainer.fit()
