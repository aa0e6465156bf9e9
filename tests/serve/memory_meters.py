from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping

from serve.metrics import METERS

_Key = tuple[str, tuple[tuple[str, str], ...]]


class MemoryMeters:
    """Keeps sums of counters, last values of gauges, and sums and counts of histograms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds = {meter.name: meter.kind for meter in METERS}
        self._values: defaultdict[_Key, float] = defaultdict(float)
        self._counts: defaultdict[_Key, float] = defaultdict(float)

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] = value if self._kinds[name] == "gauge" else self._values[key] + value
            self._counts[key] += 1

    def value(self, name: str, **labels: str) -> float:
        """Sum (or last value) over all label sets that hold these labels."""
        return sum(self._matching(self._values, name, labels))

    def count(self, name: str, **labels: str) -> int:
        """How many times a value was added to these label sets."""
        return int(sum(self._matching(self._counts, name, labels)))

    def _matching(
        self, table: Mapping[_Key, float], name: str,
        labels: Mapping[str, str],
    ) -> list[float]:  # fmt: skip
        wanted = set(labels.items())
        with self._lock:
            return [v for (n, have), v in table.items() if n == name and wanted <= set(have)]
