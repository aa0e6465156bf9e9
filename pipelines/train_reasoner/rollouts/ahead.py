"""Generation one step ahead of training.

While the trainer works on batch n, the actors write batch n + 1 with the weights of version
n - 1 or n (each actor takes new ones between two calls), and every sample says which. The losses
correct for it; how far off a sample may be is bounded here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from pipelines.train_reasoner.rollouts.actors import RolloutActors
from spatialcode.config import require
from spatialcode.errors import StaleSampleError
from spatialcode.grpo.types import Sample, SamplerSettings

#: Called with a prompt's number and samples as soon as they are there.
OnGroup = Callable[[int, list[Sample]], None]


@dataclass
class _Batch:
    prompts: Sequence[Sequence[int]]
    num_samples: int
    settings: SamplerSettings
    on_group: OnGroup
    groups: dict[int, list[Sample]] = field(default_factory=dict)
    error: BaseException | None = None
    thread: threading.Thread | None = None


class AsyncRollouts:
    """At most one batch in the making. ``max_staleness``: versions that a sample may lag behind
    the trainer's when it is taken; 1 is one step off, 0 generates with the newest weights only.

    ``num_stale``: prompts written again because their samples lagged further; ``waiting_s``: the
    trainer's time inside `take`.
    """

    def __init__(self, actors: RolloutActors, max_staleness: int = 1) -> None:
        require(max_staleness >= 0, "max_staleness", "at least 0", max_staleness)
        self.actors = actors
        self.max_staleness = max_staleness
        self.num_stale = 0
        self.waiting_s = 0.0
        self._batch: _Batch | None = None

    def start(
        self,
        prompts: Sequence[Sequence[int]],
        num_samples: int,
        settings: SamplerSettings,
        on_group: OnGroup | None = None,
    ) -> None:
        """Begin a batch in the background. RuntimeError while another one is not taken.

        ``on_group`` is called in a thread of its own, so that rewards start at once; and again,
        in `take`, for prompts that are written again.
        """
        if self._batch is not None:
            raise RuntimeError("start: the batch before has not been taken")
        batch = _Batch(prompts, num_samples, settings, on_group or _ignore)
        batch.thread = threading.Thread(target=self._write, args=(batch,), daemon=True)
        self._batch = batch
        batch.thread.start()

    def take(self, version: int) -> list[list[Sample]]:
        """The batch's samples in the prompts' order, none further than allowed from ``version``,
        which is that of the trainer's weights.

        Prompts whose samples lag further are written again first. Raises StaleSampleError where
        the actors' weights lag too, or a sample is ahead of the trainer; whatever generation
        raised; RuntimeError where no batch was started.
        """
        batch, self._batch = self._batch, None
        if batch is None or batch.thread is None:
            raise RuntimeError("take: no batch was started")
        begun_s = time.perf_counter()
        batch.thread.join()
        if batch.error is not None:
            raise batch.error
        stale = [number for number, group in batch.groups.items() if self._lags(group, version)]
        if stale:
            self._write_again(batch, sorted(stale), version)
        self.waiting_s += time.perf_counter() - begun_s
        return [batch.groups[number] for number in range(len(batch.prompts))]

    def send_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Give the actors new weights without waiting for them to finish what they write."""
        self.actors.send_weights(tensors, version)

    def _write(self, batch: _Batch) -> None:
        try:
            stream = self.actors.stream(batch.prompts, batch.num_samples, batch.settings)
            for number, group in stream:
                batch.groups[number] = group
                batch.on_group(number, group)
        except BaseException as error:  # raised in the thread that takes the batch
            batch.error = error

    def _write_again(self, batch: _Batch, numbers: list[int], version: int) -> None:
        held = self.actors.weight_version
        if version - held > self.max_staleness:
            raise StaleSampleError(
                f"{len(numbers)} prompts: expected weights of version "
                f"{version - self.max_staleness} to {version}, the actors have {held}: send them"
            )
        self.num_stale += len(numbers)
        prompts = [batch.prompts[number] for number in numbers]
        for n, group in self.actors.stream(prompts, batch.num_samples, batch.settings):
            if self._lags(group, version):
                raise StaleSampleError(f"prompt {numbers[n]}: lags behind version {version} again")
            batch.groups[numbers[n]] = group
            batch.on_group(numbers[n], group)

    def _lags(self, group: Sequence[Sample], version: int) -> bool:
        versions = [sample.weight_version for sample in group]
        if max(versions) > version:
            raise StaleSampleError(
                f"a sample of version {max(versions)}: the trainer is at {version}"
            )
        return version - min(versions) > self.max_staleness


def _ignore(number: int, group: list[Sample]) -> None:
    """Nobody listens."""
