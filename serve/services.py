"""What the routes work with: the job book, the file store, encoder and reasoner, keys and quotas.

Blocking work (SQL, files, geometry) runs in threads, so that one slow request does not hold up the
others. What is kept in memory here (codes, token buckets) may be lost at any moment. How encoder
and reasoner are reached, in this process or through Ray Serve, is not known here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from starlette.requests import Request

from serve.access.keys import KeyRing
from serve.access.quotas import Slots, TokenBuckets
from serve.ask.asking import Asked
from serve.book.database import CodeJob, JobBook, JobStatus
from serve.book.file_store import FileStore
from serve.config import ServeConfig
from serve.http import problems
from serve.http.messages import AskAnswer
from serve.metrics import Meters
from spatialcode.scene.schema import SpatialCode
from spatialcode.workkey import EncoderIdentity

T = TypeVar("T")

#: In seconds. Ray Serve reads its own timeout from the same header.
TIMEOUT_HEADER = "x-request-timeout-seconds"
_NUM_CODES = 64
_NUM_THREADS = 16


class EncoderLink(Protocol):
    """The part of the encoder that the routes need."""

    async def identity(self) -> EncoderIdentity:
        """What ids are made of. Raises the 503 problem while it is not known."""
        ...

    async def ready(self) -> bool:
        """Whether weights are loaded and a warm-up clip has been encoded."""
        ...

    def wake(self) -> None:
        """Tell the encoder that there is a new job."""
        ...


class ReasonerLink(Protocol):
    """The part of a language model that the routes need."""

    names: tuple[str, ...]

    async def answer(self, asked: Asked, code: SpatialCode, timeout_s: float) -> AskAnswer:
        """The answer. Raises problems, and TimeoutError after ``timeout_s`` seconds."""
        ...


@dataclass(frozen=True)
class Deadline:
    """The moment by which a request must be answered, on the monotonic clock."""

    at_s: float

    @classmethod
    def of(cls, request: Request, longest_s: float) -> Deadline:
        """From the header ``x-request-timeout-seconds``, at most ``longest_s`` from now."""
        text = request.headers.get(TIMEOUT_HEADER, "")
        try:
            wanted_s = float(text) if text else longest_s
        except ValueError:
            wanted_s = -1.0
        if not wanted_s > 0:  # also not a number
            raise problems.invalid(f"{TIMEOUT_HEADER}: expected seconds > 0, got {text[:20]!r}")
        return cls(time.monotonic() + min(wanted_s, longest_s))

    @property
    def left_s(self) -> float:
        """Seconds until then. Raises the 504 problem if there are none left."""
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise problems.too_late("this request ran out of time")
        return left_s


class CodeCache:
    """The codes that were read last, in memory. A code never changes; whether it still exists is
    for the job book to say.
    """

    def __init__(self, store: FileStore, size: int = _NUM_CODES) -> None:
        self._store, self._size = store, size
        self._codes: OrderedDict[str, SpatialCode] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, code_id: str) -> SpatialCode | None:
        """The code, from memory or else from the store; None if there is none."""
        with self._lock:
            code = self._codes.get(code_id)
            if code is not None:
                self._codes.move_to_end(code_id)
                return code
        code = self._store.get_code(code_id)
        if code is not None:
            with self._lock:
                self._codes[code_id] = code
                while len(self._codes) > self._size:
                    self._codes.popitem(last=False)
        return code

    def forget(self, code_id: str) -> None:
        with self._lock:
            self._codes.pop(code_id, None)


@dataclass(frozen=True)
class Services:
    """Everything that the routes of one ingress replica work with."""

    config: ServeConfig
    book: JobBook
    store: FileStore
    encoder: EncoderLink
    reasoner: ReasonerLink | None
    keys: KeyRing
    buckets: TokenBuckets
    meters: Meters
    codes: CodeCache
    slots: Slots
    renderings: asyncio.Semaphore
    pool: ThreadPoolExecutor = field(repr=False)

    @classmethod
    def of(
        cls, config: ServeConfig, book: JobBook, store: FileStore, encoder: EncoderLink, *,
        keys: KeyRing, reasoner: ReasonerLink | None = None, meters: Meters | None = None,
    ) -> Services:  # fmt: skip
        """The services of a configuration, with nothing in memory yet."""
        return cls(
            config, book, store, encoder, reasoner, keys,
            TokenBuckets(config.rates.requests_per_s, config.rates.burst),
            meters or Meters(), CodeCache(store),
            Slots(config.limits.max_uploads, config.limits.max_uploads_per_key),
            asyncio.Semaphore(1),
            ThreadPoolExecutor(_NUM_THREADS, "ingress"),
        )  # fmt: skip

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Run blocking work in a thread of this service's own pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, work, *arguments)

    def caller(self, request: Request, cost: float = 1.0) -> str:
        """The caller's name, after taking ``cost`` tokens. Raises the 401 problem, or 429."""
        name = self.keys.caller(request.headers.get("authorization"))
        wait_s = self.buckets.take(name, cost)
        if wait_s is not None:
            raise problems.try_later(429, "rate_limited", "too many requests", wait_s)
        return name

    def job(self, code_id: str) -> CodeJob:
        """The job of an id; raises the 404 problem if there is none. Blocking."""
        job = self.book.get(code_id)
        if job is None:
            raise problems.not_found("a code with this id")
        return job

    def done_code(self, code_id: str) -> SpatialCode:
        """The code of an id; raises the 404 problem, or 409 while it is not done. Blocking."""
        job = self.job(code_id)
        if job.status != JobStatus.DONE:
            raise not_done(job)
        code = self.codes.get(code_id)
        if code is None:
            raise problems.not_found("the code's file")
        return code


def not_done(job: CodeJob) -> problems.HTTPProblem:
    """The 409 problem of a code that is not made yet, or that could not be made."""
    if job.status == JobStatus.FAILED:
        return problems.conflict("failed", f"no code could be made: {job.error}")
    problem = problems.conflict("not_done", f"the code is not done yet: {job.status}")
    problem.headers = {"Retry-After": "1"}
    return problem
