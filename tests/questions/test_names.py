"""Which label a word means: plurals, synonyms, head nouns, near kinds."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialcode.questions.names import (
    HEAD,
    NEIGHBOUR,
    NONE,
    SAME,
    SYNONYM,
    candidates,
    canonical,
    head_noun,
    match,
    plain,
    singular,
)
from spatialcode.reasoning.families.registry import parse


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("chairs", "chair"), ("chair", "chair"), ("boxes", "box"), ("couches", "couch"),
        ("toothbrushes", "toothbrush"), ("mattresses", "mattress"), ("glass", "glass"),
        ("shelves", "shelf"), ("bookshelves", "bookshelf"), ("knives", "knife"),
        ("people", "person"), ("batteries", "battery"), ("trash bins", "trash bin"),
        ("washing machines", "washing machine"), ("vases", "vase"), ("tvs", "tv"),
        ("toys", "toy"), ("bus", "bus"), ("cactus", "cactus"), ("tennis", "tennis"),
        ("pies", "pie"), ("as", "as"), ("", ""),
    ],
)  # fmt: skip
def test_one_of_many(many, one):
    assert singular(many) == one


@given(st.text("abcdefghijklmnopqrstuvwxyz ", max_size=20))
def test_one_of_one(word):
    one = singular(plain(word))
    assert len(one) <= len(word) + 2
    assert match(word, word) in (SAME, NONE) or not word.strip()


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("The Chair", "chair"), ("table(s)", "table"), ("trash_bin", "trash bin"),
        ("  an   oven?", "oven"), ("the the door", "door"), ("antenna", "antenna"),
        ("theatre", "theatre"), ("", ""),
    ],
)  # fmt: skip
def test_plain(phrase, words):
    assert plain(phrase) == words


@pytest.mark.parametrize(
    ("phrase", "head"),
    [
        ("coffee table", "table"), ("table", ""), ("table with two orange chairs", "table"),
        ("laptop on the desk", "laptop"), ("desk closer to the window", "desk"),
        ("corner of the table towards the sofa", "table"), ("foot of the bed", "bed"),
        ("head of the dining table", "table"), ("box of wires", "box"),
        ("vase of flowers", "vase"), ("with your back to the fridge", ""),
        ("bedside table", ""), ("dish washer", ""),  # kinds of their own
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_phrase_is_about(phrase, head):
    assert head_noun(phrase) == head


@pytest.mark.parametrize(
    ("word", "label", "strength"),
    [
        ("chair", "chair", SAME), ("chairs", "chair", SAME), ("Trash Bins", "trash bin", SAME),
        ("trash can", "trash bin", SYNONYM), ("wastebasket", "trash bin", SYNONYM),
        ("television", "tv", SYNONYM), ("TV screen", "tv", SYNONYM), ("couch", "sofa", SYNONYM),
        ("couches", "sofa", SYNONYM), ("fridge", "refrigerator", SYNONYM),
        ("computer monitor", "monitor", SYNONYM), ("washing machine", "washer", SYNONYM),
        ("wardrobe", "closet", SYNONYM), ("bedside table", "nightstand", SYNONYM),
        ("desk", "table", SYNONYM), ("dish washer", "dishwasher", SYNONYM),
        ("coffee table", "table", HEAD), ("table", "coffee table", HEAD),
        ("office chair", "chair", HEAD), ("corner of the bed", "bed", HEAD),
        ("kitchen trash can", "trash bin", HEAD), ("can", "trash bin", NONE),
        ("large bedside table", "nightstand", HEAD), ("large bedside table", "table", NONE),
        ("tv", "monitor", NEIGHBOUR), ("stool", "chair", NEIGHBOUR), ("oven", "stove", NEIGHBOUR),
        ("cabinet", "closet", NEIGHBOUR), ("bedside table", "table", NEIGHBOUR),
        ("mattress", "bed", NEIGHBOUR), ("freezer", "refrigerator", NEIGHBOUR),
        ("chair", "table", NONE), ("towel rack", "bookshelf", NONE),
        ("dish washer", "washer", NONE),
        ("table with two chairs", "chair", NONE), ("laptop on the desk", "table", NONE),
        ("with your back to the fridge", "refrigerator", NONE), ("screen", "tv", NONE),
    ],
)  # fmt: skip
def test_how_surely_a_word_means_a_label(word, label, strength):
    assert match(word, label) == strength
    assert match(label, word) == strength


def test_the_surest_label_comes_first():
    labels = ["counter", "coffee table", "desk", "table", "sofa", "table"]
    assert candidates("table", labels) == [
        ("table", SAME), ("desk", SYNONYM), ("coffee table", HEAD), ("counter", NEIGHBOUR),
    ]  # fmt: skip
    assert candidates("piano", labels) == []
    assert candidates("desk", ["table", "desk"])[0] == ("desk", SAME)
    # equal ones in the order of the code
    assert [label for label, _ in candidates("chair", ["red chair", "desk chair"])] == [
        "red chair", "desk chair",
    ]  # fmt: skip


KINDS = [
    "chair", "stool", "armchair", "table", "desk", "counter", "nightstand", "sofa", "bed",
    "mattress", "tv", "monitor", "lamp", "door", "window", "refrigerator", "freezer", "stove",
    "oven", "microwave", "washer", "dishwasher", "bookshelf", "closet", "cabinet", "toilet",
    "bathtub", "sink", "mirror", "pillow", "backpack", "bag", "towel", "plant", "piano",
    "printer", "radiator", "fan", "clock",
]  # fmt: skip


def test_common_kinds_that_are_no_synonyms_of_each_other():
    """Whatever stands in one kitchen or bathroom must stay apart; a desk is a table."""
    merged = [pair for pair in combinations(KINDS, 2) if match(*pair) >= HEAD]
    assert merged == [("table", "desk")]


@given(st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_matching_does_not_depend_on_the_side(a, b):
    assert match(a, b) == match(b, a)
    assert (match(a, b) == SAME) == (a == b)
    assert canonical(canonical(a)) == canonical(a)


# --- real rooms --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rooms(data_dir):
    folder = data_dir / "vsibench"
    if not folder.is_dir():
        pytest.skip("no vsibench in SPATIALCODE_DATA")

    def rows(name):
        text = (folder / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    labels = {
        row["scene"]: sorted({one["label"] for one in row["objects"]})
        for row in rows("scenes.jsonl")
    }
    return labels, rows("questions.jsonl")


def test_no_two_labels_of_a_room_mean_each_other(rooms):
    labels, _ = rooms
    for scene, present in labels.items():
        for pair in combinations(present, 2):
            assert match(*pair) < HEAD, (scene, pair)
        for label in present:  # and a label's own word finds it alone
            assert [kind for kind, strength in candidates(label, present) if strength == SAME] == [
                label
            ]


def test_all_things_that_questions_about_boxes_name_are_in_their_rooms(rooms):
    """By their very labels: the benchmark asks in the words of its annotation."""
    labels, questions = rooms
    asked = 0
    for row in questions:
        question = parse(row["question"], row["options"] or ())
        if question.family in ("route_planning", "obj_appearance_order"):
            continue  # they name what the boxes lack
        names = [
            getattr(question, part, None)
            for part in ("target", "a", "b", "anchor", "observer", "facing")
        ]
        for one in filter(None, [*names, *getattr(question, "candidates", ())]):
            found = candidates(one.noun, labels[row["scene"]])
            assert found, (row["id"], one.noun)
            assert found[0][1] == SAME, (row["id"], one.noun, found)
            asked += 1
    assert asked > 3000
