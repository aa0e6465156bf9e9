"""What all tests share: the real data folder and a seldom-started Ray."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is no fault of the code
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# torch's threads spin while they wait; on a machine with other work two are slower than one
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("RAY_ADDRESS", None)  # tests start their own
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves workers on a busy machine


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real videos; tests that need it skip where there is none."""
    folder = os.environ.get("SPATIALCODE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SPATIALCODE_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_control_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder through which tests steer the stand-in encoder in the shared Ray's workers."""
    return tmp_path_factory.mktemp("stand-in")


@pytest.fixture(scope="session")
def ray_session(shared_control_dir: Path) -> Iterator[Any]:
    """One Ray with two logical CPUs for all tests that need it: starting one takes seconds.

    Its workers see planted decoding faults and the stand-in encoder's folder: workers inherit
    the environment of the moment Ray starts.
    """
    import ray

    from cluster.connect import connect
    from spatialcode.video.sandbox import CHILD_VARIABLE
    from tests.video import faulty_child

    patch = pytest.MonkeyPatch()
    patch.setenv(CHILD_VARIABLE, faulty_child.MODULE)
    patch.setenv("SPATIALCODE_STAND_IN_DIR", str(shared_control_dir))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    connect(num_cpus=2, object_store_memory=300 * 2**20)
    yield ray
    ray.shutdown()
    patch.undo()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 stand-in, a server of its own process; tests remove their buckets."""
    pytest.importorskip("moto.server", reason="the S3 stand-in (moto server) is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, "the S3 stand-in ended"
            assert time.monotonic() < deadline_s, "the S3 stand-in did not start"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()
