"""What all tests share: the real data folder and a seldom-started Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real videos; tests that need it skip where there is none."""
    folder = os.environ.get("SPATIALCODE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SPATIALCODE_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[Any]:
    """One Ray with two logical CPUs for all tests that need it: starting one takes seconds."""
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=300 * 2**20,
        configure_logging=False,
    )
    yield ray
    ray.shutdown()
