"""One training run of the encoder: frames of rendered rooms, the network, what is written.

Frames come from worker processes on this machine or from a Ray Data graph over a cluster; seed
``s`` gives the same frames from either. Knows no Ray: the plain launcher calls it once, the Ray
Train launcher once per worker. Rank 0 writes metrics, checkpoints and weights; all ranks train.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing as mp
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.train_encoder.config import KINDS, NetworkSettings, Pictures, TrainEncoderConfig
from pipelines.training.rows import METRICS_FILE, cut_back, read_rows
from spatialcode.encoder.small.efficientnet import Lite0Config, imagenet_file, load_imagenet
from spatialcode.encoder.small.encoder import save_weights
from spatialcode.encoder.small.inputs import (
    CameraKnowledge,
    cell_frames,
    exact_knowledge,
    unknown_knowledge,
)
from spatialcode.encoder.small.losses import quality_measures
from spatialcode.encoder.small.model import DenseEncoder, ModelConfig, make_model
from spatialcode.encoder.small.targets import (
    NO_KIND,
    ReplayBuffer,
    ReplayConfig,
    TrainingFrames,
    TruthFrames,
    training_frames,
)
from spatialcode.encoder.small.towers import TrunkConfig
from spatialcode.encoder.small.training import (
    TrainConfig,
    TrainState,
    predict_raw,
    start_state,
    train,
)
from spatialcode.files import append_jsonl
from spatialcode.seeds import VALIDATION_ROOMS
from spatialcode.synthetic.clips import ClipConfig, make_training_frames
from spatialcode.synthetic.renderers import renderer_of
from spatialcode.synthetic.stage import WALL
from spatialcode.synthetic.truth import CLUTTER

STATE_FILE, WEIGHTS_FILE = "state.pt", "encoder.safetensors"


@dataclass(frozen=True)
class FrameSource:
    """Rooms ``first_seed``, ``first_seed + stride``, ... and the pictures taken of each."""

    first_seed: int = 0
    stride: int = 1
    pictures: Pictures = field(default_factory=Pictures)

    def seeds(self) -> Iterator[int]:
        """Endless, below the validation seeds."""
        span = VALIDATION_ROOMS.start
        return (seed % span for seed in itertools.count(self.first_seed, self.stride))


def frames_of_room(seed: int, pictures: Pictures) -> TrainingFrames:
    """Render one room and make its targets. Deterministic by seed and pictures.

    Of what is none of their kinds there is nothing to learn but its depth. Clutter counts as
    wall, as decoration does: a person must not become a chair. Raises FurnitureError where the
    room's renderer cannot run on this machine.
    """
    num, size = pictures.num_a_room, (pictures.width_px, pictures.height_px)
    config = ClipConfig(num, *size, renderer=renderer_of(seed, pictures.furniture_share))
    clip = make_training_frames(seed, num, config)
    found = (pictures.kinds.channel_of(label) for label in clip.labels)
    channels = [NO_KIND if channel is None else channel for channel in found]
    return training_frames(
        TruthFrames(
            rgb=clip.rgb,
            depth_m=clip.depth_m,
            instance=np.where(clip.instance == CLUTTER, WALL, clip.instance),
            K=clip.K,
            T_world_camera=clip.T_world_camera,
            label_index=np.array(channels, np.int16),
            center_m=clip.center_m,
            size_m=clip.size_m,
            yaw_rad=clip.yaw_rad,
        )
    )


def _render_forever(source: FrameSource, out: mp.Queue) -> None:
    parent = mp.parent_process()
    for seed in source.seeds():
        frames = frames_of_room(seed, source.pictures)
        while True:
            try:
                out.put(frames, timeout=5)
                break
            except queue.Full:
                # a killed trainer takes no more frames and cannot tell its workers to stop
                if parent is None or not parent.is_alive():
                    return


def process_frames(source: FrameSource, num_workers: int) -> Iterator[TrainingFrames]:
    """Endless frames from ``num_workers`` child processes on this machine.

    Raises RuntimeError when a worker dies: training on a part of the seeds goes unnoticed
    otherwise. Workers end with this process, however it ends.
    """
    context = mp.get_context("spawn")
    rooms: mp.Queue = context.Queue(maxsize=64)
    workers = []
    for i in range(num_workers):
        share = FrameSource(
            source.first_seed + i * source.stride,
            source.stride * num_workers,
            source.pictures,
        )
        worker = context.Process(target=_render_forever, args=(share, rooms), daemon=True)
        worker.start()
        workers.append(worker)
    while True:
        try:
            yield rooms.get(timeout=5)
        except queue.Empty:
            dead = [w.exitcode for w in workers if not w.is_alive()]
            if dead:
                raise RuntimeError(f"a rendering worker died with exit code {dead[0]}") from None


#: Pictures of each unseen room that a validation looks at.
_VALIDATION_PICTURES = 4
#: Seconds between two lines of training metrics.
_LOG_EVERY_S = 15.0


def train_config(config: TrainEncoderConfig) -> TrainConfig:
    """The library's settings of the optimisation."""
    return TrainConfig(
        num_steps=config.num_steps,
        max_seconds=math.inf if config.max_seconds is None else config.max_seconds,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        bfloat16=config.bfloat16,
    )


