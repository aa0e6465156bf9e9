"""Training the unified encoder: in one plain process, or as a worker of many under DeepSpeed.

Both run `spatialcode.encoder.unified.training`; they differ in who holds the optimiser and the
checkpoints. At the end the trained folder of weights is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.train_encoder.config import TrainEncoderConfig
from pipelines.train_encoder.unified.clips import (
    ClipSource,
    MixedClips,
    RenderedClips,
    Submit,
    batches_ahead,
    in_processes,
    with_most_seen,
)
from pipelines.train_encoder.unified.config import RENDERED
from pipelines.training import checkpoints
from pipelines.training.checkpoints import RunPosition
from pipelines.training.config import AdamConfig, ZeroConfig
from pipelines.training.deepspeed import DeepSpeedStepper
from pipelines.training.rows import METRICS_FILE, cut_back
from spatialcode.encoder.unified.clips import collated, tracked_truth
from spatialcode.encoder.unified.config import UnifiedOptimisation
from spatialcode.encoder.unified.model import UnifiedModel, UnifiedOutput
from spatialcode.encoder.unified.objective import box_overlap
from spatialcode.encoder.unified.towers import (
    load_geometry_tower,
    load_object_tower,
    prepare_towers,
)
from spatialcode.encoder.unified.training import (
    PlainStepper,
    UnifiedStepper,
    parameter_groups,
    train_unified,
)
from spatialcode.encoder.unified.weights import save_unified
from spatialcode.encoder.weights.local import weights_folder
from spatialcode.files import append_jsonl
from spatialcode.seeds import VALIDATION_ROOMS

STATE_FILE, WEIGHTS_FOLDER = "state.pt", "unified"
#: Told of every checkpoint of a worker: figures, and the folder with the worker's part of it.
OnCheckpoint = Callable[[dict[str, Any], Path], None]


def optimisation(config: TrainEncoderConfig) -> UnifiedOptimisation:
    """The library's settings of a run."""
    own = config.unified
    return UnifiedOptimisation(
        num_steps=config.num_steps,
        learning_rate=config.learning_rate,
        warmup_steps=own.warmup_steps,
        weight_decay=own.weight_decay,
        max_grad_norm=own.max_grad_norm,
        bfloat16=config.bfloat16,
        weights=own.weights,
    )


def clip_source(config: TrainEncoderConfig) -> MixedClips:
    """The mix of data sets that settings name."""
    own = config.unified
    sources = [
        _rendered(config) if name == RENDERED else _recorded(config, name) for name in own.data
    ]
    return MixedClips(tuple(sources), tuple(own.data.values()), own.max_objects)


def _recorded(config: TrainEncoderConfig, name: str) -> ClipSource:
    from pipelines.train_encoder.unified.recorded import RecordedClips

    own, (reader, _, folder) = config.unified, name.partition(":")
    return RecordedClips(
        reader=reader,
        folder=str(Path(folder).resolve()),
        num_frames=own.num_frames,
        width_px=own.width_px,
        height_px=own.height_px,
        teacher=own.teacher_masks,
        cache=str(Path(own.teacher_cache or Path(config.output, "teacher_masks")).resolve()),
    )


def _rendered(config: TrainEncoderConfig) -> RenderedClips:
    own = config.unified
    return RenderedClips(own.num_frames, own.width_px, own.height_px, config.first_seed)


def make_model(config: TrainEncoderConfig, *, for_training: bool = True) -> UnifiedModel:
    """Towers with their pretrained weights, the rest with new ones: equal in every process."""
    own = config.unified
    objects = load_object_tower(str(weights_folder(own.object_tower)))
    geometry = load_geometry_tower(str(weights_folder(own.geometry_tower)))
    torch.manual_seed(optimisation(config).seed)
    model = UnifiedModel(objects, geometry, own.network)
    if for_training:
        prepare_towers(model, own.towers)
        model.in_bfloat16 = config.bfloat16
    return model


def train_unified_in_process(config: TrainEncoderConfig) -> None:
    """Train in this process; clips are made by child processes. Resumes from the output."""
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.num_threads)
    settings = optimisation(config)
    model = make_model(config)
    if config.use_gpu:
        model = model.to("cuda")
    stepper = PlainStepper(model, settings, config.unified.towers)
    state = output / STATE_FILE
    start = stepper.load(state) if state.is_file() else 0
    recorder = UnifiedRecorder(config, 0, 1, lambda step, _: stepper.save(state, step))
    submit = in_processes(clip_source(config), config.num_renderers)
    _run(config, stepper, submit, recorder, start)
    recorder.validate(stepper.model, config.num_steps)
    stepper.save(state, config.num_steps)
    _export(config, model.cpu(), recorder)


class SharedStepper(DeepSpeedStepper):
    """A unified model whose loss is the mean of all workers' means."""

    def __init__(self, model: UnifiedModel, config: TrainEncoderConfig) -> None:
        settings = optimisation(config)
        adam = AdamConfig(
            learning_rate=settings.learning_rate,
            beta2=0.999,
            max_grad_norm=settings.max_grad_norm,
        )
        super().__init__(
            model,
            ZeroConfig(stage=config.unified.zero_stage),
            adam,
            groups=parameter_groups(model, settings, config.unified.towers),
            use_gpu=config.use_gpu,
        )

    def backward(self, loss: Tensor) -> None:
        super().backward(loss / self.world_size)


