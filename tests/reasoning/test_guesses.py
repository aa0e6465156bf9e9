"""Guesses where things are missing: rectangles, places, shares, all by hand or by a slow oracle."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialcode.questions.types import (
    AppearanceOrder,
    Configuration,
    RelativeDirection,
    RelativeDistance,
)
from spatialcode.reasoning.priors.guesses import Extent, Places
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.solver import solve
from spatialcode.scene.index import SceneIndex
from tests.reasoning.rooms import HOME, options, ref, room, thing

# --- the rectangle around all things ---


def _slow_area(points) -> float:
    """The smallest rectangle over turns by whole 2 degrees, point by point."""
    least = math.inf
    for step in range(45):
        angle = math.radians(2 * step)
        along = [x * math.cos(angle) + y * math.sin(angle) for x, y in points]
        across = [y * math.cos(angle) - x * math.sin(angle) for x, y in points]
        least = min(least, (max(along) - min(along)) * (max(across) - min(across)))
    return least


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-10, 10)] * 3), min_size=1, max_size=20))
def test_extent_is_the_smallest_rectangle_of_a_slow_scan(points):
    extent = Extent.around(np.array(points))
    assert extent.area_m2() == pytest.approx(_slow_area([p[:2] for p in points]), abs=1e-6)
    # and every point is in it
    local = np.array(points)[:, :2] @ extent.rotation.T - extent.center
    assert (np.abs(local) <= extent.half + 1e-9).all()


@pytest.mark.parametrize("turn_deg", [0.0, 1.0, 17.3, 44.9, 89.0])
def test_extent_of_a_turned_rectangle(turn_deg):
    a, b, turn = 5.0, 3.0, math.radians(turn_deg)
    c, s = math.cos(turn), math.sin(turn)
    corners = [(u * a / 2, v * b / 2) for u in (-1, 1) for v in (-1, 1)]
    points = [(x * c - y * s + 7, x * s + y * c - 2, 0.0) for x, y in corners]
    area = Extent.around(np.array(points)).area_m2()
    # sides are found to 2 degrees, so at worst 1 degree is missed
    c1, s1 = math.cos(math.radians(1)), math.sin(math.radians(1))
    assert a * b - 1e-9 <= area <= (a * c1 + b * s1) * (a * s1 + b * c1) + 1e-9


# --- places ---

# Four small lamps at the corners of a rectangle x in [-2, 2], y in [-1, 1] round (10, 20): their
# faces make it 2.05 and 1.05 wide on each side.
_CORNERS = room(
    *(thing("lamp", 10 + 2 * u, 20 + v, size=(0.1, 0.1, 0.1)) for u in (-1, 1) for v in (-1, 1))
)
_HALF = (2.05, 1.05)
COS, SIN = math.cos(math.radians(30)), math.sin(math.radians(30))


def _places(place, code=_CORNERS) -> Places:
    index = SceneIndex.of(code)
    return Places(index, Extent.around(index.corners_m), Priors(places={"": [place]}))


def _shares(spots) -> dict[tuple[float, float], float]:
    unique, counts = np.unique(np.round(spots - (10, 20), 6), axis=0, return_counts=True)
    return {tuple(spot): n / len(spots) for spot, n in zip(unique.tolist(), counts, strict=True)}


def test_a_place_is_laid_in_eight_ways():
    shares = _shares(_places((0.5, -0.2, 0.1, 0.0, 1.0)).of(ref("piano")))
    # along x: 0.5 of the half extent and 0.1 beyond, along y: 0.2 of it; then the sides exchanged
    u, v = 0.5 * _HALF[0] + 0.1, 0.2 * _HALF[1]
    p, q = 0.2 * _HALF[0], 0.5 * _HALF[1] + 0.1
    expected = {(i * a, j * b) for a, b in ((u, v), (p, q)) for i in (-1, 1) for j in (-1, 1)}
    assert {(round(x, 4), round(y, 4)) for x, y in shares} == {
        (round(x, 4), round(y, 4)) for x, y in expected
    }
    # 400 draws of a low-discrepancy sequence over 8 equal parts: 50 each, give or take a few
    assert all(abs(share - 1 / 8) <= 0.01 for share in shares.values())


def test_places_turn_with_the_room():
    # The rectangle turned by 30 degrees, counter-clockwise: its far ends lie along (cos 30, sin
    # 30), its near ones along (-sin 30, cos 30). The lamps' own faces turn with it.
    turned = room(
        *(
            thing("lamp", 10 + 2 * u * COS - v * SIN, 20 + 2 * u * SIN + v * COS,
                  size=(0.1, 0.1, 0.1), yaw_deg=30)
            for u in (-1, 1) for v in (-1, 1)
        )
    )  # fmt: skip
    shares = _shares(_places((1.0, 0.0, 0.0, 0.0, 1.0), turned).of(ref("piano")))
    far, near = np.array([COS, SIN]) * _HALF[0], np.array([-SIN, COS]) * _HALF[1]
    expected = np.array([far, -far, near, -near])
    assert np.allclose(sorted(shares), sorted(expected.tolist()), atol=1e-5)


def test_weights_are_shares():
    index = SceneIndex.of(_CORNERS)
    places = {"": [(1.0, 1.0, 0.0, 0.0, 3.0), (0.0, 0.0, 0.0, 0.0, 1.0)]}
    spots = Places(index, Extent.around(index.corners_m), Priors(places=places)).of(ref("piano"))
    in_the_middle = (np.abs(spots - (10, 20)) < 1e-6).all(axis=1).mean()
    assert in_the_middle == pytest.approx(0.25, abs=0.01)


def test_a_kinds_own_places_go_before_those_of_all():
    priors = Priors(places={"sofa": [(0.1, 0, 0, 0, 1)], "": [(0.9, 0, 0, 0, 1)]})
    assert priors.places_of("couch") == [(0.1, 0, 0, 0, 1)]
    assert priors.places_of("piano") == [(0.9, 0, 0, 0, 1)]
    assert Priors().places_of("piano") == ((0.0, 0.0, 0.0, 0.0, 1.0),)


def test_what_is_known_stays_where_it_is():
    spots = _places((0.5, 0.5, 0, 0, 1.0), HOME).of(ref("tv"))
    assert (spots == (0.0, 4.0)).all()


def test_one_missing_thing_has_one_place_under_two_phrases():
    places = _places((0.9, 0.3, 0.0, 0.0, 1.0))
    a, b = places.of(ref("piano", phrase="the piano")), places.of(ref("piano", phrase="a Piano"))
    assert (a == b).all()
    assert not (a == places.of(ref("bicycle"))).all()  # another thing, drawn on its own


# --- choices are shares of places ---


def test_direction_is_the_commonest_over_places():
    # In the frame of the rectangle the observer is at (-2, -1) and looks along +y to (-2, 1). The
    # piano is at (+-2.05 a, +-1.05 b) for (a, b) = (0.5, 0.5): always east of the observer, so
    # right; its y is -0.525 or 0.525, north of -1, so in front.
    code = room(
        thing("sofa", 8, 19, size=(0.1, 0.1, 0.1)), thing("tv", 8, 21, size=(0.1, 0.1, 0.1)),
        thing("bed", 12, 19, size=(0.1, 0.1, 0.1)), thing("door", 12, 21, size=(0.1, 0.1, 0.1)),
    )  # fmt: skip
    priors = Priors(places={"": [(0.5, 0.5, 0.0, 0.0, 1.0)]})
    hard = RelativeDirection(
        observer=ref("sofa"), facing=ref("tv"), target=ref("piano"), level="hard",
        options=options("front-left", "back-right", "front-right"),
    )  # fmt: skip
    answer = solve(hard, code, priors)
    assert (answer.option, answer.value, answer.confidence) == ("C", "front-right", 1.0)
    assert not answer.grounded
    assert [one.text() for one in answer.evidence.statements] == [
        "not in the code, assumed: direction of piano = front-right"
    ]
    # Facing the tv from the bed it is (-4, 2). To a piano at x, y from the middle: (x - 2, y + 1);
    # left if -4 (y + 1) - 2 (x - 2) > 0, that is x < -2 y: of (+-1.025, +-0.525), at
    # (-1.025, 0.525): -1.025 < -1.05 no; (-1.025, -0.525): yes; (1.025, 0.525): no;
    # (1.025, -0.525): 1.025 < 1.05, yes. Of the other place's ways, (+-2.05, 0) and (0, +-1.05),
    # left where x < 0, or where y < 0. Half in all.
    skew = Priors(places={"": [(1.0, 0.0, 0.0, 0.0, 3.0), (0.5, 0.5, 0.0, 0.0, 1.0)]})
    easy = RelativeDirection(
        observer=ref("bed"), facing=ref("tv"), target=ref("piano"), level="easy",
        options=options("right", "left"),
    )  # fmt: skip
    assert solve(easy, code, skew).confidence == pytest.approx(0.5, abs=0.02)


def test_shares_of_two_places():
    # the piano stands in the middle in 3 of 4 rooms, else at the rectangle's far right or left
    # (its sides exchanged: top or bottom). Seen from the bottom lamp, looking up the middle line
    # but shifted by 0.3: the middle is to the left.
    code = room(
        *_CORNERS.objects, thing("sofa", 10.3, 19, size=(0.1, 0.1, 0.1)),
        thing("tv", 10.3, 21, size=(0.1, 0.1, 0.1)),
    )  # fmt: skip
    priors = Priors(places={"": [(0, 0, 0, 0, 3.0), (1.0, 0, 0, 0, 1.0)]})
    question = RelativeDirection(
        observer=ref("sofa"), facing=ref("tv"), target=ref("piano"), level="easy",
        options=options("left", "right"),
    )  # fmt: skip
    answer = solve(question, code, priors)
    # right only at (+2.05, 0): a quarter of the ways of a quarter of the places
    assert answer.option == "A"
    assert answer.confidence == pytest.approx(15 / 16, abs=0.01)


def test_nearest_by_shares():
    # The missing piano is at (+-2.05, 0) or (0, +-1.05) from the middle, one fourth each. The tv
    # is at the right end and the bed at the left end.
    code = room(
        *_CORNERS.objects, thing("tv", 12, 20, size=(0.1, 0.1, 0.1)),
        thing("bed", 8, 20, size=(0.1, 0.1, 0.1)),
    )  # fmt: skip
    priors = Priors(places={"": [(1.0, 0.0, 0.0, 0.0, 1.0)]}, typical_size_m=0.1)
    question = RelativeDistance(
        anchor=ref("piano"), candidates=(ref("bed"), ref("tv")), options=options("bed", "tv")
    )
    answer = solve(question, code, priors)
    # right end: tv; left end: bed; top and bottom: equally far, so the first candidate
    assert (answer.option, answer.grounded) == ("A", False)
    assert answer.confidence == pytest.approx(0.75, abs=0.01)
    far = RelativeDistance(
        anchor=ref("piano"), candidates=(ref("tv"), ref("bed")), extreme="farthest",
        options=options("tv", "bed"),
    )  # fmt: skip
    assert solve(far, code, priors).confidence == pytest.approx(0.75, abs=0.01)


def test_distance_to_a_place_is_to_the_boxs_face():
    # piano always in the middle; a 2 m wide bed 5 m to the east: 5 - 1 to its face, less the
    # 0.025 m of the dot that stands for the place, less a quarter of the piano's 2 m
    code = room(thing("bed", 5, 0, size=(2.0, 1.0, 1.0)), thing("rug", -5, 0, size=(2.0, 1.0, 1.0)))
    index = SceneIndex.of(code)
    priors = Priors(places={"": [(0.0, 0.0, 0.0, 0.0, 1.0)]}, size_m={"piano": 2.0})
    places = Places(index, Extent.around(index.corners_m), priors)
    assert places.distances(ref("bed"), ref("piano")) == pytest.approx(np.full(400, 3.475))
    assert places.distances(ref("piano"), ref("bed")) == pytest.approx(np.full(400, 3.475))
    assert places.distances(ref("bed"), ref("rug")) == pytest.approx(np.full(400, 8.0))
    assert places.distances(ref("piano"), ref("bicycle")) == pytest.approx(np.zeros(400))


def test_nothing_is_random(tmp_path):
    """The same in this process twice, and in others with other hash seeds."""
    source = """
