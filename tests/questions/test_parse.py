"""Questions of every family in several phrasings, each as the typed question it should be."""

from __future__ import annotations

import json

import pytest

from spatialcode.questions.names import reference
from spatialcode.questions.parse import read_options
from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    Forward,
    ObjectSize,
    Option,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
    Selector,
)
from spatialcode.reasoning.families.registry import family_names, parse, templates

FAMILIES = family_names()
TEMPLATES = templates()


def nouns(things) -> list[str]:
    return [one.noun for one in things]


# --- one table a family ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "How many chair(s) are in this room?",
        "How many chairs are there in the room?",
        "How many chairs are there?",
        "How many chairs can you see in the video?",
        "How many chairs does this room have?",
        "How many different chairs are visible in the video?",
        "What is the number of chairs in this room?",
        "What's the total number of chairs?",
        "Count the chairs in this room.",
        "In this room, how many chairs are there in total?",
        "Can you tell me how many chairs are there?",
        "how many chairs",
        "HOW MANY CHAIRS ARE IN THIS ROOM?",
        "  How\u00a0many \t chairs\nare in  this room ? ",
        "“How many chairs are in this room?”",
        "These are frames of a video. How many chairs are in this room?",
        "How many chairs are in this room? Please answer using a single number.",
        "How many chairs are in this room\nAnswer with a number",
    ],
)
def test_counting(text):
    question = parse(text)
    assert isinstance(question, Counting)
    assert question.target.noun == "chair"
    assert question.text == text
    assert question.options == ()


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("What is the length of the longest dimension (length, width, or height) of the trash bin, "
         "measured in centimeters?", "cm"),
        ("What is the length of the longest dimension of the trash bin?", "cm"),
        ("What is the longest side of the trash bin in meters?", "m"),
        ("In centimetres, what is the longest dimension of the trash bin?", "cm"),
        ("How long is the longest side of the trash bin in metres?", "m"),
        ("What does the longest edge of the trash bin measure in cm?", "cm"),
        ("How long is the trash bin, measured in centimeters?", "cm"),
        ("How long is the trash bin (in m)?", "m"),
        ("How large is the trash bin?", "cm"),
        ("HOW BIG IS THE TRASH BIN IN METERS?", "m"),
        ("I'm curious. How long is the trash bin?", "cm"),  # 'm is no unit
    ],
)  # fmt: skip
def test_size(text, unit):
    question = parse(text)
    assert isinstance(question, ObjectSize)
    assert (question.target.noun, question.unit) == ("trash bin", unit)


@pytest.mark.parametrize(
    "text",
    [
        "What is the size of this room (in square meters)? \nIf multiple rooms are shown, estimate "
        "the size of the combined space.",
        "How large is this room in square meters?",
        "How big is the room?",
        "What is the floor area of the room, in square metres?",
        "Estimate the area of this room in square meters.",
        "How big is the space shown in the video, in m²?",
        "How many square meters is this room?",
        "How many square metres does the apartment have?",
        "What is the approximate size of the room?",
        "HOW SPACIOUS IS THIS ROOM?",
    ],
)
def test_room_size(text):
    assert isinstance(parse(text), RoomSize)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("Measuring from the closest point of each object, what is the distance between the sofa "
         "and the tv (in meters)?", "m"),
        ("How far is the sofa from the tv?", "m"),
        ("How far away is the sofa from the tv in centimeters?", "cm"),
        ("How far apart are the sofa and the tv, in meters?", "m"),
        ("How many meters lie between the sofa and the tv?", "m"),
        ("How many centimeters are there between the sofa and the tv?", "cm"),
        ("How many meters is the sofa from the tv?", "m"),
        ("What is the distance from the sofa to the tv?", "m"),
        ("What is the shortest distance between the sofa and the tv in this room?", "m"),
        ("In cm, how far is the sofa from the tv?", "cm"),
        ("Measured at their closest points, how far is the sofa from the tv?", "m"),
        ("WHAT IS THE DISTANCE BETWEEN THE SOFA AND THE TV?", "m"),
    ],
)  # fmt: skip
def test_absolute_distance(text, unit):
    question = parse(text)
    assert isinstance(question, AbsoluteDistance)
    assert (question.a.noun, question.b.noun, question.unit) == ("sofa", "tv", unit)


