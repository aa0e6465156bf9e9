import math
import pickle

import pytest

from spatialcode.errors import ProgramError, SchemaError, SpatialCodeError
from spatialcode.reasoning.program.functions import functions
from spatialcode.reasoning.program.interpreter import Limits, run
from spatialcode.reasoning.rubric.verify import Context, check
from spatialcode.reasoning.statements import Distance, Position, Vector
from spatialcode.scene.schema import SceneObject
from tests.reasoning.program_room import BARE, ROOM

FUNCTIONS = functions()

#: Where several numbers lead to one, the way is written beside it. Geometry is float32.
BY_HAND = {
    'count("chair")': 2,
    'count("chairs")': 2,
    'len(things("chair"))': 2,
    'things("chair")[1] == "chair_2"': "type",
    'exists("piano")': False,
    'exists("sofa")': True,
    'reference("couch")': "sofa_1",
    'reference("chair_1")': "chair_1",
    # faces at y 1.5 and 4.9, overlapping in x and z
    'distance("sofa", "tv")': 3.4,
    # chair_2, the closer: 2.7 - 0.6 along x, 4.9 - 4.3 along y
    'distance("tv", "chair")': math.hypot(2.1, 0.6),
    # 2.75 - 0.6 along x, 4.9 - 1.25 along y
    'distance("tv", "chair_1")': math.hypot(2.15, 3.65),
    'distance("cup", "table")': 0.0,
    # the bench lies along y: its face is at x -1.25, the table's at 0.5
    'distance("bench", "table")': 1.75,
    'nearest("chair", to="tv")': "chair_2",
    'farthest("chair", to="tv")': "chair_1",
    'nearest("chair", to="chair_1")': "chair_2",
    'nearest(things("chair"), to="sofa")': "chair_1",
    # lamp 1.8 along x, table 1.2 along y
    'nearest(["lamp", "the table"], to="sofa")': "the table",
    'farthest(["lamp", "the table"], to="sofa")': "lamp",
    # 2.7 - 1.5 along x, 3.7 - 3.3 along y
    'distance(nearest("chair", to="tv"), "table")': math.hypot(1.2, 0.4),
    # forward (0, 4), to the lamp (-3, 0): a quarter turn to the left, exactly the border of front
    'direction(observer="sofa", facing="tv", target="lamp", level="easy")': "left",
    'direction(observer="sofa", facing="tv", target="lamp", level="medium")': "left",
    'direction(observer="sofa", facing="tv", target="lamp")': "back-left",
    'bearing("sofa", "tv", "lamp")': 90.0,
    # chair_2 is the surer chair: (3, 3) from the sofa
    'direction("sofa", "tv", "chair", "hard")': "front-right",
    'bearing("sofa", "tv", "chair")': -45.0,
    'bearing("sofa", "lamp", "chair_1")': 180.0,
    'direction("sofa", "lamp", "chair_1", level="medium")': "back",
    # from the table: forward (-1, 2), to the sofa (-1, -2): cross 4, dot -3
    'bearing(observer="table", facing="tv", target="sofa")': math.degrees(math.atan2(4, -3)),
    # at the sofa from up to left; at the lamp from left to up
    'turns(start="sofa", facing="tv", path=["?", "lamp", "?", "trash can"])': ["left", "right"],
    'turns("sofa", "lamp", ["lamp", "?", "sofa"])': ["back"],
    'longest("sofa")': 2.0,
    'longest("chair")': 1.0,  # the middle of two is the lower one
    'size("bench")': [1.5, 0.5, 0.4],
    'width("bench")': 1.5,
    'depth("sofa")': 1.0,
    'height("lamp")': 1.6,
    'volume("sofa")': 1.6,
    'position("lamp")': [-3.0, 1.0, 0.8],
    'position("lamp")[0]': -3.0,
    'position("lamp")[-1]': 0.8,
    'top("cup")': 0.8,
    'bottom("cup")': 0.7,
    "area()": 48.0,
    'first_seen("chair")': 0.5,
    'order(["cup", "chair", "tv"])': ["chair", "tv", "cup"],
    'largest("chair")': "chair_2",
    'smallest("chair")': "chair_1",
    'tallest("chair")': "chair_2",
    'shortest("chair")': "chair_1",
    'highest("chair")': "chair_2",  # tops at 1.05 and 1.2
    'lowest("chair")': "chair_2",  # bottoms at 0.05 and 0
    'first("chair")': "chair_2",
    'last("chair")': "chair_1",  # seen until 9 s, the other until 5 s
    'largest([reference("cup"), reference("tv")])': "tv_1",
    'left_of("lamp", "sofa")': True,
    'right_of("lamp", "sofa")': False,
    'right_of("chair_1", "sofa")': True,
    'in_front_of("sofa", "tv")': True,  # nearer to the camera
    'behind("tv", "sofa")': True,
    'behind("sofa", "tv")': False,
    # the tv faces down: its own left is +x, and what it faces lies in front of it
    'left_of("lamp", "tv", view="object")': False,
    'right_of("lamp", "tv", view="object")': True,
    'in_front_of("sofa", "tv", view="object")': True,
    'in_front_of("tv", "sofa")': False,
    'in_front_of("tv", "sofa", view="object")': True,
    # one at the tv who faces the sofa has +x on the left
    'left_of("lamp", "sofa", observer="tv", facing="sofa")': False,
    'left_of("chair_1", "sofa", observer="tv")': True,
    'right_of("lamp", "sofa", view="observer", observer="tv")': True,
    'above("cup", "table")': True,
    'above("table", "cup")': False,
    'below("table", "cup")': True,
    'on("cup", "table")': True,
    'on("table", "cup")': False,
    'inside("paper", "trash can")': True,
    'inside("trash can", "paper")': False,
    "1 + 2 * 3": 7,
    "(1 + 2) * 3 - -1": 10,
    "7 / 2": 3.5,
    "7 // 2": 3,
    "-7 % 3": 2,
    "2 ** 10": 1024,
    "2 ** -1": 0.5,
    "9 ** 0.5": 3.0,
    "+1.5e2": 150.0,
    "1 < 2 <= 2 < 3": True,
    "1 < 2 > 2": False,
    "1 == 1.0 != 2": True,
    '"a" == "a"': True,
    '"left" in turns("sofa", "tv", ["?", "lamp"])': True,
    "3 not in [1, 2]": True,
    "not True or False": False,
    "False and 1 / 0 > 1": False,
    "True or 1 / 0 > 1": True,
    "1 if 2 > 1 else 1 / 0": 1,
    "[1, 2.5, True]": [1, 2.5, True],
    "min(3, 1, 2)": 1,
    "max([3, 1, 2])": 3,
    "sorted([3, 1, 2])": [1, 2, 3],
    "sum([1, 2, 3.5])": 6.5,
    "abs(-2)": 2,
    "round(2.345, 1)": 2.3,
    "round(2.6)": 3,
    'n = count("chair")\nm = n + 1  # a comment\n\nn * m': 6,
    "a = [1,\n  2]\na[1]": 2,
    '  count("chair")\n': 2,
    '"\\u00e9\\x41\\"\\\\"': 'éA"\\',
}  # fmt: skip


