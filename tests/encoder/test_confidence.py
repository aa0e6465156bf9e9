"""The score: features by hand, a fit that ranks, a card that round-trips."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.detections import FEATURES, Confidence, features, fit, frames_in_view
from spatialcode.encoder.votes import FusionConfig, cluster_votes
from spatialcode.errors import WeightsError
from tests.encoder.test_votes import CHAIR, directions, votes_for


def test_frames_in_view_by_hand() -> None:
    # a camera at the origin that looks along world +y; 40x30 cells, principal point in the middle
    T = np.tile(np.eye(4), (3, 1, 1))
    T[:, :3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    T[1, :3, 3] = (0, 5, 0)  # has walked past the point
    T[2, :3, 3] = (3, 0, 0)  # sees it 3 m to the left at 2 m: column 20 - 30*1.5 < 0
    K = np.array([[30.0, 0, 20], [0, 30, 15], [0, 0, 1]])
    seen = frames_in_view(np.array([0.0, 2.0, 0.0]), K, T, (30, 40))
    assert seen.tolist() == [True, False, False]
    far = frames_in_view(np.array([0.0, 9.0, 0.0]), K, T, (30, 40))
    assert far.tolist() == [False, True, False]


def test_features_compare_with_what_could_be_seen() -> None:
    votes = votes_for((0, 2, 0.5), CHAIR, directions([0, 40, 80, 120]), np.zeros((4, 3)))
    (cluster,) = cluster_votes(votes, FusionConfig())
    in_view = np.ones(8, bool)
    values = dict(zip(FEATURES, features(cluster, votes, in_view), strict=True))
    assert values["view_share"] == pytest.approx(4 / 8)
    assert values["frames"] == pytest.approx(np.log(4))
    assert values["cells_per_view"] == pytest.approx(np.log1p(4 * 20 / 8))
    assert values["class_prob"] == pytest.approx(0.9)
    assert values["wall"] == 0.0


def samples(rng: np.random.Generator, num: int) -> tuple[np.ndarray, np.ndarray]:
    values = rng.normal(size=(num, len(FEATURES)))
    chance = 1 / (1 + np.exp(-(2.0 * values[:, 0] - 1.0 * values[:, 3] + 0.5)))
    return values, rng.random(num) < chance


def test_the_fit_finds_the_law_that_made_the_data() -> None:
    values, correct = samples(np.random.default_rng(5), 20_000)
    fitted = fit(values, correct)
    slope = fitted.coefficient / fitted.scale
    assert slope[0] == pytest.approx(2.0, abs=0.1)
    assert slope[3] == pytest.approx(-1.0, abs=0.1)
    assert np.abs(np.delete(slope, [0, 3])).max() < 0.1
    score = fitted.score(values)
    for low, high in ((0.1, 0.3), (0.4, 0.6), (0.7, 0.9)):  # says 0.8 and is right 80 %
        between = (score >= low) & (score < high)
        assert correct[between].mean() == pytest.approx(score[between].mean(), abs=0.03)


def test_a_fit_survives_its_card() -> None:
    fitted = fit(*samples(np.random.default_rng(6), 500))
    again = Confidence.from_dict(fitted.to_dict())
    values = np.random.default_rng(7).normal(size=(10, len(FEATURES)))
    np.testing.assert_array_equal(again.score(values), fitted.score(values))
    assert again.threshold == fitted.threshold


def test_a_fit_of_other_features_is_refused() -> None:
    card = fit(*samples(np.random.default_rng(6), 50)).to_dict()
    card["features"] = card["features"][::-1]
    with pytest.raises(WeightsError, match="expected features"):
        Confidence.from_dict(card)
