"""Left, right, in front of and behind through the solver: whose view, and whose front."""

from __future__ import annotations

import math

import pytest

from spatialcode.questions.types import Configuration, Reference
from spatialcode.reasoning.solver import solve
from tests.scene.builders import camera, chair, code

#: Level, at the origin, along +y: camera x is world x, y is down, z is world y.
AHEAD = ((1, 0, 0, 0), (0, 0, 1, 0), (0, -1, 0, 1.5), (0, 0, 0, 1))
HALF_TURN = (0.0, 0.0, 0.0, 1.0)


def item(label: str, x: float, y: float, quaternion=(1.0, 0.0, 0.0, 0.0)):
    return chair(
        id=f"{label}_1", label=label, center_m=(x, y, 0.5), quaternion_wxyz=quaternion,
        size_m=(0.5, 0.5, 1.0),
    )  # fmt: skip


#   lamp(-1, 3)
#               chair(1, 2) faces -y, to the camera
#   camera(0, 0) looks along +y        sofa(4, 2)
ROOM = code(
    cameras=(camera(T_world_camera=AHEAD),),
    objects=(
        item("lamp", -1.0, 3.0), item("chair", 1.0, 2.0, HALF_TURN), item("sofa", 4.0, 2.0),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("view", "observer", "facing", "true"),
    [
        ("camera", None, None, {"left", "behind"}),
        ("object", None, None, {"right", "behind"}),
        ("observer", "sofa", None, {"right", "behind"}),  # at the sofa, facing the chair
        # at the chair itself, facing the sofa along +x: the lamp is at its back, to its left
        ("observer", "chair", "sofa", {"left", "behind"}),
        # and facing the lamp: straight ahead, in front, and on neither side
        ("observer", "chair", "lamp", {"front"}),
    ],
)
def test_whose_front(view, observer, facing, true):
    for relation in ("left", "right", "front", "behind"):
        question = Configuration(
            a=Reference("lamp"), relation=relation, b=Reference("chair"), view=view,
            observer=observer and Reference(observer), facing=facing and Reference(facing),
        )  # fmt: skip
        answer = solve(question, ROOM)
        assert answer.grounded
        assert answer.value == ("yes" if relation in true else "no"), relation


def test_a_thing_that_lies_on_its_back_has_no_view():
    tipped = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0)  # its front is up
    room = code(objects=(item("lamp", -1.0, 3.0), item("chair", 1.0, 2.0, tipped)))
    question = Configuration(
        a=Reference("lamp"), relation="left", b=Reference("chair"), view="object"
    )
    assert not solve(question, room).grounded
