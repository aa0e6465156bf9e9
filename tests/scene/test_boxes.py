from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from spatialcode.errors import SchemaError
from spatialcode.scene import boxes as module
from spatialcode.scene.boxes import (
    Boxes,
    box_distance,
    corners,
    intersection_volume,
    iou,
    iou_matrix,
    volume,
)
from spatialcode.scene.frames import quaternion_from_yaw
from spatialcode.scene.pairs import EDGES, FACES, common_volume
from tests.scene import box_oracles as oracle

NUM_PAIRS = 10_000
KINDS = oracle.pairs_of_every_kind(seed=7, count=NUM_PAIRS)


def box(center=(0.0, 0.0, 0.0), size=(1.0, 1.0, 1.0), rotvec=(0.0, 0.0, 0.0)) -> Boxes:
    quaternion = np.roll(Rotation.from_rotvec(rotvec).as_quat(), 1)
    return Boxes(np.array([center]), np.array([size]), quaternion[None])


def smaller_surface(a: Boxes, b: Boxes) -> np.ndarray:
    faces = [2 * (s[:, 0] * s[:, 1] + s[:, 1] * s[:, 2] + s[:, 2] * s[:, 0]) for s in
             (a.size, b.size)]  # fmt: skip
    return np.minimum(*faces)


def test_ten_thousand_pairs_are_tried():
    assert sum(len(a) for a, _ in KINDS.values()) == NUM_PAIRS


@pytest.mark.parametrize("kind", KINDS)
def test_distance_equals_bounded_least_squares(kind):
    a, b = KINDS[kind]
    error = np.abs(box_distance(a, b) - oracle.distances(a, b))
    assert (error / oracle.extents(a, b)).max() < 1e-11


