"""Poses from points of known places, and what pairs of frames say once they are summed up."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.geometry.path import adjustment
from spatialcode.encoder.geometry.path.adjustment import (
    AdjustmentConfig,
    PathProblem,
    SurfaceHints,
    adjust,
)
from spatialcode.encoder.geometry.path.pair_terms import (
    CondensedPairs,
    PairObservations,
    PointTerms,
    PointWeights,
    by_unknowns,
)
from spatialcode.encoder.geometry.path.states import FrameStates
from spatialcode.encoder.odometry.problem import RelativeMotions, exp_rotation

K = np.array(((200.0, 0, 160), (0, 200, 120), (0, 0, 1)))
NUM = 5


def truth() -> FrameStates:
    """Cameras that go along x and turn; each frame's depth is wrong by a factor of its own."""
    turn = np.column_stack((0.02 * np.arange(NUM), 0.05 * np.arange(NUM), np.zeros(NUM)))
    centre = np.column_stack((0.2 * np.arange(NUM), np.zeros(NUM), 0.05 * np.arange(NUM)))
    return FrameStates(exp_rotation(turn), centre, np.array((0.03, -0.02, 0.01, 0.0, -0.02)))


def observations(states: FrameStates, num_points: int = 60) -> PairObservations:
    """Exact points of every frame in the next two."""
    rng = np.random.default_rng(0)
    rows = []
    for a in range(NUM):
        true = np.column_stack((rng.uniform(-1, 1, num_points), rng.uniform(-0.8, 0.8, num_points),
                                rng.uniform(2, 4, num_points)))  # fmt: skip
        world = true @ states.R_world_camera[a].T + states.centre[a]
        for b in range(a + 1, min(a + 3, NUM)):
            seen = (world - states.centre[b]) @ states.R_world_camera[b]
            given = true / np.exp(states.log_scale[a])
            pixel = seen[:, :2] / seen[:, 2:] * 200 + K[:2, 2]
            log_depth = np.log(seen[:, 2]) - states.log_scale[b]
            rows += [(a, b, g, p, z) for g, p, z in zip(given, pixel, log_depth, strict=True)]
    first, second, point, pixel, log_depth = zip(*rows, strict=True)
    num = len(rows)
    return PairObservations(
        np.array(first), np.array(second), np.stack(point), np.stack(pixel),
        np.tile(2 * np.eye(2), (num, 1, 1)), np.array(log_depth), np.full(num, 0.01),
        np.full(num, 0.01), np.tile(K, (NUM, 1, 1)),
    )  # fmt: skip


def disturbed(states: FrameStates) -> FrameStates:
    step = np.random.default_rng(1).normal(0, 0.01, (NUM, 7))
    step[0] = 0
    return states.moved(step)


def free() -> np.ndarray:
    mask = np.ones((NUM, 7), bool)
    mask[0] = False
    return mask


LOOSE = AdjustmentConfig(scale_sigma=10.0, steady_m=100.0, steady_rad=100.0, max_iterations=30)


def apart(a: FrameStates, b: FrameStates) -> float:
    return max(
        float(np.abs(x - y).max())
        for x, y in ((a.R_world_camera, b.R_world_camera), (a.centre, b.centre),
                     (a.log_scale, b.log_scale))
    )  # fmt: skip


def test_exact_points_give_the_poses_and_scales():
    states = truth()
    points = PointTerms(observations(states), PointWeights())
    found = adjust(PathProblem(points, free(), NUM), disturbed(states), LOOSE)
    assert apart(found.states, states) < 1e-4


def test_what_is_held_does_not_move():
    states = truth()
    points = PointTerms(observations(states), PointWeights())
    start, mask = disturbed(states), free()
    mask[2, 3:6] = False
    found = adjust(PathProblem(points, mask, NUM), start, LOOSE).states
    np.testing.assert_array_equal(found.centre[2], start.centre[2])
    assert not np.array_equal(found.centre[3], start.centre[3])


def test_many_frames_are_solved_as_few_are(monkeypatch):
    states = truth()
    points = PointTerms(observations(states), PointWeights())
    motions = RelativeMotions(
        np.arange(NUM - 1), np.arange(1, NUM), np.tile(np.eye(4), (NUM - 1, 1, 1)),
        np.tile(50 * np.eye(6), (NUM - 1, 1, 1)),
    )  # fmt: skip
    hints = SurfaceHints(np.array((1, 3)), np.array(((0.0, -1, 0), (0.1, -1, 0))),
                         np.tile((0.0, -1, 0), (2, 1)), np.array((10.0, 20)))  # fmt: skip
    problem = PathProblem(points, free(), NUM, hints, motions)
    dense = adjust(problem, disturbed(states)).states
    monkeypatch.setattr(adjustment, "_SPARSE_FROM", 1)
    assert apart(adjust(problem, disturbed(states)).states, dense) < 1e-9


@pytest.mark.parametrize("unknown", range(14))
def test_rows_are_the_derivatives_of_the_residuals(unknown):
    states = disturbed(truth())
    seen = observations(truth())
    pair = (seen.first == 1) & (seen.second == 2)
    values = {name: getattr(seen, name)[pair] for name in (
        "first", "second", "point", "pixel_px", "whitening", "log_depth", "depth_sigma",
        "second_sigma")}  # fmt: skip
    points = PointTerms(PairObservations(**values, K=seen.K), PointWeights(1e6, 1e6))
    chain = by_unknowns(states, points.first, points.second)[0]
    information = chain.T @ points.summed(points.at(states))[0] @ chain
    # of a sum of squares half the slope is the last column, whose whitening changes slowly
    frame, part = (1, unknown) if unknown < 7 else (2, unknown - 7)
    costs = []
    for sign in (1, -1):
        step = np.zeros((NUM, 7))
        step[frame, part] = sign * 1e-5
        at = points.at(states.moved(step))
        costs.append(float((at.pixel**2).sum() + (at.depth**2).sum()))
    slope = (costs[0] - costs[1]) / 4e-5
    assert information[unknown, -1] == pytest.approx(slope, rel=0.03, abs=2.0)


def test_pairs_summed_up_lead_to_where_their_points_lead():
    states, start = truth(), disturbed(truth())
    points = PointTerms(observations(states), PointWeights())
    whole = adjust(PathProblem(points, free(), NUM), start, LOOSE).states
    summed = points.condensed(start)
    found = adjust(PathProblem(summed, free(), NUM), start, LOOSE).states
    # one step of a nearly quadratic problem
    assert apart(found, whole) < 0.1 * apart(start, whole)
    # and from where the points are best, nothing moves
    at_best = points.condensed(whole)
    again = adjust(PathProblem(at_best, free(), NUM), whole, LOOSE).states
    assert apart(again, whole) < 1e-4


def test_pairs_keep_what_they_said_under_other_names():
    states = truth()
    summed = PointTerms(observations(states), PointWeights()).condensed(disturbed(states))
    twice = CondensedPairs.joined([summed, summed])
    assert twice.at(states).cost == pytest.approx(2 * summed.at(states).cost)
    np.testing.assert_array_equal(summed.named(np.arange(10, 15)).first, summed.first + 10)
