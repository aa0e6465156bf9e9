"""Each relation in each view, yes and no, with signs worked out by hand.

The lamp is at (-2, 1) and the sofa at (1, 3): from the sofa to the lamp it is (-3, -2). The camera
is at (0, -5) and looks north.
"""

from __future__ import annotations

import math

import pytest

from spatialcode.questions.types import Configuration
from spatialcode.reasoning.solver import solve
from spatialcode.reasoning.statements import Height, Holds, Vector
from tests.reasoning.rooms import options, ref, room, thing
from tests.scene import builders

_YES_NO = options("yes", "no")


def _room(yaw_deg: float = 0.0, **changes):
    return room(
        thing("lamp", -2, 1, score=0.5),
        thing("sofa", 1, 3, size=(0.5, 0.5, 0.5), yaw_deg=yaw_deg, score=0.8),
        thing("door", 4, 2, score=0.9), thing("tv", 4, 6, score=0.7), **changes,
    )  # fmt: skip


def _ask(code, relation, view="camera", **named):
    references = {name: ref(noun) for name, noun in named.items()}
    question = Configuration(
        a=ref("lamp"), b=ref("sofa"), relation=relation, view=view, options=_YES_NO, **references
    )
    return solve(question, code)


#: (yaw of the sofa, view, who looks, what is faced): which of left/right, front/behind holds.
_VIEWS = [
    # looking north the lamp is west (left) and south, nearer to the camera (in front)
    (0, "camera", {}, {"left", "front"}),
    (90, "camera", {}, {"left", "front"}),  # the sofa's own front is of no account
    # the sofa faces north: the lamp is to its left and at its back
    (0, "object", {}, {"left", "behind"}),
    # it faces south: the lamp in the west is to its right, and before it
    (180, "object", {}, {"right", "front"}),
    # it faces west: the lamp in the south is to its left, and before it
    (90, "object", {}, {"left", "front"}),
    # it faces east: right (south), and at its back
    (-90, "object", {}, {"right", "behind"}),
    # from the door at (4, 2) to the sofa it is (-3, 1). Cross with (-3, -2): 6 + 3 > 0, left;
    # dot: 9 - 2 > 0, beyond the sofa, so behind it
    (0, "observer", {"observer": "door"}, {"left", "behind"}),
    # from the door facing the tv in the north, as the camera does
    (0, "observer", {"observer": "door", "facing": "tv"}, {"left", "front"}),
    # from the tv facing the door in the south: right, and beyond
    (0, "observer", {"observer": "tv", "facing": "door"}, {"right", "behind"}),
]


@pytest.mark.parametrize(("yaw_deg", "view", "named", "true"), _VIEWS)
@pytest.mark.parametrize("relation", ["left", "right", "front", "behind"])
def test_viewed_relations(yaw_deg, view, named, true, relation):
    answer = _ask(_room(yaw_deg), relation, view, **named)
    holds = relation in true
    assert (answer.value, answer.option) == (("yes", "A") if holds else ("no", "B"))
    assert answer.grounded
    assert answer.evidence.statements[-1] == Holds("lamp_1", relation, "sofa_1", holds)


def test_confidence_has_whoever_looks_in_it():
    assert _ask(_room(), "left").confidence == pytest.approx(0.5 * 0.8)
    seen_from_door = _ask(_room(), "left", "observer", observer="door")
    assert seen_from_door.confidence == pytest.approx(0.5 * 0.8 * 0.9)
    facing_tv = _ask(_room(), "left", "observer", observer="door", facing="tv")
    assert facing_tv.confidence == pytest.approx(0.5 * 0.8 * 0.9 * 0.7)


