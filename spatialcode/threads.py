"""How many threads numerical libraries may use: by default each takes every core of the machine."""

from __future__ import annotations

import os
import sys

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def limit_threads(num_cpus: float) -> None:
    """Keep this process to the cores that it has reserved, at least one.

    Call it before libraries are imported, and again after loading a model, which may have
    imported torch: environment variables only reach libraries that are not loaded yet.
    """
    num_threads = max(1, int(num_cpus))
    os.environ.update(thread_environment(num_threads))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(num_threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(num_threads)


def thread_environment(num_threads: int) -> dict[str, str]:
    """Environment variables that give a child process ``num_threads`` threads a library."""
    return dict.fromkeys(_VARIABLES, str(num_threads))
