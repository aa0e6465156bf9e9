"""Completions from a pool of Ray actors, each around an engine of its own.

`RolloutActors` is itself an `Engine`: prompts are shared out over the actors, samples come back in
order, weights go to all. What an actor wrote that dies is lost; its prompts, and no others, are
written again by another one, which first gets the same weights.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pipelines.on_ray.actor_pool import ActorPool, Job, PoolLimits
from pipelines.train_reasoner.rollouts.buckets import TensorSpec, WeightSyncConfig, layout_of
from pipelines.train_reasoner.rollouts.engines import EngineSpec, load_engine
from pipelines.train_reasoner.rollouts.weights import (
    PublishedWeights,
    SyncReport,
    apply_buckets,
    fetch,
    publish,
)
from spatialcode.config import require, setting
from spatialcode.errors import ActorsLostError, WeightSyncError
from spatialcode.grpo.types import Sample, SamplerSettings
from spatialcode.threads import limit_threads

_POLL_S = 0.2


@dataclass(frozen=True)
class RolloutConfig:
    """Settings of the pool of engines."""

    num_actors: int = setting("rollout actors", 1)
    num_cpus: float = setting("CPU cores that a rollout actor reserves", 1.0)
    num_gpus: float = setting("GPUs that a rollout actor reserves", 0.0)
    prompts_per_call: int = setting("prompts that travel to an actor together", 8)
    call_timeout_s: float = setting("seconds for one such call, then the actor is replaced", 1800.0)
    max_attempts: int = setting("actors that may die over the same prompts", 3)
    max_replaced: int = setting("actors replaced in one run before giving up", 20)
    sync: WeightSyncConfig = field(default_factory=WeightSyncConfig)

    def __post_init__(self) -> None:
        for key in ("num_actors", "prompts_per_call", "max_attempts"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        for key in ("num_cpus", "call_timeout_s"):
            require(getattr(self, key) > 0, key, "above 0", getattr(self, key))
        for key in ("num_gpus", "max_replaced"):
            require(getattr(self, key) >= 0, key, "at least 0", getattr(self, key))


@dataclass
class RolloutStatistics:
    """Counts and seconds since the start. ``num_repeated``: prompts written again because their
    actor died; ``waiting_s``: inside `stream`; ``sync_s``: inside `load_weights`.
    """

    num_prompts: int = 0
    num_samples: int = 0
    num_tokens: int = 0
    num_repeated: int = 0
    num_replaced: int = 0
    num_syncs: int = 0
    waiting_s: float = 0.0
    sync_s: float = 0.0


class RolloutWorker:
    """The actor: prompts in, samples out; its weights come as buckets."""

    def __init__(self, spec: EngineSpec, num_cpus: float) -> None:
        limit_threads(num_cpus)
        self._engine = load_engine(spec)
        limit_threads(num_cpus)  # loading may have imported torch
        self._layout: Mapping[str, TensorSpec] | None = None

    def ready(self) -> int:
        """Process id, once the engine is there."""
        return os.getpid()

    def load(self, published: PublishedWeights) -> SyncReport:
        """New weights, all or nothing: WeightSyncError leaves the engine as it was."""
        buckets = fetch(published)
        report = apply_buckets(self._engine, buckets, published.version, self._layout)
        self._layout = self._layout or layout_of(buckets, published.version)
        return report

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        """See `Engine`. WeightSyncError before any weights came to an engine without its own."""
        if self._engine.weight_version < 0:
            raise WeightSyncError("the engine has no weights yet: send them before generating")
        return self._engine.generate(prompts, num_samples, settings)


def shards(prompts: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Prompts' numbers in parts of about ``size``; equal prompts stay together, in order.

    An engine draws the samples of a prompt from the seed, the prompt and how many like it came
    before: so it draws the same in parts as in one call.
    """
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        alike.setdefault(tuple(prompt), []).append(number)
    parts: list[list[int]] = []
    for numbers in alike.values():
        if not parts or len(parts[-1]) + len(numbers) > size:
            parts.append([])
        parts[-1] += numbers
    return parts


