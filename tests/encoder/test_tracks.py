"""Moving objects: told apart from two things alike, and from votes that merely err."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.maps import FLOOR_CHANNEL, DenseMaps
from spatialcode.encoder.tracks import (
    ObservedPlaces,
    TrackConfig,
    drifting_path,
    link_moving,
    moving_path,
    observed_places,
    whole_cluster,
)
from spatialcode.encoder.votes import FusionConfig, Votes, cluster_votes
from spatialcode.scene.kinds import PRIMITIVE_KINDS
from tests.encoder.test_votes import CHAIR, DOOR, directions, together, votes_for

NUM_CLASSES = PRIMITIVE_KINDS.num_channels

EMPTY, TAKEN, UNSEEN = 1, 2, 0
SIZE = (0.5, 0.5, 0.9)


def two_chairs(gap_m: float = 1.0) -> tuple[Votes, list]:
    """A chair seen in frames 0-4 and one ``gap_m`` further in frames 5-9."""
    sight = directions([0, 30, 60, 90, 120])
    errors = np.zeros((5, 3))
    votes = together(
        votes_for((0, 2, 0.45), CHAIR, sight, errors, SIZE),
        votes_for((gap_m, 2, 0.45), CHAIR, sight, errors, SIZE, first_frame=5),
    )
    clusters = sorted(cluster_votes(votes, FusionConfig()), key=lambda c: c.center_m[0])
    assert len(clusters) == 2
    return votes, clusters


def states(first: list[int], second: list[int]) -> ObservedPlaces:
    return ObservedPlaces(np.array([first, second]))


def test_left_here_empty_and_arrived_there_is_one_moving_object() -> None:
    votes, clusters = two_chairs()
    places = states([TAKEN] * 5 + [EMPTY] * 5, [EMPTY] * 5 + [TAKEN] * 5)
    (group,) = link_moving(clusters, votes, places, TrackConfig())
    assert group == (0, 1)
    path = moving_path([clusters[i] for i in group], votes, FusionConfig(), TrackConfig())
    assert path is not None
    assert path.frames.tolist() == list(range(10))
    np.testing.assert_allclose(path.center_m[:, 0], [0] * 5 + [1] * 5, atol=0.02)
    whole = whole_cluster(clusters, votes)
    np.testing.assert_allclose(whole.center_m, (1, 2, 0.45), atol=0.02)
    assert len(whole.members) == 10


@pytest.mark.parametrize(
    "places",
    [
        states([TAKEN] * 5 + [UNSEEN] * 5, [UNSEEN] * 5 + [TAKEN] * 5),
        states([TAKEN] * 5 + [EMPTY] * 5, [UNSEEN] * 5 + [TAKEN] * 5),
        states([TAKEN] * 10, [EMPTY] * 5 + [TAKEN] * 5),
        states([TAKEN] * 5 + [EMPTY, TAKEN, EMPTY, TAKEN, EMPTY], [EMPTY] * 5 + [TAKEN] * 5),
    ],
    ids=["camera turned away", "second never seen empty", "first still there", "unclear"],
)
def test_without_proof_two_chairs_stay_two(places: ObservedPlaces) -> None:
    votes, clusters = two_chairs()
    assert sorted(link_moving(clusters, votes, places, TrackConfig())) == [(0,), (1,)]


def test_too_far_a_step_is_no_move() -> None:
    votes, clusters = two_chairs(gap_m=4.0)
    places = states([TAKEN] * 5 + [EMPTY] * 5, [EMPTY] * 5 + [TAKEN] * 5)
    assert sorted(link_moving(clusters, votes, places, TrackConfig())) == [(0,), (1,)]


def in_view(label: int, step_m: float, scale_m: float) -> tuple:
    """One cluster of 12 frames in which the object shifts by ``step_m`` a frame along x."""
    sight = directions([90] * 12)
    errors = np.zeros((12, 3))
    errors[:, 0] = step_m * (np.arange(12) - 5.5)
    votes = votes_for((0, 2, 0.45), label, sight, errors, (0.9, 0.9, 0.9))
    votes.scale_m[:] = scale_m
    (cluster,) = cluster_votes(votes, FusionConfig())
    return votes, cluster


def test_a_drift_in_view_is_followed() -> None:
    votes, cluster = in_view(CHAIR, 0.08, scale_m=0.05)
    path = drifting_path(cluster, votes, FusionConfig(), TrackConfig())
    assert path is not None
    # windows of five frames: the ends are averages of the three frames nearest to them
    middle = path.center_m[2:-2, 0]
    np.testing.assert_allclose(middle, 0.08 * (np.arange(2, 10) - 5.5), atol=0.01)


def test_a_drift_within_the_votes_error_is_none() -> None:
    votes, cluster = in_view(CHAIR, 0.08, scale_m=0.3)
    assert drifting_path(cluster, votes, FusionConfig(), TrackConfig()) is None


def test_a_door_does_not_move() -> None:
    votes, cluster = in_view(DOOR, 0.08, scale_m=0.05)
    assert drifting_path(cluster, votes, FusionConfig(), TrackConfig()) is None


def looking_maps(depth_m: float, prob: float) -> DenseMaps:
    """One frame of 12x16 cells that show one depth and the chair class with ``prob``."""
    class_prob = np.zeros((1, NUM_CLASSES, 12, 16), np.float32)
    class_prob[:, CHAIR] = prob
    class_prob[:, FLOOR_CHANNEL] = 1 - prob
    cell = np.ones((1, 12, 16), np.float32)
    triple = np.repeat(cell[..., None], 3, axis=-1)
    up = np.array([[0, -1, 0]], np.float32)
    one = np.ones(1, np.float32)
    return DenseMaps(
        class_prob, depth_m * cell, 0.1 * cell, triple, triple, triple, cell, up, one, one
    )


@pytest.mark.parametrize(
    ("depth_m", "prob", "expected"),
    [(4.0, 0.0, EMPTY), (2.0, 0.9, TAKEN), (1.0, 0.0, UNSEEN), (4.0, 0.9, UNSEEN)],
    ids=["floor behind it", "it", "something before it", "unclear"],
)
def test_a_look_at_a_place(depth_m: float, prob: float, expected: int) -> None:
    _, clusters = two_chairs()  # the first stands at (0, 2, 0.45)
    T = np.eye(4)
    T[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]  # looks along +y, level
    T[2, 3] = 0.45
    K = np.array([[10.0, 0, 8], [0, 10, 6], [0, 0, 1]])
    places = observed_places(clusters[:1], looking_maps(depth_m, prob), K, T[None], TrackConfig())
    assert places.state[0, 0] == expected
    T[:3, :3] = -T[:3, :3] @ np.diag([1, -1, 1.0])  # looks along -y
    away = observed_places(clusters[:1], looking_maps(depth_m, prob), K, T[None], TrackConfig())
    assert away.state[0, 0] == UNSEEN
