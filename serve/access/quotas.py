"""How much one caller may ask for: requests over time (`TokenBuckets`) and uploads at the same time
(`Slots`).

Both are kept in the memory of one process: behind several ingress replicas a caller has a share in
each of them, and the limits add up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from serve.http import problems

MAX_BUCKETS = 10_000
RETRY_AFTER_S = 5.0


@dataclass
class _Bucket:
    """The tokens that were left at a moment of the clock."""

    tokens: float
    at_s: float


class TokenBuckets:
    """One bucket per name, of ``burst`` tokens, refilled by ``per_s`` tokens per second.

    ``clock``: seconds that never go back. At most ``max_buckets`` names are kept; the least
    recently used one is dropped first and starts with a full bucket when it comes back.
    """

    def __init__(
        self,
        per_s: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        if not (per_s > 0 and burst > 0 and max_buckets > 0):
            raise ValueError(f"TokenBuckets: expected > 0, got {per_s}, {burst}, {max_buckets}")
        self.per_s = per_s
        self.burst = burst
        self._clock = clock
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, cost: float = 1.0) -> float | None:
        """Take ``cost`` tokens. None if there were enough, else the seconds until there will be.

        Nothing is taken from a bucket that has too few. ValueError for a cost above ``burst``,
        which no bucket could ever pay.
        """
        if not 0 < cost <= self.burst:
            raise ValueError(f"cost: expected more than 0 and at most {self.burst}, got {cost}")
        with self._lock:
            bucket = self._filled(name)
            if bucket.tokens >= cost:
                bucket.tokens -= cost
                return None
            return (cost - bucket.tokens) / self.per_s

    def _filled(self, name: str) -> _Bucket:
        now_s = self._clock()
        bucket = self._buckets.pop(name, None)
        if bucket is None:
            bucket = _Bucket(self.burst, now_s)
            while len(self._buckets) >= self._max_buckets:
                self._buckets.popitem(last=False)
        passed_s = max(0.0, now_s - bucket.at_s)
        bucket.tokens = min(self.burst, bucket.tokens + passed_s * self.per_s)
        bucket.at_s = max(bucket.at_s, now_s)
        self._buckets[name] = bucket  # at the end: the most recently used
        return bucket


class Slots:
    """How many uploads may run at the same time in this process, in all and for one caller."""

    def __init__(self, total: int, per_caller: int) -> None:
        self.total = total
        self.per_caller = per_caller
        self._held: Counter[str] = Counter()

    @contextlib.contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """A slot for as long as the block runs. Raises the 429 problem if there is none."""
        full = self._held.total() >= self.total
        if full or self._held[caller] >= self.per_caller:
            whose = "uploads" if full else "uploads of this key"
            raise problems.try_later(
                429, "too_many_uploads", f"too many {whose} are under way", RETRY_AFTER_S
            )
        self._held[caller] += 1
        try:
            yield
        finally:
            self._held[caller] -= 1
            self._held += Counter()  # drops callers that hold none
