"""Priors fitted on rooms made for the purpose, where what comes out is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spatialcode.questions.types import QuestionItem
from spatialcode.reasoning.families.registry import parse
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.priors.fit import best_value, fit_priors, regression, room_group
from spatialcode.reasoning.priors.known import Priors
from spatialcode.reasoning.solver import solve_blind
from tests.reasoning.rooms import room, thing

_SIZE = "What is the length of the longest dimension of the {}, measured in centimeters?"
_FAR = "What is the distance between the {} and the {} (in meters)?"
_AREA = "What is the size of this room (in square meters)?"
_MANY = "How many {}(s) are in this room?"


def item(scene: str, text: str, truth: str, *options: str) -> QuestionItem:
    return QuestionItem(
        id=f"{scene} {text}", scene=scene, question_type="", question=text, options=options,
        ground_truth=truth,
    )  # fmt: skip


def test_scans_of_one_room_are_one_group():
    assert room_group("scene0651_02") == room_group("scene0651_00") == "scene0651"
    assert room_group("scene0652_00") != "scene0651"
    for scene in ("41069025", "scene651_02", "scene0651_021", "a_01", ""):
        assert room_group(scene) == scene


# --- the best single number ---


def _score(value: float, truths) -> float:
    return float(np.mean([mean_relative_accuracy(value, truth) for truth in truths]))


def test_the_best_number_for_equal_truths_is_that_number():
    assert best_value(np.log([3.0, 3.0, 3.0])) == pytest.approx(3.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_number_is_as_good_as_any_on_a_grid(seed):
    truths = np.exp(np.random.default_rng(seed).normal(0.5, 0.4, 200))
    grid = [_score(value, truths) for value in np.arange(0.5, 4.0, 0.005)]
    # smoothed over neighbours 2 % away, it may give up what a single spike would win: with 200
    # truths at most a few of their ten steps
    assert _score(best_value(np.log(truths)), truths) >= max(grid) - 0.02
    # and it is no plain average: both lose to it or equal it
    for other in (float(np.median(truths)), float(truths.mean())):
        assert _score(best_value(np.log(truths)), truths) >= _score(other, truths) - 0.005


def test_overestimates_cost_more_than_underestimates():
    # of truths 1 and 4 with equal weight, 2 scores 0 and 0.1; near 1 half of the points are won
    assert best_value(np.log([1.0] * 6 + [4.0] * 5)) == pytest.approx(1.0, rel=0.05)


# --- regressions ---


@pytest.mark.parametrize("num", [6, 20, 200])
def test_an_exact_law_comes_back_shrunk_as_the_ridge_says(num):
    # y = 0.7 + 0.5 x in logarithms. Standardised samples have z·z = n, so the ridge of 1 makes the
    # slope n / (n + 1) of it.
    x = np.linspace(-1.0, 2.0, num)
    law = regression([[v] for v in x.tolist()], np.exp(0.7 + 0.5 * x).tolist())
    assert law is not None
    assert law.weights[0] == pytest.approx(0.5 * num / (num + 1), rel=1e-4)
    # the line still goes near the middle: within the shift that the score allows (5 %)
    assert law.value(0.5) == pytest.approx(math.exp(0.95), rel=0.05)


def test_two_features_tell_each_other_apart():
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, (400, 2))
    y = 0.2 + 0.8 * x[:, 0] - 0.3 * x[:, 1]
    law = regression(x.tolist(), np.exp(y).tolist())
    assert law is not None
    assert law.weights == pytest.approx((0.8, -0.3), abs=0.01)


def test_too_few_samples_or_zeros_fit_nothing():
    assert regression([], []) is None
    assert regression([[0.0]] * 3, [1.0] * 3) is None  # two parameters need four samples
    assert regression([[0.0]] * 4, [1.0] * 4) is not None
    assert regression([[0.0]] * 4, [1.0, 1.0, 1.0, 0.0]) is None  # 0 has no logarithm


# --- whole priors ---


def _boxed(scale: float = 1.0):
    """A room whose rectangle is 4 x 2 m times ``scale``, with a table in the middle."""
    corners = [thing("lamp", 2 * scale * u, scale * v, size=(1e-3,) * 3)
               for u in (-1, 1) for v in (-1, 1)]  # fmt: skip
    return room(*corners, thing("table", 0.5 * scale, 0.0, size=(scale, 0.1, 0.1)))


_ROOMS = {f"room{n}": _boxed(1.0 + 0.25 * n) for n in range(8)}
_ITEMS = [
    question
    for n, scene in enumerate(_ROOMS)
    for question in (
        item(scene, _SIZE.format("table"), str(120.0 + n)),
        item(scene, _SIZE.format("desk"), str(120.0 + n)),
        item(scene, _SIZE.format("lamp"), "30"),
        # the floor is twice the rectangle and its 1 m2
        item(scene, _AREA, str(2 * (8 * (1.0 + 0.25 * n) ** 2 + 1))),
        item(scene, _FAR.format("lamp", "table"), str(1.0 + n)),
        item(scene, _MANY.format("lamp"), "4"),
        item(scene, "Is the lamp above the table?", "B", "A. yes", "B. no"),
    )
]


def test_what_is_fitted():
    priors = fit_priors(_ROOMS, _ITEMS)
    # tables and desks are one kind: 16 of about 1.235 m; the mean of all logs pulls as one more
    tables = [math.log(1.2 + 0.01 * n) for n in range(8)] * 2
    everything = [*tables, *[math.log(0.3)] * 8]
    middle = sum(everything) / len(everything)
    assert priors.size_m["table"] == pytest.approx(math.exp((sum(tables) + middle) / 17))
    assert priors.size_m["lamp"] == pytest.approx(math.exp((8 * math.log(0.3) + middle) / 9))
    assert set(priors.size_m) == {"table", "lamp"}
    assert priors.typical_count == 4
    assert priors.answers == {"configuration": "no"}
    # an exact law of the rectangle, but for ridge and shift
    assert priors.area_of_extent is not None
    assert priors.area_of_extent.value(math.log(8 * 4 + 1)) == pytest.approx(2 * 33, rel=0.06)
    # a code taken as it is has nothing to correct
    assert (priors.size_of_size, priors.distance_of_distance, priors.least_count) == (None, None, 0)


def test_places_are_where_things_stand_among_the_others():
    priors = fit_priors(_ROOMS, [])
    tables, all_kinds = priors.places["table"], priors.places[""]
    assert len(tables) == 8
    assert len(all_kinds) == 8 * 5
    # a quarter of the half length, in the middle across: sides may be either way round
    for share_x, share_y, beyond_x, beyond_y, weight in tables:
        assert sorted([abs(share_x), abs(share_y)]) == pytest.approx([0.0, 0.25], abs=1e-3)
        assert (beyond_x, beyond_y, weight) == (0.0, 0.0, 1.0)
    # lamps are five times eight things less the table's, so they have places of their own
    assert len(priors.places["lamp"]) == 32


def test_rare_kinds_and_bare_rooms_give_no_places_of_their_own():
    four = dict(list(_ROOMS.items())[:4])
    assert set(fit_priors(four, []).places) == {"", "lamp"}  # four tables are too few
    bare = {"a": room(thing("tv", 0, 0), thing("bed", 2, 0), thing("sofa", 4, 0))}
    assert fit_priors(bare, []).places == {}
    assert fit_priors({}, []) == Priors()


def test_a_place_outside_the_others_is_beyond_the_rectangle():
    # a door 3 m beyond the end of what the lamps span
    lamps = [one for one in _boxed().objects if one.label == "lamp"]
    rooms = {str(n): room(*lamps, thing("door", 5, 0)) for n in range(5)}
    for share_x, share_y, beyond_x, beyond_y, _ in fit_priors(rooms, []).places["door"]:
        along, across = sorted([(share_x, beyond_x), (share_y, beyond_y)], key=lambda p: -abs(p[1]))
        assert (abs(along[0]), abs(along[1])) == pytest.approx((1.0, 3.0), abs=1e-3)
        assert along[0] * along[1] > 0.0  # beyond the side that it is at
        assert across == pytest.approx((0.0, 0.0), abs=1e-6)


def test_units_are_those_of_the_question():
    in_metres = _SIZE.replace("centimeters", "meters").format("table")
    rooms = {"a": _ROOMS["room0"]}
    (metres, cm) = (
        fit_priors(rooms, [item("a", text, truth)])
        for text, truth in ((in_metres, "1.2"), (_SIZE.format("table"), "120"))
    )
    assert metres.size_m == pytest.approx({"table": 1.2})
    assert cm.size_m == pytest.approx({"table": 1.2})
    assert metres.typical_size_m == pytest.approx(cm.typical_size_m) == pytest.approx(1.2)
    far = "What is the distance between the lamp and the table in centimeters?"
    assert fit_priors(rooms, [item("a", far, "250")]).typical_distance_m == pytest.approx(2.5)


def test_zero_distances_and_counts_do_not_upset_a_fit():
    items = [*_ITEMS, item("room0", _FAR.format("lamp", "table"), "0"),
             item("room0", _MANY.format("piano"), "0")]  # fmt: skip
    priors = fit_priors(_ROOMS, items, _ROOMS)
    assert priors.typical_count == 4
    assert priors.distance_of_distance is not None
    assert math.isfinite(priors.distance_of_distance.intercept)
    assert priors.least_count == 0


def test_a_perceivers_habits_are_fitted_and_the_truth_is_not_touched():
    # the perceiver's tables are half as long as they are
    seen = {
        scene: room(*(o for o in code.objects if o.label == "lamp"),
                    thing("table", 0, 0, size=(0.6 + 0.005 * n, 0.1, 0.1)))
        for n, (scene, code) in enumerate(_ROOMS.items())
    }  # fmt: skip
    items = [one for one in _ITEMS if "lamp" not in one.question]
    priors = fit_priors(_ROOMS, items, seen)
    assert priors.size_of_size is not None
    corrected = priors.size_of_size.value(math.log(0.6), math.log(priors.size_m["table"]))
    assert corrected == pytest.approx(1.2, rel=0.06)
    assert len(priors.places["table"]) == 8  # where things stand is learned from the annotation
    many = [item(scene, _MANY.format("lamp"), "2") for scene in _ROOMS]
    assert fit_priors(_ROOMS, [*items, *many], seen).least_count == 2


def test_rooms_that_are_held_out_change_nothing():
    held_out = "room7"
    given = {scene: code for scene, code in _ROOMS.items() if scene != held_out}
    before = fit_priors(given, _ITEMS, _ROOMS)
    # other answers, and another perception, of the room that is not given
    changed = [
        item(one.scene, one.question, "A" if one.options else "777", *one.options)
        if one.scene == held_out else one
        for one in _ITEMS
    ]  # fmt: skip
    other = {**_ROOMS, held_out: room(thing("table", 0, 0, size=(9.0, 9.0, 9.0)))}
    assert fit_priors(given, changed, other) == before
    assert fit_priors(given, [one for one in _ITEMS if one.scene != held_out], given) == before
    # whereas given, it counts
    assert fit_priors(_ROOMS, changed, other) != fit_priors(_ROOMS, _ITEMS, _ROOMS)


def test_what_is_fitted_is_what_is_guessed():
    priors = fit_priors(_ROOMS, _ITEMS)
    assert solve_blind(parse(_MANY.format("piano")), priors).value == 4.0
    assert solve_blind(parse(_SIZE.format("couch")), priors).value == pytest.approx(
        100 * priors.typical_size_m
    )
    question = parse("Is the piano above the tv?", ["A. yes", "B. no"])
    assert solve_blind(question, priors).option == "B"


def test_numbers_among_options_and_truths_of_0_fit_nothing():
    rooms = {"r": room(thing("table", 0, 0), thing("tv", 3, 0), thing("bed", 6, 0))}
    told = [item("r", _SIZE.format("table"), "150"), item("r", _MANY.format("tv"), "1")]
    letters = [item("r", _MANY.format("table"), "B", "A. 7", "B. 9"),
               item("r", _FAR.format("tv", "bed"), "A", "A. 2.8", "B. 5")]  # fmt: skip
    zeros = [item("r", _SIZE.format("bed"), "0"), item("r", _FAR.format("tv", "table"), "0"),
             item("r", _AREA, "0")]  # fmt: skip
    assert fit_priors(rooms, [*told, *letters, *zeros]) == fit_priors(rooms, told)
    # the same with a perceiver's codes, whose sizes are compared with what is typical
    fit_priors(rooms, [*told, *letters, *zeros], rooms)