def value_of(source, code=ROOM, **limits):
    value = run(source, code, Limits(**limits)).value
    if isinstance(value, list):
        return [one.id if isinstance(one, SceneObject) else one for one in value]
    return value.id if isinstance(value, SceneObject) else value


def refusal(source, code=ROOM, **limits) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        run(source, code, Limits(**limits))
    error = caught.value
    assert str(error) == f"line {error.line}, column {error.column}: {error.reason}"
    return error


@pytest.mark.parametrize("source", BY_HAND)
def test_value_by_hand(source):
    expected = BY_HAND[source]
    if expected == "type":
        assert refusal(source).kind == "type"
        return
    got = value_of(source)
    assert type(got) is type(expected)
    near = not isinstance(expected, (str, bool)) and not any(
        isinstance(one, str) for one in (expected if isinstance(expected, list) else [])
    )
    assert got == (pytest.approx(expected, abs=1e-5) if near else expected)


def test_every_function_has_a_number_by_hand():
    text = "\n".join(BY_HAND)
    assert [name for name in FUNCTIONS if f"{name}(" not in text] == []


#: source -> kind, line, column, a word of the reason.
REFUSED = {
    "1 +": ("syntax", 1, 4, "invalid"),
    "\n \n  foo": ("unknown name", 3, 3, "'foo'"),
    "\n  x = 1\ny": ("unknown name", 3, 1, "'y'"),
    "": ("syntax", 1, 1, "empty"),
    "# nothing": ("syntax", 1, 1, "empty"),
    "count('chair'": ("syntax", 1, 6, "never closed"),
    "count('chair'))": ("syntax", 1, 15, "closes nothing"),
    "(1]": ("syntax", 1, 3, "closes nothing"),
    "x = 1": ("syntax", 1, 1, "last line"),
    "1\n2": ("syntax", 2, 1, ""),
    "x = 1\n2\nx": ("forbidden", 2, 1, "name = expression"),
    "foo": ("unknown name", 1, 1, "'foo'"),
    '1 + cuont("chair")': ("unknown name", 1, 5, "did you mean count"),
    "x = y\ny = 1\nx": ("unknown name", 1, 5, "'y'"),
    "chairs = 1\nchair": ("unknown name", 2, 1, "did you mean chairs"),
    "count = 1\ncount": ("forbidden", 1, 1, "is a function"),
    "_x = 1\n_x": ("forbidden", 1, 1, "begin with _"),
    "1 + count": ("type", 1, 5, "call it"),
    "count()": ("arguments", 1, 1, "'x' is missing"),
    "1 if True else count()": ("arguments", 1, 16, "'x' is missing"),
    'count("a", "b")': ("arguments", 1, 1, "at most 1"),
    'count(y="a")': ("arguments", 1, 1, "no argument 'y'"),
    'distance("sofa", a="tv", b="tv")': ("arguments", 1, 1, "given twice"),
    "min()": ("arguments", 1, 1, "one or more"),
    "min(3)": ("arguments", 1, 1, "list"),
    'count("")': ("arguments", 1, 7, "no noun"),
    'count("the")': ("missing object", 1, 7, "'the'"),
    'direction("sofa", "tv", "lamp", "east")': ("arguments", 1, 33, '"medium"'),
    'left_of("lamp", "sofa", view="mine")': ("arguments", 1, 30, '"object"'),
    'left_of("lamp", "sofa", view="observer")': ("arguments", 1, 30, "observer="),
    'left_of("lamp", "sofa", view="object", observer="tv")': ("arguments", 1, 30, "observer="),
    'left_of("lamp", "sofa", facing="tv")': ("arguments", 1, 32, "observer="),
    'turns("sofa", "tv", ["lamp"])': ("arguments", 1, 21, '"?"'),
    'order(["sofa"])': ("arguments", 1, 7, "two"),
    "round(1, 99)": ("arguments", 1, 10, "digits"),
    "round(1, 0.5)": ("arguments", 1, 10, "digits"),
    "count(1)": ("type", 1, 7, "noun phrase"),
    'count(reference("sofa"))': ("type", 1, 7, "noun phrase"),
    'distance("sofa", ["tv"])': ("type", 1, 18, "got a list"),
    'nearest(["lamp", reference("tv")], to="sofa")': ("type", 1, 9, "list of things"),
    '1 + "a"': ("type", 1, 1, "got a text"),
    '"a" * 3': ("type", 1, 1, "got a text"),
    "[1] * 3": ("type", 1, 1, "got a list"),
    "True + 1": ("type", 1, 1, "true or false"),
    "-True": ("type", 1, 1, "true or false"),
    '1 == "1"': ("type", 1, 1, "not compared"),
    '"a" < "b"': ("type", 1, 1, "expected a number"),
    '1 in "1"': ("type", 1, 1, "list"),
    "not 1": ("type", 1, 5, "true or false"),
    "1 and True": ("type", 1, 1, "true or false"),
    "1 if 1 else 2": ("type", 1, 6, "true or false"),
    "[[1]]": ("type", 1, 1, "no lists"),
    "1[0]": ("type", 1, 1, "only lists"),
    "[1][0.5]": ("type", 1, 1, "whole"),
    "[1][True]": ("type", 1, 1, "whole"),
    "len(1)": ("type", 1, 5, "list"),
    'min(1, "a")': ("type", 1, 8, "got a text"),
    'sum([1, "a"])': ("type", 1, 9, "got a text"),
    "(1, 2)": ("forbidden", 1, 1, "list"),
    'count("piano")': ("missing object", 1, 7, "chair (2)"),
    'distance("sofa", "piano")': ("missing object", 1, 18, "'piano'"),
    'count("chair nearest the piano")': ("missing object", 1, 7, "is 'piano'"),
    'order(["sofa", "piano"])': ("missing object", 1, 16, "'piano'"),
    'nearest(["piano", "tv"], to="sofa")': ("missing object", 1, 10, "'piano'"),
    'turns("sofa", "tv", ["?", "piano"])': ("missing object", 1, 27, "'piano'"),
    'x = "piano"\ndistance("sofa", x)': ("missing object", 2, 18, "'piano'"),
    '"é" == "é" and count("piano") > 1': ("missing object", 1, 22, "'piano'"),
    'height("chair")': ("ambiguous", 1, 8, "chair_1, chair_2"),
    'reference("chair")': ("ambiguous", 1, 11, "2 things"),
    'nearest("sofa", to="tv")': ("superfluous", 1, 9, "sofa_1"),
    'first("sofa")': ("superfluous", 1, 7, "sofa_1"),
    'largest([reference("sofa"), reference("sofa")])': ("superfluous", 1, 9, "sofa_1"),
    'height("largest sofa")': ("superfluous", 1, 8, "sofa_1"),
    "1 / 0": ("undefined", 1, 1, "zero"),
    "1 // 0": ("undefined", 1, 1, "zero"),
    "1 % 0.0": ("undefined", 1, 1, "zero"),
    "0 ** -1": ("undefined", 1, 1, "real"),
    "(-8) ** 0.5": ("undefined", 1, 1, "real"),
    "[1][1]": ("undefined", 1, 1, "item 1"),
    "min([])": ("undefined", 1, 5, "empty"),
    "sum([])": ("undefined", 1, 5, "empty"),
    'nearest([], to="tv")': ("undefined", 1, 9, "empty"),
    'distance("sofa", "couch")': ("undefined", 1, 1, "same"),
    'bearing("sofa", "sofa", "tv")': ("undefined", 1, 1, "apart"),
    'turns("sofa", "sofa", ["?", "tv"])': ("undefined", 1, 1, "direction"),
    'turns("sofa", "tv", ["lamp", "?"])': ("arguments", 1, 21, "stop"),
}  # fmt: skip


