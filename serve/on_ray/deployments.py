"""The three deployments of the application on Ray Serve: Ingress, Encoder, Reasoner.

Ingress writes videos and rows, encoder replicas take rows by themselves: no video waits in a
replica's memory, so replicas may come, go and die. Everything here is thin; what is done is in
`serve.ingress`, `serve.book.encoding` and `serve.ask.language_model`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from typing import Any

from fastapi import FastAPI
from ray import serve

from serve.access.keys import KeyRing
from serve.ask.asking import Answered, Asked
from serve.ask.language_model import ModelReasoner, reasoners_of
from serve.book.code_store import CodeStore
from serve.book.database import JobBook
from serve.book.encoding import EncodingWorker, WorkerSettings
from serve.config import EncoderReplicas, IngressConfig, ReasonerConfig, ServeConfig
from serve.ingress import build_ingress
from serve.metrics import Meters
from serve.on_ray.links import ServeEncoder, ServeReasoner
from serve.on_ray.ray_metrics import RaySink
from serve.on_ray.scaling import WAITING, ByQueue
from serve.on_ray.warmup import ModelCheck
from serve.services import Services
from spatialcode.api import VideoEncoder
from spatialcode.encoder.protocol import Encoder
from spatialcode.scene.schema import SpatialCode
from spatialcode.threads import limit_threads
from spatialcode.workkey import EncoderIdentity

#: Another replica may take a job as soon as it is released; the batch under way has until so many
#: seconds before the end of the drain.
_RELEASE_MARGIN_S = 5.0
_METRICS_INTERVAL_S = 1.0
#: How often a replica's health is checked, and how often an idle model is tried.
_HEALTH_PERIOD_S, _HEALTH_TIMEOUT_S, _MODEL_PERIOD_S = 5.0, 60.0, 30.0


def open_book(config: ServeConfig) -> JobBook:
    """The job book of a configuration, opened by this process."""
    store = config.store
    return JobBook(store.job_database, lease_s=store.lease_s, max_attempts=store.max_attempts)


def open_store(config: ServeConfig) -> CodeStore:
    """The store of a configuration."""
    return CodeStore(config.store.url, config.store.s3_endpoint_url)


@serve.ingress()
class Ingress:
    """Speaks HTTP and runs the exact solver; it keeps no state that another replica would miss."""

    def __init__(self, config: ServeConfig, keys: KeyRing, encoder: Any, reasoner: Any) -> None:
        self._book = open_book(config)
        link = None
        if reasoner is not None:
            link = ServeReasoner(reasoner, reasoners_of(config.reasoner))
        self._services = Services.of(
            config, self._book, open_store(config), ServeEncoder(encoder), keys=keys,
            reasoner=link, meters=Meters(RaySink()),
        )  # fmt: skip

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_ingress(self._services)

    async def check_health(self) -> None:
        """A replica that cannot read the book answers nothing."""
        await self._services.run(self._book.depth)


class EncoderReplica:
    """Holds the model and takes videos from the book, in a thread of its own."""

    def __init__(self, config: ServeConfig, encoder: Encoder) -> None:
        limit_threads(config.encoder.num_cpus)
        loaded = VideoEncoder(encoder, config.encoder.torch_device)
        self._identity = loaded.identity(config.sampling)
        self._check = ModelCheck(loaded)  # the warm-up: fails the replica, not its first video
        self._checked_at_s = time.monotonic()
        self._drain_s = max(0.0, config.autoscaling.drain_timeout_s - _RELEASE_MARGIN_S)
        self._deadline_s = config.limits.deadline_s
        self._book = open_book(config)
        self._meters = Meters(RaySink())
        self._worker = EncodingWorker(
            f"encoder-{uuid.uuid4().hex}", self._book, open_store(config), loaded,
            WorkerSettings.of(config), meters=self._meters,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._worker.run, name="encoding", daemon=True)
        self._thread.start()

    async def identity(self) -> EncoderIdentity:
        """What ids are made of."""
        return self._identity

    async def ready(self) -> bool:
        """Whether videos are worked on; the warm-up is over before anyone can ask."""
        return self._thread.is_alive()

    async def wake(self) -> None:
        """There is a new job."""
        self._worker.wake()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `ByQueue` scales by."""
        depth = await asyncio.to_thread(self._book.depth)
        self._meters.queue(depth)
        return {WAITING: float(depth)}

    async def check_health(self) -> None:
        """The worker lives and moves, and the model still gives what it gave at first."""
        if not self._thread.is_alive():
            raise RuntimeError("the encoding worker has ended")
        busy_s = self._worker.busy_s
        if busy_s > self._deadline_s:
            raise RuntimeError(f"the encoding worker has not moved for {busy_s:.0f} s")
        idle = busy_s == 0.0  # a replica that is encoding shows that its model works
        if idle and time.monotonic() - self._checked_at_s > _MODEL_PERIOD_S:
            await asyncio.to_thread(self._check.run)
            self._checked_at_s = time.monotonic()

    async def __del__(self) -> None:
        """Drain: finish the batch under way, or give it back in time."""
        with contextlib.suppress(AttributeError):  # its construction failed
            self._worker.stop()
            await asyncio.to_thread(self._thread.join, self._drain_s)
            if self._thread.is_alive():
                await asyncio.to_thread(self._worker.release)


