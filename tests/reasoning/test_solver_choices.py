"""Nearest, direction, route and order, with answers worked out by hand."""

from __future__ import annotations

import pytest

from spatialcode.questions.types import (
    AppearanceOrder,
    Blank,
    Forward,
    RelativeDirection,
    RelativeDistance,
    RoutePlanning,
)
from spatialcode.reasoning.solver import solve
from spatialcode.reasoning.statements import Angle, Cross, Direction, Dot, Extreme, TurnAt, Vector
from tests.reasoning.rooms import HOME, options, ref, room, thing

# --- nearest and farthest ---


def _nearest(extreme, *nouns, anchor="sofa"):
    return RelativeDistance(
        anchor=ref(anchor), extreme=extreme, candidates=tuple(ref(noun) for noun in nouns),
        options=options(*nouns),
    )  # fmt: skip


@pytest.mark.parametrize(("extreme", "letter", "words"), [("closest", "C", "clock"),
                                                          ("farthest", "B", "tv")])  # fmt: skip
def test_nearest_by_distance_between_boxes(extreme, letter, words):
    # distances to the sofa on paper: table 2.09, tv 3.4, clock 0.5, lamp 1.72
    answer = solve(_nearest(extreme, "table", "tv", "clock", "lamp"), HOME)
    assert (answer.option, answer.value, answer.grounded) == (letter, words, True)
    assert answer.evidence.object_ids == ("sofa_1", "table_1", "tv_1", "clock_1", "lamp_1")
    assert answer.evidence.statements[-1] == Extreme(extreme, f"{words}_1", "sofa_1")
    # the anchor's score counts as well as the candidates', and once
    assert answer.confidence == pytest.approx(0.9 * 0.7 * 0.8 * 0.6 * 0.5)


def test_faces_decide_and_not_centres():
    # The long desk's centre is farther from the tv (3 m) than the chair's (2 m), its end nearer:
    # 3 - 2 - 0.1 = 0.9 against 2 - 0.1 - 0.1 = 1.8.
    code = room(thing("tv", 0, 0), thing("desk", 3, 0, size=(4.0, 0.5, 0.5)), thing("chair", 0, 2))
    assert solve(_nearest("closest", "chair", "desk", anchor="tv"), code).option == "B"
    # turned by 90 degrees its end points elsewhere: 3 - 0.25 - 0.1 = 2.65
    turned = room(
        thing("tv", 0, 0), thing("desk", 3, 0, size=(4.0, 0.5, 0.5), yaw_deg=90),
        thing("chair", 0, 2),
    )  # fmt: skip
    assert solve(_nearest("closest", "chair", "desk", anchor="tv"), turned).option == "A"


def test_a_kind_counts_by_its_nearest_thing_also_for_farthest():
    code = room(thing("tv", 0, 0), thing("chair", 9, 0), thing("chair", 1, 0), thing("bed", 5, 0))
    assert solve(_nearest("farthest", "chair", "bed", anchor="tv"), code).option == "B"


def test_equal_distances_go_to_the_first_candidate():
    code = room(thing("tv", 0, 0), thing("bed", 2, 0), thing("sofa", -2, 0))
    assert solve(_nearest("closest", "sofa", "bed", anchor="tv"), code).value == "sofa"
    assert solve(_nearest("closest", "bed", "sofa", anchor="tv"), code).value == "bed"


def test_nearest_without_one_candidate_is_not_grounded():
    assert not solve(_nearest("closest", "table", "piano"), HOME).grounded
    assert not solve(_nearest("closest", "table", "lamp", anchor="piano"), HOME).grounded


# --- directions: standing at the origin, facing (0, 1) unless said otherwise ---

_EASY = ("left", "right")
_MEDIUM = ("back", "left", "right")
_HARD = ("front-left", "back-right", "back-left", "front-right")