def validation_batch(num_rooms: int, pictures: Pictures) -> dict[str, Tensor]:
    """Pictures of rooms that are never trained on."""
    rooms = [frames_of_room(seed, pictures) for seed in VALIDATION_ROOMS[:num_rooms]]
    names = rooms[0].arrays()
    return {k: torch.from_numpy(np.concatenate([r.arrays()[k] for r in rooms])) for k in names}


@torch.no_grad()
def validate(
    model: nn.Module, batch: dict[str, Tensor], bfloat16: bool, chunk: int = 16
) -> dict[str, dict[str, float]]:
    """Dense quality on a batch, with exact gravity and without any; means over chunks."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    report = {}
    for name, know in (("exact", exact_knowledge), ("unknown", unknown_knowledge)):
        rows = []
        for start in range(0, len(batch["rgb"]), chunk):
            part = {k: v[start : start + chunk].to(device) for k, v in batch.items()}
            knowledge: CameraKnowledge = know(part)
            # targets in the true level frame either way
            frames = cell_frames(part["K"], part["up_camera"], *part["rgb"].shape[1:3])
            raw = predict_raw(model, part, knowledge, bfloat16)
            rows.append(quality_measures(raw, part, frames))
        report[name] = {k: float(np.mean([row[k] for row in rows])) for k in rows[0]}
    model.train(was_training)
    return report


class Every:
    """True once per so many seconds, first after one interval."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.last = time.monotonic()

    def due(self) -> bool:
        if time.monotonic() - self.last < self.interval_s:
            return False
        self.last = time.monotonic()
        return True


#: Told of every checkpoint: figures so far, and its file (None on ranks that write none).
Reporter = Callable[[dict[str, Any], Path | None], None]


