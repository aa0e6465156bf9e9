"""Rewards of completions: scored in a pool of CPU actors while others are generated, or here.

A sample without a valid reward (the scorer raised, hung, or died; its actor died twice) is masked:
its `Scored` has no total and says why. It is counted, logged and never becomes 0; no sample is
lost and none raises.

The rubric runs on text that a model wrote. Should it hang, no time limit inside the process helps,
so an actor scores in a child process with the clock outside: past its deadline the child is killed,
its sample masked, and the next sample gets a new child.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Protocol

from pipelines.on_ray.actor_pool import ActorPool, Finished, Job
from pipelines.train_reasoner.config import RUBRIC, RewardPoolConfig
from pipelines.train_reasoner.rewards.scorers import RewardSample, item_from_json, load_scorer
from spatialcode.child import Child, ChildSpec, ChildStartError, ConnectionLostError
from spatialcode.errors import InputError
from spatialcode.grpo.types import Scored
from spatialcode.scene.text import from_json
from spatialcode.threads import limit_threads

_log = logging.getLogger(__name__)

_POLL_S = 0.2
#: Codes whose text stays in the object store though no open sample needs it.
_MAX_IDLE_CODES = 256
#: What an actor may take beyond the deadlines of its samples, once a new child has started.
_GRACE_S = 30.0
#: Why a sample has no score: no answer in time, the child died, an exception, the actor died.
CAUSES = ("timeout", "crash", "error", "actor")

_CHILD = "pipelines.train_reasoner.rewards.child"


def masked(cause: str, why: str) -> Scored:
    """What a sample without a valid reward has; ``cause``: one of `CAUSES`."""
    return Scored(None, None, error=f"{cause}: {why}")


@dataclass
class RewardStatistics:
    """Counts since the start: ``num_submitted`` is scored, masked and open ones.

    ``masked``: by cause, see `CAUSES`. ``num_repeated``: samples scored again after their actor
    died.
    """

    num_submitted: int = 0
    num_scored: int = 0
    masked: Counter[str] = field(default_factory=Counter)
    num_repeated: int = 0
    num_replaced: int = 0

    def note(self, index: int, scored: Scored) -> None:
        """Count one sample that is done and log it where it is masked."""
        if scored.error is None:
            self.num_scored += 1
        else:
            self.masked[scored.error.partition(":")[0]] += 1
            _log.warning("sample %d has no reward: %s", index, scored.error)


class Rewards(Protocol):
    """Where completions are scored."""

    def submit(self, samples: Sequence[RewardSample]) -> list[int]:
        """Start scoring; the handles of the samples, in their order, counted from 0 on."""
        ...

    def collect(self, handles: Iterable[int] | None = None) -> Iterator[tuple[int, Scored]]:
        """Each handle with its score, once, as soon as it is there. None: all not collected yet."""
        ...

    def close(self) -> None:
        """End it; what is not collected is forgotten."""
        ...


class PlainRewards:
    """Scores in this process when submitted. A scorer that hangs hangs the caller."""

    def __init__(self, scorer: str = RUBRIC, settings: Mapping[str, Any] | None = None) -> None:
        self.statistics = RewardStatistics()
        self._scorer = load_scorer(scorer, settings or {})
        self._done: dict[int, Scored] = {}
        self._code = lru_cache(maxsize=_MAX_IDLE_CODES)(from_json)

    def submit(self, samples: Sequence[RewardSample]) -> list[int]:
        first = self.statistics.num_submitted
        self.statistics.num_submitted += len(samples)
        for index, sample in enumerate(samples, first):
            try:
                item, code = item_from_json(sample.item), self._code(sample.code)
                scored = self._scorer.score(item, code, sample.completion)
                if scored.error is not None:
                    scored = masked("error", scored.error)
            except Exception as error:  # the one boundary: any error masks this sample
                scored = masked("error", f"{type(error).__name__}: {error}")
            self.statistics.note(index, scored)
            self._done[index] = scored
        return list(range(first, first + len(samples)))

    def collect(self, handles: Iterable[int] | None = None) -> Iterator[tuple[int, Scored]]:
        for index in list(self._done if handles is None else handles):
            yield index, self._done.pop(index)

    def close(self) -> None:
        self._done.clear()


class ScoringChild:
    """A child process that scores; starts on first use and again after a failure.

    ``settings``: the scorer's own. The time to start is no part of a completion's deadline. To be
    used by one thread at a time.
    """

    def __init__(self, config: RewardPoolConfig, settings: Mapping[str, Any]) -> None:
        self.config, self.settings = config, settings
        self.num_starts = 0
        self._child: Child | None = None
        self._sent: set[str] = set()

    def score(self, item: str, code_id: str, completion: str, code: Callable[[], str]) -> Scored:
        """Score a completion within the deadline; ``code`` gives the code's JSON if needed."""
        if self._child is None:
            settings = json.dumps(dict(self.settings))
            child = ChildSpec(_CHILD, (self.config.scorer, settings), quiet=False)
            self.num_starts += 1
            try:
                self._child = Child.start(child, self.config.start_s)
            except (OSError, ChildStartError) as error:
                return masked("crash", f"the scoring process did not start: {error}")
        request = {"item": item, "code_id": code_id, "completion": completion, "code": None}
        if code_id not in self._sent:
            request["code"] = code()
        deadline_s = time.monotonic() + self.config.deadline_s
        try:
            reply = self._child.ask(request, deadline_s)
            if reply.get("needs_code"):
                reply = self._child.ask({**request, "code": code()}, deadline_s)
        except TimeoutError:
            self.close()
            return masked("timeout", f"no score within {self.config.deadline_s:g} s")
        except ConnectionLostError as error:
            status = self._child.ended()
            self.close()
            why = f"the scoring process died (status {status}): {type(error).__name__}"
            return masked("crash", why)
        self._sent.add(code_id)
        return _scored(reply)

    def close(self) -> int | None:
        """End the child, whatever it does; its exit status (negative: the signal)."""
        child, self._child = self._child, None
        self._sent.clear()
        return None if child is None else child.kill()


