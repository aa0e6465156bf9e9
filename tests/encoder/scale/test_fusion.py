"""Cues of one scale, weighed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from spatialcode.encoder.scale.fusion import ScaleCue, confidence_of, fused
from spatialcode.errors import SchemaError

LIARS = 0.15


def cue(scale, sigma, source="metric-depth"):
    return ScaleCue(source, float(np.log(scale)), sigma)


def test_a_single_cue_is_believed_as_it_is():
    found = fused([cue(1.7, 0.3)], LIARS)
    assert np.exp(found.log_scale) == pytest.approx(1.7, rel=1e-3)
    # right within 15 %: 0.85 of a normal of deviation 0.3, and 0.15 of one of 1.5
    inside = np.log(1.15)
    expected = sum(
        share * (2 * norm.cdf(inside / s) - 1) for share, s in ((0.85, 0.3), (0.15, 1.5))
    )
    assert found.confidence == pytest.approx(expected, abs=0.01)


def test_two_that_agree_nearly_are_averaged_by_their_weight_in_logarithms():
    # weights 1 / 0.1² and 1 / 0.2²: 100 and 25
    found = fused([cue(1.0, 0.1), cue(1.1, 0.2, "camera-height")], LIARS)
    assert found.log_scale == pytest.approx(25 / 125 * np.log(1.1), abs=0.004)
    assert found.source == "metric-depth"


@pytest.mark.parametrize("lie", [0.2, 0.4, 2.5, 5.0, 50.0])
@pytest.mark.parametrize("liar", [0, 1, 2])
def test_one_liar_among_three_has_no_say_however_sure_it_is(liar, lie):
    cues = [cue(1.2, 0.1), cue(1.2, 0.15, "camera-height"), cue(1.2, 0.12, "object-sizes")]
    wrong = cues[liar]
    cues[liar] = cue(1.2 * lie, wrong.sigma, wrong.source)
    found = fused(cues, LIARS)
    assert np.exp(found.log_scale) == pytest.approx(1.2, rel=0.03)
    assert found.source != wrong.source


def test_more_cues_that_agree_make_surer_and_quarrel_makes_less_sure():
    one = fused([cue(1.0, 0.2)], LIARS).confidence
    agreed = fused([cue(1.0, 0.2), cue(1.0, 0.2)], LIARS).confidence
    quarrel = fused([cue(1.0, 0.2), cue(3.0, 0.2)], LIARS).confidence
    assert quarrel < one < agreed


@given(st.floats(-1, 1), st.integers(0, 2**32 - 1))
def test_another_unit_shifts_the_scale_and_nothing_else(shift, seed):
    rng = np.random.default_rng(seed)
    cues = [ScaleCue("metric-depth", float(rng.normal(0, 0.3)), 0.2) for _ in range(3)]
    moved = [ScaleCue(c.source, c.log_scale + shift, c.sigma) for c in cues]
    before, after = fused(cues, LIARS), fused(moved, LIARS)
    assert after.log_scale == pytest.approx(before.log_scale + shift, abs=0.002)
    assert after.confidence == pytest.approx(before.confidence, abs=0.02)


def test_the_metre_is_as_likely_as_the_cues_say_of_it():
    assert confidence_of([cue(1.0, 0.1)], LIARS) == fused([cue(1.0, 0.1)], LIARS).confidence
    assert confidence_of([cue(2.0, 0.1)], LIARS) < 0.05


def test_what_is_no_cue_is_refused():
    with pytest.raises(SchemaError, match="log_scale"):
        ScaleCue("metric-depth", float("nan"), 0.1)
    with pytest.raises(SchemaError, match="sigma"):
        ScaleCue("metric-depth", 0.0, 0.0)
    with pytest.raises(SchemaError, match="cues"):
        fused([], LIARS)
