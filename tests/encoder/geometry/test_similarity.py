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


def test_a_fit_finds_turn_shift_and_scale_by_hand():
    points = np.array(((0.0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3)))
    # a quarter turn about z, twice the size, one step up
    target = np.array(((0.0, 0, 1), (0, 2, 1), (-4, 0, 1), (0, 0, 7)))
    fit = Similarity.fitted(points, target)
    assert np.isclose(fit.scale, 2.0)
    np.testing.assert_allclose(fit.R, ((0, -1, 0), (1, 0, 0), (0, 0, 1)), atol=1e-12)
    np.testing.assert_allclose(fit.t, (0, 0, 1), atol=1e-12)
    motion = Similarity.fitted(points, target, with_scale=False)
    assert motion.scale == 1.0
    np.testing.assert_allclose(motion.points(points).mean(axis=0), target.mean(axis=0))


def test_a_mirrored_cloud_is_not_reached_by_mirroring():
    points = np.array(((0.0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3)))
    fit = Similarity.fitted(points, points * (1, 1, -1))
    assert np.isclose(np.linalg.det(fit.R), 1.0)
    assert not np.allclose(fit.points(points), points * (1, 1, -1), atol=0.1)


def test_points_in_one_place_have_no_scale():
    target = np.array(((0.0, 0, 0), (2, 0, 0)))
    fit = Similarity.fitted(np.ones((2, 3)), target)
    assert fit.scale == 0.0
    np.testing.assert_allclose(fit.points(np.ones((2, 3))), ((1, 0, 0), (1, 0, 0)))


@given(triples, triples, st.floats(0.2, 5), st.integers(0, 2**32 - 1))
def test_the_fit_is_the_least_squares_one(turn, place, scale, seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(6, 3))
    target = scale * points @ exp_rotation(turn).T + place + rng.normal(0, 0.2, (6, 3))
    fit = Similarity.fitted(points, target)
    best = ((fit.points(points) - target) ** 2).sum()
    for _ in range(8):  # no neighbour is better
        near = Similarity(
            fit.scale * np.exp(rng.normal(0, 0.02)),
            exp_rotation(rng.normal(0, 0.02, 3)) @ fit.R,
            fit.t + rng.normal(0, 0.02, 3),
        )
        assert ((near.points(points) - target) ** 2).sum() >= best - 1e-9
