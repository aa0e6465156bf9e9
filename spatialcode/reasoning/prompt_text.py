"""The words of prompts: conventions, rules and statement forms by family, the program's functions.

Forms are written with capitals for what is to be filled in: X, Y, Z, D in metres, N whole, DEG in
degrees; FACED, OBSERVER, TARGET, FIRST, SECOND, TO, FROM are ids, as ID is.
The rubric reads lines of these forms and recomputes them.
"""

from __future__ import annotations

from spatialcode.questions.types import VIEWED_RELATIONS, Configuration, Question
from spatialcode.reasoning.program.functions import FUNCTIONS

CONVENTIONS = """\
You answer questions about a room that was filmed. You are given its spatial code: every object as \
a box in 3D.
World: right-handed, z up, x and y horizontal. Lengths are in metres, times in seconds, yaw in \
radians.
center: the middle of the box. size: full extents along the box's own x, y and z axes; z is up.
yaw: turn of the box about z, counter-clockwise seen from above; 0 means its x axis is world x.
front of an object: along its own +y, which is (-sin(yaw), cos(yaw)).
For u = (ux, uy) and v = (vx, vy): dot(u, v) = ux*vx + uy*vy; cross(u, v) = ux*vy - uy*vx; \
angle(u, v) = atan2(cross, dot) in degrees.
A positive cross product or angle means that v is to the left of u, a negative one to the right; \
a positive dot product means ahead, a negative one behind.
distance: the smallest distance between two boxes, 0 where they touch. Of several objects of a \
kind, the closest pair counts.
"""

_LEFT_RIGHT = "left for a positive angle, right for a negative one"
_BEARING = (
    "forward runs from the observer to what is faced, to_target from the observer to the target."
)
_FORWARD = (
    "forward = FACED - OBSERVER = (X, Y)", "to_target = TARGET - OBSERVER = (X, Y)",
    "dot(forward, to_target) = D",
    "cross(forward, to_target) = D", "angle(forward, to_target) = DEG degrees",
    "ID is to the WORD",
)  # fmt: skip
_ROLES = (
    "observer: ID is at (X, Y, Z)", "facing: ID is at (X, Y, Z)", "target: ID is at (X, Y, Z)",
)  # fmt: skip
_NEAREST_FORMS = (
    "anchor: ID is at (X, Y, Z)", "candidate: ID is at (X, Y, Z)", "distance(ID, ID) = D m",
)  # fmt: skip

#: How a family is decided.
RULES: dict[str, str] = {
    "object_counting": "Count every object of the kind that is asked for.",
    "object_size_estimation": "The longest of the three extents.",
    "room_size_estimation": "The floor area of the room.",
    "object_abs_distance": "The smallest distance between the two things.",
    "object_rel_distance": "Compare the smallest distances from the anchor to each candidate.",
    "object_rel_direction_easy": f"{_BEARING} The angle decides: {_LEFT_RIGHT}.",
    "object_rel_direction_medium":
        f"{_BEARING} The angle decides: back from 135 degrees on, else {_LEFT_RIGHT}.",
    "object_rel_direction_hard":
        f"{_BEARING} The angle decides: front under 90 degrees, else back; {_LEFT_RIGHT}.",
    "route_planning":
        "At each turn the heading is the way one came (at the start: the way one faces), and the "
        "leg leads to the next stop. The angle decides: back from 135 degrees on, else "
        f"{_LEFT_RIGHT}.",
    "obj_appearance_order": "Kinds by the time at which the earliest object of each is first seen.",
    "configuration": "",
}  # fmt: skip
_VIEWED_RULE = (
    "forward is the viewer's direction (the camera's at the start, the second object's own front, "
    "or from the observer to what is faced); between runs from the second object to the first. "
    "left: the cross product is positive; right: negative; behind: the dot product is positive; "
    "front: negative. From the second object's own front it is the other way round for front and "
    "behind."
)
_VERTICAL_RULE = (
    "above and on: the first object's bottom against the second's top, footprints overlapping; on "
    "within 0.10 m. below: the reverse of above. inside: at least 80 % of its volume within the "
    "other."
)

#: The lines in which a family's reasoning can be checked.
FORMS: dict[str, tuple[str, ...]] = {
    "object_counting": ("count(KIND) = N [ID, ID]",),
    "object_size_estimation": ("ID measures X x Y x Z m", "longest(ID) = D m"),
    "room_size_estimation": ("area(room) = D m2",),
    "object_abs_distance": (
        "first: ID is at (X, Y, Z)", "second: ID is at (X, Y, Z)", "distance(ID, ID) = D m",
    ),
    "object_rel_distance": (*_NEAREST_FORMS, "closest to ID: ID", "farthest to ID: ID"),
    "object_rel_direction_easy": (*_ROLES, *_FORWARD),
    "object_rel_direction_medium": (*_ROLES, *_FORWARD),
    "object_rel_direction_hard": (*_ROLES, *_FORWARD),
    "route_planning": (
        "start: ID is at (X, Y, Z)", "facing: ID is at (X, Y, Z)", "stop: ID is at (X, Y, Z)",
        "heading_N = TO - FROM = (X, Y)", "leg_N = TO - FROM = (X, Y)",
        "angle(heading_N, leg_N) = DEG degrees", "turn N at ID: WORD",
    ),
    "obj_appearance_order": ("first_seen(ID) = D s", "order: ID, ID"),
    "unparsed": (
        "ID is at (X, Y, Z)", "ID measures X x Y x Z m", "distance(ID, ID) = D m",
        "count(KIND) = N [ID, ID]",
    ),
}  # fmt: skip
_VIEWED_FORMS = (
    "first: ID is at (X, Y, Z)", "second: ID is at (X, Y, Z)", "forward = front(ID) = (X, Y)",
    "forward = FACED - OBSERVER = (X, Y)", "between = FIRST - SECOND = (X, Y)",
    "dot(forward, between) = D",
    "cross(forward, between) = D", "angle(forward, between) = DEG degrees",
)  # fmt: skip
_VERTICAL_FORMS = ("bottom(ID) = D m", "top(ID) = D m")

