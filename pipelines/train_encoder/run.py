"""One training run of the encoder: network, frames, and what is written on the way.

Knows neither Ray nor OmegaConf: the plain launcher calls it once, the Ray Train launcher
once per worker. Rank 0 writes metrics, checkpoints and weights; all ranks train.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.train_encoder.frames import frames_of_room
from spatialcode.encoder.small.encoder import save_weights
from spatialcode.encoder.small.inputs import (
    CameraKnowledge,
    cell_frames,
    exact_knowledge,
    unknown_knowledge,
)
from spatialcode.encoder.small.losses import quality_measures
from spatialcode.encoder.small.model import ModelConfig, make_model
from spatialcode.encoder.small.targets import ReplayBuffer, ReplayConfig, TrainingFrames
from spatialcode.encoder.small.training import (
    TrainConfig,
    TrainState,
    predict_raw,
    start_state,
    train,
)
from spatialcode.files import append_jsonl, read_jsonl
from spatialcode.seeds import VALIDATION_ROOMS

STATE_FILE, WEIGHTS_FILE, METRICS_FILE = "state.pt", "encoder.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class RunConfig:
    """What a run needs beside the optimisation itself. Intervals are in seconds."""

    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    log_every_s: float = 15.0
    validate_every_s: float = 300.0
    checkpoint_every_steps: int = 100
    num_validation_rooms: int = 24


def validation_batch(num_rooms: int, frames_per_room: int = 4) -> dict[str, Tensor]:
    """Frames of rooms that are never trained on."""
    rooms = [frames_of_room(seed, frames_per_room) for seed in VALIDATION_ROOMS[:num_rooms]]
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
        self, config: RunConfig, output: Path, rank: int = 0, report: Reporter | None = None
    ) -> None:
        self.config = config
        self.output = output
        self.writes = rank == 0
        self.report = report
        self.log_timer = Every(config.log_every_s)
        self.validation_timer = Every(config.validate_every_s)
        self.batch = validation_batch(config.num_validation_rooms) if self.writes else {}
        self.sums: dict[str, list[float]] = {}
        self.last_validation: dict[str, Any] = {}

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
            self.last_validation = validate(state.ema, self.batch, self.config.train.bfloat16)
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
        samples = state.step * self.config.train.batch_size
        return {"step": state.step, "samples": samples, "seconds": round(state.seconds, 1)}

    def _write(self, row: dict[str, Any]) -> None:
        append_jsonl(self.output / METRICS_FILE, [row])


def run(
    config: RunConfig,
    source: Iterable[TrainingFrames],
    recorder: Recorder,
    resume_from: Path | None = None,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
) -> TrainState:
    """Train from ``source`` until the schedule ends.

    ``resume_from``: a state file to continue from. ``wrap`` puts the model on its device and
    into DDP.
    """
    torch.manual_seed(config.train.seed)
    model: nn.Module = make_model(config.model)
    state = start_state(wrap(model) if wrap else model, config.train)
    if resume_from and resume_from.is_file():
        state.load(resume_from)
    buffer = ReplayBuffer(source, config.replay, seed=config.train.seed + state.step)
    train(state, buffer.batches(config.train.batch_size), config.train, (recorder,))
    recorder.validate(state)
    recorder.checkpoint(state)
    return state


SHOWN = ("depth_abs_rel", "vote_error_m", "object_class_accuracy")


def write_curve(output: Path) -> Path:
    """An HTML page (nothing fetched) of loss and validation over samples; returns its path."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    rows = [row for _, row in read_jsonl(output / METRICS_FILE)]
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
