"""Turn, shift and scale between worlds, by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.encoder.geometry.protocol import SettledPath
from spatialcode.encoder.geometry.similarity import Similarity
from spatialcode.encoder.odometry.problem import exp_rotation

numbers = st.floats(-3, 3)
triples = st.tuples(numbers, numbers, numbers).map(np.array)


def pose(turn: np.ndarray, place: np.ndarray) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = exp_rotation(turn), place
    return T


@given(triples, triples, triples, triples, st.floats(0.2, 5))
def test_what_a_camera_showed_stays_in_its_view(turn, place, new_turn, new_place, scale):
    before, after = pose(turn, place), pose(new_turn, new_place)
    seen = np.array(((0.3, -0.2, 2.0), (0.0, 0.0, 1.0)))
    world = seen @ before[:3, :3].T + before[:3, 3]
    moved = Similarity.between(before, after, scale).points(world)
    expected = scale * seen @ after[:3, :3].T + after[:3, 3]
    np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_a_settled_path_moves_each_frame_by_itself():
    told = np.stack([np.eye(4), np.eye(4)])
    now = told.copy()
    now[1, :3, 3] = (1, 2, 3)
    first, second = SettledPath(now, np.array((0.0, np.log(2)))).since(told)
    point = np.array(((0.0, 0, 1.5),))
    np.testing.assert_allclose(first.points(point), point)
    # twice as far from a camera that was at (1, 2, 3)
    np.testing.assert_allclose(second.points(point), ((1, 2, 6),))
