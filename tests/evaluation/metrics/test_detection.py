from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.optimize import linear_sum_assignment

from spatialcode.evaluation.metrics.detection import (
    EXCUSED,
    FALSE,
    Counts,
    Overlaps,
    average_precision,
    best_threshold,
    bootstrap_f1,
    bootstrap_mean,
    count,
    count_by_class,
    counting_accuracy,
    match,
)


def overlaps(iou, scores=None, predicted=None, truth=None, ignored=()):
    iou = np.asarray(iou, dtype=np.float64)
    p, t = iou.shape
    mask = np.zeros(t, dtype=bool)
    mask[list(ignored)] = True
    return Overlaps(
        iou,
        np.asarray(scores if scores is not None else np.linspace(1, 0.5, p), dtype=np.float64),
        tuple(predicted or ["chair"] * p),
        tuple(truth or ["chair"] * t),
        mask,
    )


def test_each_object_is_found_once_and_the_better_score_finds_it():
    room = overlaps([[0.6, 0.0], [0.9, 0.0]], scores=[0.8, 0.3])
    assigned = match(room, 0.5)
    assert assigned.tolist() == [0, FALSE]
    assert count(room, assigned) == Counts(true=1, false=1, missed=1)


def test_a_prediction_takes_its_best_free_object():
    # The first takes object 0; the second overlaps 0 most as well, yet 1 suffices.
    room = overlaps([[0.9, 0.3], [0.7, 0.4]], scores=[0.9, 0.8])
    assert match(room, 0.25).tolist() == [0, 1]
    assert match(room, 0.5).tolist() == [0, FALSE]


def test_threshold_is_inclusive():
    room = overlaps([[0.25]])
    assert match(room, 0.25).tolist() == [0]
    assert match(room, 0.2500001).tolist() == [FALSE]


def test_an_ignored_object_excuses_one_prediction_and_is_not_missed():
    room = overlaps([[0.7, 0.0], [0.6, 0.0], [0.0, 0.1]], ignored=[0])
    assigned = match(room, 0.25)
    assert assigned.tolist() == [EXCUSED, FALSE, FALSE]
    assert count(room, assigned) == Counts(true=0, false=2, missed=1)


def test_a_wanted_object_is_preferred_to_an_ignored_one_that_overlaps_more():
    room = overlaps([[0.9, 0.3]], ignored=[0])
    assert match(room, 0.25).tolist() == [1]


def test_class_aware_matching_needs_the_label():
    room = overlaps(
        [[0.9, 0.3], [0.2, 0.8]],
        predicted=["sofa", "chair"],
        truth=["bed", "sofa"],
    ).class_aware()
    assigned = match(room, 0.25)
    assert assigned.tolist() == [1, FALSE]
    assert count_by_class(room, assigned) == {
        "sofa": Counts(1, 0, 0),
        "chair": Counts(0, 1, 0),
        "bed": Counts(0, 0, 1),
    }


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_empty_sides(shape):
    room = overlaps(np.zeros(shape))
    assigned = match(room.class_aware(), 0.1)
    assert count(room, assigned) == Counts(0, shape[0], shape[1])
    total = sum(count_by_class(room, assigned).values(), Counts(0, 0, 0))
    assert total == Counts(0, shape[0], shape[1])


def test_figures_by_hand_and_undefined_ones():
    counts = Counts(true=3, false=1, missed=2)
    assert counts.precision == 0.75
    assert counts.recall == 0.6
    assert counts.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert Counts(0, 0, 4).precision is None
    assert Counts(0, 0, 4).f1 == 0.0
    assert Counts(0, 0, 0).f1 is None
    assert Counts(1, 2, 3) + Counts(10, 20, 30) == Counts(11, 22, 33)


rooms = st.tuples(st.integers(0, 6), st.integers(0, 6)).flatmap(
    lambda shape: st.tuples(
        npst.arrays(np.float64, shape, elements=st.floats(0, 1).map(lambda x: round(x, 2))),
        st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=shape[0], max_size=shape[0]),
        st.lists(st.sampled_from("abc"), min_size=shape[0], max_size=shape[0]),
        st.lists(st.sampled_from("abc"), min_size=shape[1], max_size=shape[1]),
        st.lists(st.booleans(), min_size=shape[1], max_size=shape[1]),
    )
)


def slow_counts(iou, scores, predicted, truth, ignored, threshold):
    """Greedy matching told as a story: repeatedly serve the best unserved prediction."""
    waiting = list(range(len(scores)))
    taken: set[int] = set()
    true = false = 0
    while waiting:
        p = max(waiting, key=lambda i: (scores[i], -i))
        waiting.remove(p)
        good = [t for t in range(len(truth)) if t not in taken and iou[p][t] >= threshold]
        good = [t for t in good if predicted[p] == truth[t]]
        wanted = [t for t in good if not ignored[t]]
        if wanted:
            true += 1
        elif not good:
            false += 1
        if good:
            taken.add(max(wanted or good, key=lambda t: (iou[p][t], -t)))
    return Counts(true, false, ignored.count(False) - true)


