"""Sentences, names and options, apart from any room's geometry."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from spatialcode.questions.names import reference, singular
from spatialcode.questions.types import Configuration, Question, Reference, same_meaning
from spatialcode.reasoning.drawing import arrange
from spatialcode.reasoning.families.appearance_order import orders
from spatialcode.reasoning.families.configuration_questions import RELATION_WORDS
from spatialcode.reasoning.families.registry import family_names, parse, templates
from spatialcode.reasoning.families.route_planning import turn_sequences
from spatialcode.reasoning.generate import GenerateConfig
from spatialcode.reasoning.naming import NamedRoom, plural
from spatialcode.scene.categories import LABELS
from spatialcode.scene.index import SceneIndex
from tests.questions.by_hand import everything, scene_of, thing

FAMILIES = family_names()
TEMPLATES = templates()

#: Names as things are called in questions: by kind, by what sets them apart, by id.
NAMES = ("the trash bin", "the largest table", "the chair nearest the tv", "chair_2",
         "the door seen first", "the lamp farthest from the sofa")  # fmt: skip
SENTENCES = [
    (template, sentence)
    for template, (standard, train, heldout) in TEMPLATES.items()
    for sentence in (standard, *train, *heldout)
]


def slots(one: str, two: str, three: str) -> dict[str, str]:
    fill, go = "[please fill in]", "Go forward until"
    return {
        "kind": "trash bin", "kinds": "trash bins", "a": one, "b": two, "anchor": one,
        "extreme": "farthest from", "listed": "bed, sofa, stool, door", "observer": one,
        "listed_and": "the bed, the sofa, the stool and the door", "facing": two, "target": three,
        "start": one, "goal": three, "steps": f"1. {fill} 2. {go} {two} 3. {fill} 4. {go} {three}.",
    }  # fmt: skip


def meant(template: str, text: str, options: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether the text is read as what the slots say, field by field."""
    question = parse(text, options)
    one, two, three = (reference(name) for name in names)
    bare = Reference("trash bin")
    roles: dict[str, dict[str, Reference]] = {
        "object_counting": {"target": bare}, "object_size_estimation": {"target": one},
        "room_size_estimation": {}, "object_abs_distance": {"a": one, "b": two},
        "object_rel_distance": {"anchor": one}, "obj_appearance_order": {},
        "route_planning": {"start": one, "facing": two, "destination": three},
    }  # fmt: skip
    wanted = roles.get(template, {"observer": one, "facing": two, "target": three})
    return question.family == template and all(
        alike(getattr(question, role), thing) for role, thing in wanted.items()
    )


def alike(a: Reference, b: Reference) -> bool:
    one, other = (Configuration(a=x, relation="on", b=Reference("sofa")) for x in (a, b))
    return same_meaning(one, other)


@pytest.mark.parametrize(("template", "sentence"), SENTENCES)
def test_every_sentence_is_read_as_it_is_meant(template, sentence):
    listed = ("A. bed", "B. sofa", "C. stool", "D. door")
    options = listed if template == "object_rel_distance" else ()
    for names in [*product(NAMES, NAMES[:1], NAMES[3:4]), *product(NAMES[:1], NAMES, NAMES[2:3])]:
        if not template.startswith("configuration"):
            assert meant(template, sentence.format(**slots(*names)), options, names), names
            continue
        for relation, (words, other) in RELATION_WORDS.items():
            vertical = relation in ("above", "below", "on", "inside")
            if vertical != template.endswith("vertical"):
                continue
            text = sentence.format(**slots(*names) | {
                "relation": words, "other": other, "observer": "the stove", "facing": "the bed",
            })  # fmt: skip
            a, b, _ = (reference(name) for name in names)
            view = template.rpartition("_")[2]
            seen = {"observer": reference("the stove"), "facing": reference("the bed")}
            expected = Configuration(
                a=a, relation=relation, b=b, view="camera" if vertical else view,
                **(seen if view == "observer" else {}),
            )  # fmt: skip
            assert same_meaning(parse(text), expected), text


def test_lists_are_read_in_order():
    for template in ("obj_appearance_order", "object_rel_distance"):
        for sentence in (TEMPLATES[template][0], *TEMPLATES[template][1], *TEMPLATES[template][2]):
            options = ("A. bed", "B. sofa", "C. stool", "D. door")
            question = parse(sentence.format(**slots(*NAMES[:3])), options)
            assert [c.noun for c in question.candidates] == ["bed", "sofa", "stool", "door"]


def test_no_sentence_is_in_two_splits():
    for standard, train, heldout in TEMPLATES.values():
        assert len({standard, *train, *heldout}) == 1 + len(train) + len(heldout)
        assert train
        assert heldout
    roots = {template.split("_camera")[0].split("_object")[0] for template in TEMPLATES}
    assert {"object_counting", "configuration"} <= {*roots, "object_counting"}
    covered = {t if not t.startswith("configuration") else "configuration" for t in TEMPLATES}
    assert covered == set(FAMILIES)


def test_standard_sentences_are_the_benchmarks():
    assert TEMPLATES["object_counting"][0].format(kind="table") == (
        "How many table(s) are in this room?"
    )
    assert TEMPLATES["room_size_estimation"][0] == (
        "What is the size of this room (in square meters)? \nIf multiple rooms are shown, estimate"
        " the size of the combined space."
    )


