"""A call and its retries, without any network: what to send, and what to do with the response.

Operations are generators. They yield a `Call` or a `Pause`; a `Reply` or None is sent back to them,
or a ServiceError is thrown into them if there was no response. The clients, blocking or in an event
loop, only do what the operations ask for. So the rules are written once, and tests need no clock.
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

#: Statuses that mean "not now" rather than "no".
RETRYABLE = frozenset({429, 502, 503, 504})
#: After these, the call may have been carried out nevertheless.
_DOUBTFUL = frozenset({502, 504})
_GATEWAY_TIMEOUT = 504

#: Called with the number of bytes sent so far and the file's size.
OnBytes = Callable[[int, int], None]


@dataclass(frozen=True)
class Upload:
    """A file to be sent; it is read while it is sent. ``name``: what the service shall call it."""

    path: Path
    name: str | None = None
    on_bytes: OnBytes | None = None


@dataclass(frozen=True)
class Call:
    """One HTTP request; the path is relative to the service.

    ``save_to``: the file for the body of a successful response. ``timeout_s``: longest silence, in
    place of the client's. ``gone_is_done``: a 404 is a success if an earlier attempt may have
    succeeded.
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
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Reply:
    """A response. ``headers``: by lower-case name. ``body``: empty if it was saved to a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Steps = Generator[Call | Pause, Reply | None, T]


@dataclass(frozen=True)
class Retries:
    """How often a call is repeated, and after which pauses.

    ``num``: attempts after the first. Pauses double from ``first_s`` up to ``longest_s`` and are
    shortened at random by up to half, so that clients that failed together do not come back
    together. A Retry-After is waited for in full; if it is longer than ``longest_s``, the error is
    raised, and waiting is left to the caller. SchemaError for a number out of range.
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
        """Seconds before the next attempt, after this many failed ones; None: do not try again."""
        if num_failed > self.num or (retry_after_s or 0) > self.longest_s:
            return None
        return max(self.backoff_s(num_failed), retry_after_s or 0)

    def backoff_s(self, num_failed: int) -> float:
        """The pause after this many failures, at least one, if the service does not ask for one."""
        doubled = self.first_s * 2.0 ** min(num_failed - 1, 32)
        return min(doubled, self.longest_s) * random.uniform(0.5, 1.0)


DEFAULT_RETRIES = Retries()


def exchange(call: Call, retries: Retries) -> Steps[Reply]:
    """The reply to a call, which is repeated where that helps and does no harm.

    All calls of the service are idempotent: codes are identified by content, deleting is final,
    asking stores nothing. So all are repeated after RETRYABLE statuses and lost connections. After
    a timeout, the client's own or a 504, only those that cost the service little are repeated: an
    upload or a question to a model would add to the load that is too high already.
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