@pytest.mark.parametrize(
    ("level", "facing", "target", "word"),
    [
        ("easy", (0, 1), (-1, 5), "left"),
        ("easy", (0, 1), (2, -1), "right"),
        ("easy", (1, 0), (0, 2), "left"),  # facing east, north is left
        ("easy", (-1, 0), (0, 2), "right"),  # facing west, north is right
        ("medium", (0, 1), (-1, 1), "left"),
        ("medium", (0, 1), (-1, -0.99), "left"),  # 134.7 degrees
        ("medium", (0, 1), (-1, -1), "back"),  # 135 degrees exactly: "at least 135"
        ("medium", (0, 1), (1, -1), "back"),
        ("medium", (0, 1), (1, -0.99), "right"),
        ("medium", (0, 1), (0.1, -5), "back"),
        ("medium", (0, -1), (1, 1), "back"),  # facing south: 135 degrees to the left
        ("medium", (0, -1), (1, 0), "left"),
        ("hard", (0, 1), (-1, 2), "front-left"),
        ("hard", (0, 1), (1, 2), "front-right"),
        ("hard", (0, 1), (-1, -2), "back-left"),
        ("hard", (0, 1), (1, -2), "back-right"),
        ("hard", (1, 0), (2, 1), "front-left"),
        ("hard", (1, 0), (-2, 1), "back-left"),
        ("hard", (-1, 0), (-2, 1), "front-right"),
        ("hard", (0, -1), (-1, 2), "back-right"),
    ],
)
def test_direction(level, facing, target, word):
    code = room(thing("bed", 0, 0), thing("tv", *facing), thing("lamp", *target))
    words = {"easy": _EASY, "medium": _MEDIUM, "hard": _HARD}[level]
    question = RelativeDirection(
        observer=ref("bed"), facing=ref("tv"), target=ref("lamp"), level=level,
        options=options(*words),
    )  # fmt: skip
    answer = solve(question, code)
    assert (answer.value, answer.grounded) == (word, True)
    assert answer.option == "ABCD"[words.index(word)]
    assert answer.evidence.object_ids == ("bed_1", "tv_1", "lamp_1")
    assert answer.evidence.statements[-1] == Direction("lamp_1", word)


@pytest.mark.parametrize(
    ("level", "target", "texts", "letter"),
    [
        ("easy", (-1, 5), ("to the right", "to the left"), "B"),
        ("easy", (1, 5), ("on my left side", "On my right side."), "B"),
        ("medium", (0.1, -5), ("left", "right", "behind me"), "C"),
        ("medium", (0.1, -5), ("at the back", "to my left", "to my right"), "A"),
        ("hard", (-1, -5), ("to my front left", "in the back-left quadrant"), "B"),
    ],
)
def test_a_direction_is_found_in_other_words(level, target, texts, letter):
    code = room(thing("sofa", 0, 0), thing("tv", 0, 1), thing("lamp", *target))
    question = RelativeDirection(
        observer=ref("sofa"), facing=ref("tv"), target=ref("lamp"), level=level,
        options=options(*texts),
    )  # fmt: skip
    answer = solve(question, code)
    assert (answer.option, answer.grounded) == (letter, True)


def test_of_several_the_surest_is_meant():
    # one lamp stands left of the way from the sofa to the tv, the other, surer one, right of it
    def lamps(left: float, right: float):
        return room(
            thing("sofa", 0, 0), thing("tv", 0, 4), thing("lamp", -2, 2, score=left),
            thing("lamp", 2, 2, score=right),
        )  # fmt: skip

    question = RelativeDirection(
        observer=ref("sofa"), facing=ref("tv"), target=ref("lamp"), level="easy"
    )
    assert solve(question, lamps(0.3, 0.9)).value == "right"
    assert solve(question, lamps(0.9, 0.3)).value == "left"
    assert solve(question, lamps(0.5, 0.5)).value == "left"  # of equals the first in the code