@dataclass(frozen=True)
class UnifiedWorker:
    """What a worker is given: who it is, who makes its clips, and where it goes on from."""

    config: TrainEncoderConfig
    submit: Submit
    report: OnCheckpoint
    parts: Path
    resume_from: Path | None = None


def run_worker(worker: UnifiedWorker) -> None:
    """A worker's share of a run; the process group exists. Worker 0 writes metrics and weights."""
    config = worker.config
    stepper = SharedStepper(make_model(config), config)
    start = 0
    if worker.resume_from is not None:
        start = checkpoints.load(stepper, checkpoints.find(worker.resume_from)).step

    def keep(step: int, figures: dict[str, Any]) -> None:
        part = worker.parts / f"step_{step:08d}"
        position = RunPosition(WEIGHTS_FOLDER, step, total_steps=step)
        checkpoints.save(stepper, part, position)
        worker.report({"step": step, **figures}, part)

    recorder = UnifiedRecorder(config, stepper.rank, stepper.world_size, keep)
    _run(config, stepper, worker.submit, recorder, start)
    recorder.validate(stepper.engine.module, config.num_steps)
    weights = {name: value.cpu().clone() for name, value in stepper.full_weights()}
    if stepper.rank == 0:
        model = make_model(config, for_training=False)
        model.load_state_dict(weights, strict=False)
        _export(config, model, recorder)


def _run(
    config: TrainEncoderConfig,
    stepper: UnifiedStepper,
    submit: Submit,
    recorder: UnifiedRecorder,
    start: int,
) -> None:
    recorder.begin_after(start)
    ahead = 2 * max(config.batch_size, config.num_renderers)
    numbers = {"rank": recorder.rank, "world_size": recorder.world_size}
    train_unified(
        stepper,
        lambda step: batches_ahead(submit, step, config.batch_size, numbers, ahead),
        optimisation(config),
        config.unified.network.unit_m,
        recorder,
        start=start,
    )


@dataclass
class UnifiedRecorder:
    """Metrics, checkpoints and validation on the way. Every worker has one; the first writes."""

    config: TrainEncoderConfig
    rank: int
    world_size: int
    keep: Callable[[int, dict[str, Any]], None]
    validation: dict[str, float] = field(default_factory=dict)
    _begun_s: float = field(default_factory=time.monotonic)

    def begin_after(self, step: int) -> None:
        """Forget what was written of later steps, which are taken again."""
        if self.rank == 0:
            cut_back(Path(self.config.output, METRICS_FILE), step)

    def __call__(self, step: int, figures: dict[str, float]) -> None:
        self._write({"kind": "train", "step": step, **figures})
        if step % self.config.checkpoint_every_steps == 0 and step < self.config.num_steps:
            self.keep(step, figures)

    def validate(self, model: UnifiedModel, step: int) -> None:
        """Judge the model on rooms that nothing was trained on; the first worker does."""
        if self.rank == 0 and self.config.num_validation_rooms:
            rooms = VALIDATION_ROOMS[: self.config.num_validation_rooms]
            self.validation = validated(model, self.config, rooms)
            self._write({"kind": "validation", "step": step, **self.validation})

    def _write(self, row: dict[str, Any]) -> None:
        if self.rank == 0:
            seconds = round(time.monotonic() - self._begun_s, 1)
            append_jsonl(Path(self.config.output, METRICS_FILE), [{**row, "seconds": seconds}])


@torch.no_grad()
def validated(
    model: UnifiedModel, config: TrainEncoderConfig, seeds: Iterable[int]
) -> dict[str, float]:
    """Of boxes of present objects in rooms by seed: the mean overlap and its share above 0.25,
    the median distance of centres in metres, and the median ratio error of depth.
    """
    source, device = _rendered(config), next(model.parameters()).device
    overlaps, distances, ratios = [], [], []
    was_training = model.training
    model.eval()
    for seed in seeds:
        clip = with_most_seen(source.of_room(seed), config.unified.max_objects)
        batch = collated([clip]).to(device)
        truth = tracked_truth(batch)
        output = UnifiedOutput(**model(batch.rgb, batch.K, truth.masks))
        present = truth.is_present
        overlaps += box_overlap(output, truth)[present].tolist()
        distances += (output.center_m - truth.center_m).norm(dim=-1)[present].tolist()
        depth_m = torch.nn.functional.interpolate(
            batch.depth_m, output.depth_m.shape[-2:], mode="nearest-exact"
        )
        known = torch.isfinite(depth_m) & (depth_m > 0)
        ratios.append(float((output.depth_m / depth_m - 1.0).abs()[known].median()))
    model.train(was_training)
    return {
        "mean_iou": float(np.mean(overlaps)),
        "share_above_25": float(np.mean(np.array(overlaps) > 0.25)),
        "median_center_m": float(np.median(distances)),
        "depth_abs_rel": float(np.mean(ratios)),
    }


def _export(config: TrainEncoderConfig, model: UnifiedModel, recorder: UnifiedRecorder) -> None:
    own = config.unified
    card = {
        "name": "spatialcode unified encoder",
        "towers": {"object": own.object_tower, "geometry": own.geometry_tower},
        "licence": "of the towers; see `python -m jobs.weights list`",
        "data": own.data,
        "training": {
            "step": config.num_steps,
            "samples": config.num_steps * config.batch_size * config.num_workers,
        },
        "validation": recorder.validation,
    }
    save_unified(model, Path(config.output, WEIGHTS_FOLDER), card)