@pytest.mark.parametrize("kind", KINDS)
def test_distance_lies_between_primal_and_dual_bounds(kind):
    a, b = (boxes[:200] for boxes in KINDS[kind])
    lower, upper = oracle.distance_bounds(a, b)
    found, slack = box_distance(a, b), 1e-11 * oracle.extents(a, b)
    assert (found <= upper + slack).all()
    assert (found >= lower - slack).all()
    assert np.quantile((upper - lower) / oracle.extents(a, b), 0.9) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_intersection_volume_equals_hull_of_enumerated_vertices(kind):
    a, b = KINDS[kind]
    error = np.abs(intersection_volume(a, b) - oracle.volumes(a, b))
    # What moving every plane by 1e-10 of the pair's extent would change.
    assert (error <= 1e-10 * oracle.extents(a, b) * smaller_surface(a, b)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_distance_is_zero_exactly_if_solids_meet(kind):
    a, b = KINDS[kind]
    apart = box_distance(a, b) > 0
    assert (intersection_volume(a, b)[apart] == 0).all()
    if kind == "touching":
        assert not apart.any()
        assert intersection_volume(a, b).max() < 1e-12
    if kind.startswith(("nested", "identical")):
        assert not apart.any()
        smaller = np.minimum(volume(a), volume(b))
        assert_allclose(intersection_volume(a, b), smaller, rtol=1e-12)
    if kind == "far":
        assert apart.all()


@pytest.mark.parametrize("kind", KINDS)
def test_both_measures_are_symmetric(kind):
    a, b = KINDS[kind]
    scale = oracle.extents(a, b)
    assert (np.abs(box_distance(a, b) - box_distance(b, a)) <= 1e-12 * scale).all()
    assert_allclose(
        intersection_volume(a, b), intersection_volume(b, a), rtol=0, atol=1e-12 * scale.max()
    )


def test_distance_by_hand():
    unit = box()
    assert box_distance(unit, box((3, 0, 0)))[0] == 2.0
    assert_allclose(box_distance(unit, box((0, 3, 3)))[0], 2 * np.sqrt(2))
    assert_allclose(box_distance(unit, box((3, -3, 3)))[0], 2 * np.sqrt(3))
    # Two bars on edge, crossing at right angles: each reaches half a diagonal toward the other.
    lower = box((0, 0, 0), (4, 1, 1), (np.pi / 4, 0, 0))
    upper = box((0, 0, 2), (1, 4, 1), (0, np.pi / 4, 0))
    assert_allclose(box_distance(lower, upper)[0], 2 - np.sqrt(2))
    # An edge above a face, both ends of the edge beyond the face.
    assert_allclose(box_distance(unit, upper)[0], 2 - 0.5 - np.sqrt(0.5))


def test_distance_between_parallel_faces_without_a_corner_over_the_other():
    crossing_bars = box_distance(box(size=(4, 1, 1)), box((0, 0, 1.5), (1, 4, 1)))
    assert_allclose(crossing_bars, 0.5)
    # Squares turned by 45 degrees: shadows meet in an octagon, none of whose corners is a
    # corner of either square.
    eighth = box((0, 0, 1.3), rotvec=(0, 0, np.pi / 4))
    assert_allclose(box_distance(box(), eighth), 0.3)
    shifted = box((0.01, -0.02, 1.3), rotvec=(0, 0, np.pi / 4 + 0.02))
    assert_allclose(box_distance(box(), shifted), 0.3)


def test_intersection_by_hand():
    unit = box()
    assert_allclose(intersection_volume(unit, box((0.5, 0.25, 0)))[0], 0.5 * 0.75)
    octagon = 2 * (np.sqrt(2) - 1)
    assert_allclose(intersection_volume(unit, box(rotvec=(0, 0, np.pi / 4)))[0], octagon)
    assert_allclose(intersection_volume(unit, box(rotvec=(np.pi / 4, 0, 0)))[0], octagon)
    # Cube and the same cube after 60 degrees about a diagonal: a hexagonal bipyramid.
    sixth = np.full(3, np.pi / 3 / np.sqrt(3))
    assert_allclose(intersection_volume(unit, box(rotvec=sixth))[0], 0.75)
    # A large cube standing on its corner cuts the tip off: a pyramid of three unit-cube edges.
    tip = box((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    assert_allclose(intersection_volume(unit, tip)[0], 0.001)


def test_iou_by_hand():
    assert_allclose(iou(box(), box((0.5, 0, 0)))[0], 0.5 / 1.5)
    assert iou(box(), box())[0] == pytest.approx(1.0, abs=1e-15)
    assert iou(box(), box((1.0, 0, 0)))[0] == 0.0
    assert iou(box(size=(1, 1, 0)), box(size=(1, 1, 0)))[0] == 0.0
    assert_allclose(iou(box(), box(size=(2, 2, 2)))[0], 1 / 8)


def test_upright_boxes_agree_with_the_general_clipping():
    a, b = KINDS["upright"]
    general = common_volume(module._pairs(a, b))
    assert_allclose(intersection_volume(a, b), general, rtol=0, atol=1e-13)


@pytest.mark.parametrize("angle", [1e-16, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4])
def test_nearly_parallel_boxes_change_no_more_than_they_are_turned(angle):
    a, _ = KINDS["identical"]
    rng = np.random.default_rng(3)
    tilt = Rotation.from_rotvec(rng.normal(size=(len(a), 3)) * angle)
    turned = (tilt * Rotation.from_matrix(oracle.matrices(a))).as_quat()
    b = Boxes(a.center, a.size, np.roll(turned, 1, axis=1))
    lost = volume(a) - intersection_volume(a, b)
    bound = smaller_surface(a, b) * np.linalg.norm(a.size, axis=1) * angle * 5 + 1e-13
    assert (lost >= 0).all()
    assert (lost <= bound).all()
    beside = Boxes(a.center + 2 * a.rotation[:, :, 0] * a.size[:, :1], b.size, b.quaternion)
    assert_allclose(box_distance(a, beside), a.size[:, 0], atol=20 * angle + 1e-12)


angles = st.floats(-np.pi, np.pi)
rotations = st.tuples(angles, angles, angles)
lengths = st.floats(1e-3, 5.0)
coordinates = st.floats(-3.0, 3.0)
any_box = st.builds(
    box,
    st.tuples(coordinates, coordinates, coordinates),
    st.tuples(lengths, lengths, lengths),
    rotations,
)


@settings(deadline=None, max_examples=200)
@given(any_box, any_box, rotations, st.tuples(coordinates, coordinates, coordinates))
def test_rigid_motion_changes_neither_measure(a, b, rotvec, shift):
    def moved(x: Boxes) -> Boxes:
        turn = Rotation.from_rotvec(rotvec)
        turned = turn * Rotation.from_matrix(oracle.matrices(x))
        return Boxes(turn.apply(x.center) + shift, x.size, np.roll(turned.as_quat(), 1, axis=1))

    assert_allclose(box_distance(moved(a), moved(b)), box_distance(a, b), atol=1e-11)
    assert_allclose(intersection_volume(moved(a), moved(b)), intersection_volume(a, b), atol=1e-10)


@settings(deadline=None, max_examples=200)
@given(any_box, any_box, st.floats(1e-3, 1e3))
def test_scaling_scales_distance_and_volume(a, b, factor):
    def scaled(x: Boxes) -> Boxes:
        return Boxes(x.center * factor, x.size * factor, x.quaternion)

    assert_allclose(
        box_distance(scaled(a), scaled(b)), box_distance(a, b) * factor, atol=1e-10 * factor
    )
    assert_allclose(
        intersection_volume(scaled(a), scaled(b)), intersection_volume(a, b) * factor**3,
        atol=1e-10 * factor**3,
    )  # fmt: skip


def test_iou_matrix_equals_one_pair_at_a_time():
    rng = np.random.default_rng(5)
    a, b = oracle.random_boxes(rng, 40), oracle.random_boxes(rng, 30)
    b = Boxes(b.center * 3, b.size, b.quaternion)
    matrix = iou_matrix(a, b)
    assert matrix.shape == (40, 30)
    assert 0 < np.count_nonzero(matrix) < matrix.size
    for i in range(40):
        for j in range(30):
            assert matrix[i, j] == pytest.approx(iou(a[i], b[j])[0], abs=1e-14)
    assert iou_matrix(a[:0], b).shape == (0, 30)


def test_corners_faces_and_edges_by_hand():
    quarter = corners((10, 0, 0), (4, 2, 6), quaternion_from_yaw(np.pi / 2))
    assert_allclose(quarter[0], (11, -2, -3), atol=1e-15)  # (-2, -1) turned by 90 degrees
    assert_allclose(quarter[6], (9, 2, 3), atol=1e-15)
    assert corners(np.zeros((5, 7, 3)), np.ones((5, 7, 3)), np.ones((5, 7, 4))).shape == (
        5,
        7,
        8,
        3,
    )
    points = corners((0, 0, 0), (4, 2, 6), (1, 0, 0, 0))
    for face in FACES:
        ring = points[face]
        outward = np.cross(ring[1] - ring[0], ring[2] - ring[1])
        assert outward @ ring.mean(axis=0) > 0
    lengths_of_edges = np.linalg.norm(points[EDGES[:, 0]] - points[EDGES[:, 1]], axis=1)
    assert sorted(lengths_of_edges) == [2] * 4 + [4] * 4 + [6] * 4


def test_one_box_stands_for_many():
    many = Boxes(np.array([[2.0, 0, 0], [3, 0, 0], [0.5, 0, 0]]), np.ones((3, 3)),
                 np.tile([1.0, 0, 0, 0], (3, 1)))  # fmt: skip
    assert_allclose(box_distance(box(), many), [1, 2, 0])
    assert_allclose(intersection_volume(many, box()), [0, 0, 0.5])
    assert_allclose(volume(many), [1, 1, 1])


def test_wrong_inputs_are_named():
    one, three = box(), Boxes(np.zeros((3, 3)), np.ones((3, 3)), np.ones((3, 4)))
    two = three[[0, 2]]
    with pytest.raises(SchemaError, match=r"b: expected 3 boxes, as a has, or one, got 2"):
        iou(three, two)
    with pytest.raises(SchemaError, match=r"size: expected extents >= 0, got -1"):
        Boxes(one.center, -one.size, one.quaternion)
    with pytest.raises(SchemaError, match=r"center: expected finite numbers, got nan"):
        Boxes(one.center * np.nan, one.size, one.quaternion)
    with pytest.raises(SchemaError, match=r"quaternion: expected an array of shape \(N, 4\)"):
        Boxes(one.center, one.size, one.size)
    with pytest.raises(SchemaError, match=r"size: expected 1 rows, as center has, got 3"):
        Boxes(one.center, three.size, one.quaternion)
    with pytest.raises(SchemaError, match="non-zero"):
        Boxes(one.center, one.size, one.quaternion * 0)
