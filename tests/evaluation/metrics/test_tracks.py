from __future__ import annotations

import itertools
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.evaluation.metrics.detection import Counts
from spatialcode.evaluation.metrics.tracks import (
    HOTA_ALPHAS,
    TrackSimilarity,
    hota_counts,
    identity_counts,
)


def always(similarity, num_frames):
    """TrackSimilarity that all exist in all frames, with the same (P, T) similarity."""
    similarity = np.repeat(np.asarray(similarity, float)[None], num_frames, axis=0)
    _, p, t = similarity.shape
    return TrackSimilarity(
        similarity, np.ones((num_frames, p), bool), np.ones((num_frames, t), bool)
    )


def test_perfect_tracks():
    tracks = always(np.eye(3), 5)
    assert identity_counts(tracks, 0.5) == Counts(15, 0, 0)
    assert hota_counts(tracks).scores() == pytest.approx(
        {"hota": 1.0, "detection": 1.0, "association": 1.0}
    )


def switch():
    """One object over four frames, told as two predictions of two frames each."""
    predicted = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    return TrackSimilarity(np.ones((4, 2, 1)), predicted, np.ones((4, 1), bool))


def test_a_track_cut_in_two_halves_identity_but_not_detection():
    assert identity_counts(switch(), 0.5) == Counts(true=2, false=2, missed=2)
    assert identity_counts(switch(), 0.5).f1 == 0.5
    scores = hota_counts(switch()).scores()
    # Every true detection: 2 with the same pair of ids, 2 of the truth's elsewhere.
    assert scores["detection"] == pytest.approx(1.0)
    assert scores["association"] == pytest.approx(0.5)
    assert scores["hota"] == pytest.approx(sqrt(0.5))


def test_localisation_decides_at_how_many_thresholds_a_detection_counts():
    scores = hota_counts(always([[0.5]], 3)).scores()
    assert scores["hota"] == pytest.approx(10 / 19)  # 0.05 … 0.50 of 0.05 … 0.95
    scores = hota_counts(always([[0.15]], 3)).scores()
    assert scores["hota"] == pytest.approx(3 / 19)


def test_one_prediction_over_two_objects():
    # It can hold the identity of one only: 4 right of 4 predicted and 8 true.
    tracks = always([[0.9, 0.8]], 4)
    assert identity_counts(tracks, 0.5) == Counts(4, 0, 4)
    assert identity_counts(tracks, 0.5).f1 == pytest.approx(2 * 4 / (2 * 4 + 4))
    scores = hota_counts(tracks).scores()
    assert scores["association"] == pytest.approx(18 / 19)  # similarity 0.9 passes 18 of 19
    assert scores["detection"] == pytest.approx(18 / 19 * 0.5)


def test_nothing_and_one_sided():
    empty = TrackSimilarity(np.zeros((3, 0, 0)), np.zeros((3, 0), bool), np.zeros((3, 0), bool))
    assert identity_counts(empty, 0.5).f1 is None
    assert hota_counts(empty).scores() is None
    missed = TrackSimilarity(np.zeros((3, 0, 2)), np.zeros((3, 0), bool), np.ones((3, 2), bool))
    assert identity_counts(missed, 0.5) == Counts(0, 0, 6)
    assert hota_counts(missed).scores()["hota"] == 0.0


def test_absent_tracks_do_not_match():
    tracks = TrackSimilarity(
        np.ones((2, 1, 1)), np.array([[True], [False]]), np.array([[False], [True]])
    )
    assert identity_counts(tracks, 0.5) == Counts(0, 1, 1)
    assert hota_counts(tracks).true == (0,) * 19


def test_clips_add_up():
    total = hota_counts(switch()) + hota_counts(always([[1.0]], 4))
    # 8 true detections, of which four have association 1/2.
    assert total.scores()["association"] == pytest.approx((4 * 0.5 + 4) / 8)
    summed = identity_counts(switch(), 0.5) + identity_counts(always([[1.0]], 4), 0.5)
    assert summed == Counts(6, 2, 2)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="tracks"):
        TrackSimilarity(np.zeros((2, 1, 1)), np.zeros((2, 2), bool), np.zeros((2, 1), bool))


@st.composite
def clips(draw):
    n, p, t = draw(st.integers(1, 4)), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    similarity = rng.uniform(0, 1, (n, p, t))
    similarity[rng.uniform(size=similarity.shape) < 0.3] = 0.0
    return TrackSimilarity(
        similarity, rng.uniform(size=(n, p)) < 0.7, rng.uniform(size=(n, t)) < 0.7
    )


def one_to_one(num_rows, num_columns):
    """Every way to pair rows with columns, unpaired ones allowed."""
    slots = [*range(num_columns), *([None] * num_rows)]
    for chosen in set(itertools.permutations(slots, num_rows)):
        yield [(r, c) for r, c in enumerate(chosen) if c is not None]


@given(clips())
@settings(max_examples=60)
def test_identity_equals_trying_every_pairing(tracks):
    n, p, t = tracks.similarity.shape

    def right(pairs):
        return sum(
            bool(
                tracks.predicted[f, i] and tracks.truth[f, j] and tracks.similarity[f, i, j] >= 0.5
            )
            for i, j in pairs
            for f in range(n)
        )

    best = max(right(pairs) for pairs in one_to_one(p, t))
    assert identity_counts(tracks, 0.5).true == best


def slow_pairs(tracks):
    """Per frame, the pairing with the largest sum of (agreement over the clip) x similarity."""
    n, p, t = tracks.similarity.shape
    sim = [
        [
            [
                tracks.similarity[f, i, j] if tracks.predicted[f, i] and tracks.truth[f, j] else 0.0
                for j in range(t)
            ]
            for i in range(p)
        ]
        for f in range(n)
    ]

    def soft(f, i, j):
        rest = sum(sim[f][i]) + sum(sim[f][k][j] for k in range(p)) - sim[f][i][j]
        return sim[f][i][j] / rest if rest else 0.0

    def agreement(i, j):
        together = sum(soft(f, i, j) for f in range(n))
        alone = tracks.predicted[:, i].sum() + tracks.truth[:, j].sum() - together
        return together / alone if alone else 0.0

    for f in range(n):
        weigh = lambda pairs, f=f: sum(agreement(i, j) * sim[f][i][j] for i, j in pairs)  # noqa: E731
        best = max(one_to_one(p, t), key=weigh)
        yield [(i, j) for i, j in best if sim[f][i][j] > 0]


@given(clips())
@settings(max_examples=40)
def test_hota_equals_counting_detection_by_detection(tracks):
    counts = hota_counts(tracks)
    frames = list(slow_pairs(tracks))
    for a, alpha in enumerate(HOTA_ALPHAS):
        hits = [
            (f, i, j)
            for f, pairs in enumerate(frames)
            for i, j in pairs
            if tracks.similarity[f, i, j] >= alpha - 1e-9
        ]
        assert counts.true[a] == len(hits)
        association = 0.0
        for _, i, j in hits:
            both = sum(h[1:] == (i, j) for h in hits)
            only_predicted = tracks.predicted[:, i].sum() - both
            only_truth = tracks.truth[:, j].sum() - both
            association += both / (both + only_predicted + only_truth)
        assert counts.association[a] == pytest.approx(association)
        assert counts.true[a] + counts.missed[a] == tracks.truth.sum()
        assert counts.true[a] + counts.false[a] == tracks.predicted.sum()
