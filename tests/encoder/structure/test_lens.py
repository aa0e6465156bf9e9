"""A focal length from pairs of frames alone, against cameras that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spatialcode.encoder.structure.lens import agreement, apart, focal_of_pairs

SIZE_PX = (640, 480)


def fundamental(focal_px: float, num: int) -> np.ndarray:
    """(K, 3, 3) of random motions: F = K⁻ᵀ [t]ₓ R K⁻¹ (Hartley & Zisserman 2004, eq. 9.2)."""
    rng = np.random.default_rng(3)
    K = np.array([[focal_px, 0, 320], [0, focal_px, 240], [0, 0, 1.0]])
    out = []
    for _ in range(num):
        R = Rotation.from_rotvec(rng.normal(0, 0.2, 3)).as_matrix()
        t = rng.normal(size=3)
        cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
        F = np.linalg.inv(K).T @ cross @ R @ np.linalg.inv(K)
        out.append(F / np.linalg.norm(F))
    return np.array(out)


@pytest.mark.parametrize("focal_px", [300.0, 500.0, 1100.0])
def test_the_focal_length_of_known_cameras_is_found(focal_px: float) -> None:
    # focal lengths that are tried lie a little more than 1 % apart
    assert focal_of_pairs(fundamental(focal_px, 20), SIZE_PX) == pytest.approx(focal_px, rel=0.02)


def test_a_third_of_wrong_pairs_changes_little() -> None:
    right, wrong = fundamental(500.0, 20), np.random.default_rng(0).normal(size=(10, 3, 3))
    found = focal_of_pairs(np.concatenate((right, wrong)), SIZE_PX)
    assert found == pytest.approx(500.0, rel=0.05)


def test_few_pairs_and_lenses_beyond_all_that_are_tried_say_nothing() -> None:
    assert focal_of_pairs(fundamental(500.0, 7), SIZE_PX) is None
    assert focal_of_pairs(fundamental(5000.0, 20), SIZE_PX) is None


def test_agreement_falls_with_distance_either_way() -> None:
    assert apart(500.0, 550.0) == pytest.approx(0.1) == apart(550.0, 500.0)
    assert agreement(500.0, 500.0) == 1.0
    assert agreement(500.0, 550.0) == pytest.approx(0.5)
    assert agreement(500.0, 610.0) == 0.0
    assert agreement(500.0, None) == 0.5