@pytest.mark.parametrize("source", REFUSED)
def test_refusal_says_kind_position_and_reason(source):
    kind, line, column, word = REFUSED[source]
    error = refusal(source)
    assert (error.kind, error.line, error.column) == (kind, line, column), error
    assert word in error.reason


def test_what_a_code_does_not_know_is_undefined():
    for source in ("area()", 'left_of("sofa", "chair")'):
        assert refusal(source, BARE).kind == "undefined"
    assert value_of('left_of("chair", "sofa", view="object")', BARE) is False


def test_superfluous_choices_pass_where_several_would():
    # these functions have a rule for several, so a choice hides nothing
    assert value_of('distance("largest sofa", "tv")') == pytest.approx(3.4)
    assert value_of('longest("largest sofa")') == 2.0


#: limit -> the program that meets it exactly, the one beyond it, and the bound.
AT_LIMITS = {
    "max_chars": ("1 + 1", "1 + 10", 5),
    "max_nodes": ("[1]", "[1, 2]", 3),  # tokens: brackets, comma and numbers
    "max_depth": ("abs(-(1))", "abs(-(-1))", 3),
    "max_text_chars": ('"abc"', '"abcd"', 3),
    "max_steps": ("1 + 1", "1 + 1 + 1", 3),
    "max_items": ('things("chair")', "[1, 2, 3]", 2),
    "max_number": ("99 + 1", "99 + 2", 100),
}  # fmt: skip


