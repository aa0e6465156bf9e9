"""Completions for a training worker: by the trained model itself, by a copy of it, or by actors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipelines.train_reasoner.config import TrainReasonerConfig
from pipelines.train_reasoner.deepspeed import DeepSpeedStepper
from pipelines.train_reasoner.model import load_model
from spatialcode.grpo.attention import plain_model
from spatialcode.grpo.engine import HFEngine, end_ids_of
from spatialcode.grpo.types import Engine, Sample, SamplerSettings

#: Called with a prompt's number and samples as soon as they are there.
OnGroup = Callable[[int, list[Sample]], None]


class Rollouts:
    """Writes completions with the weights of the last `sync`.

    Without rollout actors it is the model being trained that writes, where its weights are whole
    (ZeRO 0 to 2, no adapters); else a copy, which `sync` fills: gathering weights once a step is
    cheaper than at every token. `start` and `take` are `groups` in two halves, between which actors
    write while the caller trains.
    """

    def __init__(self, config: TrainReasonerConfig, stepper: DeepSpeedStepper, folder: str) -> None:
        """``folder``: of the model that the stepper trains, as it was at first."""
        self._stepper = stepper
        self._max_rows = config.rollouts.max_rows
        self._own = False
        self._ahead: Any = None
        self._held: tuple[list[tuple[int, ...]], int, SamplerSettings, OnGroup] | None = None
        if config.rollouts.num_actors:
            self.engine: Engine = self._actors(config)
        elif stepper.zero.stage <= 2 and config.lora.rank == 0:
            self._own = True
            self.engine = HFEngine(stepper.engine.module, max_rows=self._max_rows)
        else:
            copy = load_model(folder, config.zero.bfloat16, config.model.revision)
            copy = copy.to(stepper.device).eval()
            self.engine = HFEngine(copy, max_rows=self._max_rows)

    def _actors(self, config: TrainReasonerConfig) -> Engine:
        from pipelines.train_reasoner.rollouts.actors import (
            EngineSpec,
            RolloutActors,
            RolloutConfig,
        )
        from pipelines.train_reasoner.rollouts.ahead import AsyncRollouts
        from pipelines.train_reasoner.rollouts.engines import HF

        model = plain_model(self._stepper.engine.module)
        settings = {
            "model": model.config.to_dict(),
            "dtype": "bfloat16" if config.zero.bfloat16 else "float32",
            "device": "cuda" if config.rollouts.use_gpu else "cpu",
            "end_ids": end_ids_of(model),
            "max_rows": self._max_rows,
        }
        pool = RolloutConfig(
            num_actors=config.rollouts.num_actors // config.num_workers,
            num_cpus=config.rollouts.num_cpus,
            num_gpus=float(config.rollouts.use_gpu),
        )
        actors = RolloutActors(EngineSpec(HF, settings), pool)
        if config.rollouts.one_step_off:
            self._ahead = AsyncRollouts(actors)
        return actors

    def sync(self, version: int) -> None:
        """Give the writer the present weights. All workers call it together."""
        if self._own:
            self.engine.follow(version)  # type: ignore[attr-defined]
        elif self._ahead is not None:
            self._ahead.send_weights(self._stepper.full_weights(), version)
        else:
            self.engine.load_weights(self._stepper.full_weights(), version)

    def start(
        self,
        prompts: Sequence[tuple[int, ...]],
        num_samples: int,
        settings: SamplerSettings,
        on_group: OnGroup,
    ) -> None:
        """Begin a batch; actors that write ahead begin at once."""
        self._held = (list(prompts), num_samples, settings, on_group)
        if self._ahead is not None and prompts:
            self._ahead.start(prompts, num_samples, settings, on_group)

    def take(self, version: int) -> list[list[Sample]]:
        """The samples of the batch begun last, in the prompts' order."""
        assert self._held is not None, "no batch was begun"
        prompts, num_samples, settings, on_group = self._held
        self._held = None
        if not prompts:
            return []
        if self._ahead is not None:
            taken: list[list[Sample]] = self._ahead.take(version)
            return taken
        return self.groups(prompts, num_samples, settings, on_group)

    def groups(
        self,
        prompts: Sequence[tuple[int, ...]],
        num_samples: int,
        settings: SamplerSettings,
        on_group: OnGroup = lambda *_: None,
    ) -> list[list[Sample]]:
        """Samples of each prompt, in order; ``on_group`` hears of each as it is finished."""
        if hasattr(self.engine, "stream"):
            found = {}
            for number, group in self.engine.stream(prompts, num_samples, settings):
                found[number] = group
                on_group(number, group)
            return [found[number] for number in range(len(prompts))]
        model = self.engine.model  # type: ignore[attr-defined]
        was_training = model.training
        model.eval()
        written: list[list[Sample]] = []
        size = max(1, self._max_rows // num_samples)
        try:
            for at in range(0, len(prompts), size):
                part = self.engine.generate(prompts[at : at + size], num_samples, settings)
                for number, group in enumerate(part, at):
                    on_group(number, group)
                written += part
        finally:
            model.train(was_training)
        return written

    def close(self) -> None:
        """End the actors, if there are any."""
        if hasattr(self.engine, "close"):
            self.engine.close()
