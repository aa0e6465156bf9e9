"""Settings of the pool that scores completions. Light: ``--help`` loads nothing more."""

from __future__ import annotations

from dataclasses import dataclass

from spatialcode.config import require, setting

RUBRIC = "pipelines.train_reasoner.rewards.scorers:RubricScorer"


@dataclass(frozen=True)
class RewardPoolConfig:
    """Settings of the pool. It reserves CPU cores, fractions too, and never a GPU."""

    num_actors: int = setting("reward actors", 2)
    num_cpus: float = setting("CPU cores that a reward actor reserves (a fraction will do)", 1.0)
    scorer: str = setting("what scores, as module:Class", RUBRIC)
    deadline_s: float = setting("seconds for one completion, after which it is masked", 10.0)
    start_s: float = setting("seconds for a scoring process to come up", 120.0)
    samples_per_call: int = setting("completions that travel to an actor together", 8)
    max_replaced: int = setting("actors replaced in one run before giving up", 20)

    def __post_init__(self) -> None:
        for key in ("num_actors", "samples_per_call"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        for key in ("num_cpus", "deadline_s", "start_s"):
            require(getattr(self, key) > 0, key, "above 0", getattr(self, key))
        require(self.max_replaced >= 0, "max_replaced", "at least 0", self.max_replaced)
