"""Launching the encoder's training: one plain process, or Ray Train over a stream of Ray Data.

Both give :func:`pipelines.train_encoder.run.run` the same frames; what differs is who makes
them and who holds the checkpoints. Afterwards the score is calibrated and the weights get
their card.
"""

from __future__ import annotations

import math
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cluster.connect import connect
from pipelines.train_encoder.config import Pictures, TrainEncoderConfig
from pipelines.train_encoder.run import (
    STATE_FILE,
    WEIGHTS_FILE,
    FrameSource,
    Recorder,
    frames_of_room,
    process_frames,
    run,
    write_curve,
)
from pipelines.training.workers import train_on_workers
from spatialcode.encoder.detections import Calibration
from spatialcode.encoder.small.encoder import SmallSettings, load_weights, save_weights
from spatialcode.encoder.small.stages import SmallStages
from spatialcode.encoder.small.targets import TrainingFrames
from spatialcode.evaluation.calibration import fitted_calibration, judged_rooms
from spatialcode.seeds import VALIDATION_ROOMS
from spatialcode.synthetic.catalogue.models import attribution, catalogue, split_models
from spatialcode.synthetic.renderers import FURNITURE, check_renderer
from spatialcode.workkey import EncoderIdentity

Card = dict[str, Any]


def first_unused_seed(config: TrainEncoderConfig, resume_from: Path | None) -> int:
    """Where a resumed run goes on rendering: past the rooms that it has had."""
    if resume_from is None or not resume_from.is_file():
        return config.first_seed
    step = torch.load(resume_from, map_location="cpu", weights_only=True)["step"]
    return config.first_seed + num_rooms(replace(config, num_steps=max(1, int(step))))


def num_rooms(config: TrainEncoderConfig) -> int:
    """Rooms that so many steps need, with a margin for what stays in buffers."""
    frames = config.num_steps * config.batch_size * config.num_workers / config.frame_uses
    return math.ceil(1.1 * frames / config.frames_per_room) + 256


def train_in_process(config: TrainEncoderConfig) -> None:
    """Train in this process; rendering goes to child processes. Resumes from the output."""
    _check(config)
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.num_threads)
    state = output / STATE_FILE
    first = first_unused_seed(config, state)
    source = FrameSource(first, 1, config.pictures)
    frames = process_frames(source, config.num_renderers)
    run(config, frames, Recorder(config), resume_from=state)


def train_on_ray(config: TrainEncoderConfig) -> None:
    """Train with Ray Train: DDP workers, frames streamed by Ray Data, restarts on failure."""
    import ray

    _check(config)
    # Trainers hold their cores while rendering needs some too: with fewer, both would wait forever.
    cores = config.num_workers * config.num_threads + config.num_renderers + 1
    connect(config.ray_address or None, cores)
    output = Path(config.output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    resume_from = output / STATE_FILE
    seeds = ray.data.range(num_rooms(config)).map_batches(
        rendered_rows,
        fn_kwargs={
            "first_seed": first_unused_seed(config, resume_from),
            "pictures": config.pictures,
        },
        batch_size=4,
        num_cpus=1,  # rendering is one thread of numpy
        compute=ray.data.TaskPoolStrategy(config.num_renderers),
    )
    train_on_workers(_train_worker, config, {"frames": seeds})


def _check(config: TrainEncoderConfig) -> None:
    """FurnitureError before anything starts where real furniture is asked for and not there."""
    if config.furniture_share > 0:
        check_renderer(FURNITURE)


def rendered_rows(
    batch: dict[str, Any], first_seed: int, pictures: Pictures
) -> Iterator[dict[str, Any]]:
    """Ray Data stage: ids of rooms in, their training frames out, one block a room."""
    for index in batch["id"]:
        seed = first_seed + int(index)
        yield frames_of_room(seed, pictures).arrays()


def _train_worker(values: dict[str, Any]) -> None:
    """One Ray Train worker: the same run on its share of the frames."""
    import ray.train
    from ray.train import Checkpoint
    from ray.train.torch import prepare_model

    config: TrainEncoderConfig = values["config"]
    torch.set_num_threads(config.num_threads)
    rank = ray.train.get_context().get_world_rank()
    output = Path(config.output).resolve()

    def report(figures: dict[str, Any], path: Path | None) -> None:
        if path is None:
            ray.train.report(figures)
            return
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, STATE_FILE).write_bytes(path.read_bytes())
            ray.train.report(figures, checkpoint=Checkpoint.from_directory(folder))

    recorder = Recorder(config, rank, report)
    frames = _streamed(ray.train.get_dataset_shard("frames"), config.frames_per_room)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        run(config, frames, recorder, resume_from=output / STATE_FILE, wrap=prepare_model)
        return
    with checkpoint.as_directory() as folder:
        run(config, frames, recorder, resume_from=Path(folder, STATE_FILE), wrap=prepare_model)


def _streamed(shard: Any, frames_per_room: int) -> Iterator[TrainingFrames]:
    for batch in shard.iter_batches(batch_size=4 * frames_per_room, batch_format="numpy"):
        yield TrainingFrames(**batch)


def finish(config: TrainEncoderConfig, command: str) -> Card:
    """Fit the score on validation rooms and write weights, card and curve. Returns the card."""
    output = Path(config.output)
    path = output / WEIGHTS_FILE
    model, trained = load_weights(path)
    settings, calibration = SmallSettings(), Calibration.uncalibrated()
    identity = EncoderIdentity(path.stem, trained["sha256"], settings.sha256(calibration))
    stages = SmallStages(model, identity, calibration, settings)
    rooms = judged_rooms(stages, config.num_calibration_rooms, num_frames=32)
    card = {
        "name": "spatialcode small encoder",
        "licence": "Apache-2.0",
        **data_of(config),
        "calibration": fitted_calibration(rooms).to_dict(),
        "training": {key: trained[key] for key in ("step", "samples", "seconds")},
        "validation": trained.get("validation", {}),
        "hardware": hardware(config),
        "command": command,
        "limits": "knows rendered rooms and 18 categories; real video is outside its data",
    }
    save_weights(model, path, card)
    write_curve(output)
    return card


def data_of(config: TrainEncoderConfig) -> Card:
    """What was trained on, and who made the models that were in it."""
    seeds = f"seeds from {config.first_seed} below {VALIDATION_ROOMS.start}"
    data = f"procedural rooms rendered by spatialcode.synthetic, {seeds}; no real video"
    if config.furniture_share == 0:
        return {"data": data}
    train, _ = split_models(catalogue())
    models = tuple(model for group in train.values() for model in group)
    share = f"{config.furniture_share:.0%} of the rooms with models of real furniture"
    return {"data": f"{data}; {share}", "attribution": attribution(models)}


def hardware(config: TrainEncoderConfig) -> str:
    """What the training ran on, in words."""
    if config.use_gpu and torch.cuda.is_available():
        return f"{config.num_workers} x {torch.cuda.get_device_name()}"
    threads = config.num_workers * config.num_threads
    return f"{threads} {platform.machine()} CPU threads, {config.num_renderers} rendering"
