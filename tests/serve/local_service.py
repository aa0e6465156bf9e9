"""The whole service in this process, without Ray: real book, store, routes, worker, sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from serve.access.keys import KeyRing
from serve.ask.asking import Asked, answer
from serve.book.database import OPEN, CodeJob, JobBook, JobStatus
from serve.book.encoding import EncodingWorker
from serve.book.file_store import FileStore
from serve.config import ServeConfig
from serve.http.messages import AskAnswer
from serve.ingress import build_ingress
from serve.metrics import Meters
from serve.services import Services
from spatialcode.api import ASSETS, VideoEncoder
from spatialcode.config import load_config
from spatialcode.encoder.protocol import FrameRequest, OnShare, WindowedClip
from spatialcode.errors import EncodeError
from spatialcode.scene.schema import SpatialCode, VideoInfo
from spatialcode.scene.text import from_json
from spatialcode.video.decode import DecodedVideo
from spatialcode.video.source import VideoProbe
from spatialcode.workkey import EncoderIdentity
from tests.serve.memory_meters import MemoryMeters

ROOM = from_json((ASSETS / "sample_room.json").read_text(encoding="utf-8"))
CLIP = ASSETS / "sample_room.mp4"
PATIENCE_S = 60.0
NO_KEYS = KeyRing()


class Named:
    """Who the stand-in is; nothing is loaded."""

    identity = EncoderIdentity("stand-in", "0" * 64, "1" * 64)
    frames = FrameRequest()

    def load(self, device: str) -> Any:
        raise NotImplementedError


class StandInEncoder(VideoEncoder):
    """Gives every video the sample room's code; counts, and does as a test says meanwhile."""

    def __init__(self) -> None:
        self.encoder = Named()
        self.batches: list[list[str]] = []
        self.errors: dict[str, Exception] = {}

    def before(self, keys: Sequence[str]) -> None:
        """A test's own doing while a batch is encoded."""

    def encode_batch(
        self, videos: Sequence[DecodedVideo], work_keys: Sequence[str] = (),
        on_share: OnShare | None = None,
    ) -> list[SpatialCode | EncodeError]:  # fmt: skip
        self.batches.append(list(work_keys))
        assert on_share is not None
        on_share(0.5)
        self.before(work_keys)
        results: list[SpatialCode | EncodeError] = []
        for video, key in zip(videos, work_keys, strict=True):
            error = self.errors.get(video.probe.sha256)
            if isinstance(error, EncodeError):
                results.append(error)
            elif error is not None:
                raise error
            else:
                results.append(coded(video.probe, tuple(video.times_s.tolist()), key))
        return results

    def encode_source(self, clip: WindowedClip) -> SpatialCode:
        times_s: list[float] = []
        for window in clip.windows(self.encoder.frames):
            times_s += window.fresh().times_s.tolist()
        return coded(clip.header.video, tuple(times_s), clip.header.work_key)


def coded(video: VideoProbe | VideoInfo, times_s: tuple[float, ...], key: str) -> SpatialCode:
    """The sample room as the code of another video."""
    info = replace(ROOM.video, uri=video.uri, sha256=video.sha256, sampled_s=times_s)
    return replace(ROOM, video=info, provenance=replace(ROOM.provenance, work_key=key))


@dataclass
class LocalEncoder:
    """The link to an encoder in this process."""

    encoder: VideoEncoder
    config: ServeConfig
    is_ready: bool = True
    worker: EncodingWorker | None = None

    async def identity(self) -> EncoderIdentity:
        return self.encoder.identity(self.config.sampling)

    async def ready(self) -> bool:
        return self.is_ready

    def wake(self) -> None:
        if self.worker is not None:
            self.worker.wake()


@dataclass
class Running:
    """A service that listens at ``url``."""

    url: str
    config: ServeConfig
    services: Services
    encoder: LocalEncoder
    counted: MemoryMeters
    http: httpx.Client = field(repr=False)

    def upload(self, path: Path, **arguments: Any) -> httpx.Response:
        """The file as the body."""
        headers = {"content-type": "video/mp4", **arguments.pop("headers", {})}
        with path.open("rb") as file:
            return self.http.post("/v1/codes", content=file, headers=headers, **arguments)

    def ended(self, code_id: str) -> CodeJob:
        """The job, once it is done or failed."""
        waiting = threading.Event()
        for _ in range(int(PATIENCE_S / 0.02)):
            job = self.services.book.get(code_id)
            assert job is not None
            if job.status not in OPEN:
                return job
            waiting.wait(0.02)
        raise AssertionError(f"job {code_id} is still {job.status} after {PATIENCE_S} s")


def make_config(folder: Path, *settings: str) -> ServeConfig:
    """Settings of a service that keeps everything in a folder."""
    return load_config(ServeConfig, None, [
        f"store.url={folder / 'store'}",
        f"store.database_url=sqlite:///{folder / 'jobs.sqlite'}",
        f"limits.spool_dir={folder / 'spool'}",
        "limits.min_free_bytes=0",
        "rates.burst=10000",
        "rates.requests_per_s=10000",
        "sampling.num_frames=6",
        *settings,
    ])  # fmt: skip


@contextlib.contextmanager
def running(
    folder: Path, *settings: str, encoder: VideoEncoder | None = None, works: bool = True,
    keys: KeyRing = NO_KEYS, reasoner: Any = None,
) -> Iterator[Running]:  # fmt: skip
    """A service for as long as the block runs; without ``works`` nobody takes its jobs."""
    config = make_config(folder, *settings)
    book = JobBook(config.store.job_database, lease_s=config.store.lease_s)
    store = FileStore(config.store.url)
    counted = MemoryMeters()
    link = LocalEncoder(encoder or StandInEncoder(), config)
    services = Services(
        config, book, store, link, keys=keys, reasoner=reasoner, meters=Meters(counted)
    )
    with contextlib.ExitStack() as stack:
        stack.callback(book.close)
        if works:
            worker = EncodingWorker(
                "test-worker", book, store, link.encoder, config,
                meters=Meters(counted),
            )  # fmt: skip
            link.worker = worker
            stack.enter_context(_in_thread(worker.run, worker.stop))
        url = stack.enter_context(listening(services))
        http = stack.enter_context(httpx.Client(base_url=url, timeout=PATIENCE_S))
        yield Running(url, config, services, link, counted, http)


@contextlib.contextmanager
def listening(services: Services) -> Iterator[str]:
    """The routes under uvicorn on a free port of loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        started = threading.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                started.set()

        server = Server(uvicorn.Config(build_ingress(services), log_level="warning"))

        def stop() -> None:
            server.should_exit = True

        with _in_thread(lambda: server.run(sockets=[listener]), stop):
            assert started.wait(PATIENCE_S)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def _in_thread(work: Any, stop: Any) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@dataclass
class StandInReasoner:
    """A language model's place, which answers as the solver does after a wait for an event."""

    names: tuple[str, ...] = ("program", "text")
    go: threading.Event = field(default_factory=threading.Event)

    async def answer(self, asked: Asked, code: SpatialCode, timeout_s: float) -> AskAnswer:
        await asyncio.to_thread(self.go.wait, PATIENCE_S)
        solved = answer(Asked(asked.question, asked.options), code)
        return solved.model_copy(update={"reasoner": asked.reasoner})


def statuses(running: Running) -> list[JobStatus]:
    """Of all jobs, newest first."""
    return [job.status for job in running.services.book.page(100)[0]]
