"""The three deployments of the application on Ray Serve: Ingress, Encoder, Reasoner.

Ingress writes videos and rows, encoder replicas take rows by themselves: no video waits in a
replica's memory, so replicas may come, go and die. Everything here is thin; what is done is in
`serve.ingress`, `serve.book.encoding` and `serve.ask.asking`.

Beside them stand what they need of Ray: how many replicas a queue of videos asks for, the service's
numbers on Ray's Prometheus endpoint (``ray_spatialcode_…``, one port a node), and the check that a
model works: a bundled clip, encoded at the start and on demand, gives the same boxes each time.
The routes reach encoder and reasoner through Serve's handles: a replica that dies while it is asked
is an error that may be tried again; errors of the library come back as themselves, without another
process's stack.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from cluster.gpu_share import measured_num_gpus
from serve.access.keys import KeyRing
from serve.ask.asking import Asked, ServedModel, reasoners_of
from serve.book.database import JobBook
from serve.book.encoding import EncodingWorker
from serve.book.file_store import FileStore
from serve.config import DeploymentConfig, ServeConfig
from serve.http import problems
from serve.http.messages import AskAnswer
from serve.ingress import build_ingress
from serve.metrics import METERS, SECONDS_EDGES, Meters
from serve.services import Services
from spatialcode.api import ASSETS, VideoEncoder, shown_frames_of
from spatialcode.encoder.protocol import Encoder
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import SpatialCode
from spatialcode.threads import limit_threads
from spatialcode.video.sampling import ByCount
from spatialcode.video.sandbox import SandboxedDecoder
from spatialcode.workkey import EncoderIdentity

#: Another replica may take a job as soon as it is released; the batch under way has until so many
#: seconds before the end of the drain.
_RELEASE_MARGIN_S = 5.0
_METRICS_INTERVAL_S = 1.0
#: How long a route waits for the encoder, and when one that found it busy may try again.
_READY_S, _IDENTITY_S, _RETRY_S = 2.0, 5.0, 2.0
#: How often a replica's health is checked, and how often an idle model is tried.
_HEALTH_PERIOD_S, _HEALTH_TIMEOUT_S, _MODEL_PERIOD_S = 5.0, 60.0, 30.0


def open_book(config: ServeConfig) -> JobBook:
    """The job book of a configuration, opened by this process."""
    store = config.store
    return JobBook(store.job_database, lease_s=store.lease_s, max_attempts=store.max_attempts)


def open_store(config: ServeConfig) -> FileStore:
    """The store of a configuration."""
    return FileStore(config.store.url, config.store.s3_endpoint_url)


@serve.ingress()
class Ingress:
    """Speaks HTTP and runs the exact solver; it keeps no state that another replica would miss."""

    def __init__(self, config: ServeConfig, keys: KeyRing, encoder: Any, reasoner: Any) -> None:
        self._book = open_book(config)
        link = None
        if reasoner is not None:
            link = ServeReasoner(reasoner, reasoners_of(config.reasoner))
        self._services = Services(
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
        loaded = VideoEncoder(encoder, config.encoder.torch_device, config.encoder.compile)
        self._identity = loaded.identity(config.sampling)
        self._check = ModelCheck(loaded)  # the warm-up: fails the replica, not its first video
        self._checked_at_s = time.monotonic()
        self._drain_s = max(0.0, config.autoscaling.drain_timeout_s - _RELEASE_MARGIN_S)
        self._deadline_s = config.limits.deadline_s
        self._book = open_book(config)
        self._meters = Meters(RaySink())
        self._worker = EncodingWorker(
            f"encoder-{uuid.uuid4().hex}", self._book, open_store(config), loaded,
            config, meters=self._meters,
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
        self._reasoner = ServedModel(config.reasoner)

    async def answer(self, asked: Asked, code: SpatialCode) -> AskAnswer:
        """See `serve.ask.asking.answer`."""
        return await asyncio.to_thread(self._reasoner.answer, asked, code)


def build(config: ServeConfig, keys: KeyRing) -> serve.Application:
    """The application of a configuration. ``keys``: who may call, read where keys are.

    With ``encoder.num_gpus=auto`` this process is connected to Ray, where the encoder is measured.
    """
    made = config.encoder.make()
    config = measured(config, made)
    encoder = serve.deployment(
        name="Encoder", **_resources(config.encoder), **_care(config),
        autoscaling_config=_scaling(config, config.encoder) | {
            "policy": {"policy_function": ByQueue,
                       "policy_kwargs": {"jobs_per_replica": 2.0 * config.encoder.max_batch}},
        },
    )(EncoderReplica).bind(config, made)  # fmt: skip
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


def measured(config: ServeConfig, encoder: Encoder) -> ServeConfig:
    """The settings with a number for ``encoder.num_gpus``."""
    own = config.encoder
    if own.num_gpus is not None:
        return config
    frames = shown_frames_of(config.sampling, encoder.frames)
    share = measured_num_gpus(encoder, own.device, own.max_batch, frames)
    return replace(config, encoder=replace(own, num_gpus=share))


def _resources(config: DeploymentConfig) -> dict[str, Any]:
    options = {"num_cpus": config.num_cpus}
    num_gpus = getattr(config, "num_gpus", 0.0)
    return {"ray_actor_options": options | ({"num_gpus": num_gpus} if num_gpus else {})}


def _care(config: ServeConfig) -> dict[str, Any]:
    return {
        "graceful_shutdown_timeout_s": config.autoscaling.drain_timeout_s,
        "health_check_period_s": _HEALTH_PERIOD_S,
        "health_check_timeout_s": _HEALTH_TIMEOUT_S,
    }


def _scaling(config: ServeConfig, replicas: DeploymentConfig) -> dict[str, Any]:
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


#: The name under which replicas report how many videos wait or are worked on.
WAITING = "waiting"


class ByQueue:
    """One replica for every ``jobs_per_replica`` videos in the book.

    Every replica reports the same book, so the largest report counts. Bounds and delays are
    Serve's own.
    """

    def __init__(self, jobs_per_replica: float = 2.0) -> None:
        self.jobs_per_replica = jobs_per_replica

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        reports = (context.aggregated_metrics or {}).get(WAITING, {})
        if not reports:
            return context.target_num_replicas, {}
        return max(1, math.ceil(max(reports.values()) / self.jobs_per_replica)), {}


class RaySink:
    """Hands every number to `ray.util.metrics`; made inside the process that counts."""

    def __init__(self) -> None:
        from ray.util import metrics

        self._kinds = {meter.name: meter.kind for meter in METERS}
        self._metrics: dict[str, Any] = {}
        for meter in METERS:
            if meter.kind == "counter":
                made: Any = metrics.Counter(meter.name, meter.about, meter.labels)
            elif meter.kind == "gauge":
                made = metrics.Gauge(meter.name, meter.about, meter.labels)
            else:
                made = metrics.Histogram(meter.name, meter.about, list(SECONDS_EDGES), meter.labels)
            self._metrics[meter.name] = made

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        metric, tags = self._metrics[name], dict(labels)
        kind = self._kinds[name]
        if kind == "gauge":
            metric.set(value, tags=tags)
        elif kind == "histogram":
            metric.observe(value, tags=tags)
        elif value > 0:  # Ray's counters refuse a zero
            metric.inc(value, tags=tags)


CLIP = ASSETS / "sample_room.mp4"
_NUM_FRAMES, _MAX_SIDE_PX = 4, 160
#: Centres may move so far between two runs of one device, metres.
_TOLERANCE_M = 0.05


class ModelCheck:
    """Encodes the clip when made; `run` does it again and compares.

    EncodeError where the encoder fails, RuntimeError where it gives something else.
    """

    def __init__(self, encoder: VideoEncoder) -> None:
        self._encoder = encoder
        with SandboxedDecoder() as decoder:
            self._video = decoder.decode(CLIP, ByCount(_NUM_FRAMES), max_side_px=_MAX_SIDE_PX)
        self._first = self._encoded()

    def run(self) -> None:
        """The same again: same objects, in the same places."""
        now = self._encoded()
        labels = [[item.label for item in code.objects] for code in (self._first, now)]
        moved_m = max(
            (
                abs(a - b)
                for one, other in zip(self._first.objects, now.objects, strict=False)
                for a, b in zip(one.center_m, other.center_m, strict=True)
            ),
            default=0.0,
        )
        if labels[0] != labels[1] or not moved_m <= _TOLERANCE_M:
            raise RuntimeError("the encoder no longer gives what it gave at first")

    def _encoded(self) -> SpatialCode:
        (code,) = self._encoder.encode_batch([self._video])
        if isinstance(code, EncodeError):
            raise code
        return code


class ServeEncoder:
    """The Encoder deployment behind a handle."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._identity: EncoderIdentity | None = None
        self._waking: set[asyncio.Task[None]] = set()

    async def identity(self) -> EncoderIdentity:
        """Asked once: another encoder is another deployment of the whole application."""
        if self._identity is None:
            try:
                async with asyncio.timeout(_IDENTITY_S):
                    self._identity = await self._handle.identity.remote()
            except (TimeoutError, RayActorError, DeploymentUnavailableError):
                raise problems.try_later(
                    503, "not_ready", "the encoder is not ready yet", _RETRY_S
                ) from None
        return self._identity

    async def ready(self) -> bool:
        try:
            async with asyncio.timeout(_READY_S):
                return bool(await self._handle.ready.remote())
        except (TimeoutError, RayActorError, DeploymentUnavailableError):
            return False

    def wake(self) -> None:
        """Tell one replica; the others look by themselves within a second."""
        task = asyncio.ensure_future(self._wake())
        self._waking.add(task)  # else it might be collected before it ran
        task.add_done_callback(self._waking.discard)

    async def _wake(self) -> None:
        with contextlib.suppress(RayActorError, DeploymentUnavailableError, BackPressureError):
            await self._handle.wake.remote()


class ServeReasoner:
    """The Reasoner deployment behind a handle."""

    def __init__(self, handle: Any, names: Sequence[str]) -> None:
        self._handle = handle
        self.names = tuple(names)

    async def answer(self, asked: Asked, code: SpatialCode, timeout_s: float) -> AskAnswer:
        try:
            async with asyncio.timeout(timeout_s):
                answered: AskAnswer = await self._handle.answer.remote(asked, code)
        except RayTaskError as error:  # carries another process's stack in its text
            raise error.cause from None
        except (BackPressureError, RayActorError, DeploymentUnavailableError):
            raise problems.try_later(
                503, "reasoner_busy", "the language model cannot answer now", _RETRY_S
            ) from None
        return answered
