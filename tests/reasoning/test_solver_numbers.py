"""Counting, size, room size and distance, with numbers worked out by hand on `HOME`."""

from __future__ import annotations

import math

import pytest

from spatialcode.errors import SchemaError
from spatialcode.questions.types import (
    AbsoluteDistance,
    Counting,
    ObjectSize,
    RoomSize,
    UnparsedQuestion,
)
from spatialcode.reasoning.solver import solve
from spatialcode.reasoning.statements import Area, Count, Distance, Extents, Longest, Position
from tests.reasoning.rooms import HOME, options, ref, room, thing


def test_counting_names_every_thing_and_multiplies_scores():
    code = room(thing("chair", 0, 0, score=0.9), thing("tv", 2, 0), thing("chair", 4, 0, score=0.5))
    answer = solve(Counting(target=ref("chair")), code)
    assert (answer.value, answer.option, answer.unit, answer.final()) == (2.0, None, "", "2")
    assert answer.grounded
    assert answer.confidence == pytest.approx(0.45)
    assert answer.evidence.object_ids == ("chair_1", "chair_2")
    assert answer.evidence.statements == (Count("chair", ("chair_1", "chair_2"), 2),)
    assert answer.text() == "count(chair) = 2 [chair_1, chair_2]\nAnswer: 2"


@pytest.mark.parametrize(("unit", "value", "final"), [("cm", 200.0, "200.00 cm"),
                                                      ("m", 2.0, "2.00 m")])  # fmt: skip
def test_size_is_the_longest_extent_in_the_unit_asked_for(unit, value, final):
    answer = solve(ObjectSize(target=ref("table"), unit=unit), HOME)
    assert answer.value == pytest.approx(value)
    assert (answer.final(), answer.unit, answer.grounded) == (final, unit, True)
    assert answer.confidence == pytest.approx(0.7)
    extents, longest = answer.evidence.statements
    assert isinstance(extents, Extents)
    assert extents.size_m == pytest.approx((2.0, 1.0, 0.8))
    assert longest == Longest("table_1", 2.0)


def test_height_may_be_the_longest_extent():
    assert solve(ObjectSize(target=ref("lamp")), HOME).value == pytest.approx(150.0)


def test_of_several_the_middle_one_by_length_is_measured():
    lengths = (0.9, 0.3, 0.5)
    things = [thing("box", 3 * n, 0, size=(length, 0.2, 0.2)) for n, length in enumerate(lengths)]
    answer = solve(ObjectSize(target=ref("box")), room(*things))
    assert answer.value == pytest.approx(50.0)
    assert answer.evidence.object_ids == ("box_3",)
    # of two the shorter: (2 - 1) // 2 = 0
    assert solve(ObjectSize(target=ref("box")), room(*things[:2])).value == pytest.approx(30.0)


def test_room_size_is_the_codes_area():
    answer = solve(RoomSize(), HOME)
    assert (answer.value, answer.unit, answer.final()) == (37.25, "m2", "37.25 m2")
    assert answer.evidence.statements == (Area(37.25),)
    assert answer.grounded


# Sofa: x in [-1, 1], y in [-0.5, 0.5], z up to 0.8.
# - The lamp stands on a corner: it reaches 0.2 * sqrt(2) towards the sofa; 3 - 1 - that.
# - The table's nearest corner is its own (-1, -0.5), turned by 30 degrees:
#   (3 - cos 30 + 0.5 sin 30, 3 - sin 30 - 0.5 cos 30) = (2.38397, 2.06699); to (1, 0.5).
# - The clock's lower edge is 0.3 beyond and 0.4 above the sofa's upper edge: 3-4-5.
# - The tv's face is at y = 3.9 and its bottom at 0.7, below the sofa's top: 3.9 - 0.5.
_SOFA_TO = {
    "lamp": 2.0 - 0.2 * math.sqrt(2.0),
    "table": math.hypot(2.38397 - 1.0, 2.06699 - 0.5),
    "clock": 0.5,
    "tv": 3.4,
}


@pytest.mark.parametrize("noun", list(_SOFA_TO))
@pytest.mark.parametrize("swapped", [False, True])
def test_distance_between_turned_boxes_on_paper(noun, swapped):
    a, b = (ref(noun), ref("sofa")) if swapped else (ref("sofa"), ref(noun))
    answer = solve(AbsoluteDistance(a=a, b=b), HOME)
    assert answer.value == pytest.approx(_SOFA_TO[noun], abs=1e-5)
    assert answer.unit == "m"
    in_cm = solve(AbsoluteDistance(a=a, b=b, unit="cm"), HOME)
    assert in_cm.value == pytest.approx(100 * _SOFA_TO[noun], abs=1e-3)
    assert in_cm.final().endswith(" cm")