from spatialcode.questions.types import RelativeDistance, RelativeDirection
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.solver import solve
from tests.reasoning.rooms import HOME, options, ref
priors = Priors(places={"": [(0.9, 0.4, 0.1, 0, 1.0), (-0.3, 0.2, 0, 0, 2.0)]})
nouns = ("piano", "tv", "bicycle", "lamp")
print(solve(RelativeDistance(anchor=ref("guitar"), candidates=tuple(map(ref, nouns)),
                             options=options(*nouns)), HOME, priors))
print(solve(RelativeDirection(observer=ref("piano"), facing=ref("tv"), target=ref("guitar"),
                              level="hard", options=options("front-left", "back-left")),
            HOME, priors))
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", source], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout
        for seed in ("0", "1", "77")
    }  # fmt: skip
    assert len(said) == 1
    assert "Answer(" in said.pop()


# Lamps at the corners, (+-2, +-1) from (10, 20), and a place that lies at (+-1.025, 0) or
# (0, +-0.525) from there.
_MIDWAY = Priors(places={"": [(0.5, 0.0, 0.0, 0.0, 1.0)]})


@pytest.mark.parametrize(
    ("relation", "view", "word", "share"),
    [
        # seen by the camera, which looks north, from a tv at (10.5, 20): the piano is west of it at
        # three of four places
        ("left", "camera", "yes", 0.75),
        ("right", "camera", "no", 0.75),
        # nearer than the tv, whose y is 20.1: at all but the northern one
        ("front", "camera", "yes", 0.75),
        ("behind", "camera", "no", 0.75),
        # the tv itself faces south: east is its left, and south before it
        ("left", "object", "no", 0.75),
        ("front", "object", "yes", 0.75),
        ("behind", "object", "no", 0.75),
    ],
)
def test_a_relation_is_as_likely_as_its_places(relation, view, word, share):
    tv = thing("tv", 10.5, 20.1, size=(0.1, 0.1, 0.1), yaw_deg=180)
    question = Configuration(
        a=ref("piano"), relation=relation, b=ref("tv"), view=view, options=options("no", "yes")
    )
    answer = solve(question, room(*_CORNERS.objects, tv), _MIDWAY)
    assert (answer.value, answer.option) == (word, {"no": "A", "yes": "B"}[word])
    assert answer.confidence == pytest.approx(share, abs=0.01)
    assert not answer.grounded


