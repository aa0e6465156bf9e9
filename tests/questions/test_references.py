"""Noun phrases as references: kinds, modifiers, selectors, ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.errors import SchemaError
from spatialcode.questions.names import reference
from spatialcode.questions.types import Reference, Selector
from spatialcode.scene.schema import make_id


@pytest.mark.parametrize(
    ("phrase", "noun", "modifiers"),
    [
        ("chair", "chair", ()), ("the chair", "chair", ()), ("a chair", "chair", ()),
        ("an Oven", "oven", ()), ("The Chairs", "chair", ()), ("CHAIR", "chair", ()),
        ("any chairs", "chair", ()), ("the the door", "door", ()), ("table(s)", "table", ()),
        ("  trash   bin ", "trash bin", ()), ("trash_bin", "trash bin", ()),
        ("washing machines", "washing machine", ()), ("bookshelves", "bookshelf", ()),
        ("blue chair", "chair", ("blue",)), ("the dark blue chair", "chair", ("dark", "blue")),
        ("wooden coffee table", "coffee table", ("wooden",)), ("orange", "orange", ()),
        ("light", "light", ()), ("chest of drawers", "chest of drawer", ()),
        ("glass", "glass", ()), ("the chair.", "chair", ()), ("'chair'", "chair", ()),
    ],
)  # fmt: skip
def test_kinds_and_modifiers(phrase, noun, modifiers):
    found = reference(phrase)
    assert (found.noun, found.modifiers) == (noun, modifiers)
    assert (found.selector, found.object_id) == (None, None)
    assert found.phrase == phrase.strip()


@pytest.mark.parametrize(
    ("phrase", "kind", "anchor"),
    [
        ("the largest table", "largest", None), ("biggest table", "largest", None),
        ("smallest table", "smallest", None), ("longest table", "longest", None),
        ("tallest table", "tallest", None), ("the shortest table", "shortest", None),
        ("highest table", "highest", None), ("lowest table", "lowest", None),
        ("the largest blue table", "largest", None), ("BIGGEST TABLES", "largest", None),
        ("first-seen table", "first_seen", None), ("last seen table", "last_seen", None),
        ("table seen first", "first_seen", None),
        ("the table that was seen last", "last_seen", None),
        ("table beside the screen", "nearest", "screen"),
        ("table next to the screen", "nearest", "screen"),
        ("table near the screen", "nearest", "screen"),
        ("table nearby the screen", "nearest", "screen"),
        ("table by a screen", "nearest", "screen"),
        ("table nearest the screen", "nearest", "screen"),
        ("the table that is closest to the screen", "nearest", "screen"),
        ("table which is closer to the screen", "nearest", "screen"),
        ("nearest table to the screen", "nearest", "screen"),
        ("table farthest from the screen", "farthest", "screen"),
        ("furthest table from the screen", "farthest", "screen"),
    ],
)  # fmt: skip
def test_selectors(phrase, kind, anchor):
    found = reference(phrase)
    assert found.noun == "table"
    assert found.selector is not None
    assert found.selector.kind == kind
    assert (found.selector.anchor and found.selector.anchor.noun) == anchor


def test_anchors_have_selectors_too():
    found = reference("the chair beside the largest table nearest tv_2")
    table = found.selector.anchor
    assert (found.noun, table.noun, table.selector.kind) == ("chair", "table", "largest") or (
        table.selector.anchor is not None
    )
    nearest_tv = reference("the chair nearest tv_2").selector.anchor
    assert nearest_tv.object_id == "tv_2"
    assert nearest_tv.noun == "tv"


def test_a_superlative_alone_is_no_selector():
    assert reference("shortest") == Reference("shortest")
    assert reference("largest table").selector == Selector("largest")


@pytest.mark.parametrize(
    ("phrase", "object_id", "noun"),
    [
        ("chair_2", "chair_2", "chair"), ("the chair_2", "chair_2", "chair"),
        (" trash_bin_11 ", "trash_bin_11", "trash bin"), ("T_shirt_1", "T_shirt_1", "t shirt"),
        ("椅子_3", "椅子_3", "椅子"), ("_3d_printer_1", "_3d_printer_1", " 3d printer"),
    ],
)  # fmt: skip
def test_ids(phrase, object_id, noun):
    found = reference(phrase)
    assert (found.object_id, found.noun) == (object_id, noun.strip())


def test_what_is_no_id():
    for phrase in ("chair 2", "chair_0", "chair_", "2_1", "chair_2 and", "chair_two"):
        assert reference(phrase).object_id is None


labels = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=12).filter(
    lambda label: label == label.strip() and label.isprintable()
)


@given(labels, st.integers(1, 40))
def test_every_id_of_a_code_is_read_as_that_id(label, n):
    object_id = make_id(label, n)
    assert reference(object_id).object_id == object_id


@pytest.mark.parametrize("phrase", ["", "  ", "?", "the ", "a near " * 40])
def test_phrases_without_a_thing(phrase):
    if phrase == "the ":
        assert reference(phrase).noun == "the"  # not empty; the parser knows it for no name
    else:
        with pytest.raises(SchemaError):
            reference(phrase)


@given(st.text(max_size=60))
def test_any_phrase_is_a_reference_or_a_schema_error(phrase):
    try:
        found = reference(phrase)
    except SchemaError:
        return
    assert found.noun == found.noun.lower()
    assert found.phrase
