"""Structure from motion on a real recording whose path is known."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from spatialcode.encoder.structure.frames import DenseFrames
from spatialcode.encoder.structure.process import structure_of
from spatialcode.encoder.structure.settings import StructureSettings
from tests.encoder.structure.rooms import similarity_error

WALK = Path(os.environ.get("SPATIALCODE_DATA", "/nowhere")) / "real/office_walk"
#: Long enough for a machine that is busy with other work.
PATIENT = StructureSettings(max_seconds=500.0)


@pytest.mark.slow
@pytest.mark.skipif(not WALK.is_dir(), reason="needs real/office_walk under SPATIALCODE_DATA")
@pytest.mark.parametrize("step", [1, 2])
def test_the_path_and_lens_of_a_real_walk(step: int) -> None:
    rows = slice(0, 60 * step, step)
    pictures = sorted((WALK / "images").iterdir())[rows]
    gray = np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in pictures])
    true = np.loadtxt(WALK / "poses.txt").reshape(-1, 4, 4)[rows]
    found = structure_of(DenseFrames(gray, 0.1 * np.arange(len(gray))), None, PATIENT)
    assert found.registered == 1.0
    assert similarity_error(found.T_world_camera[:, :3, 3], true[:, :3, 3]) < 0.06
    assert found.K[0, 0] == pytest.approx(np.loadtxt(WALK / "K.txt")[0, 0], rel=0.05)
