from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from spatialcode.errors import SchemaError
from spatialcode.scene.boxes import Boxes, iou
from spatialcode.scene.categories import CATEGORIES, canonical_yaw, wrap_yaw, yaw_error
from spatialcode.scene.frames import quaternion_from_yaw

PI = np.pi
yaws = st.floats(-20, 20)
sizes = st.tuples(*[st.floats(0.1, 3.0)] * 3)
names = st.sampled_from(["full", "half", "quarter"])


def test_errors_by_hand():
    assert_allclose(yaw_error(3.0, -3.0, "full"), 2 * PI - 6)
    assert_allclose(yaw_error(PI, 0.0, "full"), PI)
    assert_allclose(yaw_error(PI + 0.1, 0.0, "half"), 0.1)
    assert_allclose(yaw_error(PI / 2, 0.0, "half"), PI / 2)
    assert_allclose(yaw_error(-PI / 2 - 0.1, 0.0, "quarter"), 0.1)
    assert yaw_error(1.0, 0.0, "round") == 0.0
    assert_allclose(yaw_error([PI, PI, PI], 0.1, ["full", "half", "round"]), [PI - 0.1, 0.1, 0])


def test_wrapping_keeps_the_upper_end():
    assert wrap_yaw(PI) == PI
    assert wrap_yaw(-PI) == PI
    assert wrap_yaw(3 * PI / 2) == pytest.approx(-PI / 2)
    assert wrap_yaw(PI / 2, PI) == PI / 2


@given(yaws, yaws, st.sampled_from(["full", "half", "quarter", "round"]))
def test_errors_are_symmetric_and_bounded(a, b, symmetry):
    bound = {"full": PI, "half": PI / 2, "quarter": PI / 4, "round": 0.0}[symmetry]
    assert 0 <= yaw_error(a, b, symmetry) <= bound + 1e-12
    assert_allclose(yaw_error(a, b, symmetry), yaw_error(b, a, symmetry), atol=1e-12)


@given(yaws, sizes, names)
def test_the_canonical_box_is_the_same_solid(yaw, size, symmetry):
    def box(turn, extents) -> Boxes:
        return Boxes(np.zeros((1, 3)), np.array([extents]), quaternion_from_yaw([turn]))

    turned, extents = canonical_yaw(yaw, size, symmetry)
    assert iou(box(yaw, size), box(turned, extents))[0] == pytest.approx(1.0, abs=1e-9)
    half = {"full": PI, "half": PI / 2, "quarter": PI / 4}[symmetry]
    assert -half - 1e-12 <= turned <= half


@given(yaws, sizes, st.integers(-8, 8), names)
def test_equal_boxes_have_one_canonical_form(yaw, size, turns, symmetry):
    step = {"full": 2 * PI, "half": PI, "quarter": PI / 2}[symmetry]
    exchanged = symmetry == "quarter" and turns % 2 == 1
    other = (size[1], size[0], size[2]) if exchanged else size
    first, first_size = canonical_yaw(yaw, size, symmetry)
    assume(abs(abs(first) - step / 2) > 1e-6)
    second, second_size = canonical_yaw(yaw + turns * step, other, symmetry)
    assert_allclose(second, first, atol=1e-9)
    assert_allclose(second_size, first_size)


def test_canonical_yaw_by_hand():
    yaw, size = canonical_yaw([1.6, 1.6, 1.6, 1.6], np.tile([1.0, 2, 3], (4, 1)),
                              ["full", "half", "quarter", "round"])  # fmt: skip
    assert_allclose(yaw, [1.6, 1.6 - PI, 1.6 - PI / 2, 0])
    assert size.tolist() == [[1, 2, 3], [1, 2, 3], [2, 1, 3], [1, 2, 3]]


def test_every_category_has_a_known_symmetry():
    yaw_error(np.zeros(len(CATEGORIES)), 0.0, [c.yaw_symmetry for c in CATEGORIES])
    with pytest.raises(SchemaError, match="symmetry: expected one of full, half, quarter, round"):
        yaw_error(0.0, 0.0, "third")
