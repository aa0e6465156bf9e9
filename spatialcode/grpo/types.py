"""What passes between sampler, reward and update: settings, samples, scores, the engine protocol.

Token ids are plain tuples of ints, so that samples travel between processes without torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from spatialcode.config import require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SamplerSettings:
    """How completions are drawn.

    ``temperature`` 0 takes the likeliest token. ``top_p`` 1 and ``top_k`` 0 leave the
    distribution whole, as training needs it: the update knows nothing of cut distributions.
    ``seed`` and the place of a sample decide its random numbers, not who shares its batch.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        known = math.isfinite(self.temperature) and self.temperature >= 0
        require(known, "temperature", "0 or more", self.temperature)
        require(0 < self.top_p <= 1, "top_p", "a number in (0, 1]", self.top_p)
        require(self.top_k >= 0, "top_k", "0 (off) or more", self.top_k)
        require(self.max_new_tokens >= 1, "max_new_tokens", "1 or more", self.max_new_tokens)
        require(0 <= self.seed < 2**63, "seed", "0 to 2**63 - 1", self.seed)


class Trajectory(Protocol):
    """Token ids of a prompt and of its completion: all that a forward pass needs to know."""

    @property
    def prompt_ids(self) -> tuple[int, ...]: ...

    @property
    def completion_ids(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class TaughtExample:
    """A completion that supervised training shows, its end token included. Nobody sampled it, so
    it has no log-probabilities.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """One completion and how likely each of its tokens was when it was drawn.

    ``logprobs``: one per completion token, natural logarithm, under the distribution that was
    sampled (temperature, top_p and top_k included; at temperature 0, that of temperature 1).
    ``finished``: it ended with an end token, which is its last one; False: cut by the limit.
    ``weight_version``: that of the weights it was drawn with.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool
    weight_version: int

    def __post_init__(self) -> None:
        if not self.prompt_ids:
            raise ValueError("prompt_ids: expected at least one token, got none")
        if not self.completion_ids:
            raise ValueError("completion_ids: expected at least one token, got none")
        if len(self.logprobs) != len(self.completion_ids):
            raise ValueError(
                f"logprobs: expected one for each of {len(self.completion_ids)} completion "
                f"tokens, got {len(self.logprobs)}"
            )


@dataclass(frozen=True)
class Scored:
    """What a reward function says of one completion.

    ``total`` None: no valid reward (``error`` says why). Such a sample is masked; it never counts
    as 0. ``terms``: the reward's parts by name; ``reasons``: for a reader.
    """

    terms: Mapping[str, float] | None
    total: float | None
    reasons: tuple[str, ...] = field(default=())
    error: str | None = None

    def __post_init__(self) -> None:
        if self.total is not None and not math.isfinite(self.total):
            raise ValueError(f"total: expected a finite number or None, got {self.total!r}")
        if self.total is None and self.error is None:
            raise ValueError("error: expected a reason beside a total of None, got None")
        if self.total is not None and self.error is not None:
            raise ValueError(f"error: expected None beside a total, got {self.error!r}")

    @property
    def valid(self) -> bool:
        return self.total is not None


@runtime_checkable
class Engine(Protocol):
    """What draws completions: in this process, or behind actors."""

    @property
    def weight_version(self) -> int:
        """Version of the weights that the next samples are drawn with."""
        ...

    def generate(
        self, prompts: Sequence[Sequence[int]], num_samples: int, settings: SamplerSettings
    ) -> list[list[Sample]]:
        """``num_samples`` completions of each prompt, in the prompts' order."""
        ...

    def load_weights(self, tensors: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Take over weights by name, all of the model's; later samples carry ``version``."""
        ...
