"""What is kept of a clip that passes window by window, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class EvenSample(Generic[T]):
    """Of items that come one after the other at most ``most``, evenly spread, and the last.

    All of them, until there are too many; then every second one, then every fourth, and so on.
    """

    def __init__(self, most: int) -> None:
        self.num_seen = 0
        self._most = most
        self._kept: list[T] = []
        self._stride = 1
        self._last: list[T] = []

    def add(self, item: T) -> None:
        """Take the next item."""
        self._last = [item]
        if self.num_seen % self._stride == 0:
            self._kept.append(item)
            self._last = []
        self.num_seen += 1
        if len(self._kept) > self._most:
            self._last = self._last or ([] if len(self._kept) % 2 else self._kept[-1:])
            del self._kept[1::2]
            self._stride *= 2

    def items(self) -> list[T]:
        """What was kept, in order."""
        return [*self._kept, *self._last]

    def stands_for(self) -> list[int]:
        """For each of `items` how many there were from it up to the next; together, all of them."""
        counts = [self._stride] * len(self._kept)
        if self._kept:
            counts[-1] = self.num_seen - self._stride * (len(self._kept) - 1) - len(self._last)
        return counts + [1] * len(self._last)


class LongestPart(Generic[T]):
    """What is gathered between two cuts: of the part under way, and of the longest one before.

    ``make`` begins to gather; ``now`` is what it made for the part under way. ``starts``: the first
    frame of each part.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self.now = make()
        self.starts = [0]
        self._make = make
        self._best: tuple[int, T] | None = None

    def cut(self, frame: int) -> None:
        """A part begins with this frame."""
        self._best = self._longer(frame)
        self.starts.append(frame)
        self.now = self._make()

    def longest(self, num_frames: int) -> tuple[int, T]:
        """First frame of the longest part of a clip of so many frames, and what was gathered of it;
        of equal ones the first.
        """
        place, gathered = self._longer(num_frames)
        return self.starts[place], gathered

    def _longer(self, stop: int) -> tuple[int, T]:
        """The longest part where the one under way ends before a frame."""
        if self._best is not None:
            first = self._best[0]
            if self.starts[first + 1] - self.starts[first] >= stop - self.starts[-1]:
                return self._best
        return len(self.starts) - 1, self.now