def _scored(reply: dict[str, Any]) -> Scored:
    if reply["error"] is not None:
        return masked("error", reply["error"])
    try:
        return Scored(reply["terms"], reply["total"], tuple(reply["reasons"]))
    except ValueError as error:  # a total that is no finite number is no score
        return masked("error", str(error))


class RewardWorker:
    """The actor: rows of (item, code id, completion) in, scores in the same order out."""

    def __init__(self, config: RewardPoolConfig, settings: Mapping[str, Any]) -> None:
        limit_threads(config.num_cpus)
        self._child = ScoringChild(config, settings)

    def ready(self) -> int:
        """Process id, once the actor is up."""
        return os.getpid()

    def score(
        self, rows: Sequence[tuple[str, str, str]], codes: Mapping[str, Sequence[Any]]
    ) -> list[Scored]:
        """``codes``: of each code id a list of one reference to its JSON in the object store, read
        where the child does not keep the code.
        """
        import ray

        return [
            self._child.score(item, code_id, completion, partial(ray.get, codes[code_id][0]))
            for item, code_id, completion in rows
        ]


class RewardPool:
    """Scores in CPU actors, each with a child process that is killed past the deadline.

    Samples start when submitted; `submit` and `collect` hand out more work as actors get free.
    The samples of an actor that dies are scored again once, on another one. One thread may submit
    while another one collects.
    """

    def __init__(self, config: RewardPoolConfig, settings: Mapping[str, Any] | None = None) -> None:
        """``settings``: the scorer's own. ConfigError where there is no such scorer."""
        load_scorer(config.scorer, settings or {})  # a wrong name fails here, not in an actor
        self.config = config
        self.statistics = RewardStatistics()
        self._settings = settings or {}
        self._lock = threading.RLock()
        self._codes = _StoredCodes()
        self._open: dict[int, RewardSample] = {}
        self._done: dict[int, Scored] = {}
        self._pool = ActorPool(
            self._start_actor, config.num_actors, depth=2, max_replaced=config.max_replaced
        )

    def submit(self, samples: Sequence[RewardSample]) -> list[int]:
        """See `Rewards`. InputError where a code's id stands for another code already."""
        with self._lock:
            first = self.statistics.num_submitted
            references = {sample.code_id: [self._codes.reference(sample)] for sample in samples}
            self.statistics.num_submitted += len(samples)
            handles = list(range(first, first + len(samples)))
            self._open |= dict(zip(handles, samples, strict=True))
        size = self.config.samples_per_call
        for start in range(0, len(samples), size):
            part = samples[start : start + size]
            rows = [(sample.item, sample.code_id, sample.completion) for sample in part]
            codes = {sample.code_id: references[sample.code_id] for sample in part}
            limit_s = len(part) * (self.config.deadline_s + self.config.start_s) + _GRACE_S
            key = tuple(handles[start : start + size])
            self._pool.add(Job(key, "score", (rows, codes), limit_s))
        self._advance(0.0)
        return handles

    def collect(self, handles: Iterable[int] | None = None) -> Iterator[tuple[int, Scored]]:
        """See `Rewards`. ActorsLostError where actors cannot be kept alive."""
        with self._lock:
            wanted = set([*self._done, *self._open] if handles is None else handles)
            unknown = wanted - self._done.keys() - self._open.keys()
        if unknown:
            raise KeyError(f"handles: not submitted, or collected before: {sorted(unknown)[:5]}")
        while wanted:
            with self._lock:
                ready = {index: self._done.pop(index) for index in wanted & self._done.keys()}
            wanted -= ready.keys()
            yield from ready.items()
            if wanted and not ready:
                self._advance(_POLL_S)

    def pids(self) -> list[int]:
        """Process ids of the actors."""
        return self._pool.pids()

    def close(self) -> None:
        self._pool.close()
        self._open.clear()
        self._done.clear()

    def _start_actor(self) -> Any:
        import ray

        # "DEFAULT" keeps it out of a training run's placement group, which has no room for it
        options = {"num_cpus": self.config.num_cpus, "num_gpus": 0, "max_restarts": 0}
        actor = ray.remote(RewardWorker).options(**options, scheduling_strategy="DEFAULT")
        return actor.remote(self.config, self._settings)

    def _advance(self, timeout_s: float) -> None:
        ended = self._pool.poll(timeout_s)
        with self._lock:
            for finished in ended:
                self._note(finished)
            self.statistics.num_replaced = self._pool.num_replaced

    def _note(self, finished: Finished) -> None:
        indices: tuple[int, ...] = finished.job.key  # type: ignore[assignment]
        if finished.job.num_losses > 0:
            self.statistics.num_repeated += len(indices)
        found = finished.value
        if finished.error is not None:
            cause = "actor" if finished.lost else "error"
            found = [masked(cause, finished.error) for _ in indices]
        for index, scored in zip(indices, found, strict=True):
            self.statistics.note(index, scored)
            self._done[index] = scored
            self._codes.release(self._open.pop(index))


class _StoredCodes:
    """Codes in Ray's object store: each put once, kept while a sample needs it and a while more."""

    def __init__(self) -> None:
        self._stored: dict[str, tuple[str, Any]] = {}
        self._users: Counter[str] = Counter()

    def reference(self, sample: RewardSample) -> Any:
        """The reference to the sample's code, which has one user more."""
        import ray

        if sample.code_id not in self._stored:
            self._stored[sample.code_id] = (sample.code, ray.put(sample.code))
        text, reference = self._stored[sample.code_id]
        if text != sample.code:
            raise InputError(f"code_id {sample.code_id!r}: stands for two different codes")
        self._users[sample.code_id] += 1
        return reference

    def release(self, sample: RewardSample) -> None:
        """One user less; the oldest codes without users go."""
        self._users[sample.code_id] -= 1
        idle = [code_id for code_id in self._stored if self._users[code_id] <= 0]
        for code_id in idle[: max(0, len(idle) - _MAX_IDLE_CODES)]:
            del self._stored[code_id]
            del self._users[code_id]