@pytest.mark.parametrize("limit", AT_LIMITS)
def test_each_limit_lets_pass_what_meets_it_and_nothing_beyond(limit):
    within, beyond, bound = AT_LIMITS[limit]
    run(within, ROOM, Limits(**{limit: bound}))
    assert refusal(beyond, **{limit: bound}).kind == "limit"


def test_limits_of_objects_and_seconds():
    assert value_of("1", max_objects=10) == 1
    assert refusal("1", max_objects=9).kind == "limit"
    assert "seconds" in refusal("1", max_seconds=1e-9).reason


@pytest.mark.parametrize(
    "source",
    ["1e16", "10 ** 16", "10.0 ** 400", "10 ** 10 ** 10", "2 ** 999999999999999", "9" * 30, "1e999",
     "1e10 * 1e10", "sum([1e15, 1e15])", "1e15 / 1e-15", "9" * 41],
)  # fmt: skip
def test_numbers_do_not_blow_up(source):
    assert refusal(source).kind == "limit"


def test_comparing_many_with_many_costs_steps():
    # 2 chairs, 1 tv: 1 call, 2 phrases, 2 x (1 + 10 objects), 2 pairs, 3 statements
    assert value_of('distance("chair", "tv")', max_steps=30) > 0
    assert refusal('distance("chair", "tv")', max_steps=29).kind == "limit"


