"""The sentences that questions are asked in: VSI-Bench's own, and others for the same.

The first sentence of a template is the standard one. Of the others, some are kept apart
(``heldout``) so that who trains on generated questions can test on words never trained on. Every
sentence is one that `parse` reads.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spatialcode.questions.generate_config import Paraphrases
from spatialcode.questions.types import Relation

Rng = np.random.Generator

#: How a relation is said: the standard words, and others.
RELATION_WORDS: Mapping[Relation, tuple[str, str]] = {
    "left": ("to the left of", "left of"), "right": ("to the right of", "right of"),
    "front": ("in front of", "in front of"), "behind": ("behind", "behind"),
    "above": ("above", "over"), "below": ("below", "under"),
    "on": ("on", "on top of"), "inside": ("inside", "in"),
}  # fmt: skip

_QUADRANTS = (
    "\nThe directions refer to the quadrants of a Cartesian plane (if I am standing at the origin"
    " and facing along the positive y-axis)."
)
_BACK = (
    "\nAn object is to my back if I would have to turn at least 135 degrees in order to face it."
)
_ACTIONS = (
    " You will perform the following actions (Note: for each [please fill in], choose either"
    " 'turn back,' 'turn left,' or 'turn right.'): {steps} You have reached the final destination."
)
_FILL = (
    " Choose 'turn back', 'turn left' or 'turn right' for each [please fill in] of these actions:"
    " {steps} You have reached the final destination."
)

#: Standard sentence, sentences to train on, sentences held out.
TEMPLATES: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "object_counting": (
        "How many {kind}(s) are in this room?",
        ("How many {kinds} are there in the room?", "What is the number of {kinds} in this room?",
         "Count the {kinds} in this room."),
        ("How many {kinds} can you see in the video?", "How many {kinds} does this room have?"),
    ),
    "object_size_estimation": (
        "What is the length of the longest dimension (length, width, or height) of {a}, measured in"
        " centimeters?",
        ("In centimeters, what is the longest dimension of {a}?",
         "How long is the longest side of {a} in centimeters?"),
        ("What does the longest side of {a} measure in centimeters?",
         "How long is {a}, measured in centimeters?"),
    ),
    "room_size_estimation": (
        "What is the size of this room (in square meters)? \nIf multiple rooms are shown, estimate"
        " the size of the combined space.",
        ("How large is this room in square meters?",
         "What is the floor area of the room, in square meters?"),
        ("Estimate the area of this room in square meters.",
         "How big is the space shown in the video, in square meters?"),
    ),
    "object_abs_distance": (
        "Measuring from the closest point of each object, what is the distance between {a} and {b}"
        " (in meters)?",
        ("How far is {a} from {b} in meters?",
         "Measured at their closest points, what is the distance between {a} and {b} in meters?"),
        ("How many meters lie between {a} and {b}?",
         "How far apart are {a} and {b}, in meters?"),
    ),
    "object_rel_distance": (
        "Measuring from the closest point of each object, which of these objects ({listed}) is the"
        " {extreme} {anchor}?",
        ("Which of these objects ({listed}) is {extreme} {anchor}?",
         "Measured at the closest points, which is {extreme} {anchor}: {listed}?"),
        ("Of these things, which one is the {extreme} {anchor}: {listed}?",
         "Which object is {extreme} {anchor}?"),
    ),
    "object_rel_direction_easy": (
        "If I am standing by {observer} and facing {facing}, is {target} to the left or the right"
        " of {facing}?",
        ("When standing next to {observer} and facing {facing}, is {target} on my left or on my"
         " right?",
         "Imagine standing at {observer}, facing {facing}, is {target} to the left or to the"
         " right?"),
        ("I am standing at {observer} and facing {facing}. Is {target} on my right or on my left?",
         "Someone standing by {observer} is facing {facing}. Is {target} to the left or to the"
         " right?"),
    ),
    "object_rel_direction_medium": (
        "If I am standing by {observer} and facing {facing}, is {target} to my left, right, or"
        " back?" + _BACK,
        ("When standing next to {observer} and facing {facing}, is {target} to my left, to my right"
         " or behind me? Behind begins at a turn of 135 degrees.",
         "Imagine standing at {observer}, facing {facing}, is {target} to the left, the right or"
         " the back (135 degrees and more)?"),
        ("I am standing at {observer} and facing {facing}. Is {target} on my left, on my right or"
         " at my back, which begins at 135 degrees?",),
    ),
    "object_rel_direction_hard": (
        "If I am standing by {observer} and facing {facing}, is {target} to my front-left,"
        " front-right, back-left, or back-right?" + _QUADRANTS,
        ("When standing next to {observer} and facing {facing}, is {target} in the front-left,"
         " front-right, back-left or back-right quadrant?",
         "Imagine standing at {observer}, facing {facing}, is {target} to the front-left,"
         " front-right, back-left or back-right?"),
        ("I am standing at {observer} and facing {facing}. Is {target} to my front left, front"
         " right, back left or back right?",),
    ),
    "route_planning": (
        "You are a robot beginning at {start} and facing {facing}. You want to navigate to {goal}."
        + _ACTIONS,
        ("You are a robot beginning at {start} facing {facing}. You want to navigate to {goal}."
         + _FILL,
         "You are a robot starting at {start}, facing {facing}. Your goal is {goal}." + _FILL),
        ("A robot starts at {start} and faces {facing}. It should get to {goal}." + _FILL,),
    ),
    "obj_appearance_order": (
        "What will be the first-time appearance order of the following categories in the video:"
        " {listed}?",
        ("In which order do {listed_and} first appear in the video?",
         "In what order are {listed_and} first seen in the video?"),
        ("In which order did {listed_and} come into view?",
         "Give the appearance order of the following categories: {listed}?"),
    ),
    "configuration_camera": (
        "From the camera's view at the start of the video, is {a} {relation} {b}?",
        ("Is {a} {relation} {b} from the first camera's view?",
         "Seen from the camera at the start of the video, is {a} {other} {b}?"),
        ("When seen from the first camera, is {a} {other} {b}?",),
    ),
    "configuration_object": (
        "From the perspective of {b}, is {a} {relation} {b}?",
        ("Is {a} {relation} {b}, from the perspective of {b}?",
         "From {b}'s own perspective, is {a} {other} {b}?"),
        ("Is {a} {other} {b}, when seen from {b}'s own front?",),
    ),
    "configuration_observer": (
        "For someone standing by {observer} and facing {facing}, is {a} {relation} {b}?",
        ("If I am standing at {observer} and facing {facing}, is {a} {relation} {b}?",
         "Is {a} {other} {b} for someone standing next to {observer} and facing {facing}?"),
        ("When standing by {observer} facing {facing}, is {a} {other} {b}?",),
    ),
    "configuration_vertical": (
        "Is {a} {relation} {b}?",
        ("Is {a} {other} {b}?", "In this room, is {a} {relation} {b}?"),
        ("In the video, is {a} {other} {b}?",),
    ),
}  # fmt: skip


def sentences(template: str, which: Paraphrases) -> tuple[str, ...]:
    """The sentences of a template that are not the standard one."""
    _, train, heldout = TEMPLATES[template]
    return {"train": train, "heldout": heldout, "all": train + heldout}[which]


def standard(template: str) -> str:
    """The standard sentence of a template."""
    return TEMPLATES[template][0]


def words_in_row(words: list[str]) -> str:
    """A list as it is said: the bed, the chair and the tv."""
    return f"{', '.join(words[:-1])} and {words[-1]}"