LANGUAGE = """\
You answer questions about a room that was filmed by writing a program over its spatial code, \
which holds every object as a box in 3D. The program is run; its value is the answer.
A program is one expression, or lines of "name = expression" and an expression last. It has \
numbers, texts in quotes, lists and their items ([0]), + - * / // % **, comparisons, and, or, not, \
"a if b else c", and these functions. There is nothing else: no attributes, imports, loops, \
comprehensions or definitions.
Things are named by noun phrases ("chair", "largest table", "chair nearest the tv") or ids \
("chair_1"). Lengths are in metres, areas in square metres, times in seconds, angles in degrees.
"""

MEANINGS: dict[str, str] = {
    "count": "number of things of a kind",
    "things": "list of the things of a kind",
    "exists": "whether there is such a thing",
    "reference": "the one thing that a phrase means",
    "distance": "smallest distance between two things",
    "nearest": "of a list, or of a kind, the one closest to another thing",
    "farthest": "of a list, or of a kind, the one farthest from another thing",
    "direction":
        'where the target is for an observer; level "easy": left, right; "medium": left, right, '
        'back; "hard": front-left, front-right, back-left, back-right',
    "bearing": "angle from the facing direction to the target, left positive",
    "turns": 'list of turns along a path of things, in which "?" stands for a turn',
    "longest": "longest extent of a thing",
    "size": "list of width, depth and height",
    "width": "extent along its own x axis",
    "depth": "extent along its own y axis",
    "height": "extent along its own z axis",
    "volume": "volume of its box",
    "position": "list of x, y and z of its centre",
    "top": "height of its top",
    "bottom": "height of its bottom",
    "area": "floor area of the room",
    "first_seen": "time at which the earliest of the things was first seen",
    "order": "a list sorted by first sight",
    "largest": "of a kind, the one with the largest volume",
    "smallest": "of a kind, the one with the smallest volume",
    "tallest": "of a kind, the one with the largest height",
    "shortest": "of a kind, the one with the smallest height",
    "highest": "of a kind, the one whose top is highest",
    "lowest": "of a kind, the one whose bottom is lowest",
    "first": "of a kind, the one seen first",
    "last": "of a kind, the one seen last",
    "left_of": "whether a is left of b, for a view",
    "right_of": "whether a is right of b, for a view",
    "in_front_of": "whether a is in front of b, for a view",
    "behind": "whether a is behind b, for a view",
    "above": "whether a is above b",
    "below": "whether a is below b",
    "on": "whether a stands on b",
    "inside": "whether a is inside b",
    "min": "smallest of a list or of several numbers",
    "max": "largest of a list or of several numbers",
    "sorted": "a list of numbers in order",
    "sum": "sum of a list of numbers",
    "len": "number of items",
    "abs": "absolute value",
    "round": "rounded number",
}  # fmt: skip

#: What value a family's program must have.
VALUES: dict[str, str] = {
    "object_counting": "a whole number",
    "object_size_estimation": "a number in {unit}",
    "room_size_estimation": "a number in square metres",
    "object_abs_distance": "a number in {unit}",
    "object_rel_distance": "one of the things to choose from, as the question names it",
    "object_rel_direction_easy": 'the word that direction(…, level="easy") gives',
    "object_rel_direction_medium": 'the word that direction(…, level="medium") gives',
    "object_rel_direction_hard": 'the word that direction(…, level="hard") gives',
    "route_planning": 'a list of "left", "right" or "back", one for each turn',
    "obj_appearance_order": "a list of the kinds, as the question names them, in order",
    "configuration": "true or false",
}


def rule_of(question: Question) -> str:
    """How the question is decided; empty for one that was not understood."""
    if isinstance(question, Configuration):
        return _VIEWED_RULE if question.relation in VIEWED_RELATIONS else _VERTICAL_RULE
    return RULES.get(question.family, "")


def forms_of(question: Question) -> tuple[str, ...]:
    """The lines in which reasoning about the question is checked."""
    if isinstance(question, Configuration):
        viewed = question.relation in VIEWED_RELATIONS
        last = f"{question.relation}(ID, ID) = yes or no"
        return (*(_VIEWED_FORMS if viewed else _VERTICAL_FORMS), last)
    return FORMS[question.family]


def function_list() -> str:
    """Every function of the program language, one a line, as its table has them."""
    return "\n".join(
        f"{function.signature()}: {MEANINGS.get(name, '')}".rstrip(": ")
        for name, function in FUNCTIONS.items()
    )
