import pytest

from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.facts import facts_of
from spatialcode.reasoning.rubric.verify import Context, check
from tests.reasoning.red_team import CODE


def _ok(statement, context=None):
    return not check(statement, context or Context(CODE))


@pytest.mark.parametrize(
    ("true", "false"),
    [
        (say.Position("tv_1", (0.0, 4.0, 0.5)), say.Position("tv_1", (0.0, -4.0, 0.5))),
        (say.Extents("tv_1", (1.0, 1.0, 1.0)), say.Extents("tv_1", (1.0, 1.0, 1.02))),
        (say.Distance("chair_1", "chair_2", 2.0), say.Distance("chair_1", "chair_2", 3.0)),
        (say.Longest("tv_1", 1.0), say.Longest("tv_9", 1.0)),
        (say.FirstSeen("lamp_1", 2.0), say.FirstSeen("lamp_1", 2.01)),
        (say.Height("pillow_1", "top", 2.0), say.Height("pillow_1", "bottom", 2.0)),
        (say.Area(60.0), say.Area(60.01)),
        (say.Count("chair", ("chair_1", "chair_2"), 2), say.Count("chair", ("chair_1",), 1)),
        (
            say.Vector("u", "tv_1", "lamp_1", (-3.0, -4.0)),
            say.Vector("u", "lamp_1", "tv_1", (-3.0, -4.0)),
        ),
        (
            say.Vector("u", "tv_1", "front", (0.0, 1.0)),
            say.Vector("u", "tv_1", "front", (0.0, -1.0)),
        ),
    ],
)
def test_recomputed(true, false):
    assert _ok(true)
    assert not _ok(false)


def test_products_and_angles_use_the_vectors_named_before():
    context = Context(CODE)
    assert not _ok(say.Angle("u", "v", 90.0), context)
    _ok(say.Vector("u", "sofa_1", "tv_1", (0.0, 4.0)), context)
    _ok(say.Vector("v", "sofa_1", "lamp_1", (-3.0, 0.0)), context)
    assert _ok(say.Angle("u", "v", 90.0), context)
    assert not _ok(say.Angle("v", "u", 90.0), context)
    assert _ok(say.Cross("u", "v", 12.0), context)
    assert not _ok(say.Cross("v", "u", 12.0), context)
    assert _ok(say.Dot("u", "v", 0.0), context)
    assert not _ok(say.Dot("u", "v", 0.2), context)


@pytest.mark.parametrize(
    ("one", "other", "num"),
    [
        (say.Distance("chair_1", "tv_1", 9.0), say.Distance("tv_1", "chair_1", 8.0), 1),
        (say.Height("chair_1", "top", 9.0), say.Height("chair_1", "bottom", 9.0), 2),
        (say.TurnAt(1, "chair_1", "left"), say.TurnAt(1, "chair_1", "back"), 1),
        (say.TurnAt(1, "chair_1", "left"), say.TurnAt(2, "chair_1", "left"), 2),
        (say.RoleOf("observer", "chair_1"), say.RoleOf("observer", "tv_1"), 1),
        (say.RoleOf("candidate", "chair_1"), say.RoleOf("candidate", "tv_1"), 2),
        (say.Count("chair", ("chair_1", "tv_1"), 2), say.Count("chair", ("tv_1", "chair_1"), 2), 1),
        (say.Holds("chair_1", "on", "tv_1", True), say.Holds("tv_1", "on", "chair_1", True), 2),
    ],
)
def test_one_quantity_is_one_fact_and_two_values_of_it_a_contradiction(one, other, num):
    read = facts_of([one, other], Context(CODE))
    assert len(read.facts) == num
    same_count = isinstance(one, say.Count)  # the order in which things are listed says nothing
    assert bool(read.contradiction) == (num == 1 and not same_count)