def test_direction_states_its_vectors_products_and_angle():
    question = RelativeDirection(
        observer=ref("sofa"), facing=ref("tv"), target=ref("lamp"), level="easy",
        options=options("right", "left"),
    )  # fmt: skip
    answer = solve(question, HOME)
    # forward (0, 4), to the lamp (-3, 0): dot 0, cross 0 * 0 - 4 * -3 = 12, angle +90
    assert answer.evidence.statements[3:8] == (
        Vector("forward", "sofa_1", "tv_1", (0.0, 4.0)),
        Vector("to_target", "sofa_1", "lamp_1", (-3.0, 0.0)),
        Dot("forward", "to_target", 0.0),
        Cross("forward", "to_target", 12.0),
        Angle("forward", "to_target", 90.0),
    )
    assert answer.option == "B"
    assert answer.confidence == pytest.approx(0.9 * 0.8 * 0.5)


def test_heights_do_not_turn_directions():
    code = room(thing("bed", 0, 0, 0.3), thing("tv", 0, 1, 2.0), thing("lamp", -1, 2, 9.0))
    question = RelativeDirection(
        observer=ref("bed"), facing=ref("tv"), target=ref("lamp"), level="hard",
        options=options(*_HARD),
    )  # fmt: skip
    assert solve(question, code).value == "front-left"


@pytest.mark.parametrize(
    "names", [("bed", "bed", "lamp"), ("bed", "tv", "bed"), ("bed", "rug", "lamp")]
)
def test_no_direction_to_where_one_stands(names):
    code = room(
        thing("bed", 0, 0, 0.3), thing("tv", 0, 1), thing("lamp", 1, 1), thing("rug", 0, 0, 0.01)
    )
    observer, facing, target = map(ref, names)
    question = RelativeDirection(
        observer=observer, facing=facing, target=target, level="medium", options=options(*_MEDIUM)
    )
    answer = solve(question, code)
    assert not answer.grounded
    assert answer.option in {"A", "B", "C"}
    assert answer.confidence < 0.5  # everything is known, and still nothing can be said


# --- routes ---

_FLAT = room(
    thing("sofa", 0, 0), thing("tv", 0, 4), thing("lamp", -3, 0), thing("door", -3, 4),
    thing("bed", -3, -2),
)  # fmt: skip
_TURNS = options("Turn Left", "Turn Right", "Turn Back")


def _route(start, facing, *steps, destination="bed", choices=_TURNS):
    parts = tuple(Blank() if step is None else Forward(ref(step)) for step in steps)
    return RoutePlanning(
        start=ref(start), facing=ref(facing), destination=ref(destination), steps=parts,
        options=choices,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "facing", "stop", "letter"),
    [
        ("sofa", "tv", "lamp", "A"),  # north, then west
        ("sofa", "lamp", "tv", "B"),  # west, then north
        ("lamp", "door", "bed", "C"),  # north, then south
        ("tv", "sofa", "door", "B"),  # south, then west
    ],
)
def test_route_of_one_turn(start, facing, stop, letter):
    answer = solve(_route(start, facing, None, stop), _FLAT)
    assert (answer.option, answer.grounded) == (letter, True)


def test_route_of_three_turns():
    choices = options(
        "Turn Right, Turn Left, Turn Back", "Turn Left, Turn Right, Turn Back",
        "Turn Left, Turn Right, Turn Left",
    )  # fmt: skip
    # north; to the lamp in the west: left; to the door in the north: right; to the bed: back
    question = _route("sofa", "tv", None, "lamp", None, "door", None, "bed", choices=choices)
    answer = solve(question, _FLAT)
    assert (answer.option, answer.value) == ("B", "Turn Left, Turn Right, Turn Back")
    turns = [one for one in answer.evidence.statements if isinstance(one, TurnAt)]
    assert turns == [
        TurnAt(1, "sofa_1", "left"), TurnAt(2, "lamp_1", "right"), TurnAt(3, "door_1", "back"),
    ]  # fmt: skip
    assert answer.evidence.object_ids == ("sofa_1", "tv_1", "lamp_1", "door_1", "bed_1")


