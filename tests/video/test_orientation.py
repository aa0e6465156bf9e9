from __future__ import annotations

import struct

import numpy as np
import pytest

from spatialcode.video.source import Orientation, orientation_of

ONE = 1 << 16
PICTURE = np.arange(6, dtype=np.uint8).reshape(2, 3)[..., None]  # 0 1 2 / 3 4 5

# Columns of the matrix say where stored right and stored down go on the display.
CASES = [
    ((1, 0, 0, 1), 0, False, [[0, 1, 2], [3, 4, 5]]),
    ((0, 1, -1, 0), 90, False, [[3, 0], [4, 1], [5, 2]]),
    ((-1, 0, 0, -1), 180, False, [[5, 4, 3], [2, 1, 0]]),
    ((0, -1, 1, 0), 270, False, [[2, 5], [1, 4], [0, 3]]),
    ((-1, 0, 0, 1), 0, True, [[2, 1, 0], [5, 4, 3]]),
    ((1, 0, 0, -1), 180, True, [[3, 4, 5], [0, 1, 2]]),
    ((0, 1, 1, 0), 270, True, [[0, 3], [1, 4], [2, 5]]),
    ((0, -1, -1, 0), 90, True, [[5, 2], [4, 1], [3, 0]]),
]


@pytest.mark.parametrize(("abcd", "rotation_deg", "mirrored", "upright"), CASES)
def test_all_eight_orientations(abcd, rotation_deg, mirrored, upright) -> None:
    a, b, c, d = (value * ONE for value in abcd)
    orientation = orientation_of(struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))
    assert orientation == Orientation(rotation_deg, mirrored)
    assert orientation.apply(PICTURE)[..., 0].tolist() == upright
    assert orientation.swaps_sides == (len(upright) == 3)


def test_no_matrix_is_upright_and_odd_angles_go_to_the_nearest() -> None:
    assert orientation_of(None) == Orientation(0, False)
    angle = np.radians(100)
    c, s = int(np.cos(angle) * ONE), int(np.sin(angle) * ONE)
    assert orientation_of(struct.pack("=9i", c, s, 0, -s, c, 0, 0, 0, 1 << 30)).rotation_deg == 90
