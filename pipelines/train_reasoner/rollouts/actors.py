"""Completions from a pool of Ray actors, each around an engine of its own; at once, or ahead.

`RolloutActors` is itself an `Engine`: prompts are shared out over the actors, samples come back in
order, weights go to all. An actor that dies loses what it was writing; those prompts, and no
others, are written again by another actor, which first gets the same weights.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pipelines.on_ray.actor_pool import ActorPool, Job
from pipelines.train_reasoner.rollouts.engines import EngineSpec, load_engine
from pipelines.train_reasoner.rollouts.rollouts import OnGroup, RolloutRequest, TrainerRollouts
from pipelines.train_reasoner.rollouts.weights import (
    BUCKET_BYTES,
    PublishedWeights,
    TensorSpec,
    apply_buckets,
    fetch,
    publish,
)
from spatialcode.config import checked, setting
from spatialcode.errors import ActorsLostError, StaleSampleError, WeightSyncError
from spatialcode.grpo.types import Sample, SamplerSettings
from spatialcode.threads import limit_threads

_POLL_S = 0.2
#: Versions that a sample may lag behind the trainer's weights: what is written one step ahead does.
_MAX_LAG = 1
#: Actors that may die over the same prompts.
_MAX_ATTEMPTS = 3


@dataclass(frozen=True)
@checked
class RolloutPoolConfig:
    """Settings of the pool of engines."""

    num_actors: int = setting("rollout actors", 1, at_least=1)
    num_cpus: float = setting("CPU cores that a rollout actor reserves", 1.0, above=0)
    num_gpus: float = setting("GPUs that a rollout actor reserves", 0.0, at_least=0)
    prompts_per_call: int = setting("prompts that travel to an actor together", 8, at_least=1)
    call_timeout_s: float = setting(
        "seconds for one such call, then the actor is replaced", 1800.0, above=0
    )
    max_replaced: int = setting("actors replaced in one run before giving up", 20, at_least=0)
    bucket_bytes: int = setting(
        "bytes of weights sent in one piece, a larger tensor aside", BUCKET_BYTES, at_least=1
    )


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

    def load(self, published: PublishedWeights) -> int:
        """New weights, all or nothing: WeightSyncError leaves the engine as it was. Its version."""
        self._layout = apply_buckets(
            self._engine, fetch(published), published.version, self._layout
        )
        return published.version

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        """See `Engine`. WeightSyncError where an engine made without weights has not got any."""
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
    """An `Engine` over a pool of actors. One thread may load weights while another generates.

    ``num_repeated``: prompts written again because their actor died.
    """

    def __init__(self, engine: EngineSpec, config: RolloutPoolConfig) -> None:
        self.config = config
        self.num_repeated = 0
        self._spec = engine
        self._lock = threading.Lock()
        self._published: PublishedWeights | None = None
        self._loads: list[Any] = []
        self._num_streams = 0
        self._pool = ActorPool(
            self._start_actor,
            config.num_actors,
            depth=1,
            max_attempts=_MAX_ATTEMPTS,
            max_replaced=config.max_replaced,
        )

    @property
    def weight_version(self) -> int:
        """Version of the weights sent last; 0 before any were."""
        return 0 if self._published is None else self._published.version

    @property
    def num_replaced(self) -> int:
        """Actors that others took the place of."""
        return self._pool.num_replaced

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
        self._pool.drop_pending()  # what is left of a stream that was not read to its end
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
                    yield number, group

    def send_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Send weights to all actors, and do not wait: each takes them after its present call.

        WeightSyncError for an older version than was sent before.
        """
        if self._published is not None and version < self._published.version:
            raise WeightSyncError(
                f"version {version}: older than the one sent before, {self._published.version}"
            )
        published = publish(tensors, version, self.config.bucket_bytes)
        self._published = published  # first: an actor that starts from here on gets it too
        loads = [handle.load.remote(published) for handle in self._pool.handles()]
        with self._lock:
            self._loads += loads

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `Engine`: send weights and wait until every actor has them."""
        self.send_weights(tensors, version)
        self.wait_for_weights()

    def wait_for_weights(self) -> list[int]:
        """Versions loaded since the last call, by actor. WeightSyncError where one was refused."""
        return self._loaded(timeout_s=None)

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
                self.num_repeated += len(numbers)
            found.append((numbers, finished.value))
        return found

    def _loaded(self, timeout_s: float | None) -> list[int]:
        """Versions of the loads that ended, but for those of actors that died meanwhile."""
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
        versions = []
        for load in done:
            try:
                versions.append(ray.get(load))
            except RayActorError:
                continue  # whoever replaces it gets the weights when it starts
            except RayTaskError as error:
                raise (error.cause if isinstance(error.cause, Exception) else error) from None
        return versions


class ActorRollouts(TrainerRollouts):
    """The same with actors, which write a batch to its end before the caller goes on."""

    def __init__(self, actors: RolloutActors) -> None:
        super().__init__(actors, max_rows=1)
        self.actors = actors

    def start(self, request: RolloutRequest, on_group: OnGroup) -> None:
        groups = {}
        stream = self.actors.stream(request.prompts, request.num_samples, request.settings)
        for number, group in stream:
            groups[number] = group
            on_group(number, group)
        self._written = [groups[number] for number in range(len(request.prompts))]

    def close(self) -> None:
        self.actors.close()


@dataclass
class _Batch:
    """A batch in the making."""

    request: RolloutRequest
    on_group: OnGroup
    groups: dict[int, list[Sample]] = field(default_factory=dict)
    error: BaseException | None = None
    thread: threading.Thread | None = None


class AheadRollouts:
    """Actors write one step ahead of training, at most one batch at a time. See `Rollouts`.

    While the trainer works on batch n, they write batch n + 1 with the weights of version n - 1 or
    n (each actor takes new ones between two calls), and every sample says which. The losses correct
    for it, as far as a sample lags no more than one version behind the trainer's when it is taken.

    ``num_stale``: prompts written again because their samples lagged further.
    """

    def __init__(self, actors: RolloutActors) -> None:
        self.actors = actors
        self.num_stale = 0
        self._batch: _Batch | None = None

    def start(self, request: RolloutRequest, on_group: OnGroup) -> None:
        """Begin a batch in the background. RuntimeError while another one is not taken.

        ``on_group`` is called in a thread of its own, so that rewards start at once; and again,
        in `take`, for prompts that are written again.
        """
        if self._batch is not None:
            raise RuntimeError("start: the batch before has not been taken")
        batch = _Batch(request, on_group)
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
        batch.thread.join()
        if batch.error is not None:
            raise batch.error
        stale = [number for number, group in batch.groups.items() if self._lags(group, version)]
        if stale:
            self._write_again(batch, sorted(stale), version)
        return [batch.groups[number] for number in range(len(batch.request.prompts))]

    def sync(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Give the actors new weights without waiting for them to finish what they write."""
        self.actors.send_weights(tensors, version)

    def write(self, request: RolloutRequest) -> list[list[Sample]]:
        """See `Rollouts`. Waits for the batch under way: actors serve one stream at a time."""
        if self._batch is not None and self._batch.thread is not None:
            self._batch.thread.join()
        return self.actors.generate(request.prompts, request.num_samples, request.settings)

    def close(self) -> None:
        self.actors.close()

    def _write(self, batch: _Batch) -> None:
        try:
            asked = batch.request
            stream = self.actors.stream(asked.prompts, asked.num_samples, asked.settings)
            for number, group in stream:
                batch.groups[number] = group
                batch.on_group(number, group)
        except BaseException as error:  # raised in the thread that takes the batch
            batch.error = error

    def _write_again(self, batch: _Batch, numbers: list[int], version: int) -> None:
        held = self.actors.weight_version
        if version - held > _MAX_LAG:
            raise StaleSampleError(
                f"{len(numbers)} prompts: expected weights of version "
                f"{version - _MAX_LAG} to {version}, the actors have {held}: send them"
            )
        self.num_stale += len(numbers)
        asked = batch.request
        prompts = [asked.prompts[number] for number in numbers]
        for n, group in self.actors.stream(prompts, asked.num_samples, asked.settings):
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
        return version - min(versions) > _MAX_LAG
