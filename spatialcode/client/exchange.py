"""One call and its repetitions, without any network: what to send, what to do with what came.

Operations are generators. They yield a `Call` or a `Pause` and are sent a `Reply` or None, or are
thrown a ServiceError where no reply came. Whoever drives them, blocking or in an event loop, does
what they ask and decides nothing; so the rules are written once, and tests need no clock.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

from spatialcode.client.errors import (
    ServiceConnectionError,
    ServiceError,
    ServiceTimeoutError,
    problem_error,
)
from spatialcode.errors import SchemaError

T = TypeVar("T")

#: Statuses that say "not now" rather than "no".
RETRYABLE = frozenset({429, 502, 503, 504})
#: After these the call may have been carried out all the same.
_DOUBTFUL = frozenset({502, 504})
_GATEWAY_TIMEOUT = 504

#: Told the bytes that were sent so far, and the file's size.
OnBytes = Callable[[int, int], None]


@dataclass(frozen=True)
class Upload:
    """A file to be sent; read while it goes out. ``name``: what the service shall call it."""

    path: Path
    name: str | None = None
    on_bytes: OnBytes | None = None


@dataclass(frozen=True)
class Call:
    """One HTTP request, path relative to the service.

    ``save_to``: file that a successful answer's body is written to. ``timeout_s``: longest silence
    in place of the client's. ``gone_is_done``: a 404 is success if an earlier try may have worked.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    upload: Upload | None = None
    save_to: Path | None = None
    timeout_s: float | None = None
    gone_is_done: bool = False


@dataclass(frozen=True)
class Pause:
    """Nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Reply:
    """What came back. ``headers``: by lower-case name. ``body``: empty if it went to a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Steps = Generator[Call | Pause, Reply | None, T]


@dataclass(frozen=True)
class Retries:
    """How often, and how patiently, a call is repeated.

    ``num``: repetitions after the first try. Pauses double from ``first_s`` up to ``longest_s``
    and are shortened at random by up to half, so that clients which failed together do not come
    back together. A Retry-After is waited for in full; one beyond ``longest_s`` is the caller's to
    wait for: the error is raised. SchemaError where a number is out of range.
    """

    num: int = 4
    first_s: float = 0.5
    longest_s: float = 60.0

    def __post_init__(self) -> None:
        if self.num < 0:
            raise SchemaError("Retries.num", "0 or more", self.num)
        if not 0 < self.first_s <= self.longest_s:
            raise SchemaError("Retries.first_s", f"in (0, {self.longest_s}]", self.first_s)

    def pause_s(self, num_failed: int, retry_after_s: float | None) -> float | None:
        """Seconds before the next try, after this many failed ones; None: do not try again."""
        if num_failed > self.num or (retry_after_s or 0) > self.longest_s:
            return None
        return max(self.backoff_s(num_failed), retry_after_s or 0)

    def backoff_s(self, num_failed: int) -> float:
        """The own pause after this many failures, which may be any number."""
        doubled = self.first_s * 2.0 ** min(num_failed - 1, 32)
        return min(doubled, self.longest_s) * random.uniform(0.5, 1.0)


DEFAULT_RETRIES = Retries()


def exchange(call: Call, retries: Retries) -> Steps[Reply]:
    """The reply to a call, repeated where that helps and cannot harm.

    No call of the service changes more when made twice than when made once: codes are known by
    content, deleting is final, asking stores nothing. So all are repeated after RETRYABLE statuses
    and lost connections. After silence, the client's own or a 504, only those that cost the
    service little are: an upload or a question to a model would add to what takes too long.
    """
    doubtful = False
    for num_failed in count(1):
        try:
            reply = yield call
        except ServiceConnectionError as error:
            failure: ServiceError = error
            doubtful = True
        except ServiceTimeoutError as error:
            if call.method == "POST":
                raise
            failure = error
            doubtful = True
        else:
            assert reply is not None, "a call is answered with a reply"
            if 200 <= reply.status < 300 or (
                reply.status == 404 and call.gone_is_done and doubtful
            ):
                return reply
            failure = problem_error(reply.status, reply.headers, reply.body)
            too_slow = reply.status == _GATEWAY_TIMEOUT and call.method == "POST"
            if reply.status not in RETRYABLE or too_slow:
                raise failure
            doubtful = doubtful or reply.status in _DOUBTFUL
        pause_s = retries.pause_s(num_failed, failure.retry_after_s)
        if pause_s is None:
            raise failure
        yield Pause(pause_s)
    raise AssertionError("count() has no end")
