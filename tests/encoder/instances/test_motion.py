"""What was moved while it was watched, what only seemed to, what is one thing and what too little
of one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spatialcode.encoder.instances.boxes import ends_along
from spatialcode.encoder.instances.instance import InstanceSettings
from spatialcode.encoder.instances.motion import since_it_stands
from spatialcode.encoder.instances.objects import objects_of
from spatialcode.encoder.lifting.sightings import Sighting
from tests.encoder.instances.test_instances import TIMES_S, gathered, sighting, surface

SIZE = (0.5, 0.5, 0.9)
SETTINGS = InstanceSettings()


def at(x_m: float, y_m: float, frame: int, cut: bool = False) -> Sighting:
    points = surface((x_m, y_m, 0.45), SIZE)
    on_left = points[:, 0] < x_m - 0.24
    return sighting(points, frame, track=3, cut=on_left if cut else None)


def test_what_slid_and_then_stood_is_known_by_its_last_place() -> None:
    # half a metre in five frames, then five frames of rest
    slid = [at(0.1 * min(k, 5), 0.05 * min(k, 5), k) for k in range(10)]
    last = since_it_stands(slid)
    assert last is not None
    assert [s.frame for s in last] == [5, 6, 7, 8, 9]
    (item,) = objects_of(gathered([[s] for s in slid], SETTINGS).instances, TIMES_S, SETTINGS)
    assert item.motion == "moving"
    np.testing.assert_allclose(item.center_m[:2], [0.5, 0.25], atol=0.06)
    np.testing.assert_allclose(item.size_m[:2], SIZE[:2], atol=0.12)
    assert len(item.track) == 10


def test_ends_that_come_and_go_by_themselves_are_no_motion() -> None:
    whole = surface((0, 0, 0.45), SIZE)
    # first the left 60 %, then the right 60 %: one end comes, the other one goes
    left, right = whole[whole[:, 0] < 0.06], whole[whole[:, 0] > -0.06]
    seen = [sighting(left, k) for k in range(4)] + [sighting(whole, k) for k in range(4, 8)]
    assert since_it_stands(seen) is None
    seen += [sighting(right, k) for k in range(8, 12)]
    cut = [replace(s, points=replace(s.points, is_cut=np.ones_like(s.points.is_cut))) for s in seen]
    assert since_it_stands(cut) is None
    assert since_it_stands([at(0.03 * k, 0, k) for k in range(6)]) is None


def test_an_end_that_was_cut_off_and_a_view_from_below_tell_no_motion() -> None:
    assert since_it_stands([at(0.1 * k, 0, k) for k in range(8)]) is not None
    assert since_it_stands([at(0.1 * k, 0, k, cut=True) for k in range(8)]) is None
    low = [replace(at(0.1 * k, 0, k), camera_m=np.array([0, -3.0, 0.8])) for k in range(8)]
    assert since_it_stands(low) is None
    assert since_it_stands([at(0.1 * k, 0, k) for k in range(5)]) is None


@pytest.mark.parametrize(("track", "apart_m", "num"), [(3, 1.0, 1), (4, 1.0, 2), (3, 3.0, 2)])
def test_pieces_of_one_track_are_one_thing_if_one_may_be_as_large(
    track: int, apart_m: float, num: int
) -> None:
    foot, head = (
        surface((0, 0, 0.25), (0.4, 0.4, 0.5)),
        surface((apart_m, 0, 0.25), (0.4, 0.4, 0.5)),
    )
    frames = [[sighting(foot, 0, track=3, label="bed")], []]
    frames += [[sighting(head, k, track=track, label="bed")] for k in range(2, 4)]
    # a track alone does not carry an object so far
    gathering = gathered(frames, replace(SETTINGS, max_step_m=0.1))
    assert len(gathering.instances) == 2
    assert len(objects_of(gathering.instances, TIMES_S, SETTINGS)) == num


def test_what_shows_too_little_of_its_box_is_left_out() -> None:
    one = at(0, 0, 0)
    corners = one.points.inside_m - one.camera_m
    # seen from 3 m, half a metre by nine tenths fill about 0.5 * 0.9 / 3^2 of the sight
    assert np.ptp(corners[:, 2]) == pytest.approx(0.9)
    for share, num in ((0.05, 0), (0.12, 1)):
        angle_sr = share * 0.5 * 0.9 / 3**2
        seen = replace(one, points=replace(one.points, solid_angle_sr=angle_sr))
        assert len(objects_of(gathered([[seen]], SETTINGS).instances, TIMES_S, SETTINGS)) == num


@pytest.mark.parametrize("num", [1, 2, 7, 256])
@pytest.mark.parametrize("quantile", [0.0, 0.005, 0.3])
def test_ends_are_the_quantiles_of_points(num: int, quantile: float) -> None:
    points = np.random.default_rng(num).normal(size=(num, 3))
    expected = np.quantile(points, [quantile, 1 - quantile], axis=0)
    np.testing.assert_allclose(ends_along(points, quantile), expected, atol=1e-12)