def test_a_tilted_front_is_stated_as_a_unit_vector():
    half = math.radians(30.0)  # tipped by 60 degrees about x: the front is (0, 0.5, 0.87)
    tipped = builders.chair(
        id="sofa_1", label="sofa", center_m=(1, 3, 0.5), size_m=(0.5, 0.5, 0.5),
        quaternion_wxyz=(math.cos(half), math.sin(half), 0.0, 0.0),
    )  # fmt: skip
    answer = _ask(room(thing("lamp", -2, 1), tipped), "left", "object")
    (front,) = [
        one for one in answer.evidence.statements
        if isinstance(one, Vector) and one.head_id == "front"
    ]  # fmt: skip
    assert front.xy_m == pytest.approx((0.0, 1.0), abs=1e-6)
    assert (answer.value, answer.grounded) == ("yes", True)


def test_views_that_nobody_has_are_not_grounded():
    up = math.sqrt(0.5)  # tipped by 90 degrees about x: the front points straight up
    tipped = builders.chair(
        id="sofa_1", label="sofa", center_m=(1, 3, 0.5), quaternion_wxyz=(up, up, 0.0, 0.0)
    )
    code = room(thing("lamp", -2, 1), tipped, thing("rug", 1, 3, 0.0))
    assert not _ask(code, "left", "object").grounded
    assert not _ask(room(*code.objects, camera=None), "left").grounded
    assert not _ask(code, "left", "observer", observer="piano").grounded
    assert not _ask(code, "left", "observer", observer="lamp", facing="piano").grounded
    # the rug lies where the sofa stands: it cannot face it
    assert not _ask(code, "left", "observer", observer="rug").grounded
    assert _ask(code, "above").grounded  # heights need no view


# --- above, below, on, inside: in every view the same ---


def _pair(z: float, size=(0.2, 0.2, 0.2), x: float = 1.0):
    """A lamp over, in or beside a sofa whose top is at 0.8 and bottom at 0."""
    return room(
        thing("lamp", x, 3, z, size), thing("sofa", 1, 3, 0.4, (2.0, 1.0, 0.8)), thing("tv", 0, 0)
    )


#: z of a 0.2 m cube (or x, or size): which relations hold of it with regard to the sofa.
_HEIGHTS = [
    (_pair(0.9), {"above", "on"}),  # its bottom is at the sofa's top
    (_pair(1.5), {"above"}),  # it hovers 0.6 m over it
    (_pair(-0.5), {"below"}),
    (_pair(0.4), {"inside"}),
    (_pair(0.9, x=5.0), set()),  # at the right height, but beside it
    (_pair(0.4, size=(5.0, 5.0, 5.0)), set()),  # the sofa is inside it, not the other way round
]


@pytest.mark.parametrize(("code", "true"), _HEIGHTS)
@pytest.mark.parametrize("relation", ["above", "below", "on", "inside"])
@pytest.mark.parametrize("view", ["camera", "object", "observer"])
def test_vertical_relations(code, true, relation, view):
    named = {"observer": "tv"} if view == "observer" else {}
    answer = _ask(code, relation, view, **named)
    assert (answer.value, answer.grounded) == ("yes" if relation in true else "no", True)
    assert any(isinstance(one, Height) for one in answer.evidence.statements)


def test_heights_stated_are_those_compared():
    answer = _ask(_pair(1.5), "above")
    assert [one.text() for one in answer.evidence.statements] == [
        "bottom(lamp_1) = 1.40 m", "top(sofa_1) = 0.80 m", "above(lamp_1, sofa_1) = yes",
    ]  # fmt: skip
    below = _ask(_pair(-0.5), "below")
    assert [one.text() for one in below.evidence.statements][:2] == [
        "top(lamp_1) = -0.40 m", "bottom(sofa_1) = 0.00 m",
    ]  # fmt: skip


def test_a_thing_has_no_relation_to_itself():
    question = Configuration(a=ref("sofa"), relation="left", b=ref("couch"), options=_YES_NO)
    answer = solve(question, _room())
    assert not answer.grounded
    assert answer.option in {"A", "B"}


def test_true_and_false_say_yes_and_no():
    # the lamp is left of the sofa, and not right of it
    for relation, letter in (("left", "B"), ("right", "A")):
        question = Configuration(
            a=ref("lamp"), b=ref("sofa"), relation=relation, options=options("False", "True")
        )
        answer = solve(question, _room())
        assert (answer.option, answer.grounded) == (letter, True)
