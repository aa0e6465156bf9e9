from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from spatialcode.errors import SchemaError
from spatialcode.scene.categories import CATEGORIES, wrap_yaw, yaw_error

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


def test_every_category_has_a_known_symmetry():
    yaw_error(np.zeros(len(CATEGORIES)), 0.0, [c.yaw_symmetry for c in CATEGORIES])
    with pytest.raises(SchemaError, match="symmetry: expected one of full, half, quarter, round"):
        yaw_error(0.0, 0.0, "third")
