"""The plainest `Stepper`: one process, any torch optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


class TorchStepper:
    """Gradients of a norm above ``max_grad_norm`` are scaled down to it; 0 never. A step whose norm
    is no finite number leaves the weights as they are.
    """

    def __init__(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, max_grad_norm: float = 1.0
    ) -> None:
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

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        return dict(values)

    def full_weights(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._model.named_parameters()

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
