"""The training loop of the unified network: plain torch, one process, or any stepper of many.

A batch follows from the number of its step, so that a run that was killed goes on exactly as if
it had not been. The loop knows neither Ray nor DeepSpeed nor where clips come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from spatialcode.encoder.unified.clips import LearningBatch, tracked_truth
from spatialcode.encoder.unified.config import TowerTraining, UnifiedOptimisation
from spatialcode.encoder.unified.model import UnifiedModel, UnifiedOutput
from spatialcode.encoder.unified.objective import loss_terms, weighted_sum
from spatialcode.files import whole_file

#: Batches from a step on, without end.
BatchesFrom = Callable[[int], Iterator[LearningBatch]]
#: Told after every step: how many are done, and the step's figures.
OnUnifiedStep = Callable[[int, dict[str, float]], None]


class UnifiedStepper(Protocol):
    """A model and its optimiser, in one process or spread over many.

    ``model``: what to call for a forward pass. ``device``: where batches must be.
    """

    @property
    def model(self) -> Any: ...

    @property
    def device(self) -> torch.device: ...

    def backward(self, loss: Tensor) -> None: ...

    def step(self) -> float: ...

    def set_learning_rate(self, learning_rate: float) -> None: ...


class PlainStepper:
    """One process: AdamW over what is trained, towers at a rate of their own.

    A checkpoint holds what is trained, the optimiser's state and the number of steps done.
    """

    def __init__(
        self, model: UnifiedModel, settings: UnifiedOptimisation, towers: TowerTraining
    ) -> None:
        self._model, self._settings = model, settings
        self.optimizer = torch.optim.AdamW(parameter_groups(model, settings, towers))

    @property
    def model(self) -> UnifiedModel:
        return self._model

    @property
    def device(self) -> torch.device:
        return next(self._model.parameters()).device

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self) -> float:
        """Update the weights; the gradient's norm before it was clipped."""
        held = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(held, self._settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["rate_factor"]

    def save(self, path: Path, num_steps: int) -> None:
        """Write a checkpoint whole or not at all."""
        state = {
            "trained": trained_weights(self._model),
            "optimizer": self.optimizer.state_dict(),
            "num_steps": num_steps,
        }
        with whole_file(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> int:
        """Go on from a checkpoint; how many steps it had done. No pickled code is run."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self._model.load_state_dict(state["trained"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["num_steps"])


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that training changes, by name."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def parameter_groups(
    model: nn.Module, settings: UnifiedOptimisation, towers: TowerTraining
) -> list[dict[str, Any]]:
    """What is trained, as AdamW's groups: towers apart from the rest, matrices (which decay)
    apart from vectors. ``rate_factor``: a group's rate over the schedule's.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = ("_tower." in name, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": held,
            "lr": settings.learning_rate,
            "rate_factor": towers.rate_factor if of_tower else 1.0,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (of_tower, decays), held in sorted(groups.items())
    ]


def scheduled_rate(step: int, settings: UnifiedOptimisation) -> float:
    """A linear warm-up, and half a cosine down to 0 at the last step."""
    warm = min(1.0, (step + 1) / settings.warmup_steps)
    progress = min(1.0, step / settings.num_steps)
    return settings.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * progress))


def train_unified(
    stepper: UnifiedStepper,
    batches_from: BatchesFrom,
    settings: UnifiedOptimisation,
    unit_m: float,
    on_step: OnUnifiedStep,
    *,
    start: int = 0,
) -> None:
    """Steps ``start`` to the last of the settings."""
    batches = batches_from(start)
    for step in range(start, settings.num_steps):
        stepper.set_learning_rate(scheduled_rate(step, settings))
        figures = train_step(stepper, next(batches), settings, unit_m)
        on_step(step + 1, figures)


def train_step(
    stepper: UnifiedStepper, batch: LearningBatch, settings: UnifiedOptimisation, unit_m: float
) -> dict[str, float]:
    """One step on one batch; its terms, their weighted sum and the gradient's norm."""
    batch = batch.to(stepper.device)
    truth = tracked_truth(batch)
    output = UnifiedOutput(**stepper.model(batch.rgb, batch.K, truth.masks))
    terms = loss_terms(output, truth, batch, unit_m)
    loss = weighted_sum(terms, settings.weights)
    stepper.backward(loss)
    norm = stepper.step()
    figures = {name: float(term.detach()) for name, term in terms.items()}
    return figures | {"loss": float(loss.detach()), "gradient_norm": norm}
