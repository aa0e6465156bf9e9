"""Fusion: votes with known errors must give back the objects that cast them."""

from __future__ import annotations

import numpy as np
import pytest

from spatialcode.encoder.votes import (
    FusionConfig,
    LiftingConfig,
    Votes,
    cluster_votes,
    frame_balanced,
    fused_yaw,
    joined,
    triangulated_center,
    weighted_median,
)
from spatialcode.scene.categories import LABELS, WALL_BOX_THICKNESS_M
from spatialcode.scene.kinds import PRIMITIVE_KINDS

CHAIR, TABLE, DOOR = (PRIMITIVE_KINDS.index[name] for name in ("chair", "table", "door"))


def votes_for(
    center: tuple[float, float, float],
    label_index: int,
    radial: np.ndarray,
    errors: np.ndarray,
    size: tuple[float, float, float] = (0.5, 0.6, 0.9),
    yaw: float = 0.4,
    first_frame: int = 0,
) -> Votes:
    """One vote a frame, each seen along ``radial`` (V, 2), off by ``errors`` (V, 3)."""
    n = len(radial)
    prob = np.full((n, len(LABELS)), 0.1 / (len(LABELS) - 1))
    prob[:, label_index] = 0.9
    return Votes(
        center_m=np.array(center) + errors,
        radial=radial,
        scale_m=np.tile((0.05, 0.3, 0.05), (n, 1)),
        class_prob=prob,
        size_m=np.tile(size, (n, 1)).astype(float),
        axis=np.tile((np.cos(2 * yaw), np.sin(2 * yaw)), (n, 1)),
        heading=np.tile((np.cos(yaw), np.sin(yaw)), (n, 1)),
        num_cells=np.full(n, 20.0),
        weight=np.full(n, 200.0),
        frame=np.arange(first_frame, first_frame + n),
    )


def together(*parts: Votes) -> Votes:
    names = [name for name in Votes.__dataclass_fields__ if name != "kinds"]
    return Votes(**{k: np.concatenate([getattr(p, k) for p in parts]) for k in names})


def directions(angles_deg: list[float]) -> np.ndarray:
    radians = np.deg2rad(angles_deg)
    return np.stack((np.cos(radians), np.sin(radians)), axis=1)


def test_two_lines_of_sight_triangulate_what_neither_depth_knows() -> None:
    # seen along +x half a metre too far, and along +y half a metre too far: the lateral
    # coordinate of each view is the radial one of the other
    sight = directions([0, 90])
    errors = np.array([[0.5, 0, 0], [0, 0.5, 0.0]])
    votes = votes_for((2, 3, 0.5), CHAIR, sight, errors)
    mean_error = np.linalg.norm(errors.mean(axis=0))
    center, sigma = triangulated_center(
        votes, np.ones(2), votes.center_m.mean(axis=0), FusionConfig()
    )
    assert mean_error == pytest.approx(0.25 * np.sqrt(2))
    assert np.linalg.norm(center - (2, 3, 0.5)) < 0.05
    assert sigma < 0.1


def test_one_line_of_sight_keeps_its_depth_error_and_says_so() -> None:
    sight = directions([0, 0, 0])
    errors = np.tile((0.5, 0, 0), (3, 1))
    votes = votes_for((2, 3, 0.5), CHAIR, sight, errors)
    center, sigma = triangulated_center(votes, np.ones(3), votes.center_m[0], FusionConfig())
    np.testing.assert_allclose(center, (2.5, 3, 0.5), atol=1e-9)
    across = votes_for((2, 3, 0.5), CHAIR, directions([0, 60, 120]), 0 * errors)
    assert sigma > triangulated_center(across, np.ones(3), across.center_m[0], FusionConfig())[1]


def test_an_outlier_moves_the_centre_little() -> None:
    sight = directions([0, 40, 80, 120, 160, 200])
    errors = np.zeros((6, 3))
    errors[5] = (0.0, 1.0, 0.0)
    votes = votes_for((0, 0, 0.5), CHAIR, sight, errors)
    center, _ = triangulated_center(votes, np.ones(6), np.zeros(3), FusionConfig())
    assert np.linalg.norm(center - (0, 0, 0.5)) < 0.05


