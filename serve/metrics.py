"""What the service counts and times, behind one interface for every collector.

Names and labels are fixed here, so that dashboards and tests find them. Keys, videos, questions and
paths that hold ids are never labels. Where the numbers go is not known here: `serve/on_ray/`
hands them to Ray's Prometheus endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["counter", "gauge", "histogram"]

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


class Meters:
    """The service's metrics as one method per event, for any sink; without one, nothing is kept."""

    def __init__(self, sink: Sink | None = None) -> None:
        self._add = sink.add if sink is not None else lambda *_: None

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered. ``route``: the pattern, not the path."""
        labels = {"route": route, "method": method, "status": str(status)}
        self._add("spatialcode_requests", 1, labels)
        self._add("spatialcode_request_seconds", seconds, {"route": route})

    def refused(self, reason: str) -> None:
        """A request was refused; ``reason`` is the problem's code."""
        self._add("spatialcode_refusals", 1, {"reason": reason})

    def queue(self, depth: int) -> None:
        self._add("spatialcode_queue", depth, {})

    def accepted(self, num_bytes: int) -> None:
        self._add("spatialcode_bytes", num_bytes, {})

    def decoded(self, num_frames: int, seconds: float) -> None:
        self._add("spatialcode_decode_seconds", seconds, {})
        self._add("spatialcode_frames", num_frames, {"stage": "decoded"})

    def encoded(self, num_frames: int, seconds: float) -> None:
        self._add("spatialcode_encode_seconds", seconds, {})
        self._add("spatialcode_frames", num_frames, {"stage": "encoded"})

    def reasoned(self, reasoner: str, seconds: float) -> None:
        self._add("spatialcode_reason_seconds", seconds, {"reasoner": reasoner})

    def ended(self, status: str) -> None:
        """A job is done or failed."""
        self._add("spatialcode_jobs", 1, {"status": status})
