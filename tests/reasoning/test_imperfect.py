"""Codes as perceivers make them: boxes of one thing found twice."""

from __future__ import annotations

import pytest

from spatialcode.questions.types import AbsoluteDistance, Counting, ObjectSize
from spatialcode.reasoning.rubric.scoring import score
from spatialcode.reasoning.solver import solve
from spatialcode.scene.index import SceneIndex
from tests.reasoning.rooms import ref, room, thing

# Two cubes of side 1, moved apart by d along x, share 1 - d of 1 + d: IoU (1 - d) / (1 + d).
# That is 0.5 at d = 1/3.
_CUBE = (1.0, 1.0, 1.0)


def _two(d: float, **second) -> list:
    return [thing("bed", 0, 0, size=_CUBE), thing("bed", d, 0, size=_CUBE, **second)]


@pytest.mark.parametrize(("d", "number"), [(0.0, 1), (0.1, 1), (0.33, 1), (0.34, 2), (1.5, 2)])
def test_boxes_that_overlap_by_half_count_once(d, number):
    answer = solve(Counting(target=ref("bed")), room(*_two(d)))
    assert answer.value == number
    assert len(answer.evidence.object_ids) == number


def test_turned_boxes_overlap_as_they_stand():
    # A square turned by 45 degrees keeps 2 (sqrt 2 - 1) = 0.828 of itself: IoU 0.707. A bar of
    # 3 x 1 turned by 90 degrees keeps 1 of 3: IoU 1/5, though the centres agree.
    turned = [thing("bed", 0, 0, size=_CUBE), thing("bed", 0, 0, size=_CUBE, yaw_deg=45)]
    bars = [thing("bed", 0, 0, size=(3, 1, 1)), thing("bed", 0, 0, size=(3, 1, 1), yaw_deg=90)]
    assert solve(Counting(target=ref("bed")), room(*turned)).value == 1
    assert solve(Counting(target=ref("bed")), room(*bars)).value == 2


def test_the_surest_box_stands_for_the_thing():
    code = room(*_two(0.1, score=0.5))
    assert solve(Counting(target=ref("bed")), code).evidence.object_ids == ("bed_1",)
    faint = [thing("bed", 0, 0, size=_CUBE, score=0.5), thing("bed", 0.1, 0, size=_CUBE)]
    answer = solve(Counting(target=ref("bed")), room(*faint))
    assert (answer.evidence.object_ids, answer.confidence) == (("bed_2",), 1.0)


def test_a_chain_of_overlaps_is_no_single_thing():
    # at 0, 0.3 and 0.6 neighbours are twins (IoU 0.54), the ends are not (0.25): the first and
    # surest keeps the second out, and the third stays
    chain = [thing("bed", d, 0, size=_CUBE) for d in (0.0, 0.3, 0.6)]
    answer = solve(Counting(target=ref("bed")), room(*chain))
    assert answer.evidence.object_ids == ("bed_1", "bed_3")


def test_other_kinds_in_one_place_are_other_things():
    code = room(thing("bed", 0, 0, size=_CUBE), thing("pillow", 0, 0, size=_CUBE))
    assert solve(Counting(target=ref("bed")), code).value == 1
    assert solve(Counting(target=ref("pillow")), code).value == 1


def test_two_synonyms_in_one_place_are_one_thing():
    code = room(thing("couch", 0, 0, size=_CUBE), thing("settee", 0.1, 0, size=_CUBE))
    assert solve(Counting(target=ref("sofa")), code).value == 1


def test_a_thing_is_not_at_distance_0_from_itself():
    code = room(*_two(0.1), thing("bed", 4, 0, size=_CUBE))
    answer = solve(AbsoluteDistance(a=ref("bed"), b=ref("bed")), code)
    assert answer.value == pytest.approx(3.0)


def test_the_middle_size_is_of_things_and_not_of_boxes():
    things = [
        thing("bed", 0, 0, size=(2.0, 1, 1)), thing("bed", 0, 0, size=(2.1, 1, 1)),
        thing("bed", 0, 0, size=(2.2, 1, 1)), thing("bed", 5, 0, size=(1.0, 1, 1)),
        thing("bed", 9, 0, size=(1.5, 1, 1)),
    ]  # fmt: skip
    # three things of 2, 1 and 1.5 m: the middle one is 1.5
    assert solve(ObjectSize(target=ref("bed"), unit="m"), room(*things)).value == pytest.approx(1.5)


def test_the_rubric_counts_as_the_solver_does():
    code = room(*_two(0.1), thing("bed", 4, 0, size=_CUBE))
    question = Counting(target=ref("bed"))
    answer = solve(question, code)
    assert answer.value == 2
    assert score(question, code, answer.text(), "2").total == 1.0
    left_out = "count(bed) = 1 [bed_1]\nAnswer: 1"
    assert score(question, code, left_out, "1").total < 1.0


def test_twins_are_named_both_ways():
    code = room(*_two(0.1), thing("tv", 0.05, 0, size=_CUBE), thing("lamp", 9, 0))
    assert SceneIndex.of(code).twins == {
        "bed_1": frozenset({"bed_2", "tv_1"}), "bed_2": frozenset({"bed_1", "tv_1"}),
        "tv_1": frozenset({"bed_1", "bed_2"}),
    }  # fmt: skip
    assert SceneIndex.of(room()).twins == {}