@pytest.mark.parametrize("change", [{"max_steps": 0}, {"max_chars": True}, {"max_seconds": 0.0},
                                    {"max_depth": 101}, {"max_number": math.inf}])  # fmt: skip
def test_bad_limits_name_their_field(change):
    with pytest.raises(SchemaError, match=next(iter(change))):
        Limits(**change)


def test_error_is_a_value_error_and_travels():
    error = refusal("foo")
    assert isinstance(error, SpatialCodeError)
    assert isinstance(error, ValueError)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.kind, copy.line, copy.column, str(copy)) == (
        error.kind, error.line, error.column, str(error),
    )  # fmt: skip


def test_trace_holds_objects_and_true_statements_in_order():
    trace = run('distance("sofa", "tv") + bearing("sofa", "tv", "lamp") * 0', ROOM).trace
    assert trace.object_ids == ("sofa_1", "tv_1", "lamp_1")
    assert trace.statements[2] == Distance("sofa_1", "tv_1", pytest.approx(3.4))
    kinds = [type(statement) for statement in trace.statements]
    assert kinds.index(Distance) < kinds.index(Vector)


def test_trace_of_every_program_is_true():
    for source, expected in BY_HAND.items():
        if expected == "type":
            continue
        context = Context(ROOM)
        for statement in run(source, ROOM).trace.statements:
            assert not check(statement, context), statement


def test_trace_says_the_same_once_but_rebinds_vectors():
    twice = run('bearing("sofa", "tv", "lamp") + bearing("sofa", "tv", "lamp")', ROOM).trace
    once = run('bearing("sofa", "tv", "lamp")', ROOM).trace
    assert twice == once
    source = 'bearing("sofa", "tv", "lamp") + bearing("sofa", "lamp", "tv")'
    two = run(source, ROOM).trace.statements
    assert sum(isinstance(s, Vector) for s in two) == 4
    assert (
        sum(s == Position("sofa_1", ROOM.object("sofa_1").center_m, "observer") for s in two) == 1
    )
    context = Context(ROOM)
    assert all(not check(s, context) for s in two)


def test_untaken_branches_leave_no_trace():
    trace = run('1 if count("chair") == 2 else distance("sofa", "tv")', ROOM).trace
    assert trace.object_ids == ("chair_1", "chair_2")
