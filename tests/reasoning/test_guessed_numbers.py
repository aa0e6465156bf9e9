"""Guessed numbers, usual answers, and corrections, by hand."""

from __future__ import annotations

import math

import pytest

from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    Forward,
    ObjectSize,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning.priors.guesses import corrected, guess
from spatialcode.reasoning.priors.known import LogLinear, Priors
from spatialcode.reasoning.solver import solve, solve_blind
from spatialcode.scene.index import SceneIndex
from tests.reasoning.rooms import HOME, options, ref, room, thing

# Four small lamps at the corners of a rectangle x in [-2, 2], y in [-1, 1] round (10, 20): their
# faces make it 2.05 and 1.05 wide on each side.
_CORNERS = room(
    *(thing("lamp", 10 + 2 * u, 20 + v, size=(0.1, 0.1, 0.1)) for u in (-1, 1) for v in (-1, 1))
)
_HALF = (2.05, 1.05)


# --- numbers ---


def test_numbers_without_anything_fitted():
    assert guess(Counting(target=ref("piano")), None, Priors()).value == 2.0
    assert guess(ObjectSize(target=ref("piano")), None, Priors()).value == 80.0
    assert guess(ObjectSize(target=ref("piano"), unit="m"), None, Priors()).value == 0.8
    assert guess(RoomSize(), None, Priors()).value == 20.0
    far = AbsoluteDistance(a=ref("piano"), b=ref("tv"))
    assert guess(far, None, Priors()).value == 2.0
    in_cm = AbsoluteDistance(a=ref("piano"), b=ref("tv"), unit="cm")
    assert guess(in_cm, None, Priors()).value == 200.0


def test_sizes_by_kind_also_under_a_synonym():
    priors = Priors(size_m={"sofa": 1.9}, typical_size_m=0.5)
    assert guess(ObjectSize(target=ref("couch")), None, priors).value == pytest.approx(190.0)
    assert guess(ObjectSize(target=ref("piano")), None, priors).value == pytest.approx(50.0)


def test_log_linear_by_hand():
    # exp(ln 2 + 0.5 ln 9 - ln 3) = 2 * 3 / 3
    law = LogLinear(math.log(2.0), (0.5, -1.0))
    assert law.value(math.log(9.0), math.log(3.0)) == pytest.approx(2.0)
    assert LogLinear(0.0).value() == 1.0
    with pytest.raises(ValueError, match="shorter"):
        law.value(1.0)


def test_room_and_distance_from_the_rectangle():
    index = SceneIndex.of(_CORNERS)
    area = 4 * _HALF[0] * _HALF[1]
    assert guess(RoomSize(), index, Priors()).value == pytest.approx(area)
    priors = Priors(
        area_of_extent=LogLinear(math.log(2.0), (1.0,)),
        distance_of_extent=LogLinear(math.log(0.5), (0.5,)),
    )
    assert guess(RoomSize(), index, priors).value == pytest.approx(2 * (area + 1))
    far = AbsoluteDistance(a=ref("piano"), b=ref("lamp"), unit="cm")
    assert guess(far, index, priors).value == pytest.approx(50 * math.sqrt(area + 1))


# --- choices without geometry ---


def test_the_usual_answer_is_taken_where_an_option_has_it():
    priors = Priors(answers={"configuration": "yes", "route_planning": "Turn Back"})
    question = Configuration(
        a=ref("piano"), relation="left", b=ref("tv"), options=options("no", "yes")
    )
    assert solve_blind(question, priors).option == "B"
    assert solve_blind(question).option == "A"  # the first, where nothing is known
    route = RoutePlanning(
        start=ref("piano"), facing=ref("tv"), destination=ref("tv"),
        steps=(Blank(), Forward(ref("tv"))), options=options("Turn Left", "turn back"),
    )  # fmt: skip
    assert solve_blind(route, priors).option == "B"


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (RelativeDistance(anchor=ref("a"), candidates=(ref("b"), ref("c"))), "b"),
        (RelativeDirection(observer=ref("a"), facing=ref("b"), target=ref("c"), level="hard"),
         "front-left"),
        (AppearanceOrder(candidates=(ref("b"), ref("a"))), "b, a"),
        (RoutePlanning(start=ref("a"), facing=ref("b"), destination=ref("c"),
                       steps=(Blank(), Forward(ref("b")), Blank(), Forward(ref("c")))),
         "Turn Left, Turn Left"),
        (Configuration(a=ref("a"), relation="on", b=ref("b")), "no"),
    ],
)  # fmt: skip
def test_without_options_a_guess_is_still_an_answer_to_the_question(question, words):
    # what is usual in the family elsewhere may name other things
    answer = solve_blind(question, Priors(answers={question.family: "chair, tv"}))
    assert (answer.value, answer.option) == (words, None)


# --- corrections ---


def test_corrections_are_made_only_where_priors_are_given():
    question = ObjectSize(target=ref("table"))
    priors = Priors(size_m={"table": 1.0}, size_of_size=LogLinear(0.0, (0.75, 0.25)))
    assert solve(question, HOME).value == pytest.approx(200.0)
    assert solve(question, HOME, Priors()).value == pytest.approx(200.0)
    answer = solve(question, HOME, priors)
    # its own 2 m weighs 0.75, the kind's 1 m 0.25: exp(0.75 ln 2 + 0.25 ln 1) = 1.6818 metres
    assert answer.value == pytest.approx(168.179, abs=1e-3)
    assert answer.evidence.statements[-1].text() == (
        "not in the code, assumed: answer after correction = 168.18 cm"
    )
    assert (answer.grounded, answer.confidence) == (True, pytest.approx(0.7))
    in_metres = solve(ObjectSize(target=ref("table"), unit="m"), HOME, priors)
    assert in_metres.value == pytest.approx(1.68179, abs=1e-5)


def test_distances_are_corrected_with_their_offset():
    priors = Priors(distance_of_distance=LogLinear(math.log(2.0), (1.0,)))
    metres = solve(AbsoluteDistance(a=ref("sofa"), b=ref("clock")), HOME, priors)
    assert metres.value == pytest.approx(2 * (0.5 + 0.5), abs=1e-5)
    cm = solve(AbsoluteDistance(a=ref("sofa"), b=ref("clock"), unit="cm"), HOME, priors)
    assert cm.value == pytest.approx(200.0, abs=1e-3)


@pytest.mark.parametrize(("num", "least", "value"), [(1, 2, 2.0), (3, 2, 3.0), (1, 0, 1.0)])
def test_a_count_is_never_below_the_least_that_is_asked_for(num, least, value):
    code = room(*(thing("chair", 3 * n, 0) for n in range(num)))
    answer = solve(Counting(target=ref("chair")), code, Priors(least_count=least))
    assert answer.value == value


def test_choices_are_not_corrected():
    question = RelativeDistance(
        anchor=ref("sofa"), candidates=(ref("tv"), ref("clock")), options=options("tv", "clock")
    )
    answer = solve(question, HOME)
    priors = Priors(distance_of_distance=LogLinear(5.0, (1.0,)), least_count=9)
    assert corrected(question, answer, priors) is answer