@pytest.mark.parametrize("kind", [*LABELS, "shelf", "box", "battery", "toy", "scissors", "dress"])
def test_plurals_are_undone(kind):
    said = plural(kind)
    assert said.endswith("(s)") or (said != kind and singular(said) == singular(kind))


def named(*things, **changes) -> dict[str, set[str]]:
    code = scene_of(*things)
    room = NamedRoom(SceneIndex(code), GenerateConfig(**changes), referring=True)
    return {code.objects[row].id: set(names) for row, names in room.picked.items()}


def test_expressions_that_set_one_apart():
    # tables of 1.0 x 0.5 x 0.5 and 2.0 x 0.5 x 0.5 m: volume and length are twice as large, height
    # is the same; 1 m and 4 m from the tv; one seen at once, one after 3 s
    found = named(
        thing("table", 1, 0, size=(1, 0.5, 0.5)), thing("tv", 0, 0),
        thing("table", 5, 0, size=(2, 0.5, 0.5), first_seen_s=3.0),
    )  # fmt: skip
    assert found == {
        "table_1": {"the smallest table", "the table nearest the tv", "the table seen first"},
        "table_2": {"the largest table", "the longest table", "the table farthest from the tv"},
    }


def test_expressions_without_a_margin_are_not_used():
    # volumes 1 : 1.2, both 2 m from the tv, seen 0.3 s apart
    found = named(
        thing("table", 2.6, 0, size=(1, 1, 1)), thing("tv", 0, 0),
        thing("table", -2.6, 0, size=(1, 1, 1.2), first_seen_s=0.3),
    )  # fmt: skip
    assert found == {}


def test_tallest_and_highest():
    found = named(thing("lamp", 0, 0, size=(1, 1, 1)), thing("lamp", 3, 0, size=(1, 1, 2)),
                  thing("lamp", 6, 0, bottom=2.0))  # fmt: skip
    assert "the tallest lamp" in found["lamp_2"]
    assert "the highest lamp" in found["lamp_3"]  # its top is at 2.4 m, the tall one's at 2.0 m
    assert not any("lowest" in name for names in found.values() for name in names)


def test_ids_refer_only_where_they_are_wanted():
    things = [thing("table", 0, 0), thing("table", 3, 0)]
    assert named(*things) == {}
    assert named(*things, use_ids=True) == {"table_1": {"table_1"}, "table_2": {"table_2"}}


def test_referring_questions_name_what_is_not_alone():
    room = scene_of(
        thing("table", 1, 0, size=(1, 0.5, 0.5)), thing("table", 5, 0, size=(2, 0.5, 0.5)),
        thing("tv", 0, 0), thing("sofa", 0, 3),
    )  # fmt: skip
    plain = everything(room, "object_abs_distance")
    assert [item.question.count("table") for item in plain] == [0]
    both = everything(room, "object_abs_distance", referring_share=1.0)
    # tv - sofa, and each table to either; never "the table" alone
    assert len(both) == 5
    assert not any("the table and" in item.question for item in both)


def distance(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def profile(options: tuple[tuple[str, ...], ...]) -> list[list[int]]:
    """For each option, how unlike it is to the others."""
    return [sorted(distance(one, two) for two in options) for one in options]


@pytest.mark.parametrize("size", [4, 5])
def test_no_order_stands_out(size):
    rng = np.random.default_rng(0)
    truth = tuple("abcde"[:size])
    for _ in range(50):
        options = orders(truth, 4, rng)
        assert options[0] == truth
        assert len(set(options)) == 4
        assert all(sorted(option) == sorted(truth) for option in options)
        assert all(row == profile(options)[0] for row in profile(options))


@pytest.mark.parametrize(("truth", "asked", "got"), [
    (("left",), 4, 3), (("left",), 2, 2), (("left", "back"), 4, 4), (("left", "back"), 3, 3),
    (("left", "back", "right"), 4, 4), (("left", "back"), 8, 8),
])  # fmt: skip
def test_turns_differ(truth, asked, got):
    rng = np.random.default_rng(0)
    for _ in range(50):
        options = turn_sequences(truth, asked, rng)
        assert options[0] == truth
        assert len(set(options)) == len(options) == got
        if asked == 4:
            assert all(row == profile(options)[0] for row in profile(options))


def test_letters_are_dealt_in_turn():
    rng = np.random.default_rng(0)
    used: Counter[str] = Counter()
    for _ in range(40):
        options, letter = arrange(("right", "x", "y", "z"), used, rng)
        used[letter] += 1
        assert f"{letter}. right" in options
        assert [option[0] for option in options] == ["A", "B", "C", "D"]
    assert set(used.values()) == {10}


def test_same_question_sees_through_words_only():
    def one(**changes) -> Question:
        return Configuration(**{"a": reference("the tv"), "relation": "on",
                                "b": reference("the bed"), **changes})  # fmt: skip

    assert same_meaning(one(), one(a=reference("a tv"), text="Is it?"))
    assert not same_meaning(one(), one(a=reference("the largest tv")))
    assert not same_meaning(one(), one(relation="above"))
    assert not same_meaning(one(), one(view="object"))
