"""A buffer between rendering and training: frames arrive as they are made, leave in batches.

Rendering costs about as much as a training step, so every frame is used a stated number
of times, far apart and differently augmented.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spatialcode.encoder.small.targets import TrainingFrames


@dataclass(frozen=True)
class ReplayConfig:
    """``capacity`` frames are kept; each is drawn ``max_uses`` times on average."""

    capacity: int = 8192
    max_uses: float = 3.0
    warm_up: int = 512


class ReplayBuffer:
    """Ring of training frames, filled from an iterator, drawn from at random."""

    def __init__(
        self, source: Iterable[TrainingFrames], config: ReplayConfig, seed: int = 0
    ) -> None:
        self._source = iter(source)
        self._config = config
        self._rng = np.random.default_rng(seed)
        self._arrays: dict[str, np.ndarray] = {}
        self.num_received = 0
        self.num_drawn = 0

    def _receive(self) -> bool:
        """Take the next frames from the source; False when it is exhausted."""
        frames = next(self._source, None)
        if frames is None:
            return False
        arrays = frames.arrays()
        if not self._arrays:
            self._arrays = {
                k: np.empty((self._config.capacity, *v.shape[1:]), v.dtype)
                for k, v in arrays.items()
            }
        slots = (self.num_received + np.arange(len(frames))) % self._config.capacity
        for name, values in arrays.items():
            self._arrays[name][slots] = values
        self.num_received += len(frames)
        return True

    def batches(self, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Endless batches, until the source ends and its last frames are used up."""
        while True:
            allowed = self.num_received * self._config.max_uses
            while self.num_drawn + batch_size > allowed or self.num_received < min(
                self._config.warm_up, self._config.capacity
            ):
                if not self._receive():
                    if self.num_drawn + batch_size > allowed:
                        return
                    break
                allowed = self.num_received * self._config.max_uses
            filled = min(self.num_received, self._config.capacity)
            if not filled:
                return
            rows = self._rng.choice(filled, size=batch_size, replace=filled < batch_size)
            self.num_drawn += batch_size
            yield {k: torch.from_numpy(v[rows]) for k, v in self._arrays.items()}
