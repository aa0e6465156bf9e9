"""How many encoder replicas a queue of videos needs. Serve carries this to its controller."""

from __future__ import annotations

import math
from typing import Any

#: The name under which replicas report how many videos wait or are worked on.
WAITING = "waiting"


class ByQueue:
    """One replica for every ``jobs_per_replica`` videos in the book.

    Every replica reports the same book, so the largest report counts. Bounds and delays are
    Serve's own.
    """

    def __init__(self, jobs_per_replica: float = 2.0) -> None:
        self.jobs_per_replica = jobs_per_replica

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        reports = (context.aggregated_metrics or {}).get(WAITING, {})
        if not reports:
            return context.target_num_replicas, {}
        return max(1, math.ceil(max(reports.values()) / self.jobs_per_replica)), {}
