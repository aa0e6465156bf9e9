"""Reasoning re-run in changed rooms, by hand: the red team's room of unit cubes."""

import pytest

from spatialcode.questions.types import AbsoluteDistance, Counting, Reference
from spatialcode.reasoning.rubric.changes import (
    backwards,
    mirrored,
    moved,
    one_more,
    permuted,
    share_followed,
    without,
)
from spatialcode.reasoning.rubric.claims import read_statements
from spatialcode.reasoning.rubric.scoring import RubricConfig, score
from spatialcode.scene.relations import View, front_xy
from tests.reasoning.red_team import CODE, DIRECTION, DIRECTION_TEXT, DISTANCE, HONEST
from tests.reasoning.rooms import HOME


def _read(text):
    return [found.statement for found in read_statements(text)]


def _follows(family, old="", new=""):
    question, _, text, _ = HONEST[family]
    return share_followed(question, CODE, _read(text.replace(old, new) if old else text))


@pytest.mark.parametrize("family", HONEST)
def test_honest_reasoning_follows(family):
    assert _follows(family) == 1.0


def test_another_target_does_not_lead_to_the_answer_at_all():
    assert _follows("direction", "lamp_1", "chair_1") == 0.0


def test_angle_of_other_vectors_does_not_follow():
    # forward and to_target named the other way round: the angle is -90, right instead of left
    text = DIRECTION_TEXT.replace("angle(forward, to_target)", "angle(to_target, forward)")
    assert share_followed(DIRECTION, CODE, _read(text)) == 0.0


def test_a_count_falls_by_one_for_each_thing_deleted():
    question = Counting(target=Reference("chair"))
    right = _read("count(chair) = 2 [chair_1, chair_2]")
    assert share_followed(question, CODE, right) == 1.0
    # the sofa is no chair: in a room of chair_1 and the sofa there is one chair, not two
    assert share_followed(question, CODE, _read("count(chair) = 2 [chair_1, sofa_1]")) == 0.0


def test_what_the_result_does_not_rest_on_is_found_out():
    # The distance of the nearer chair is used; that of the other is quoted, and deleting chair_2
    # changes nothing. Of sofa, chair_1, chair_2 two deletions make the result impossible, one does
    # not; permuting is not asked for, since "chair" may mean either.
    question = AbsoluteDistance(a=Reference("sofa"), b=Reference("chair"))
    text = "distance(sofa_1, chair_1) = 4.00 m"
    padded = _read(text + "\nchair_2 is at (5.00, 3.00, 0.50)")
    assert share_followed(question, CODE, _read(text)) == 1.0
    assert share_followed(question, CODE, padded) == pytest.approx(2 / 3)


def test_nothing_cited_follows_nothing():
    assert share_followed(DISTANCE, CODE, _read("distance of 3 m")) == 0.0


def test_weight_puts_it_in_the_score():
    config = RubricConfig(weight_counterfactual=0.1)
    result = score(DIRECTION, CODE, DIRECTION_TEXT, "A", config)
    assert result.terms["counterfactual"] == 1.0
    assert result.total == 1.0
    assert "counterfactual" not in score(DIRECTION, CODE, DIRECTION_TEXT, "A").terms


def test_mirrored_room_is_seen_the_other_way_round():
    code = mirrored(HOME)
    assert code.object("lamp_1").center_m == (3.0, 0.0, 0.75)  # from (-3, 0)
    # a yaw of 30 degrees becomes -30
    w, _, _, z = code.object("table_1").quaternion_wxyz
    assert (w, z) == pytest.approx((0.9659258, -0.2588190))
    # what a front looked at is still in front, and left of it is right of it
    for here, there in zip(HOME.objects, code.objects, strict=True):
        (x, y), (u, v) = front_xy(here), front_xy(there)
        assert (u, v) == pytest.approx((-x, y), abs=1e-6)
    x, y = View.of_camera(HOME.cameras[0]).forward_xy
    assert View.of_camera(code.cameras[0]).forward_xy == pytest.approx((-x, y), abs=1e-6)
    assert mirrored(code) == HOME


def test_other_changes_do_what_they_say():
    swapped = permuted(CODE, "tv_1", "lamp_1")
    assert swapped.object("tv_1").center_m == (-3.0, 0.0, 0.5)
    assert swapped.object("lamp_1").center_m == (0.0, 4.0, 0.5)
    assert swapped.object("tv_1").first_seen_s == 1.0
    assert "tv_1" not in {item.id for item in without(CODE, "tv_1").objects}
    assert moved(CODE, ["tv_1"], (1.0, 2.0, 3.0)).object("tv_1").center_m == (1.0, 6.0, 3.5)
    assert [o.label for o in one_more(CODE, "chair_1").objects].count("chair") == 3
    assert [o.first_seen_s for o in backwards(CODE).objects] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]