@given(rooms, st.sampled_from([0.1, 0.25, 0.5]))
def test_class_aware_counts_equal_the_slow_story_and_sum_over_classes(room, threshold):
    iou, scores, predicted, truth, ignored = room
    entry = Overlaps(
        iou, np.array(scores, dtype=float), tuple(predicted), tuple(truth), np.array(ignored, bool)
    ).class_aware()
    assigned = match(entry, threshold)
    expected = slow_counts(iou, scores, predicted, truth, ignored, threshold)
    assert count(entry, assigned) == expected
    assert sum(count_by_class(entry, assigned).values(), Counts(0, 0, 0)) == expected


@given(rooms)
def test_greedy_finds_at_least_half_of_what_the_best_assignment_finds(room):
    iou = room[0]
    found = int((match(overlaps(iou), 0.25) >= 0).sum())
    allowed = (iou >= 0.25).astype(int)
    rows, columns = linear_sum_assignment(-allowed)
    best = int(allowed[rows, columns].sum())
    assert best <= 2 * found
    assert found <= best


def test_average_precision_by_hand():
    # Ranked: true, false, true of 4 objects. Precisions at the hits 1 and 2/3.
    scores = np.array([0.5, 0.9, 0.7])
    hits = np.array([True, True, False])
    assert average_precision(scores, hits, 4) == pytest.approx((1 + 2 / 3) / 4)
    # A miss before two hits: the envelope lifts the first hit's 1/2 to 2/3.
    assert average_precision(
        np.array([0.9, 0.8, 0.7]), np.array([False, True, True]), 2
    ) == pytest.approx(2 / 3)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0.0
    assert average_precision(np.zeros(0), np.zeros(0, bool), 0) is None


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 5),
)
def test_best_threshold_equals_trying_them_all(entries, num_unfound):
    scores = np.array([score for score, _ in entries])
    hits = np.array([hit for _, hit in entries])
    num_truth = int(hits.sum()) + num_unfound

    def f1(threshold):
        kept = scores >= threshold
        return 2 * hits[kept].sum() / (kept.sum() + num_truth)

    threshold, value = best_threshold(scores, hits, num_truth)
    assert value == pytest.approx(f1(threshold))
    assert value == pytest.approx(max(f1(s) for s in scores))


def test_bootstrap_interval_of_equal_rooms_is_a_point_and_covers_otherwise():
    low, high = bootstrap_f1([Counts(3, 1, 1)] * 10)
    assert (low, high) == pytest.approx((0.75, 0.75))
    mixed = [Counts(4, 0, 0), Counts(0, 4, 4)] * 20
    low, high = bootstrap_f1(mixed)
    # F1 is the share of good rooms, a binomial of 40: width 4 x sqrt(0.25 / 40) = 0.31.
    assert low < 0.5 < high
    assert 0.25 < high - low < 0.35
    assert bootstrap_f1([Counts(1, 0, 0)]) is None
    assert bootstrap_f1([Counts(0, 0, 0)] * 3) is None


def test_bootstrap_mean_width_matches_the_standard_error():
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = bootstrap_mean(values)
    standard_error = values.std() / np.sqrt(400)
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert low < values.mean() < high
    assert bootstrap_mean([1.0]) is None


def test_counting_accuracy_by_hand():
    assert counting_accuracy(4, 4) == 1.0
    # 1/4 off: relative error 0.25 is below 0.50, 0.45, …, 0.30 and not below 0.25.
    assert counting_accuracy(5, 4) == 0.5
    # Relative error 0.4 is below 0.50 and 0.45 only, and exactly 0.40 does not pass.
    assert counting_accuracy(7, 5) == 0.2
    assert counting_accuracy(0, 3) == 0.0
    with pytest.raises(ValueError, match="truth"):
        counting_accuracy(1, 0)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="iou"):
        Overlaps(np.zeros((1, 1)), np.zeros(1), ("chair",), (), np.zeros(0, bool))
    with pytest.raises(ValueError, match="scores"):
        Overlaps(np.zeros((1, 0)), np.zeros(2), ("chair",), (), np.zeros(0, bool))
    with pytest.raises(ValueError, match="threshold"):
        match(overlaps([[0.0]]), 0.0)


def test_matching_does_not_depend_on_the_order_of_predictions_with_distinct_scores():
    iou = np.array([[0.5, 0.6, 0.0], [0.7, 0.65, 0.2], [0.3, 0.0, 0.4]])
    scores = np.array([0.3, 0.9, 0.6])
    wanted = match(overlaps(iou, scores), 0.25)
    for order in itertools.permutations(range(3)):
        index = list(order)
        assert match(overlaps(iou[index], scores[index]), 0.25).tolist() == wanted[index].tolist()