def test_neighbours_of_one_class_stay_apart_and_classes_do_not_mix() -> None:
    rng = np.random.default_rng(3)
    sight = directions([10, 50, 90, 130, 170])
    noise = [0.02 * rng.normal(size=(5, 3)) for _ in range(3)]
    votes = together(
        votes_for((0, 0, 0.45), CHAIR, sight, noise[0]),
        votes_for((0.8, 0, 0.45), CHAIR, sight, noise[1]),
        votes_for((0.4, 0, 0.40), TABLE, sight, noise[2], size=(1.2, 0.7, 0.75)),
    )
    clusters = cluster_votes(votes, FusionConfig())
    assert sorted(c.label_index for c in clusters) == [CHAIR, CHAIR, TABLE]
    chairs = sorted(c.center_m[0] for c in clusters if c.label_index == CHAIR)
    np.testing.assert_allclose(chairs, (0, 0.8), atol=0.04)
    members = np.concatenate([c.members for c in clusters])
    assert sorted(members) == list(range(15)), "every vote belongs to exactly one object"
    for cluster in clusters:
        assert cluster.yaw_rad == pytest.approx(0.4, abs=1e-6)


def test_wall_boxes_get_the_conventional_thickness() -> None:
    sight = directions([60, 90, 120])
    votes = votes_for((0, 3, 1), DOOR, sight, np.zeros((3, 3)), size=(0.9, 0.31, 2.0))
    (door,) = cluster_votes(votes, FusionConfig())
    np.testing.assert_allclose(door.size_m, (0.9, WALL_BOX_THICKNESS_M, 2.0))


@pytest.mark.parametrize(("yaw", "flip"), [(0.3, False), (2.9, False), (-2.0, False), (0.3, True)])
def test_yaw_takes_its_axis_from_one_and_its_direction_from_the_other(
    yaw: float, flip: bool
) -> None:
    votes = votes_for((0, 0, 0), CHAIR, directions([0, 0]), np.zeros((2, 3)), yaw=yaw)
    if flip:
        votes.heading[:] *= -1
    got, agreement = fused_yaw(votes, np.ones(2), has_front=True)
    expected = yaw + np.pi if flip else yaw
    assert np.cos(got - expected) == pytest.approx(1.0)
    assert agreement == pytest.approx(1.0)


def test_opposed_axes_do_not_agree() -> None:
    a = votes_for((0, 0, 0), CHAIR, directions([0]), np.zeros((1, 3)), yaw=0.0)
    b = votes_for((0, 0, 0), CHAIR, directions([0]), np.zeros((1, 3)), yaw=np.pi / 2)
    assert fused_yaw(together(a, b), np.ones(2), has_front=False)[1] == pytest.approx(0.0)


def test_weighted_median_by_hand() -> None:
    values = np.array([[1.0, 30], [2, 10], [3, 20]])
    np.testing.assert_allclose(weighted_median(values, np.array([1.0, 1, 1])), (2, 20))
    np.testing.assert_allclose(weighted_median(values, np.array([5.0, 1, 1])), (1, 30))


def test_four_times_the_cells_of_a_frame_tell_twice_as_much() -> None:
    weight = frame_balanced(np.array([1.0, 1, 1, 1, 1]), np.array([0, 1, 1, 1, 1]))
    assert weight[0] == pytest.approx(1.0)
    assert weight[1:].sum() == pytest.approx(2.0)


def test_joining_keeps_frames_and_classes_apart_and_weighs() -> None:
    sight = directions([0, 0, 0])
    votes = votes_for(
        (0.01, 0.01, 0.01), CHAIR, sight, np.array([[0, 0, 0], [0.06, 0, 0], [0, 0, 0.0]])
    )
    votes.frame[:] = (0, 0, 1)
    votes.weight[:] = (300.0, 100.0, 50.0)
    merged = joined(votes, LiftingConfig())
    assert len(merged) == 2
    first = merged.select(merged.frame == 0)
    assert first.center_m[0, 0] == pytest.approx(0.01 + 0.06 * 100 / 400)
    assert first.weight[0] == pytest.approx(400.0)
    assert first.num_cells[0] == pytest.approx(40.0)


def test_no_votes_no_objects() -> None:
    empty = votes_for((0, 0, 0), CHAIR, np.zeros((0, 2)), np.zeros((0, 3)))
    assert cluster_votes(joined(empty, LiftingConfig()), FusionConfig()) == []