@pytest.mark.parametrize(
    ("text", "extreme"),
    [
        ("Measuring from the closest point of each object, which of these objects (chair, table, "
         "bed) is the closest to the tv?", "closest"),
        ("Which of these objects (chair, table, bed) is farthest from the tv?", "farthest"),
        ("Which is closest to the tv: the chair, the table or the bed?", "closest"),
        ("Which one is nearer to the tv, the chair, the table or the bed?", "closest"),
        ("Which object is the furthest from the tv: chair, table, bed?", "farthest"),
        ("Of these things, which one is the closest to the tv: chair, table, bed?", "closest"),
        ("Among these objects (chair, table and bed), which is nearest to the tv?", "closest"),
        ("Which of the following is the most distant from the tv: chair, table, bed?", "farthest"),
        ("WHICH IS CLOSEST TO THE TV: THE CHAIR, THE TABLE AND THE BED?", "closest"),
    ],
)  # fmt: skip
def test_relative_distance(text, extreme):
    question = parse(text)
    assert isinstance(question, RelativeDistance)
    assert (question.anchor.noun, question.extreme) == ("tv", extreme)
    assert nouns(question.candidates) == ["chair", "table", "bed"]


@pytest.mark.parametrize(
    "text",
    [
        "Which object is closest to the tv?",
        "Which of these objects (bed, chair) is closest to the tv?",
    ],
)
def test_options_are_the_candidates_where_there_are_any(text):
    """In the order of the options, whatever the text lists."""
    question = parse(text, ["A. chair", "B. the bed", "C. trash bins"])
    assert nouns(question.candidates) == ["chair", "bed", "trash bin"]
    assert question.options[2] == Option("C", "trash bins")
    assert parse("Which object is closest to the tv?").family == "unparsed"
    assert parse("Which object is closest to the tv?", ["A. chair"]).family == "unparsed"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("If I am standing by the bed and facing the tv, is the lamp to the left or the right of "
         "the tv?", "easy"),
        ("When standing next to the bed and facing the tv, is the lamp on my left or on my right?",
         "easy"),
        ("I am standing at the bed and facing the tv. Is the lamp on my right or on my left?",
         "easy"),
        ("Someone standing by the bed is facing the tv. Is the lamp to the left or to the right?",
         "easy"),
        ("If I am standing by the bed and facing the tv, is the lamp to my left, right, or back?\n"
         "An object is to my back if I would have to turn at least 135 degrees in order to face "
         "it.", "medium"),
        ("Imagine standing at the bed, facing the tv, is the lamp to the left, the right or the "
         "back (135 degrees and more)?", "medium"),
        ("If you are standing beside the bed and looking at the tv, is the lamp to your left, to "
         "your right or behind you?", "medium"),
        ("If I am standing by the bed and facing the tv, is the lamp to my front-left, "
         "front-right, back-left, or back-right?\nThe directions refer to the quadrants of a "
         "Cartesian plane (if I am standing at the origin and facing along the positive y-axis).",
         "hard"),
        ("I am standing at the bed and facing the tv. Is the lamp to my front left, front right, "
         "back left or back right?", "hard"),
        ("WHEN STANDING AT THE BED AND FACING THE TV, IS THE LAMP IN THE FRONT-LEFT, FRONT-RIGHT, "
         "BACK-LEFT OR BACK-RIGHT QUADRANT?", "hard"),
        ("If I’m standing by the bed and facing the tv, is the lamp to my front‑left, front‑right, "
         "back‑left, or back‑right?", "hard"),  # curly quote, non-breaking hyphens
    ],
)  # fmt: skip
def test_direction(text, level):
    question = parse(text)
    assert isinstance(question, RelativeDirection)
    assert nouns([question.observer, question.facing, question.target]) == ["bed", "tv", "lamp"]
    assert question.level == level
    assert question.family == f"object_rel_direction_{level}"


ACTIONS = (
    "You will perform the following actions (Note: for each [please fill in], choose either 'turn "
    "back,' 'turn left,' or 'turn right.'): 1. [please fill in] 2. Go forward until the sofa 3. "
    "[please fill in]. 4. Go forward until the toilet. You have reached the final destination."
)


@pytest.mark.parametrize(
    "intro",
    [
        "You are a robot beginning at the bed facing the tv. You want to navigate to the toilet.",
        "You are a robot beginning at the bed and facing the tv. You want to get to the toilet.",
        "You are a robot beginning by the bed, facing to the tv . You want to navigate to the the "
        "toilet .",
        "You are a robot starting at the bed, facing the tv. Your goal is the toilet.",
        "A robot starts at the bed and faces the tv. It should get to the toilet.",
        "YOU ARE A ROBOT BEGINNING AT THE BED AND FACING THE TV. YOU WANT TO GO TO THE TOILET.",
        "You  are a robot\nbeginning at the bed\nand facing toward the tv.\nYou want to go to the "
        "toilet.",
        "You are a robot beginning at the bed, facing the tv and to the left of the trash bin. You "
        "want to navigate to the toilet.",
    ],
)
@pytest.mark.parametrize("actions", [ACTIONS, ACTIONS.replace("'", "’"), ACTIONS.upper()])
def test_route(intro, actions):
    question = parse(f"{intro} {actions}", ["A. Turn Back, Turn Left", "B. Turn Left, Turn Left"])
    assert isinstance(question, RoutePlanning)
    assert nouns([question.start, question.facing, question.destination]) == ["bed", "tv", "toilet"]
    assert [type(step) for step in question.steps] == [Blank, Forward, Blank, Forward]
    assert nouns(step.until for step in question.steps if isinstance(step, Forward)) == [
        "sofa",
        "toilet",
    ]