class Reasoner:
    """Holds a language model, or the address of one."""

    def __init__(self, config: ServeConfig) -> None:
        limit_threads(config.reasoner.num_cpus)
        self._reasoner = ModelReasoner(config.reasoner)

    async def answer(self, asked: Asked, code: SpatialCode) -> Answered:
        """See `serve.ask.asking.answer`."""
        return await asyncio.to_thread(self._reasoner.answer, asked, code)


def build(config: ServeConfig, keys: KeyRing) -> serve.Application:
    """The application of a configuration. ``keys``: who may call, read where keys are."""
    encoder = serve.deployment(
        name="Encoder", **_resources(config.encoder), **_care(config),
        autoscaling_config=_scaling(config, config.encoder) | {
            "policy": {"policy_function": ByQueue,
                       "policy_kwargs": {"jobs_per_replica": 2.0 * config.encoder.max_batch}},
        },
    )(EncoderReplica).bind(config, config.encoder.make())  # fmt: skip
    reasoner = None
    if config.reasoner.has_model:
        reasoner = serve.deployment(
            **_resources(config.reasoner), **_care(config),
            max_ongoing_requests=8, max_queued_requests=32,
            autoscaling_config=_scaling(config, config.reasoner),
        )(Reasoner).bind(config)  # fmt: skip
    ingress = config.ingress
    bound: serve.Application = serve.deployment(
        **_resources(ingress), **_care(config),
        max_ongoing_requests=ingress.max_ongoing_requests,
        max_queued_requests=4 * ingress.max_ongoing_requests,
        backpressure_config={"status_code": 429, "retry_after_s": 1.0},
        autoscaling_config=_scaling(config, ingress) | {
            "target_ongoing_requests": max(1.0, ingress.max_ongoing_requests / 4),
        },
    )(Ingress).bind(config, keys, encoder, reasoner)  # fmt: skip
    return bound


def _resources(config: EncoderReplicas | ReasonerConfig | IngressConfig) -> dict[str, Any]:
    options = {"num_cpus": config.num_cpus}
    num_gpus = getattr(config, "num_gpus", 0.0)
    return {"ray_actor_options": options | ({"num_gpus": num_gpus} if num_gpus else {})}


def _care(config: ServeConfig) -> dict[str, Any]:
    return {
        "graceful_shutdown_timeout_s": config.autoscaling.drain_timeout_s,
        "health_check_period_s": _HEALTH_PERIOD_S,
        "health_check_timeout_s": _HEALTH_TIMEOUT_S,
    }


def _scaling(
    config: ServeConfig, replicas: EncoderReplicas | ReasonerConfig | IngressConfig
) -> dict[str, Any]:
    delays = config.autoscaling
    return {
        "min_replicas": replicas.min_replicas,
        "max_replicas": replicas.max_replicas,
        "upscale_delay_s": delays.upscale_delay_s,
        "downscale_delay_s": delays.downscale_delay_s,
        # every ten seconds by default, which is slower than the delay that is asked for
        "metrics_interval_s": _METRICS_INTERVAL_S,
        "look_back_period_s": max(3 * _METRICS_INTERVAL_S, delays.upscale_delay_s),
    }
