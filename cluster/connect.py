"""The one way to Ray: joins a cluster, or starts a Ray on this machine that a whole job fits on."""

from __future__ import annotations

import logging
import math
import os
from typing import Any

_START_ATTEMPTS = 3

_log = logging.getLogger(__name__)


def connect(address: str | None = None, min_cpus: float = 1.0, **local: Any) -> None:
    """Connect this process to Ray; nothing happens if it is connected.

    Without an address and without RAY_ADDRESS a Ray of this machine's cores starts; cores are
    reservations, so a smaller machine offers ``min_cpus`` all the same. ``local``: options of
    ``ray.init`` for that Ray alone. Ray waits half a minute for its own parts, which a busy
    machine can exceed: starting is tried again twice.
    """
    import ray

    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address is not None or "RAY_ADDRESS" in os.environ:
        ray.init(address=address, **quiet)
        return
    # It warns that it turns token authentication on, which is what anyone would want.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    # Threads that spin while they wait make every step of a shared machine many times longer, and
    # Ray's own processes share this one. Workers inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    local.setdefault("num_cpus", max(os.cpu_count() or 1, math.ceil(min_cpus)))
    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            ray.init(include_dashboard=False, **{**quiet, **local})
            return
        except Exception as error:  # Ray raises this one without a class of its own
            if "timed out during startup" not in str(error) or attempt == _START_ATTEMPTS:
                raise
            _log.warning("Ray did not start in time, trying again")
            ray.shutdown()
