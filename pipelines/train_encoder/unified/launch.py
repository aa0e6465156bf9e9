"""Launching the training of the unified encoder on Ray Train, its clips made by Ray tasks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cluster.connect import connect
from pipelines.train_encoder.config import TrainEncoderConfig
from pipelines.train_encoder.unified.run import WEIGHTS_FOLDER, train_unified_in_process
from pipelines.training.workers import train_on_workers
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
    # Trainers hold their cores while clips need some too: with fewer, both would wait forever.
    cores = config.num_workers * config.num_threads + config.num_renderers
    connect(config.ray_address or None, cores)
    output = Path(config.output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    train_on_workers(_train_worker, config, num_checkpoints=2)


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