def test_walking_first_leaves_the_facing_behind():
    choices = options("Turn Left, Turn Left", "Turn Left, Turn Right")
    # to the tv (north), door in the west: left; bed in the south: left again
    question = _route("sofa", "lamp", "tv", None, "door", None, "bed", choices=choices)
    assert solve(question, _FLAT).option == "A"


def test_a_turn_at_the_end_is_towards_the_destination():
    answer = solve(_route("sofa", "lamp", "tv", None, destination="door"), _FLAT)
    assert (answer.option, answer.grounded) == ("A", True)  # north, then west


@pytest.mark.parametrize(
    "question",
    [
        _route("sofa", "sofa", None, "lamp"),  # facing what one stands at
        _route("sofa", "tv", None, "piano"),
        _route("piano", "tv", None, "lamp"),
        _route("sofa", "piano", None, "lamp"),
        _route("sofa", "tv", None, "sofa"),  # no way from a place to itself
        _route("sofa", "tv", "lamp", None, destination="piano"),
    ],
)
def test_routes_that_nothing_decides_are_not_grounded(question):
    answer = solve(question, _FLAT)
    assert not answer.grounded
    assert answer.option in {"A", "B", "C"}


def test_turns_that_no_option_offers_are_guessed():
    question = _route("sofa", "tv", None, "lamp", choices=options("Turn Right", "Turn Back"))
    assert not solve(question, _FLAT).grounded


# --- order of appearance: clock 0 s, tv 0.5 s, sofa 1 s, lamp 2 s, table 3 s ---


def _order(*nouns, choices=()):
    return AppearanceOrder(candidates=tuple(map(ref, nouns)), options=options(*choices))


def test_order_by_first_sight():
    choices = ("sofa, lamp, clock, tv", "clock, tv, sofa, lamp", "lamp, sofa, tv, clock")
    answer = solve(_order("lamp", "sofa", "clock", "tv", choices=choices), HOME)
    assert (answer.option, answer.value, answer.grounded) == ("B", choices[1], True)
    assert [one.text() for one in answer.evidence.statements] == [
        "first_seen(lamp_1) = 2.00 s", "first_seen(sofa_1) = 1.00 s",
        "first_seen(clock_1) = 0.00 s", "first_seen(tv_1) = 0.50 s",
        "order: clock_1, tv_1, sofa_1, lamp_1",
    ]  # fmt: skip
    assert answer.confidence == pytest.approx(0.5 * 0.9 * 0.6 * 0.8)


def test_a_kind_is_first_seen_with_its_earliest_thing():
    code = room(
        thing("chair", 0, 0, seen=(9.0, 9.0)), thing("chair", 3, 0, seen=(1.0, 9.0)),
        thing("tv", 6, 0, seen=(2.0, 2.0)),
    )  # fmt: skip
    assert solve(_order("tv", "chair", choices=("chair, tv", "tv, chair")), code).option == "A"


def test_articles_in_the_text_do_not_hide_an_option():
    question = AppearanceOrder(
        candidates=(ref("tv", phrase="the TV"), ref("clock", phrase="the clock")),
        options=options("tv, clock", "clock, tv"),
    )
    assert solve(question, HOME).option == "B"


def test_things_of_one_frame_are_in_the_order_that_an_option_has():
    code = room(
        thing("tv", 0, 0, seen=(1.0, 1.0)), thing("bed", 2, 0, seen=(1.0, 1.0)),
        thing("lamp", 4, 0, seen=(0.0, 1.0)),
    )  # fmt: skip
    choices = ("tv, bed, lamp", "lamp, bed, tv", "bed, lamp, tv")
    answer = solve(_order("tv", "bed", "lamp", choices=choices), code)
    assert (answer.option, answer.grounded) == ("B", True)


def test_a_code_without_times_knows_no_order():
    code = room(thing("tv", 0, 0), thing("bed", 2, 0))
    answer = solve(_order("tv", "bed", choices=("bed, tv", "tv, bed")), code)
    assert not answer.grounded
    assert not solve(_order("tv", "piano", choices=("piano, tv", "tv, piano")), HOME).grounded