@pytest.mark.parametrize(
    ("step", "noun"),
    [
        ("Go forward until the trash bin is on your right", "trash bin"),
        ("Go forward until past the column", "column"),
        ("Go forward until passing by the brown sofa", "sofa"),
        ("Go forward passing the bed", "bed"),
        ("Go foward until the wall", "wall"),
        ("Go forward through the doorway until the desk", "desk"),
    ],
)
def test_steps_of_routes_as_people_write_them(step, noun):
    text = (
        "You are a robot beginning at the bed facing the tv. You want to navigate to the toilet. "
        f"Actions: 1. {step} 2. [please fill in] 3. Go forward until the toilet."
    )
    question = parse(text)
    assert question.steps[0].until.noun == noun
    assert question.steps[1:] == (Blank(), Forward(Reference("toilet", "the toilet")))


@pytest.mark.parametrize(
    "text",
    [
        "What will be the first-time appearance order of the following categories in the video: "
        "bed, trash bin, door, tv?",
        "In which order do the bed, the trash bin, the door and the tv first appear in the video?",
        "In what order are the bed, the trash bin, the door and the tv first seen in the video?",
        "In which order did the bed, the trash bin, the door, and the tv come into view?",
        "Give the appearance order of the following categories: bed, trash bin, door, tv.",
        "What is the appearance order of the following objects: bed, trash bin, door and tv?",
        "IN WHAT ORDER DO THE BED, THE TRASH BIN, THE DOOR AND THE TV APPEAR?",
        "In what order will the bed, trash bin, door, tv become visible for the first time?",
    ],
)
def test_appearance_order(text):
    question = parse(text)
    assert isinstance(question, AppearanceOrder)
    assert nouns(question.candidates) == ["bed", "trash bin", "door", "tv"]


@pytest.mark.parametrize(
    ("words", "relation"),
    [
        ("to the left of", "left"), ("left of", "left"), ("on the left side of", "left"),
        ("to the right of", "right"), ("right of", "right"), ("in front of", "front"),
        ("behind", "behind"), ("above", "above"), ("over", "above"), ("below", "below"),
        ("under", "below"), ("underneath", "below"), ("on", "on"), ("on top of", "on"),
        ("inside", "inside"), ("in", "inside"), ("located to the left of", "left"),
        ("hanging above", "above"), ("IN FRONT OF", "front"),
    ],
)  # fmt: skip
def test_relations(words, relation):
    question = parse(f"Is the lamp {words} the sofa?", ("A. yes", "B. no"))
    assert isinstance(question, Configuration)
    assert (question.a.noun, question.relation, question.b.noun) == ("lamp", relation, "sofa")
    assert (question.view, question.observer, question.facing) == ("camera", None, None)


@pytest.mark.parametrize(
    ("text", "view", "observer", "facing"),
    [
        ("From the camera's view at the start of the video, is {}?", "camera", None, None),
        ("Is {} from the first camera's view?", "camera", None, None),
        ("Is {}, as seen from the camera?", "camera", None, None),
        ("In this room, is {}?", "camera", None, None),
        ("From the sofa's own perspective, is {}?", "object", None, None),
        ("Is {}, when seen from the sofa's own front?", "object", None, None),
        ("From the perspective of the sofa, is {}?", "object", None, None),
        ("Is {} from its own view?", "object", None, None),
        ("From the sofa’s own perspective, is {}?", "object", None, None),
        ("For someone standing by the bed and facing the tv, is {}?", "observer", "bed", "tv"),
        ("If I am standing at the bed and facing the tv, is {}?", "observer", "bed", "tv"),
        ("Is {} for someone standing next to the bed and facing the tv?", "observer", "bed", "tv"),
        ("When standing by the bed facing the tv, is {}?", "observer", "bed", "tv"),
        ("Seen from the viewpoint of someone standing at the bed, is {}?", "observer", "bed", None),
        ("I am standing at the bed and facing the tv. Is {}?", "observer", "bed", "tv"),
    ],
)
def test_whose_view(text, view, observer, facing):
    for words, relation in (("to the left of", "left"), ("behind", "behind")):
        question = parse(text.format(f"the lamp {words} the sofa"))
        assert isinstance(question, Configuration), question
        assert (question.a.noun, question.relation, question.b.noun) == ("lamp", relation, "sofa")
        assert question.view == view
        assert (question.observer and question.observer.noun) == observer
        assert (question.facing and question.facing.noun) == facing


