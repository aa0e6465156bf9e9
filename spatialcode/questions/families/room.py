"""A code with what makers of questions need of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.drawing import Pool
from spatialcode.questions.generate_config import GenerateConfig
from spatialcode.questions.naming import Naming
from spatialcode.scene.index import SceneIndex

Rng = np.random.Generator
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Room:
    """One code. ``referring``: things that take more than a kind to name are allowed, and then
    every question names at least one.
    """

    index: SceneIndex
    naming: Naming
    config: GenerateConfig
    referring: bool

    def things(self, rng: Rng, *, static: bool = True) -> list[int]:
        """Rows of the things to ask about; a large room's are drawn."""
        rows = self.naming.things(self.referring, static=static)
        if len(rows) > self.config.max_things:
            rows = sorted(rng.permutation(rows)[: self.config.max_things].tolist())
        return rows

    def wanted(self, rows: NDArray[np.intp]) -> Bools:
        """(N,) which of the candidates (N, k) name things as this room is asked."""
        if not self.referring:
            return np.ones(len(rows), bool)
        hard = np.array([row not in self.naming.single for row in range(len(self.index.objects))])
        return np.any(hard[rows], axis=1)

    def name(self, row: int, rng: Rng) -> str:
        """The thing with its article."""
        return self.naming.name(row, rng).the

    @property
    def xy_m(self) -> Floats:
        """(N, 2) centres seen from above."""
        return self.index.boxes.center[:, :2]


Maker = Callable[[Room, Rng], Pool]
