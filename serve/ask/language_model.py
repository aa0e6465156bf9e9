"""The language model of the Reasoner deployment, made of the service's settings.

A single answer is decoded greedily; several are sampled, since they would otherwise be equal. Where
the model runs is not known here.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

from serve.ask.asking import Answered, Asked, answer
from serve.config import ReasonerDeploymentConfig
from spatialcode.reasoning.models.endpoint import OpenAICompatible
from spatialcode.reasoning.models.loading import (
    CompletionModel,
    ModelSpec,
    bundled,
    load_model,
)
from spatialcode.reasoning.models.local import HuggingFaceModel
from spatialcode.scene.schema import SpatialCode

#: ``reasoner.model=bundled`` is the tiny model that comes with the software.
BUNDLED = "bundled"


def reasoners_of(config: ReasonerDeploymentConfig) -> tuple[str, ...]:
    """The reasoners that a model makes possible; the bundled one only writes programs."""
    if not config.has_model:
        return ()
    return ("program",) if config.model == BUNDLED else ("program", "text")


class ServedModel:
    """A model that is loaded once and asked often. A local one answers one question at a time."""

    def __init__(self, config: ReasonerDeploymentConfig) -> None:
        self.names = reasoners_of(config)
        model = load_model(spec_of(config))
        self._sampling: CompletionModel = model
        self._greedy: CompletionModel = _greedy(model)
        self._turn = threading.Semaphore(1 if not config.base_url else 64)

    def answer(self, asked: Asked, code: SpatialCode) -> Answered:
        """The answer. Raises the AskingError family."""
        with self._turn:
            model = self._greedy if asked.num_samples == 1 else self._sampling
            return answer(asked, code, model)


def spec_of(config: ReasonerDeploymentConfig) -> ModelSpec:
    """The settings as `load_model` takes them, with the bundled model by its folder."""
    spec = replace(config, batch_size=config.batch_size or config.max_samples)
    return bundled(spec) if config.model == BUNDLED else spec


def _greedy(model: CompletionModel) -> CompletionModel:
    """A model that shares the weights of another and always takes the most likely token."""
    if isinstance(model, OpenAICompatible):
        return replace(model, temperature=0.0)
    assert isinstance(model, HuggingFaceModel)
    twin = copy.copy(model)
    twin.settings = replace(model.settings, temperature=0.0)
    return twin
