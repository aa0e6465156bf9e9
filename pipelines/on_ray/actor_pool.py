"""A pool of like Ray actors that may be killed at any time: jobs out, results back.

Ray restarts actors and repeats their calls, but counts neither and knows no time limit. Here an
actor that dies, or holds one job for too long, is replaced; its jobs, and no others, go to another
actor. The one it worked on may so be lost a bounded number of times; those behind it had not begun.
Nothing here knows what a job is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from spatialcode.errors import ActorsLostError

_log = logging.getLogger(__name__)

#: Seconds that an actor may take to come up.
_START_S = 300.0


@dataclass
class Job:
    """One call of ``method``; ``limit_s``: how long an actor may take over it.

    ``num_losses``: actors that died while they worked on it.
    """

    key: Hashable
    method: str
    args: tuple[Any, ...]
    limit_s: float
    num_losses: int = 0


@dataclass(frozen=True)
class Finished:
    """A job's end: ``value``, or ``error`` saying why there is none.

    ``lost``: its actors died; ``cause``: what the method raised.
    """

    job: Job
    value: Any = None
    error: str | None = None
    lost: bool = False
    cause: BaseException | None = None


@dataclass
class _Member:
    """One actor: what it holds, oldest first, and since when the oldest is its work."""

    handle: Any
    ready: Any
    since_s: float
    pid: int | None = None
    held: dict[Any, Job] = field(default_factory=dict)


class ActorPool:
    """``start`` makes one actor; it has a method ``ready`` that returns its process id.

    An actor holds ``depth`` jobs, the one under way included; ``max_attempts`` actors may die over
    one job, ``max_replaced`` in the pool's life. Methods may be called from several threads.
    """

    def __init__(
        self,
        start: Callable[[], Any],
        num_actors: int,
        *,
        depth: int,
        max_attempts: int = 2,
        max_replaced: int,
    ) -> None:
        self.num_replaced = 0
        self._start = start
        self._depth, self._max_attempts, self._max_replaced = depth, max_attempts, max_replaced
        self._lock = threading.RLock()
        self._pending: deque[Job] = deque()
        self._members = [self._new_member() for _ in range(num_actors)]

    def handles(self) -> list[Any]:
        """The actors of this moment."""
        with self._lock:
            return [member.handle for member in self._members]

    def pids(self) -> list[int]:
        """Process ids of the actors, waiting for those that still start."""
        import ray

        with self._lock:
            waited = [member.ready for member in self._members]
        return list(ray.get(waited))

    def add(self, job: Job) -> None:
        """Queue a job; it starts now where an actor has room, else in a later `poll`."""
        with self._lock:
            self._pending.append(job)
            self._dispatch()

    def drop_pending(self) -> None:
        """Forget the jobs that no actor holds yet."""
        with self._lock:
            self._pending.clear()

    def poll(self, timeout_s: float) -> list[Finished]:
        """Jobs finished since the last call, after at most ``timeout_s``; may be none.

        Raises ActorsLostError where actors cannot be started, or die too often.
        """
        import ray

        with self._lock:
            self._dispatch()
            waited = [ref for member in self._members for ref in member.held]
            waited += [member.ready for member in self._members if member.pid is None]
        if not waited:
            return []
        # outside the lock, so that other threads may add jobs meanwhile
        if not ray.wait(waited, num_returns=1, timeout=timeout_s)[0]:
            waited = []
        done = set(ray.wait(waited, num_returns=len(waited), timeout=0)[0] if waited else ())
        with self._lock:
            finished = [
                ended for member in list(self._members) for ended in self._take(member, done)
            ]
            for member in list(self._members):
                finished += self._out_of_time(member)
            self._dispatch()
        return finished

    def close(self) -> None:
        """End all actors; open jobs are forgotten."""
        import ray

        with self._lock:
            self._pending.clear()
            members, self._members = self._members, []
        if ray.is_initialized():
            for member in members:
                ray.kill(member.handle, no_restart=True)

    def _new_member(self) -> _Member:
        handle = self._start()
        return _Member(handle, handle.ready.remote(), time.monotonic())

    def _dispatch(self) -> None:
        """Give pending jobs to the actors that hold least."""
        while self._pending and self._members:
            member = min(self._members, key=lambda member: len(member.held))
            if len(member.held) >= self._depth:
                return
            job = self._pending.popleft()
            if not member.held and member.pid is not None:
                member.since_s = time.monotonic()
            member.held[getattr(member.handle, job.method).remote(*job.args)] = job

    def _take(self, member: _Member, done: set[Any]) -> list[Finished]:
        """The member's results among what is done; a dead member is replaced."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        finished: list[Finished] = []
        try:
            if member.pid is None and member.ready in done:
                member.pid = ray.get(member.ready)
                member.since_s = time.monotonic()
            for ref in [ref for ref in member.held if ref in done]:
                job = member.held[ref]
                try:
                    finished.append(Finished(job, value=ray.get(ref)))
                except RayTaskError as error:  # raised by the method itself: the job's end
                    cause = getattr(error, "cause", None) or error
                    finished.append(Finished(job, error=_last_line(error), cause=cause))
                del member.held[ref]
                member.since_s = time.monotonic()
        except RayError as error:  # killed, out of memory, its node or its result gone
            if member.pid is None and "creation task" in str(error):
                raise ActorsLostError(f"an actor cannot be started: {error}") from error
            finished += self._replace(member, _last_line(error))
        return finished

    def _out_of_time(self, member: _Member) -> list[Finished]:
        """Replace a member that takes too long over its oldest job, or to start."""
        taken_s = time.monotonic() - member.since_s
        if member.pid is None:
            if taken_s <= _START_S:
                return []
            why = f"did not start within {_START_S:g} s: has the cluster room for it?"
        else:
            limit_s = next((job.limit_s for job in member.held.values()), None)
            if limit_s is None or taken_s <= limit_s:
                return []
            why = f"held one job for more than {limit_s:g} s"
        return self._replace(member, why)

    def _replace(self, member: _Member, why: str) -> list[Finished]:
        """Another actor for a dead or stuck one; its jobs are queued first, or given up."""
        import ray

        if member not in self._members:
            return []  # closed meanwhile
        ray.kill(member.handle, no_restart=True)
        self.num_replaced += 1
        _log.warning("actor %s lost with %d jobs: %s", member.pid, len(member.held), why)
        if self.num_replaced > self._max_replaced:
            raise ActorsLostError(f"more than {self._max_replaced} actors lost, last: {why}")
        self._members[self._members.index(member)] = self._new_member()
        jobs = list(member.held.values())
        if not jobs:
            return []
        if member.pid is not None:  # it had begun with the oldest
            jobs[0].num_losses += 1
        lost = []
        if jobs[0].num_losses >= self._max_attempts:
            told = f"lost with its actor {jobs[0].num_losses} times, last: {why}"
            lost.append(Finished(jobs.pop(0), error=told, lost=True))
        self._pending.extendleft(reversed(jobs))
        return lost


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"
