"""Which things a noun phrase means."""

from __future__ import annotations

import pytest

from spatialcode.questions.names import HEAD, NEIGHBOUR, SAME, SYNONYM, match, reference
from spatialcode.questions.types import Counting, Reference, Selector
from spatialcode.reasoning.resolve import fit, resolve
from spatialcode.reasoning.solver import solve
from spatialcode.scene.index import SceneIndex
from tests.reasoning.rooms import ref, room, thing


def ids(code, one: Reference | str) -> list[str]:
    one = reference(one) if isinstance(one, str) else one
    return [item.id for item in resolve(one, SceneIndex.of(code))]


_KINDS = room(
    thing("trash bin", 0, 0), thing("tv", 2, 0), thing("couch", 4, 0), thing("coffee table", 6, 0),
    thing("monitor", 8, 0), thing("stool", 10, 0), thing("tv", 12, 0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("phrase", "found"),
    [
        ("trash can", ["trash_bin_1"]),
        ("the Television", ["tv_1", "tv_2"]),
        ("sofa", ["couch_1"]),
        ("TVs", ["tv_1", "tv_2"]),  # and not the monitor, which only resembles one
        ("screen", []),
        ("computer monitor", ["monitor_1"]),
        ("table", ["coffee_table_1"]),  # by its head noun
        ("blue tv", ["tv_1", "tv_2"]),  # boxes have no colour
        ("coffee", []),
        ("chair", ["stool_1"]),  # nothing closer is there
        ("tv_2", ["tv_2"]),
        ("tv_9", []),
        ("piano", []),
    ],
)
def test_words_find_things(phrase, found):
    assert ids(_KINDS, phrase) == found


def test_only_the_surest_match_is_taken():
    nearly = [thing("desk", 0, 0), thing("coffee table", 2, 0), thing("counter", 4, 0)]
    table = thing("table", 6, 0)
    assert ids(room(*nearly, table), "table") == ["table_1"]
    assert ids(room(*nearly), "table") == ["desk_1"]  # a synonym before a head noun
    assert ids(room(*nearly[1:]), "table") == ["coffee_table_1"]  # before a neighbour
    assert ids(room(nearly[2]), "table") == ["counter_1"]


def test_how_well_a_word_fits():
    assert (match("tv", "tv"), match("television", "tv")) == (SAME, SYNONYM)
    assert (match("coffee table", "table"), match("tv", "monitor")) == (HEAD, NEIGHBOUR)
    assert SAME > SYNONYM > HEAD > NEIGHBOUR > match("tv", "bed") == 0.0
    monitor = thing("monitor", 0, 0)
    assert fit(ref("tv"), monitor) == NEIGHBOUR
    # what has the id is what is meant, whatever it is called
    assert fit(ref("tv", object_id="monitor_1"), monitor) == SAME


def test_a_lone_neighbour_answers_with_less_confidence():
    code = room(thing("monitor", 0, 0, score=0.5))
    by_name, as_tv = (solve(Counting(target=ref(noun)), code) for noun in ("monitor", "tv"))
    assert as_tv.value == by_name.value == 1.0
    assert as_tv.evidence.object_ids == ("monitor_1",)
    assert by_name.confidence == pytest.approx(0.5)
    assert as_tv.confidence == pytest.approx(0.5 * NEIGHBOUR)
    # a real tv beside it is sure, and alone
    both = solve(Counting(target=ref("tv")), room(thing("monitor", 0, 0), thing("tv", 2, 0)))
    assert (both.evidence.object_ids, both.confidence) == (("tv_1",), 1.0)


def test_a_synonym_counts_once_in_the_confidence_of_many_things():
    code = room(thing("desk", 0, 0, score=0.5), thing("desk", 4, 0, score=0.5))
    answer = solve(Counting(target=ref("table")), code)
    assert answer.confidence == pytest.approx(0.5 * 0.5 * SYNONYM)


# volumes 0.75, 0.8, 0.6; longest 2.5, 1, 1; heights 0.5, 0.8, 1; tops 0.65, 2.4, 0.8; bottoms
# 0.15, 1.6, -0.2
_TABLES = room(
    thing("table", 0, 0, 0.4, (2.5, 0.6, 0.5), seen=(2.0, 8.0)),
    thing("table", 5, 0, 2.0, (1.0, 1.0, 0.8), seen=(1.0, 9.0)),
    thing("table", 0, 5, 0.3, (1.0, 0.6, 1.0), seen=(3.0, 3.5)),
    thing("tv", 6, 0, 2.0), thing("door", 0, 9, 1.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("phrase", "found"),
    [
        ("the largest table", "table_2"), ("the smallest table", "table_3"),
        ("the longest table", "table_1"), ("the tallest table", "table_3"),
        ("the shortest table", "table_1"), ("the highest table", "table_2"),
        ("the lowest table", "table_3"), ("the first-seen table", "table_2"),
        ("table seen last", "table_2"), ("table nearest the tv", "table_2"),
        ("table closest to the door", "table_3"), ("table farthest from the door", "table_2"),
        ("table beside the door", "table_3"), ("table next to the largest tv", "table_2"),
    ],
)  # fmt: skip
def test_selectors(phrase, found):
    assert ids(_TABLES, phrase) == [found]


def test_a_missing_anchor_finds_nothing():
    assert ids(_TABLES, "table nearest the piano") == []
    assert ids(_TABLES, "piano nearest the tv") == []


def test_ties_go_to_the_first_in_the_code():
    code = room(thing("tv", 0, 0), thing("chair", 2, 0), thing("chair", -2, 0))
    for kind in ("largest", "smallest", "longest", "tallest", "lowest", "highest", "first_seen"):
        assert ids(code, ref("chair", selector=Selector(kind))) == ["chair_1"]
    for kind in ("nearest", "farthest"):
        assert ids(code, ref("chair", selector=Selector(kind, ref("tv")))) == ["chair_1"]


def test_an_anchor_of_the_same_kind_may_be_another_thing_only():
    code = room(thing("chair", 0, 0), thing("chair", 1, 0), thing("chair", 5, 0))
    assert ids(code, "chair farthest from chair_1") == ["chair_3"]
    assert ids(code, "chair nearest to chair_1") == ["chair_2"]
    # "the chair nearest the chair" leaves all of them, and the first of equals
    assert ids(code, "chair nearest the chair") == ["chair_1"]


def test_what_no_box_shows_narrows_nothing_and_costs_confidence():
    code = room(thing("chair", 0, 0), thing("chair", 3, 0), thing("tv", 6, 0))
    plain = solve(Counting(target=ref("chair")), code)
    red = solve(Counting(target=ref("chair", modifiers=("red",))), code)
    assert (plain.value, plain.confidence) == (2.0, 1.0)
    assert (red.value, red.confidence) == (2.0, 0.6)
