"""Boxes of frames merged over a video, by numbers worked out by hand."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.encoder.parsing.protocol import NO_TRACK
from spatialcode.encoder.unified.merging import (
    BoxSighting,
    MergeSettings,
    merged_objects,
    weighted_median,
)
from spatialcode.scene.frames import yaw_from_quaternion

SETTINGS = MergeSettings()


def sighting(frame: int, center=(1.0, 2.0, 0.5), **changes) -> BoxSighting:
    values = {
        "label": "chair", "track": 1, "size_m": np.array([0.5, 0.6, 0.9]), "yaw_rad": 0.3,
        "presence": 0.9, "score": 0.8, "sigma_m": 0.05,
    }  # fmt: skip
    own = {"part": 0, **values, **changes}
    return BoxSighting(frame=frame, t_s=0.5 * frame, center_m=np.array(center), **own)


def yaw(item) -> float:
    return float(yaw_from_quaternion(np.array(item.quaternion_wxyz)))


def test_a_median_is_where_half_of_the_weight_is_reached():
    values = np.array([[1.0, 9.0], [2.0, 8.0], [3.0, 7.0]])
    assert weighted_median(values, np.array([1.0, 1.0, 1.0])).tolist() == [2.0, 8.0]
    assert weighted_median(values, np.array([5.0, 1.0, 1.0])).tolist() == [1.0, 9.0]


def test_a_track_becomes_one_object_where_sure_frames_place_it():
    seen = [sighting(i) for i in range(3)]
    # a frame far off that does not trust itself
    seen.append(sighting(3, center=(4.0, 2.0, 0.5), sigma_m=1.0))
    (item,) = merged_objects(seen, SETTINGS)
    assert item.id == "chair_1"
    assert item.center_m == pytest.approx((1.0, 2.0, 0.5))
    assert item.size_m == pytest.approx((0.5, 0.6, 0.9))
    assert (item.first_seen_s, item.last_seen_s, item.num_observations) == (0.0, 1.5, 4)
    assert item.score == pytest.approx(0.72)
    assert item.motion == "static"


def test_a_frame_that_says_absent_does_not_count():
    seen = [sighting(0), sighting(1, center=(9.0, 9.0, 9.0), presence=0.4)]
    (item,) = merged_objects(seen, SETTINGS)
    assert (item.num_observations, item.last_seen_s) == (1, 0.0)
    assert not merged_objects([replace(s, presence=0.4) for s in seen], SETTINGS)


@pytest.mark.parametrize(
    ("label", "yaws", "expected"),
    [
        ("chair", (3.1, -3.1), math.pi),  # about the seam of the full turn
        ("table", (0.2, 0.2 + math.pi), 0.2),  # a half-turn is the same table
        ("chair", (0.1, 0.3), 0.2),
    ],
)
def test_yaws_are_averaged_under_the_labels_symmetry(label, yaws, expected):
    seen = [sighting(i, label=label, yaw_rad=value) for i, value in enumerate(yaws)]
    (item,) = merged_objects(seen, SETTINGS)
    period = math.pi if label == "table" else 2 * math.pi
    away = (yaw(item) - expected) % period
    assert min(away, period - away) == pytest.approx(0.0, abs=1e-6)


def test_without_tracks_place_and_word_tell_things_apart():
    near, far = (0.0, 2.0, 0.5), (3.0, 2.0, 0.5)
    loose = {"track": NO_TRACK}
    seen = [sighting(i, place, **loose) for i in range(3) for place in (near, far)]
    seen += [sighting(1, near, label="table", **loose)]
    items = merged_objects(seen, SETTINGS)
    assert [(i.id, i.num_observations) for i in items] == [
        ("chair_1", 3), ("chair_2", 3), ("table_1", 1)
    ]  # fmt: skip


def test_two_boxes_of_one_frame_never_become_one_thing():
    loose = {"track": NO_TRACK}
    seen = [sighting(0, (0.0, 0.0, 0.5), **loose), sighting(0, (0.45, 0.0, 0.5), **loose)]
    seen += [replace(s, frame=1, t_s=0.5) for s in seen]
    items = merged_objects(seen, replace(SETTINGS, max_iou=1.0))
    assert [item.num_observations for item in items] == [2, 2]


def test_of_two_tracks_on_one_thing_the_surer_stays():
    seen = [sighting(i) for i in range(3)]
    seen += [sighting(i, track=2, score=0.5) for i in range(3)]
    (item,) = merged_objects(seen, SETTINGS)
    assert item.score == pytest.approx(0.72)
    # another word on the same place is another thing
    other = [replace(s, label="pillow") if s.track == 2 else s for s in seen]
    assert len(merged_objects(other, SETTINGS)) == 2


def test_what_ends_elsewhere_than_it_began_has_moved():
    seen = [sighting(i, (0.2 * i, 2.0, 0.5)) for i in range(9)]
    (item,) = merged_objects(seen, SETTINGS)
    assert item.motion == "moving"
    assert item.center_m == pytest.approx((1.6, 2.0, 0.5))
    assert [point.t_s for point in item.track] == [0.5 * i for i in range(9)]
    # as far, but no further than single frames are off
    rng = np.random.default_rng(0)
    noisy = [sighting(i, (*rng.normal(1.0, 0.6, 2), 0.5)) for i in range(9)]
    assert merged_objects(noisy, SETTINGS)[0].motion == "static"


@pytest.mark.parametrize("track", [1, NO_TRACK])
def test_what_is_on_two_sides_of_a_cut_is_two_things(track):
    seen = [sighting(i, track=track, part=int(i >= 2)) for i in range(4)]
    items = merged_objects(seen, SETTINGS)
    assert [(item.id, item.num_observations) for item in items] == [("chair_1", 2), ("chair_2", 2)]


def test_an_object_that_leaves_and_returns_is_one():
    seen = [sighting(i) for i in (0, 1, 2, 40, 41)]
    (item,) = merged_objects(seen, SETTINGS)
    assert (item.num_observations, item.last_seen_s) == (5, 20.5)


@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_the_order_of_sightings_does_not_matter(shuffler: random.Random, num: int):
    rng = np.random.default_rng(num)
    seen = [
        sighting(
            int(rng.integers(4)), rng.normal(0, 2, 3),
            track=int(rng.integers(-1, 3)), score=float(rng.uniform(0.3, 1)),
        )
        for _ in range(num)
    ]  # fmt: skip
    mixed = list(seen)
    shuffler.shuffle(mixed)
    assert merged_objects(seen, SETTINGS) == merged_objects(mixed, SETTINGS)
