"""The service's numbers on Ray's Prometheus endpoint (``ray_spatialcode_…``, one port a node)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serve.metrics import METERS, SECONDS_EDGES


class RaySink:
    """Hands every number to `ray.util.metrics`; made inside the process that counts."""

    def __init__(self) -> None:
        from ray.util import metrics

        self._kinds = {meter.name: meter.kind for meter in METERS}
        self._metrics: dict[str, Any] = {}
        for meter in METERS:
            if meter.kind == "counter":
                made: Any = metrics.Counter(meter.name, meter.about, meter.labels)
            elif meter.kind == "gauge":
                made = metrics.Gauge(meter.name, meter.about, meter.labels)
            else:
                made = metrics.Histogram(meter.name, meter.about, list(SECONDS_EDGES), meter.labels)
            self._metrics[meter.name] = made

    def add(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        metric, tags = self._metrics[name], dict(labels)
        kind = self._kinds[name]
        if kind == "gauge":
            metric.set(value, tags=tags)
        elif kind == "histogram":
            metric.observe(value, tags=tags)
        elif value > 0:  # Ray's counters refuse a zero
            metric.inc(value, tags=tags)