def test_one_who_stands_at_a_thing_shares_its_front():
    # the piano faced is in the west on average, the bed 1 m east of the tv: at the back
    code = room(*_CORNERS.objects, thing("tv", 13, 20), thing("bed", 14, 20))
    question = Configuration(
        a=ref("bed"), relation="behind", b=ref("tv"), view="observer", observer=ref("tv"),
        facing=ref("piano"), options=options("no", "yes"),
    )  # fmt: skip
    answer = solve(question, code, _MIDWAY)
    assert (answer.value, answer.confidence) == ("yes", 1.0)


def test_a_direction_that_no_option_has_gives_way_to_the_next():
    code = room(*_CORNERS.objects, thing("sofa", 8, 19), thing("tv", 8, 21))
    question = RelativeDirection(
        observer=ref("sofa"), facing=ref("tv"), target=ref("piano"), level="hard",
        options=options("front-left", "back-left"),
    )  # fmt: skip
    answer = solve(question, code, _MIDWAY)  # the piano is to the right, wherever it is
    assert answer.option in {"A", "B"}
    assert not answer.grounded


def test_an_order_is_guessed_from_the_pairs_that_are_known():
    code = room(
        thing("tv", 0, 0, seen=(2.0, 2.0)), thing("bed", 2, 0, seen=(1.0, 2.0)),
        thing("sofa", 4, 0, seen=(3.0, 3.0)),
    )  # fmt: skip
    question = AppearanceOrder(
        candidates=tuple(map(ref, ("tv", "piano", "bed", "sofa"))),
        options=options("tv, bed, piano, sofa", "piano, bed, tv, sofa", "sofa, tv, bed, piano"),
    )
    answer = solve(question, code)  # bed, tv, sofa: the second has all three pairs right
    assert (answer.option, answer.grounded) == ("B", False)
