"""Conclusions recomputed, chosen objects kept to, and selectors: by hand, in the red team's room.

Cubes of 1 m at sofa (0, 0), tv (0, 4), lamp (-3, 0), chair_1 (5, 0), chair_2 (5, 3), and a pillow
on the sofa. First seen in this order, a second apart.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Configuration,
    Counting,
    ObjectSize,
    Reference,
    RelativeDirection,
    Selector,
)
from spatialcode.reasoning.rubric.scoring import score
from spatialcode.reasoning.solver import solve
from tests.reasoning.asking import YES_NO, options
from tests.reasoning.red_team import CODE, DIRECTION, DIRECTION_TEXT, HONEST
from tests.reasoning.rooms import HOME, room, thing


def _consistency(question, text, gold, code=CODE):
    return score(question, code, text, gold).terms["consistency"]


@pytest.mark.parametrize(
    ("family", "true", "false"),
    [
        ("direction", "to the left", "to the right"),
        ("hard", "to the back-right", "to the back-left"),
        ("nearest", "closest to sofa_1: lamp_1", "closest to sofa_1: tv_1"),
        ("route", "turn 1 at sofa_1: right", "turn 1 at sofa_1: left"),
        ("route", "turn 1 at sofa_1: right", "turn 1 at tv_1: right"),
        ("route", "turn 1 at sofa_1: right", "turn 2 at sofa_1: right"),
        ("order", "order: sofa_1, tv_1, lamp_1", "order: tv_1, sofa_1, lamp_1"),
        ("order", "order: sofa_1, tv_1, lamp_1", "order: sofa_1, tv_1, chair_1"),
        ("above", "above(pillow_1, sofa_1) = yes", "above(pillow_1, sofa_1) = no"),
        ("viewed", "left(lamp_1, sofa_1) = yes", "left(lamp_1, sofa_1) = no"),
    ],
)
def test_a_false_conclusion_is_a_false_claim(family, true, false):
    question, gold, text, _ = HONEST[family]
    assert true in text
    assert _consistency(question, text, gold) == 1.0
    result = score(question, CODE, text.replace(true, false), gold)
    assert result.terms["consistency"] == 0.0
    assert result.reasons["consistency"].startswith(("shut: false", "false"))


@pytest.mark.parametrize(
    ("claim", "true"),
    [
        ("above(pillow_1, sofa_1) = yes", True),
        ("below(sofa_1, pillow_1) = yes", True),
        ("on(pillow_1, sofa_1) = yes", True),
        ("inside(pillow_1, sofa_1) = no", True),
        ("above(pillow_1, chair_1) = yes", False),  # as high, but 5 m beside it
        ("inside(pillow_1, sofa_1) = yes", False),
        ("on(sofa_1, pillow_1) = yes", False),
        ("above(pillow_1, table_9) = yes", False),  # no such thing
    ],
)
def test_relations_of_heights_are_checked_beside_any_question(claim, true):
    text = claim + "\n" + DIRECTION_TEXT
    assert _consistency(DIRECTION, text, "A") == (1.0 if true else 0.0)


def test_a_relation_is_told_from_the_view_that_is_asked_for():
    # The sofa faces +y and the lamp is at -x: left. One who stands at the tv and faces the sofa
    # looks along -y and has the lamp on the right.
    own = Configuration(
        a=Reference("lamp"), relation="left", b=Reference("sofa"), view="object", options=YES_NO
    )
    other = replace(own, view="observer", observer=Reference("tv"), facing=Reference("sofa"))
    for question, word in ((own, "yes"), (other, "no")):
        answer = solve(question, CODE)
        assert answer.value == word
        assert score(question, CODE, answer.text(), answer.option).total == 1.0
        said, instead = f"= {word}", f"= {'no' if word == 'yes' else 'yes'}"
        text = answer.text().replace(said, instead)
        assert _consistency(question, text, answer.option) == 0.0


def test_camera_that_looks_down_sees_by_the_image_top():
    # x of the camera along world x, y along -y, z down: the image's top is world +y.
    pose = ((1.0, 0, 0, 0), (0, -1.0, 0, 0), (0, 0, -1.0, 3.0), (0, 0, 0, 1.0))
    code = replace(HOME, cameras=(replace(HOME.cameras[0], T_world_camera=pose),))
    question = Configuration(
        a=Reference("lamp"), relation="left", b=Reference("sofa"), options=YES_NO
    )
    answer = solve(question, code)
    assert "forward = front(camera) = (0.00, 1.00)" in answer.text()
    assert score(question, code, answer.text(), answer.option).total == 1.0


def test_reasoning_must_stay_with_the_object_it_chose():
    # Both chairs may be meant; the roles take chair_1, so vectors of chair_2 serve nothing.
    question = RelativeDirection(
        observer=Reference("sofa"), facing=Reference("tv"), target=Reference("chair"),
        level="easy", options=options("left", "right"),
    )  # fmt: skip
    text = DIRECTION_TEXT.replace("lamp_1", "chair_1").replace("-3.00", "5.00")
    text = text.replace("12.00", "-20.00").replace("= 90.0", "= -90.0")
    text = text.replace("to the left", "to the right").replace("Answer: A", "Answer: B")
    assert score(question, CODE, text, "B").total == 1.0
    # chair_2 is at (5, 3): dot 12, cross -20, angle -atan2(20, 12) = -59.0
    mixed = text.replace("chair_1 - sofa_1 = (5.00, 0.00)", "chair_2 - sofa_1 = (5.00, 3.00)")
    mixed = mixed.replace("dot(forward, to_target) = 0.00", "dot(forward, to_target) = 12.00")
    mixed = mixed.replace("= -90.0", "= -59.0")
    assert mixed != text
    assert _consistency(question, mixed, "B") == 0.0


_TABLES = room(
    thing("table", 0, 0, 0.4, (1.0, 1.0, 0.8)), thing("table", 4, 0, 0.4, (2.0, 1.0, 0.8)),
    thing("tv", 0, 3, 0.4, (0.4, 0.2, 0.4)), thing("lamp", 9, 0, 0.4, (0.4, 0.4, 0.8)),
)  # fmt: skip


def test_a_selector_means_one_thing_only():
    # tables of 0.8 and 1.6 cubic metres: the largest is table_2, the one nearest the tv table_1
    largest = Reference("table", selector=Selector("largest"))
    near = Reference("table", selector=Selector("nearest", Reference("tv")))
    tv, lamp = Reference("tv"), Reference("lamp")
    for wanted, used in (
        (AbsoluteDistance(a=near, b=lamp), ("table_1", "lamp_1")),
        (AbsoluteDistance(a=largest, b=tv), ("table_2", "tv_1")),
    ):
        answer = solve(wanted, _TABLES)
        assert answer.evidence.object_ids == used
        assert score(wanted, _TABLES, answer.text(), answer.value).total == 1.0
    size = ObjectSize(target=largest)
    right = "table_2 measures 2.00 x 1.00 x 0.80 m\nlongest(table_2) = 2.00 m\nAnswer: 200 cm"
    other = "table_1 measures 1.00 x 1.00 x 0.80 m\nlongest(table_1) = 1.00 m\nAnswer: 200 cm"
    assert score(size, _TABLES, right, "200").total == 1.0
    terms = score(size, _TABLES, other, "200").terms
    assert terms["answer"] == 1.0
    assert terms["grounding"] == terms["geometry"] == terms["consistency"] == 0.0


def test_the_nearest_pair_is_meant_where_there_are_several():
    # sofa to the chairs: 4.00 m and sqrt(16 + 4) = 4.47 m
    question = AbsoluteDistance(a=Reference("sofa"), b=Reference("chair"))
    text = (
        "first: sofa_1 is at (0.00, 0.00, 0.50)\nsecond: chair_2 is at (5.00, 3.00, 0.50)\n"
        "distance(sofa_1, chair_2) = 4.47 m\nAnswer: 4.47 m"
    )
    terms = score(question, CODE, text, "4.0").terms
    assert terms["answer"] > 0.5
    assert terms["consistency"] == terms["geometry"] == 0.0


def test_numbers_that_round_alike_entail_either_answer():
    # seen at 1.001 and 1.004 s: both are written 1.00, and either order follows from that
    code = room(
        thing("tv", 0, 0, seen=(1.004, 2.0)), thing("lamp", 3, 0, seen=(1.001, 2.0)),
        thing("sofa", 6, 0, seen=(1.5, 2.0)),
    )  # fmt: skip
    names = [Reference(name) for name in ("tv", "lamp", "sofa")]
    question = AppearanceOrder(
        candidates=tuple(names), options=options("tv, lamp, sofa", "lamp, tv, sofa")
    )
    answer = solve(question, code)
    assert answer.option == "B"
    assert score(question, code, answer.text(), "B").total == 1.0
    assert _consistency(question, answer.text().replace(": B", ": A"), "B", code) == 0.0


def test_a_count_must_be_of_all_that_the_noun_means():
    question = Counting(target=Reference("chair"))
    assert _consistency(question, "count(chair) = 2 [chair_1, chair_2]\nAnswer: 2", "2") == 1.0
    # the word may be another one for the same things, not for fewer of them
    assert _consistency(question, "count(chair) = 1 [chair_1]\nAnswer: 1", "2") == 0.0


def test_choices_without_options_are_answered_in_words():
    question = Configuration(a=Reference("pillow"), relation="on", b=Reference("sofa"))
    answer = solve(question, CODE)
    assert answer.final() == "yes"
    assert score(question, CODE, answer.text(), "yes").total == 1.0
    assert score(question, CODE, "Answer: yes or no", "yes").total == 0.0


def test_numbers_offered_as_options():
    question = AbsoluteDistance(
        a=Reference("sofa"), b=Reference("tv"), options=options("1.1 m", "2.8 m", "7 m")
    )
    answer = solve(question, CODE)  # 3.00 m: B is nearest
    assert answer.option == "B"
    assert score(question, CODE, answer.text(), "B").total == 1.0
    assert _consistency(question, answer.text().replace(": B", ": A"), "A") == 0.0


def test_a_direction_of_another_level_is_true_and_concludes_nothing():
    # the lamp is at 90 degrees: left, and at the border back-left
    text = DIRECTION_TEXT.replace("to the left", "to the back-left")
    assert _consistency(DIRECTION, text, "A") == 0.5
    assert _consistency(DIRECTION, text.replace("back-left", "back-right"), "A") == 0.0