# --- names in questions ------------------------------------------------------------------------

NEAR_SCREEN = Reference("chair", selector=Selector("nearest", Reference("screen")))


@pytest.mark.parametrize(
    ("phrase", "meant"),
    [
        ("the chair beside the screen", NEAR_SCREEN),
        ("the blue chair", Reference("chair", modifiers=("blue",))),
        ("the largest table", Reference("table", selector=Selector("largest"))),
        ("chair_2", Reference("chair", object_id="chair_2")),
        ("the trash_bin_1", Reference("trash bin", object_id="trash_bin_1")),
        ("the door seen first", Reference("door", selector=Selector("first_seen"))),
        ("the chair farthest from the door",
         Reference("chair", selector=Selector("farthest", Reference("door")))),
        ("the chest of drawers", Reference("chest of drawer")),
    ],
)  # fmt: skip
def test_names_are_read_in_every_place(phrase, meant):
    """As the first and the last thing of a sentence, and in lists."""

    def same(got: Reference) -> bool:
        def content(one):
            anchor = one.selector and one.selector.anchor
            kind = one.selector and one.selector.kind
            return one.noun, one.modifiers, kind, one.object_id, anchor and content(anchor)

        return content(got) == content(meant)

    for question in (
        parse(f"How far is {phrase} from the lamp?"),
        parse(f"What is the distance between {phrase} and the lamp in meters?"),
    ):
        assert same(question.a)
        assert question.b.noun == "lamp"
    swapped = parse(f"How far is the lamp from {phrase} in centimeters?")
    assert same(swapped.b)
    assert swapped.unit == "cm"
    assert same(parse(f"Is the lamp behind {phrase} from the first camera's view?").b)
    assert same(parse(f"If I am standing by {phrase} and facing the tv, is the lamp to my left or "
                      "right?").observer)  # fmt: skip
    listed = parse("Which object is closest to the tv?", [f"A. {phrase}", "B. lamp"])
    assert same(listed.candidates[0])


def test_two_readings_of_where_a_name_ends():
    """Both names hold "from": only one cut leaves two names."""
    text = "How far is the chair farthest from the door from the table closest to the tv in meters?"
    question = parse(text)
    assert question.a == reference("the chair farthest from the door")
    assert question.b == reference("the table closest to the tv")


# --- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["A. left", "B. right"], [("A", "left"), ("B", "right")]),
        (["(A) left", "(B) right"], [("A", "left"), ("B", "right")]),
        (["a) left", "b) right"], [("A", "left"), ("B", "right")]),
        (["A: left", " B :  right "], [("A", "left"), ("B", "right")]),
        (["left", "right"], [("A", "left"), ("B", "right")]),
        (["D. left", "C. right"], [("D", "left"), ("C", "right")]),
        (["tv", "T-shirt", "3.5"], [("A", "tv"), ("B", "T-shirt"), ("C", "3.5")]),
        ([""], [("A", "")]),
        ([], []),
    ],
)
def test_options(given, read):
    assert [(option.letter, option.text) for option in read_options(given)] == read


# --- all templates, and the benchmark ----------------------------------------------------------

SLOTS = {
    "kind": "chair", "kinds": "chairs", "a": "the chair farthest from the door",
    "b": "the sofa nearest the door", "listed": "chair, table, tv", "extreme": "closest to",
    "listed_and": "the chair, the table and the tv", "observer": "the largest table",
    "facing": "the tv", "target": "the lamp seen first", "start": "the bed", "goal": "chair_2",
    "anchor": "the chair nearest the tv", "relation": "to the left of", "other": "left of",
    "steps": "1. Go forward until the bed 2. [please fill in] 3. Go forward until the sofa.",
}  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_sentence_that_is_generated_is_read(template):
    standard, train, heldout = TEMPLATES[template]
    options = ["A. chair", "B. table", "C. tv"] if "rel_distance" in template else []
    for sentence in (standard, *train, *heldout):
        question = parse(sentence.format(**SLOTS), options)
        assert template.startswith(question.family), (sentence, question)


def test_the_benchmark_is_read(data_dir):
    """From text and options alone: the parser is never given the type."""
    path = data_dir / "vsibench" / "questions.jsonl"
    if not path.is_file():
        pytest.skip("no vsibench in SPATIALCODE_DATA")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {row["question_type"] for row in rows} == set(FAMILIES) - {"configuration"}
    wrong = [
        (row["id"], row["question_type"], family)
        for row in rows
        if (family := parse(row["question"], row["options"] or ()).family) != row["question_type"]
    ]
    assert not wrong
