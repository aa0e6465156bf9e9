"""What a clip of 4,096 frames holds in memory is what one of 64 does, but for its cameras.

Of each frame remain its time, K and pose, which the code is made of: twenty-six numbers, and what
Python takes to hold them. That is taken off; all else that is alive in the process is counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def held(name: str, case: str, folder: Path, *frames: int) -> list[dict[str, Any]]:
    """What `memory_child` says."""
    command = [sys.executable, "-m", "tests.encoder.memory_child", name, str(folder), case]
    ended = subprocess.run(
        [*command, *map(str, frames)], cwd=ROOT, check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONMALLOC": "malloc", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found = json.loads(ended.stdout.splitlines()[-1])
    assert all(one["frames"] >= asked for one, asked in zip(found, frames, strict=True))
    return list(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "case"), [("prompted", "things"), ("prompted", "path"), ("unified", "things")]
)
def test_4096_frames_hold_what_64_do(name: str, case: str, tmp_path: Path) -> None:
    early, late = held(name, case, tmp_path, 64, 4096)
    whole = [one["weights"] + one["held"] for one in (early, late)]
    assert early["held"] > 0
    assert whole[1] == pytest.approx(whole[0], rel=0.05)
    # half a number of Python's for each frame: no list has grown with them
    assert late["held"] - early["held"] < 16 * late["frames"]
    assert late["cameras"] < 1024 * late["frames"]
    assert (late["objects"] > 0) is (case == "things")
