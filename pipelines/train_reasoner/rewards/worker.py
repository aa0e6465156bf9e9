"""A Ray actor that scores completions in a child process which it can kill.

The rubric runs on text that a model wrote. Should it hang, no time limit inside the process helps,
so the clock is outside: past its deadline the child is killed, its sample masked, and the next
sample gets a new child.
"""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.train_reasoner.rewards.child import MAX_CODES
from spatialcode.child import Child, ChildSpec, ChildStartError, ConnectionLostError
from spatialcode.grpo.types import Scored
from spatialcode.threads import limit_threads

#: Why a sample has no score: no answer in time, the child died, an exception, the actor died.
CAUSES = ("timeout", "crash", "error", "actor")

_CHILD = "pipelines.train_reasoner.rewards.child"


@dataclass(frozen=True)
class ScoringSpec:
    """Who scores, and for how long: ``scorer`` is ``module:Class``, ``settings`` are its own.

    ``deadline_s``: for one completion; ``start_s``: for the child to come up, not part of it.
    """

    scorer: str
    settings: Mapping[str, Any]
    deadline_s: float
    start_s: float


@dataclass(frozen=True)
class Outcome:
    """A score or its absence: ``cause`` is None or one of `CAUSES`; ``seconds``: time spent."""

    scored: Scored
    cause: str | None
    seconds: float


def masked(cause: str, why: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a sample without a valid reward."""
    return Outcome(Scored(None, None, error=f"{cause}: {why}"), cause, seconds)


class ScoringChild:
    """A child process that scores; starts on first use and again after a failure.

    To be used by one thread at a time.
    """

    def __init__(self, spec: ScoringSpec) -> None:
        self.spec = spec
        self.num_starts = 0
        self._child: Child | None = None
        self._sent: set[str] = set()

    def score(self, item: str, code_id: str, completion: str, code: Callable[[], str]) -> Outcome:
        """Score a completion within the deadline; ``code`` gives the code's JSON if needed."""
        if self._child is None:
            settings = json.dumps(dict(self.spec.settings))
            child = ChildSpec(_CHILD, (self.spec.scorer, settings), quiet=False)
            self.num_starts += 1
            try:
                self._child = Child.start(child, self.spec.start_s)
            except (OSError, ChildStartError) as error:
                return masked("crash", f"the scoring process did not start: {error}")
        begun_s = time.perf_counter()
        request = {"item": item, "code_id": code_id, "completion": completion, "code": None}
        if code_id not in self._sent:
            request["code"] = code()
        deadline_s = time.monotonic() + self.spec.deadline_s
        try:
            reply = self._child.ask(request, deadline_s)
            if reply.get("needs_code"):
                reply = self._child.ask({**request, "code": code()}, deadline_s)
        except TimeoutError:
            self.close()
            took_s = time.perf_counter() - begun_s
            return masked("timeout", f"no score within {self.spec.deadline_s:g} s", took_s)
        except ConnectionLostError as error:
            status = self._child.ended()
            self.close()
            took_s = time.perf_counter() - begun_s
            why = f"the scoring process died (status {status}): {type(error).__name__}"
            return masked("crash", why, took_s)
        self._sent.add(code_id)
        return _outcome(reply, time.perf_counter() - begun_s)

    def close(self) -> int | None:
        """End the child, whatever it does; its exit status (negative: the signal)."""
        child, self._child = self._child, None
        self._sent.clear()
        return None if child is None else child.kill()


def _outcome(reply: dict[str, Any], seconds: float) -> Outcome:
    if reply["error"] is not None:
        return masked("error", reply["error"], seconds)
    try:
        scored = Scored(reply["terms"], reply["total"], tuple(reply["reasons"]))
    except ValueError as error:  # a total that is no finite number is no score
        return masked("error", str(error), seconds)
    return Outcome(scored, None, seconds)


class RewardWorker:
    """The actor: rows of (item, code id, completion) in, outcomes in the same order out."""

    def __init__(self, spec: ScoringSpec, num_cpus: float) -> None:
        limit_threads(num_cpus)
        self._child = ScoringChild(spec)
        self._codes: OrderedDict[str, str] = OrderedDict()

    def ready(self) -> int:
        """Process id, once the actor is up."""
        return os.getpid()

    def score(
        self, rows: Sequence[tuple[str, str, str]], codes: Mapping[str, Sequence[Any]]
    ) -> list[Outcome]:
        """``codes``: of each code id a list of one reference to its JSON in the object store."""
        return [
            self._child.score(item, code_id, completion, partial(self._code, code_id, codes))
            for item, code_id, completion in rows
        ]

    def _code(self, code_id: str, codes: Mapping[str, Sequence[Any]]) -> str:
        import ray

        if code_id not in self._codes:
            self._codes[code_id] = ray.get(codes[code_id][0])
            while len(self._codes) > MAX_CODES:
                self._codes.popitem(last=False)
        self._codes.move_to_end(code_id)
        return self._codes[code_id]
