"""Launching the training of the unified encoder on Ray Train, its clips made by Ray tasks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cluster.connect import connect
from pipelines.train_encoder.config import TrainEncoderConfig
from pipelines.train_encoder.unified.run import WEIGHTS_FOLDER, train_unified_in_process
from spatialcode.encoder.unified.weights import read_unified_card


def train_unified_encoder(config: TrainEncoderConfig) -> dict[str, Any]:
    """Train, or go on where the output folder left off; the card of the weights."""
    if config.launcher == "ray":
        _train_on_ray(config)
    else:
        train_unified_in_process(config)
    return read_unified_card(Path(config.output, WEIGHTS_FOLDER))


def _train_on_ray(config: TrainEncoderConfig) -> None:
    """Workers, checkpoints and restarts by Ray Train; a run of the same output goes on."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    # Trainers hold their cores while clips need some too: with fewer, both would wait forever.
    cores = config.num_workers * config.num_threads + config.num_renderers
    connect(config.ray_address or None, cores)
    output = Path(config.output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    resources: dict[str, float] = {"CPU": config.num_threads}
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config={"config": config},
        torch_config=TorchConfig(backend="nccl" if config.use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.use_gpu,
            resources_per_worker=resources | ({"GPU": 1} if config.use_gpu else {}),
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(output),
            failure_config=FailureConfig(max_failures=config.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
    trainer.fit()


def _train_worker(values: dict[str, Any]) -> None:
    """One Ray Train worker."""
    import ray.train
    import torch
    from ray.train import Checkpoint

    from pipelines.train_encoder.unified.clips import in_ray_tasks
    from pipelines.train_encoder.unified.run import UnifiedWorker, clip_source, run_worker

    config: TrainEncoderConfig = values["config"]
    torch.set_num_threads(config.num_threads)

    def report(figures: dict[str, Any], folder: Path) -> None:
        ray.train.report(figures, checkpoint=Checkpoint.from_directory(str(folder)))

    submit = in_ray_tasks(clip_source(config), config.unified.teacher_gpus)
    checkpoint = ray.train.get_checkpoint()
    with tempfile.TemporaryDirectory() as parts:
        if checkpoint is None:
            run_worker(UnifiedWorker(config, submit, report, Path(parts)))
            return
        with checkpoint.as_directory() as folder:
            run_worker(UnifiedWorker(config, submit, report, Path(parts), Path(folder)))
