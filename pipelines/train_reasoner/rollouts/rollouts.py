"""Who writes completions for a training worker: its own process, actors, or actors ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.rollouts.engines import EngineSpec, load_engine
from spatialcode.grpo.attention import plain_model
from spatialcode.grpo.engine import HFEngine, end_ids_of
from spatialcode.grpo.types import Engine, Sample, SamplerSettings

#: Called with a prompt's number and samples as soon as they are there.
OnGroup = Callable[[int, list[Sample]], None]


@dataclass(frozen=True)
class RolloutRequest:
    """Prompts as token ids, and how many completions of each are drawn in which way."""

    prompts: Sequence[tuple[int, ...]]
    num_samples: int
    settings: SamplerSettings


class Rollouts(Protocol):
    """Writes completions with the weights of the last `sync`.

    `start` and `take` are the two halves of one batch, so that writers which work ahead write
    while the caller trains.
    """

    def sync(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Hand on the present weights, by name. All training workers call it together."""
        ...

    def start(self, request: RolloutRequest, on_group: OnGroup) -> None:
        """Begin a batch; ``on_group`` is told of each prompt's samples as they are finished."""
        ...

    def take(self, version: int) -> list[list[Sample]]:
        """The samples of the batch begun last, in the prompts' order, none of them staler than
        allowed beside ``version``, that of the trainer's weights.
        """
        ...

    def write(self, request: RolloutRequest) -> list[list[Sample]]:
        """Samples of each prompt, in order, apart from any batch: for evaluations."""
        ...

    def close(self) -> None:
        """End the writers; what they have not finished is lost."""
        ...


class TrainerRollouts:
    """An engine in the training worker's own process. See `Rollouts`."""

    def __init__(self, engine: Engine, max_rows: int) -> None:
        """``max_rows``: completions written between two calls of ``on_group``."""
        self.engine = engine
        self._max_rows = max_rows
        self._written: list[list[Sample]] = []

    def sync(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.engine.load_weights(tensors, version)

    def start(self, request: RolloutRequest, on_group: OnGroup) -> None:
        self._written = []
        size = max(1, self._max_rows // request.num_samples)
        for at in range(0, len(request.prompts), size):
            prompts = request.prompts[at : at + size]
            part = self.engine.generate(prompts, request.num_samples, request.settings)
            for number, group in enumerate(part, at):
                on_group(number, group)
            self._written += part

    def take(self, version: int) -> list[list[Sample]]:  # noqa: ARG002
        return self._written

    def write(self, request: RolloutRequest) -> list[list[Sample]]:
        return self.engine.generate(request.prompts, request.num_samples, request.settings)

    def close(self) -> None:
        """Nothing to end."""


class TrainedModelEngine(HFEngine):
    """Writes with the very model that is trained, whose weights need no copying."""

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:  # noqa: ARG002
        """Note that the weights have changed in place."""
        self.weight_version = version


def make_rollouts(config: TrainReasonerConfig, model: Any, device: str, folder: str) -> Rollouts:
    """The writers that the settings name. ``model``: the one being trained, in its wrappers;
    ``device``: where it is; ``folder``: the weights that the stage starts from.

    Without rollout actors the model being trained writes itself where its weights are whole (ZeRO
    0 to 2, no adapters) and the engine is transformers' own. Else a copy writes, which `sync`
    fills: gathering weights once a step is cheaper than at every token.
    """
    rollouts = config.rollouts
    whole = config.zero.stage <= 2 and config.lora.rank == 0
    if rollouts.engine == "hf" and rollouts.num_actors == 0 and whole:
        return TrainerRollouts(
            TrainedModelEngine(model, max_rows=rollouts.max_rows), rollouts.max_rows
        )
    settings = {
        "model": folder,
        "revision": config.model.revision,
        "dtype": "bfloat16" if config.zero.bfloat16 else "float32",
        "device": device,
        "end_ids": end_ids_of(plain_model(model)),
        "max_rows": rollouts.max_rows,
    }
    if rollouts.num_actors == 0:
        return TrainerRollouts(
            load_engine(EngineSpec(rollouts.engine, settings)), rollouts.max_rows
        )
    from pipelines.train_reasoner.rollouts.actors import (
        ActorRollouts,
        AheadRollouts,
        RolloutActors,
        RolloutPoolConfig,
    )

    settings["device"] = "cuda" if rollouts.use_gpu else "cpu"
    pool = RolloutPoolConfig(
        num_actors=rollouts.num_actors // config.num_workers,
        num_cpus=rollouts.num_cpus,
        num_gpus=float(rollouts.use_gpu),
        prompts_per_call=rollouts.prompts_per_call,
        call_timeout_s=rollouts.call_timeout_s,
        max_replaced=rollouts.max_replaced,
    )
    actors = RolloutActors(EngineSpec(rollouts.engine, settings), pool)
    return AheadRollouts(actors) if rollouts.one_step_off else ActorRollouts(actors)