class Recorder:
    """Training callback: JSON-lines metrics, validation, checkpoints, weights.

    Every rank has one, since all ranks must report together; only rank 0 writes.
    """

    def __init__(
        self,
        config: TrainEncoderConfig,
        rank: int = 0,
        report: Reporter | None = None,
    ) -> None:
        self.config = config
        self.output = Path(config.output)
        self.writes = rank == 0
        self.report = report
        self.log_timer = Every(_LOG_EVERY_S)
        self.validation_timer = Every(config.validate_every_s)
        seen = replace(config.pictures, num_a_room=_VALIDATION_PICTURES)
        self.batch = validation_batch(config.num_validation_rooms, seen) if self.writes else {}
        self.sums: dict[str, list[float]] = {}
        self.last_validation: dict[str, Any] = {}

    def begin_after(self, step: int) -> None:
        """Forget what was written of later steps, which are taken again."""
        if self.writes:
            cut_back(self.output / METRICS_FILE, step)

    def __call__(self, state: TrainState, metrics: dict[str, float]) -> None:
        if self.writes:
            for name, value in metrics.items():
                self.sums.setdefault(name, []).append(value)
            if self.log_timer.due():
                means = {name: float(np.mean(values)) for name, values in self.sums.items()}
                self._write({"kind": "train", **self.position(state), **means})
                self.sums = {}
            if self.validation_timer.due():
                self.validate(state)
        if state.step % self.config.checkpoint_every_steps == 0:
            self.checkpoint(state)

    def validate(self, state: TrainState) -> None:
        """Validate the averaged weights and write the figures."""
        if self.writes:
            self.last_validation = validate(state.ema, self.batch, self.config.bfloat16)
            self._write({"kind": "validation", **self.position(state), **self.last_validation})

    def checkpoint(self, state: TrainState) -> None:
        """Write the resumable state and the averaged weights with a preliminary card."""
        path = self.output / STATE_FILE if self.writes else None
        if path:
            state.save(path)
            card = {**self.position(state), "validation": self.last_validation}
            save_weights(state.ema, self.output / WEIGHTS_FILE, card)
        if self.report:
            self.report({**self.position(state), **self.last_validation.get("exact", {})}, path)

    def position(self, state: TrainState) -> dict[str, float]:
        """How far training has come; samples are this rank's."""
        samples = state.step * self.config.batch_size
        return {"step": state.step, "samples": samples, "seconds": round(state.seconds, 1)}

    def _write(self, row: dict[str, Any]) -> None:
        append_jsonl(self.output / METRICS_FILE, [row])


def new_model(settings: NetworkSettings) -> DenseEncoder:
    """The network before its first step. WeightsError where ImageNet's weights are not there."""
    kinds, area_px = KINDS[settings.kinds], settings.width_px * settings.height_px
    tower = Lite0Config() if settings.tower == "lite0" else TrunkConfig()
    model = make_model(ModelConfig(tower, kinds=kinds, area_px=area_px))
    if settings.pretrained:
        load_imagenet(model.trunk, imagenet_file())
    return model


def run(
    config: TrainEncoderConfig,
    source: Iterable[TrainingFrames],
    recorder: Recorder,
    resume_from: Path | None = None,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
) -> TrainState:
    """Train from ``source`` until the schedule ends.

    ``resume_from``: a state file to continue from. ``wrap`` puts the model on its device and
    into DDP.
    """
    settings = train_config(config)
    torch.manual_seed(settings.seed)
    model: nn.Module = new_model(config.network)
    state = start_state(wrap(model) if wrap else model, settings)
    if resume_from and resume_from.is_file():
        state.load(resume_from)
    recorder.begin_after(state.step)
    replay = ReplayConfig(
        capacity=config.buffer_frames,
        max_uses=config.frame_uses,
        warm_up=min(512, config.buffer_frames, 4 * config.batch_size),
    )
    buffer = ReplayBuffer(source, replay, seed=settings.seed + state.step)
    train(state, buffer.batches(settings.batch_size), settings, (recorder,))
    recorder.validate(state)
    recorder.checkpoint(state)
    return state


SHOWN = ("depth_abs_rel", "vote_error_m", "object_class_accuracy")


def write_curve(output: Path) -> Path:
    """An HTML page (nothing fetched) of loss and validation over samples; returns its path."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rows = read_rows(output / METRICS_FILE)
    figure = make_subplots(rows=2, cols=1, subplot_titles=("training loss", "unseen rooms"))
    trained = [row for row in rows if row["kind"] == "train"]
    samples = [row["samples"] for row in trained]
    for term in ("loss", "classes", "depth", "vote", "size"):
        values = [row[term] for row in trained]
        figure.add_trace(go.Scatter(x=samples, y=values, name=term), row=1, col=1)
    validated = [row for row in rows if row["kind"] == "validation"]
    for knowledge in ("exact", "unknown"):
        for name in SHOWN:
            figure.add_trace(
                go.Scatter(
                    x=[row["samples"] for row in validated],
                    y=[row[knowledge][name] for row in validated],
                    name=f"{name}, {knowledge} gravity",
                ),
                row=2,
                col=1,
            )
    figure.update_xaxes(title_text="training pictures")
    page = output / "curve.html"
    figure.write_html(page, include_plotlyjs=True)
    return page