def test_distance_states_both_places_and_multiplies_both_scores():
    answer = solve(AbsoluteDistance(a=ref("sofa"), b=ref("lamp")), HOME)
    assert answer.evidence.object_ids == ("sofa_1", "lamp_1")
    first, second, distance = answer.evidence.statements
    assert isinstance(distance, Distance)
    assert (first, second) == (
        Position("sofa_1", HOME.object("sofa_1").center_m, "first"),
        Position("lamp_1", HOME.object("lamp_1").center_m, "second"),
    )
    assert distance.text() == "distance(sofa_1, lamp_1) = 1.72 m"
    assert answer.confidence == pytest.approx(0.9 * 0.5)


def test_distance_is_between_the_nearest_of_each_kind():
    code = room(thing("chair", 0, 0), thing("chair", 5, 0), thing("lamp", 8, 0))
    answer = solve(AbsoluteDistance(a=ref("chair"), b=ref("lamp")), code)
    assert answer.value == pytest.approx(2.8)  # 3 m less a half side of 0.1 each
    assert answer.evidence.object_ids == ("chair_2", "lamp_1")
    same_kind = solve(AbsoluteDistance(a=ref("chair"), b=ref("chair")), code)
    assert same_kind.value == pytest.approx(4.8)


def test_two_words_for_the_only_thing_there_ground_no_distance():
    answer = solve(AbsoluteDistance(a=ref("sofa"), b=ref("couch")), HOME)
    assert not answer.grounded
    assert answer.value > 0.0


def test_a_number_chooses_the_nearest_number_offered():
    code = room(*(thing("chair", 2 * n, 0) for n in range(3)))
    question = Counting(target=ref("chair"), options=options("2", "3 chairs", "10"))
    answer = solve(question, code)
    assert (answer.value, answer.option, answer.grounded) == (3.0, "B", True)
    assert answer.text().endswith("Answer: B")
    distance = AbsoluteDistance(a=ref("sofa"), b=ref("tv"), options=options("1.5 m", "3.0 m"))
    assert solve(distance, HOME).option == "B"
    few = Counting(target=ref("chair"), options=options("few", "many"))
    assert solve(few, code).option is None


@pytest.mark.parametrize(
    ("texts", "letter"),
    [
        # the sofa's longest side is 200 cm; by bare numbers 2.5 would be the nearest to 200
        (("1.5 m", "2.5 m", "2.1 m"), "C"),
        (("1.9 m", "250 cm"), "A"),
        (("100", "about 190", "400"), "B"),
        (("between 1 and 201 cm", "150 cm"), "B"),  # a range says no number
    ],
)
def test_an_options_own_unit_counts(texts, letter):
    size = ObjectSize(target=ref("sofa"), unit="cm", options=options(*texts))
    assert solve(size, HOME).option == letter


def test_number_words_are_numbers():
    words = options("none", "one", "two", "three")
    assert solve(Counting(target=ref("tv"), options=words), HOME).option == "B"
    code = room(*(thing("chair", 2 * n, 0) for n in range(3)))
    assert solve(Counting(target=ref("chair"), options=words), code).option == "D"


@pytest.mark.parametrize(
    "question",
    [
        Counting(target=ref("piano")), ObjectSize(target=ref("piano")),
        AbsoluteDistance(a=ref("sofa"), b=ref("piano")),
        AbsoluteDistance(a=ref("piano"), b=ref("sofa")),
    ],
)  # fmt: skip
def test_what_is_not_in_the_code_grounds_nothing(question):
    answer = solve(question, HOME)
    assert not answer.grounded
    assert answer.evidence.object_ids == ()
    assert answer.text().startswith("not in the code, assumed: ")
    assert 0.0 < answer.confidence < 0.5


def test_a_room_without_area_is_guessed():
    assert not solve(RoomSize(), room(thing("tv", 0, 0))).grounded


def test_what_was_not_understood_raises():
    with pytest.raises(SchemaError, match="no known kind"):
        solve(UnparsedQuestion(reason="no known kind of question"), HOME)
