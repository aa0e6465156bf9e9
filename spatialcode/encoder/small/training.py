"""The training loop of the dense network: model, batches and callbacks, nothing else.

It knows neither Ray nor where batches come from; one plain process can run it, and so
can every worker of a Ray Train group (with the model wrapped in DDP).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spatialcode.encoder.small.inputs import (
    CameraKnowledge,
    KnowledgeConfig,
    augmented,
    cell_frames,
    noisy_knowledge,
)
from spatialcode.encoder.small.losses import LossWeights, loss_terms, total_loss
from spatialcode.encoder.small.model import RawMaps
from spatialcode.files import whole_file


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation. The schedule ends at ``num_steps`` or ``max_seconds``, what comes first."""

    num_steps: int = 10_000
    max_seconds: float = math.inf
    batch_size: int = 32
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    weight_decay: float = 0.02
    max_grad_norm: float = 5.0
    ema_decay: float = 0.999
    bfloat16: bool = True
    seed: int = 0
    loss_weights: LossWeights = field(default_factory=LossWeights)
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)


@dataclass
class TrainState:
    """Everything a resumed run needs; the only mutable object of the loop."""

    model: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write atomically; tensors and plain values only."""
        state = {
            "model": bare(self.model).state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        with whole_file(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Continue from a file written by :meth:`save`. No pickled code is ever run."""
        saved = torch.load(path, map_location="cpu", weights_only=True)
        bare(self.model).load_state_dict(saved["model"])
        self.ema.load_state_dict(saved["ema"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        self.step, self.seconds = saved["step"], saved["seconds"]


#: Called after every step with the state and the step's loss terms.
Callback = Callable[[TrainState, dict[str, float]], None]


def bare(model: nn.Module) -> nn.Module:
    """The module inside a DDP wrapper, or the module itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def start_state(model: nn.Module, config: TrainConfig) -> TrainState:
    """State before the first step."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=True,
    )
    ema = copy.deepcopy(bare(model)).requires_grad_(False)
    return TrainState(model, ema, optimizer, torch.Generator().manual_seed(config.seed))


def learning_rate(step: int, progress: float, config: TrainConfig) -> float:
    """Linear warm-up, then a half cosine of the progress (0..1) down to zero."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@torch.no_grad()
def update_ema(state: TrainState, decay: float) -> None:
    """Move the averaged weights; the decay grows with the steps so that early ones fade."""
    decay = min(decay, (1 + state.step) / (10 + state.step))
    averages = state.ema.state_dict()
    for name, value in bare(state.model).state_dict().items():
        if value.is_floating_point():
            averages[name].lerp_(value, 1 - decay)
        else:
            averages[name].copy_(value)


def predict_raw(
    model: nn.Module, batch: dict[str, Tensor], knowledge: CameraKnowledge, bfloat16: bool
) -> RawMaps:
    """Run the network, in bfloat16 where asked (its heads compute in float32)."""
    device = batch["rgb"].device.type
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        return model(
            batch["rgb"],
            batch["K"],
            knowledge.up_camera,
            knowledge.camera_height_m,
            knowledge.quality,
        )


def train_step(
    state: TrainState, batch: dict[str, Tensor], config: TrainConfig, progress: float
) -> dict[str, float]:
    """One update; returns the loss terms, the total, the gradient norm and the rate."""
    device = next(state.model.parameters()).device
    batch = augmented(batch, state.generator)
    known = noisy_knowledge(batch, config.knowledge, state.generator)
    batch = {k: v.to(device) for k, v in batch.items()}
    known = CameraKnowledge(*(v.to(device) for v in vars(known).values()))
    rate = learning_rate(state.step, progress, config)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    frames = cell_frames(batch["K"], known.up_camera, *batch["rgb"].shape[1:3])
    raw = predict_raw(state.model, batch, known, config.bfloat16)
    terms = loss_terms(raw, batch, frames)
    loss = total_loss(terms, config.loss_weights)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.max_grad_norm)
    if torch.isfinite(norm):
        state.optimizer.step()
        update_ema(state, config.ema_decay)
    values = {name: term.item() for name, term in terms.items()}
    return {**values, "loss": loss.item(), "grad_norm": norm.item(), "learning_rate": rate}


def train(
    state: TrainState,
    batches: Iterator[dict[str, Any]],
    config: TrainConfig,
    callbacks: tuple[Callback, ...] = (),
) -> TrainState:
    """Train until the schedule or the batches end.

    ``state.seconds`` counts time over all resumed parts, so a time-bound schedule survives
    a restart. A step whose gradient is not finite changes nothing and shows in the metrics.
    """
    state.model.train()
    last = time.monotonic()
    while state.step < config.num_steps and state.seconds < config.max_seconds:
        batch = next(batches, None)
        if batch is None:
            break
        progress = max(state.step / config.num_steps, state.seconds / config.max_seconds)
        metrics = train_step(state, batch, config, progress)
        now = time.monotonic()
        state.step += 1
        state.seconds += now - last
        last = now
        for callback in callbacks:
            callback(state, metrics)
    return state
