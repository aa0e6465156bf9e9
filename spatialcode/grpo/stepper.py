"""A model that takes gradients and steps, alone or spread over workers, as the update sees it."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from spatialcode.errors import ConfigError


class Stepper(Protocol):
    """What an update needs of a model and its optimizer.

    Workers call everything equally often and together. `backward` gets this worker's share of a
    loss that was divided by the count of all workers: shares and their gradients add up.
    """

    @property
    def model(self) -> Any:
        """What to call for a forward pass."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of this worker's share."""
        ...

    def step(self) -> float:
        """Update the weights and clear the gradients; their norm before clipping."""
        ...

    def total(self, value: float) -> float:
        """The sum of the workers' values."""
        ...

    def largest(self, value: float) -> float:
        """The largest of the workers' values."""
        ...


class TorchStepper:
    """One process, any torch optimizer.

    Gradients of a norm above ``max_grad_norm`` are scaled down to it; 0 never. A step whose norm
    is no finite number leaves the weights as they are.
    """

    def __init__(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, max_grad_norm: float = 1.0
    ) -> None:
        if not max_grad_norm >= 0:
            raise ConfigError(f"max_grad_norm: expected 0 or more, got {max_grad_norm!r}")
        self._model = model
        self.optimizer = optimizer
        self.max_grad_norm = max_grad_norm

    @property
    def model(self) -> Any:
        return self._model

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def step(self) -> float:
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(trained, self.max_grad_norm or math.inf))
        if math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def total(self, value: float) -> float:
        return value

    def largest(self, value: float) -> float:
        return value

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