class RolloutActors:
    """An `Engine` over a pool of actors. One thread may load weights while another generates."""

    def __init__(self, engine: EngineSpec, config: RolloutConfig) -> None:
        self.config = config
        self.statistics = RolloutStatistics()
        self._spec = engine
        self._lock = threading.Lock()
        self._published: PublishedWeights | None = None
        self._loads: list[Any] = []
        self._num_streams = 0
        self._pool = ActorPool(
            self._start_actor,
            PoolLimits(
                config.num_actors,
                depth=1,
                max_attempts=config.max_attempts,
                max_replaced=config.max_replaced,
            ),
        )

    @property
    def weight_version(self) -> int:
        """Version of the weights sent last; 0 before any were."""
        return 0 if self._published is None else self._published.version

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        """See `Engine`; raises as `stream` does."""
        found = dict(self.stream(prompts, num_samples, settings))
        return [found[number] for number in range(len(prompts))]

    def stream(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> Iterator[tuple[int, list[Sample]]]:
        """Each prompt's number once with its samples, as they are finished. One stream at a time.

        Raises what the engine raises (a prompt too long, weights refused), and ActorsLostError
        where actors cannot be kept alive.
        """
        self._num_streams += 1
        stream, num_open = self._num_streams, 0
        self._pool.drop_pending()  # of a stream that nobody read to its end
        for numbers in shards(prompts, self.config.prompts_per_call):
            given = [tuple(prompts[number]) for number in numbers]
            args = (given, num_samples, settings)
            key = (stream, tuple(numbers))
            self._pool.add(Job(key, "generate", args, self.config.call_timeout_s))
            num_open += 1
        while num_open:
            for written, groups in self._finished(stream):
                num_open -= 1
                for number, group in zip(written, groups, strict=True):
                    assert len(group) == num_samples, "the engine wrote too few samples"
                    prompt = tuple(prompts[number])
                    assert all(s.prompt_ids == prompt for s in group), "samples of another prompt"
                    self.statistics.num_samples += len(group)
                    self.statistics.num_tokens += sum(len(s.completion_ids) for s in group)
                    yield number, group
        self.statistics.num_prompts += len(prompts)

    def send_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> PublishedWeights:
        """Send weights to all actors, and do not wait: each takes them after its present call.

        WeightSyncError for an older version than was sent before.
        """
        if self._published is not None and version < self._published.version:
            raise WeightSyncError(
                f"version {version}: older than the one sent before, {self._published.version}"
            )
        begun_s = time.perf_counter()
        published = publish(tensors, version, self.config.sync)
        self._published = published  # first: an actor that starts from here on gets it too
        loads = [handle.load.remote(published) for handle in self._pool.handles()]
        with self._lock:
            self._loads += loads
        self.statistics.num_syncs += 1
        self.statistics.sync_s += time.perf_counter() - begun_s
        return published

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `Engine`: send weights and wait until every actor has them."""
        self.send_weights(tensors, version)
        self.wait_for_weights()

    def wait_for_weights(self) -> list[SyncReport]:
        """Reports of the loads since the last call. WeightSyncError where one was refused."""
        begun_s = time.perf_counter()
        reports = self._loaded(timeout_s=None)
        self.statistics.sync_s += time.perf_counter() - begun_s
        return reports

    def pids(self) -> list[int]:
        """Process ids of the actors."""
        return self._pool.pids()

    def close(self) -> None:
        """End the actors."""
        self._pool.close()
        self._published = None

    def _start_actor(self) -> Any:
        import ray

        # "DEFAULT" keeps it out of a training run's placement group, which has no room for it
        options = {"num_cpus": self.config.num_cpus, "num_gpus": self.config.num_gpus}
        actor = ray.remote(RolloutWorker).options(
            **options, max_restarts=0, scheduling_strategy="DEFAULT"
        )
        handle: Any = actor.remote(self._spec, self.config.num_cpus)
        if self._published is not None:
            load = handle.load.remote(self._published)
            with self._lock:
                self._loads.append(load)
        return handle

    def _finished(self, stream: int) -> list[tuple[tuple[int, ...], list[list[Sample]]]]:
        """Parts of a stream that finished, after waiting a little."""
        begun_s = time.perf_counter()
        ended = self._pool.poll(_POLL_S)
        self._loaded(timeout_s=0.0)
        found = []
        for finished in ended:
            key: Any = finished.job.key
            of_stream, numbers = key
            if of_stream != stream:
                continue
            if finished.lost:
                raise ActorsLostError(f"{len(numbers)} prompts: {finished.error}")
            if finished.cause is not None:
                raise finished.cause
            if finished.job.num_losses:
                self.statistics.num_repeated += len(numbers)
            found.append((numbers, finished.value))
        self.statistics.num_replaced = self._pool.num_replaced
        self.statistics.waiting_s += time.perf_counter() - begun_s
        return found

    def _loaded(self, timeout_s: float | None) -> list[SyncReport]:
        """Reports of loads that ended; those of actors that died meanwhile have none."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        with self._lock:
            waited = self._loads
            self._loads = []
        if not waited:
            return []
        done, late = ray.wait(waited, num_returns=len(waited), timeout=timeout_s)
        with self._lock:
            self._loads += late
        reports = []
        for load in done:
            try:
                reports.append(ray.get(load))
            except RayActorError:
                continue  # whoever replaces it gets the weights when it starts
            except RayTaskError as error:
                raise (error.cause if isinstance(error.cause, Exception) else error) from None
        return reports
