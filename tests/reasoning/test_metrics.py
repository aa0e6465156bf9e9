"""The benchmark's metrics by hand, and intervals against a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.reasoning.metrics import interval95, mean_relative_accuracy, overall


@pytest.mark.parametrize(
    ("predicted", "truth", "score"),
    [
        (10.0, 10.0, 1.0),
        (10.4, 10.0, 1.0),  # off by 4 %: under all ten thresholds, the last of 5 %
        (10.5, 10.0, 1.0),  # 5 % exactly, on the border of 0.95
        (10.6, 10.0, 0.9),
        (9.0, 10.0, 0.9),  # 10 % exactly, on the border of 0.90
        (11.0, 10.0, 0.9),
        (8.9, 10.0, 0.8),
        (7.5, 10.0, 0.6),  # 25 %: 0.50 to 0.75
        (5.0, 10.0, 0.1),  # 50 %: 0.50 alone
        (4.9, 10.0, 0.0),
        (15.0, 10.0, 0.1),
        (15.1, 10.0, 0.0),
        (-10.0, 10.0, 0.0),
        (0.0, 0.0, 1.0),
        (0.1, 0.0, 0.0),
        (3.0, 2.0, 0.1),
        (0.57, 0.6, 1.0),  # 5 %, of numbers that binary does not hold
        (0.54, 0.6, 0.9),
        (1.1e-3, 1e-3, 0.9),
    ],
)
def test_mean_relative_accuracy(predicted, truth, score):
    assert mean_relative_accuracy(predicted, truth) == pytest.approx(score)


def test_interval_is_that_of_a_slow_loop_over_rooms():
    scores = [100.0, 0.0, 50.0, 100.0, 100.0, 20.0, 0.0]
    rooms = ["b", "b", "a", "c", "c", "c", "d"]
    names = sorted(set(rooms))
    means = []
    for draw in np.random.default_rng(0).integers(0, 4, (500, 4)):
        drawn = [s for n in draw for s, where in zip(scores, rooms, strict=True)
                 if where == names[n]]  # fmt: skip
        means.append(sum(drawn) / len(drawn))
    expected = np.percentile(means, [2.5, 97.5])
    assert interval95(scores, rooms, 500) == pytest.approx(tuple(expected))


def test_interval_of_tasks_is_that_of_their_mean():
    scores = [100.0, 0.0, 50.0, 100.0, 30.0, 20.0, 0.0, 60.0]
    rooms = ["a", "a", "b", "b", "c", "c", "d", "d"]
    tasks = ["object_counting", "object_rel_direction_easy", "object_counting",
             "object_rel_direction_hard", "object_counting", "object_rel_direction_easy",
             "object_rel_direction_hard", "object_counting"]  # fmt: skip
    means = []
    for draw in np.random.default_rng(0).integers(0, 4, (300, 4)):
        drawn: dict[str, list[float]] = {}
        for n in draw:
            for score, where, task in zip(scores, rooms, tasks, strict=True):
                if where == "abcd"[n]:
                    drawn.setdefault(task, []).append(score)
        parts = {task: sum(found) / len(found) for task, found in drawn.items()}
        # each level weighs half, as there are two; a task that was not drawn is left out
        weights = {task: 0.5 if "direction" in task else 1.0 for task in parts}
        means.append(sum(weights[t] * parts[t] for t in parts) / sum(weights.values()))
    expected = np.percentile(means, [2.5, 97.5])
    assert interval95(scores, rooms, 300, tasks) == pytest.approx(tuple(expected))


def test_rooms_and_not_questions_are_drawn():
    # twenty rooms whose questions agree among themselves: much wider than of 400 alone
    rng = np.random.default_rng(5)
    by_room = 100.0 * rng.integers(0, 2, 20)
    scores = np.repeat(by_room, 20).tolist()
    rooms = [f"room{n // 20}" for n in range(400)]
    low, high = interval95(scores, rooms)
    alone_low, alone_high = interval95(scores, [str(n) for n in range(400)])
    assert high - low > 3 * (alone_high - alone_low)
    assert low < np.mean(scores) < high


def test_coverage_is_near_95_percent():
    rng = np.random.default_rng(1)
    rooms = [str(n) for n in range(60)]
    covered = 0
    for _ in range(100):
        low, high = interval95(rng.normal(50.0, 10.0, 60).tolist(), rooms, 400)
        covered += low <= 50.0 <= high
    # of 100 intervals at 95 % fewer than 87 cover with a chance below 0.1 %
    assert covered >= 87


def test_one_room_has_an_interval_of_one_point():
    assert interval95([10.0, 30.0], ["a", "a"]) == (20.0, 20.0)


def test_overall_averages_directions_into_one_task():
    tasks = {"object_counting": 90.0, "object_rel_direction_easy": 90.0,
             "object_rel_direction_medium": 60.0, "object_rel_direction_hard": 30.0}  # fmt: skip
    assert overall(tasks) == {
        "object_counting": 90.0, "object_rel_direction": 60.0, "mean": 75.0,
    }  # fmt: skip
    assert overall({"object_rel_direction_hard": 40.0}) == {
        "object_rel_direction": 40.0, "mean": 40.0,
    }  # fmt: skip
    assert overall({}) == {}
