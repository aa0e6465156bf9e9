"""What the service counts and times, behind one interface for every collector.

Names and labels are fixed here, so that dashboards and tests find them. Keys, videos, questions and
paths that hold ids are never labels. Where the numbers go is not known here: `MemoryMeters` keeps
them, `serve/on_ray/` hands them to Ray's Prometheus endpoint.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["counter", "gauge", "histogram"]
_Key = tuple[str, tuple[tuple[str, str], ...]]

#: Upper edges of the histograms' buckets in seconds, from a solver's answer to a long video.
SECONDS_EDGES = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


@dataclass(frozen=True)
class Meter:
    """A metric: its name, its meaning, and its labels."""

    name: str
    kind: Kind
    about: str
    labels: tuple[str, ...] = ()


METERS = (
    Meter("spatialcode_requests", "counter", "HTTP requests answered",
          ("route", "method", "status")),
    Meter("spatialcode_request_seconds", "histogram", "seconds to answer", ("route",)),
    Meter("spatialcode_refusals", "counter", "requests refused, by problem", ("reason",)),
    Meter("spatialcode_queue", "gauge", "videos that wait or are being encoded"),
    Meter("spatialcode_decode_seconds", "histogram", "seconds to decode a video"),
    Meter("spatialcode_encode_seconds", "histogram", "seconds to encode a batch of videos"),
    Meter("spatialcode_reason_seconds", "histogram", "seconds to answer a question",
          ("reasoner",)),
    Meter("spatialcode_frames", "counter", "frames, by stage", ("stage",)),
    Meter("spatialcode_bytes", "counter", "bytes of accepted videos"),
    Meter("spatialcode_jobs", "counter", "videos that are done or failed", ("status",)),
)  # fmt: skip


class Sink(Protocol):
    """A collector of metrics."""

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Increment, set or observe, depending on the kind of the meter."""
        ...


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


class Meters:
    """The service's metrics as one method per event, for any sink."""

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink: Sink = MemoryMeters() if sink is None else sink

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. ``route``: the pattern, not the path."""
        labels = {"route": route, "method": method, "status": str(status)}
        self.sink.add("spatialcode_requests", 1, labels)
        self.sink.add("spatialcode_request_seconds", seconds, {"route": route})

    def refused(self, reason: str) -> None:
        """A request was refused; ``reason`` is the problem's code."""
        self.sink.add("spatialcode_refusals", 1, {"reason": reason})

    def queue(self, depth: int) -> None:
        self.sink.add("spatialcode_queue", depth, {})

    def accepted(self, num_bytes: int) -> None:
        self.sink.add("spatialcode_bytes", num_bytes, {})

    def decoded(self, num_frames: int, seconds: float) -> None:
        self.sink.add("spatialcode_decode_seconds", seconds, {})
        self.sink.add("spatialcode_frames", num_frames, {"stage": "decoded"})

    def encoded(self, num_frames: int, seconds: float) -> None:
        self.sink.add("spatialcode_encode_seconds", seconds, {})
        self.sink.add("spatialcode_frames", num_frames, {"stage": "encoded"})

    def reasoned(self, reasoner: str, seconds: float) -> None:
        self.sink.add("spatialcode_reason_seconds", seconds, {"reasoner": reasoner})

    def ended(self, status: str) -> None:
        """A job is done or failed."""
        self.sink.add("spatialcode_jobs", 1, {"status": status})
