"""Learning to copy before anything else: random words to be repeated, few at first.

A model that is shown programs at once learns to guess names from what they usually are, and stays
with that. Four to eight words are copied within some hundred steps; from there longer runs follow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from spatialcode.config import require
from spatialcode.grpo.sft import Example

#: Mean losses, nats a token: longer runs from the first on, done from the second on.
_LONGER_BELOW, _DONE_BELOW = 0.6, 0.15
#: Steps that the mean is over.
_WINDOW = 10


@dataclass(frozen=True)
class CopySettings:
    """Runs of ``shortest`` to ``first`` words; to ``growth`` more after every success, until
    ``longest``. ``batch_tokens``: of prompts and completions.
    """

    shortest: int = 4
    first: int = 8
    growth: int = 2
    longest: int = 32
    batch_tokens: int = 900

    def __post_init__(self) -> None:
        order = 1 <= self.shortest <= self.first <= self.longest
        require(order, "shortest, first, longest", "in this order", self)
        require(self.growth >= 1, "growth", "at least 1", self.growth)
        least = 2 * self.longest + 3
        require(self.batch_tokens >= least, "batch_tokens", f"at least {least}", self.batch_tokens)


@dataclass
class CopyCurriculum:
    """Batches that grow longer as they are learnt.

    ``word_ids``: tokens that are drawn. ``frame``: the token that ends a prompt, the one that
    closes a program, and the end.
    """

    word_ids: Sequence[int]
    frame: tuple[int, int, int]
    settings: CopySettings
    rng: np.random.Generator
    longest: int = field(init=False)

    def __post_init__(self) -> None:
        self.longest = self.settings.first
        self._words = np.asarray(self.word_ids)
        self._losses: deque[float] = deque(maxlen=_WINDOW)

    def batches(self) -> Iterator[list[Example]]:
        """Without end, of the present length."""
        begin, close, end = self.frame
        while True:
            batch = []
            for _ in range(self.settings.batch_tokens // (2 * self.longest + 3)):
                num = int(self.rng.integers(self.settings.shortest, self.longest + 1))
                drawn = tuple(int(word) for word in self.rng.choice(self._words, num))
                batch.append(Example((*drawn, begin), (*drawn, close, end)))
            yield batch

    def saw(self, loss: float) -> bool:
        """Take note of a step's loss; whether the longest runs are learnt."""
        self._losses.append(loss)
        if len(self._losses) < _WINDOW:
            return False
        mean = sum(self._losses) / _WINDOW
        if self.longest >= self.settings.longest:
            return mean < _DONE_BELOW
        if mean < _LONGER_BELOW:
            self.longest = min(self.settings.longest, self.longest + self.settings.growth)
            self._losses.clear()
        return False
