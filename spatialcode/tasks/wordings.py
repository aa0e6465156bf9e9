"""More ways to ask the same, for training only, written as small grammars: "(How far|What) is …".

A reader that has met few sentences learns these sentences. Here a typed question is put into one of
many others. The sentences that the generator keeps apart (`phrasing`, ``heldout``) are never made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spatialcode.questions.naming import kind_of, plural
from spatialcode.questions.phrasing import TEMPLATES, words_in_row
from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    ObjectSize,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)

Rng = np.random.Generator

_STAND = (
    "(If I am|If you are|Suppose I am|Imagine I am|Imagine you are|When I am|When|While|Assume I am"
    "|For a person) (standing|positioned|located|placed) (by|at|near|next to|beside|close to)"
    " {observer}( and|,| while) (facing|looking at|looking towards|turned towards) {facing}"
)
_PERSON = (
    "(I am|You are|Someone is|A person is|Somebody is) (standing|located|positioned) (by|at|next to"
    "|beside) {observer}( and facing| and looking at|, facing|, looking towards) {facing}."
)
_SIDES = "(to my left or to my right|to the right or to the left|on the left or on the right|left or right)"  # noqa: E501
_THREE = (
    "(left, right or behind|on the left, on the right or behind me|to my right, to my left or to"
    " my back|on my right, on my left or behind|left, right or back)"
    "(| if behind starts at 135 degrees|, where back means 135 degrees or more|, counting 135"
    " degrees and more as back)"
)
_FOUR = (
    "(front-left, front-right, back-left or back-right|ahead left, ahead right, behind left or"
    " behind right|in front to the left, in front to the right, behind to the left or behind to the"
    " right|front right, front left, back right or back left)"
)
_WHERE = "(is|would|will) {target}( be|) "
_ROUTE = (
    "(You are a robot|A robot is|Imagine a robot|You are|The robot is) (at|next to|beginning at"
    "|starting from|by) {start}(, facing| and facing| and looking at|, turned towards) {facing}."
    " (It wants|You want|The aim is|The task is|You need) to (reach|go to|get to|move to|arrive at)"
    " {goal}. (Fill in|Choose) (each|the) (turn|missing turn|blank|[please fill in])( with turn"
    " left, turn right or turn back|): {steps}( The goal is reached.|)"
)
_LEAD = "(|||In this room, |In the video, |Here, |Please tell me: |Looking at this room, )"

#: Grammars by what is asked; ``(a|b)`` is a choice, ``{x}`` a slot.
GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "object_counting": (
        _LEAD + "(how many|what number of) {kinds} (are here|are there|are present|exist|do we have"
        "|can be found|can be counted|are visible|do you see|appear|are shown)"
        "( in total| altogether| in the scene| in the video| in this space| around here|)?",
        "(Count|Please count|Give the count of|Tell me the number of|Report how many there are of)"
        "( all|) the {kinds}(| here| in the video| in the scene| you see).",
        "(What is the|State the|Give me the) (number|count|total|quantity|amount) of {kinds}"
        "( here| in the scene| in the video| that you see|).",
        "Does the room have one {kind} or more, and how many?",
        "The (room|scene|space) (contains|has|holds|shows) how many {kinds}?",
    ),
    "object_size_estimation": (
        _LEAD + "(what is|give|estimate|tell me) the (length of the longest side|longest dimension"
        "|longest extent|largest dimension|maximum dimension|greatest extent) of {a}( in cm"
        "| in centimeters|, in centimeters|, measured in centimeters).",
        "(How long|How big|How large) is {a}( along its longest side| at its longest|"
        " at most| in its largest dimension)(, in centimeters| in centimeters| in cm)?",
        "{a}: (how many|what number of) centimeters (long is it|is its longest side"
        "|does its longest side have|does it measure at most)?",
        "(How many|What number of) centimeters (is|does) the (longest|largest) (side|dimension"
        "|edge) of {a}( measure| have| be|)?",
    ),
    "room_size_estimation": (
        _LEAD + "(what is|give|estimate|tell me|state) the (size|area|floor area|floor space"
        "|surface) of (the|this) (room|space|place|floor|scene)( in square meters|, in square"
        " meters| in m2|).",
        "(How many|What number of) square meters (does|is|has|are in) (the|this) (room|floor|space"
        "|scene)( have| cover| measure|)?",
        "(How big|How large|How spacious) is (the|this) (room|place|floor|whole space|area)"
        "( in square meters|, in square meters| in m2)?",
    ),
    "object_abs_distance": (
        _LEAD + "(what is|give|estimate|tell me) the (distance|shortest distance|gap|separation"
        "|space|minimum distance) (between|in meters between) {a} and {b}( in meters|, in meters"
        "|).",
        "(How far|How distant|How many meters|How far away) (is|are) {a} (from|away from) {b}"
        "( in meters|, in meters|)?",
        "(How much|What) (distance|space|room) (is there|is|lies|separates) (between|from) {a}"
        " (and|to) {b}(, in meters| in meters|)?",
        "From {a} to {b}, (how many meters is it|what is the distance in meters|how far is it)?",
        "(How close|How near) (is|are) {a} (to|and) {b}, in meters?",
        "(By how many meters|By what distance) are {a} and {b} (separated|apart)?",
    ),
    "object_rel_distance": (
        _LEAD + "(which|what|which one) (of these|of the following|among these)( objects| things"
        "| items|) (is|lies|stands) {extreme} {anchor}(: {listed}?|, {listed}?|?)",
        "(Which|What) (thing|item|one|of them) (is|lies|stands|would be) (the |){extreme}"
        " {anchor}?",
        "({listed}: which|Out of {listed}, which|Among {listed}, which) (one |)(is|lies|stands)"
        " {extreme} {anchor}?",
        "(Name|Pick|Choose|Tell me) the (object|thing|item|one) {extreme} {anchor}"
        "( from {listed}|: {listed}| among {listed}|).",
    ),
    "object_rel_direction_easy": (
        _STAND + ", " + _WHERE + _SIDES + "?",
        _PERSON + " (Is|Would) {target} " + _SIDES + "?",
        _STAND + ", (on which side|on what side|on which hand) is {target}: left or right?",
        _PERSON + " (On which side|On what hand) is {target}, left or right?",
        _STAND + ", do I find {target} " + _SIDES + "?",
    ),
    "object_rel_direction_medium": (
        _STAND + ", " + _WHERE + _THREE + "?",
        _PERSON + " (Is|Would) {target} " + _THREE + "?",
        _STAND + ", where is {target}: " + _THREE + "?",
        _PERSON + " (Where|In which direction) is {target}, " + _THREE + "?",
    ),
    "object_rel_direction_hard": (
        _STAND + ", " + _WHERE + _FOUR + "?",
        _PERSON + " (Is|Would) {target} " + _FOUR + "?",
        _STAND + ", (where|in which quadrant|in which direction) is {target}: " + _FOUR + "?",
        _PERSON + " (Where|In which quadrant) is {target}, " + _FOUR + "?",
    ),
    "route_planning": (_ROUTE,),
    "obj_appearance_order": (
        "(What is the order|Give the order|Tell me the order|State the sequence|What is the"
        " sequence) in which (the following|these)( things| objects| categories|)( first|) (appear"
        "|show up|are seen|become visible|come up)( in the video|): {listed}.",
        "(Order|Sort|Arrange|Put in order) (the following|these)( things| objects|) by (first"
        " appearance|when they first appear|first sight|the time they are first seen): {listed}.",
        "(In which|In what) (order|sequence) (do|are|did) {listed_and} (appear|show up|become"
        " visible|first shown|come up|get seen)( in the video|)?",
        "(Which|What) (appears|comes|is seen) first, second and so on: {listed}?",
        "What is the first-time (appearance|viewing) order of {listed}?",
    ),
    "configuration_camera": (
        "(From|In|Seen from|Looking from) (the view of the first camera|the camera's first view"
        "|the first frame|where the camera starts|the camera at the start), is {a} {relation} {b}?",
        "(For|To) the (first camera|camera at the start), is {a} {relation} {b}?",
        "Is {a} {relation} {b} (in the first camera's view|as the first camera sees it|from the"
        " camera's view|as seen by the camera at the start)?",
        "(Does|Would) the first camera (see|show) {a} {relation} {b}?",
    ),
    "configuration_object": (
        "(From|Seen from|In) (the front|the own view|the view|the perspective|the point of view) of"
        " {b}, is {a} {relation} (it|{b})?",
        "Is {a} {relation} {b}(,|) (from|seen from|in) {b}'s (own |)(front|perspective|view|point"
        " of view)?",
        "(With|By) {b}'s own (front|facing|orientation), is {a} {relation} {b}?",
    ),
    "configuration_observer": (
        _STAND + ", (is|would) {a}( be|) {relation} {b}?",
        _PERSON + " (Is|Would) {a}( be|) {relation} {b}?",
        "Is {a} {relation} {b} (for|to|seen by|as seen by) (a person|someone|one) (at|by|beside"
        "|next to) {observer} (facing|who faces|looking at|turned to) {facing}?",
    ),
    "configuration_vertical": (
        _LEAD + "(is|would you say that) {a}( located|) {relation} {b}?",
        "(Does|Would) {a} (lie|stand|sit|hang|rest) {relation} {b}?",
        "(Is it true that|Is it right that|True or false:) {a} is {relation} {b}?",
        "{a} is {relation} {b}, (yes or no|right|true|is it not)?",
    ),
}
_RELATIONS = {
    "left": ("to the left of", "left of", "on the left of", "on the left side of"),
    "right": ("to the right of", "right of", "on the right of", "on the right side of"),
    "front": ("in front of", "before", "at the front of"),
    "behind": ("behind", "in back of", "at the back of"),
    "above": ("above", "over", "higher up than", "somewhere above"),
    "below": ("below", "under", "beneath", "underneath"),
    "on": ("on", "on top of", "resting on", "standing on"),
    "inside": ("inside", "in", "within", "inside of"),
}
_EXTREMES = {
    "closest": ("closest to", "nearest to", "the nearest to", "nearer to", "least far from"),
    "farthest": ("farthest from", "furthest from", "most distant from", "the farthest from"),
}
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_HELDOUT = frozenset(text for _, _, heldout in TEMPLATES.values() for text in heldout)


def reworded(question: Question, rng: Rng) -> Question:
    """The question in other words, with the same meaning; as it is where there are none."""
    found = _slots(question, rng)
    if found is None:
        return question
    name, slots = found
    grammars = GRAMMARS[name]
    while (sentence := expand(grammars[int(rng.integers(len(grammars)))], rng)) in _HELDOUT:
        pass
    text = sentence.format(**slots)
    text = text[:1].upper() + text[1:]
    if isinstance(question, Counting):  # one of a kind, or several, as the sentence says it
        said = slots["kinds" if "{kinds}" in sentence else "kind"]
        return replace(question, text=text, target=replace(question.target, phrase=said))
    return replace(question, text=text)


def expand(grammar: str, rng: Rng) -> str:
    """One sentence of a grammar, its slots still open."""
    text = grammar
    while _CHOICE.search(text):
        text = _CHOICE.sub(lambda m: _one(m[1].split("|"), rng), text)
    return " ".join(text.split())


def _one(words: list[str] | tuple[str, ...], rng: Rng) -> str:
    return words[int(rng.integers(len(words)))]


def _the(wanted: Reference) -> str:
    """As it stands in a sentence: with its article, ids without."""
    phrase = wanted.phrase
    bare = wanted.object_id is not None or phrase.lower().startswith(("the ", "a ", "an "))
    return phrase if bare else f"the {phrase}"


def _slots(question: Question, rng: Rng) -> tuple[str, dict[str, str]] | None:
    """Which grammars say a question, and what goes into them."""
    match question:
        case Counting():
            kind = kind_of(question.target.phrase)
            return question.family, {"kind": kind, "kinds": plural(kind)}
        case ObjectSize(unit="cm"):
            return question.family, {"a": _the(question.target)}
        case RoomSize():
            return question.family, {}
        case AbsoluteDistance(unit="m"):
            return question.family, {"a": _the(question.a), "b": _the(question.b)}
        case RelativeDistance():
            listed = ", ".join(option.text for option in question.options)
            extreme = _one(_EXTREMES[question.extreme], rng)
            slots = {"listed": listed, "extreme": extreme, "anchor": _the(question.anchor)}
            return question.family, slots
        case RelativeDirection():
            roles = ("observer", "facing", "target")
            return question.family, {role: _the(getattr(question, role)) for role in roles}
        case RoutePlanning():
            return question.family, _route(question, rng)
        case AppearanceOrder():
            names = [one.phrase for one in question.candidates]
            joined = words_in_row([_the(one) for one in question.candidates])
            return question.family, {"listed": ", ".join(names), "listed_and": joined}
        case Configuration():
            return _configuration(question, rng)
    return None


def _route(question: RoutePlanning, rng: Rng) -> dict[str, str]:
    go = _one(("Go forward until", "Walk to", "Move forward to", "Go to", "Drive to"), rng)
    parts = [
        "[please fill in]" if isinstance(step, Blank) else f"{go} {_the(step.until)}"
        for step in question.steps
    ]
    steps = " ".join(f"{n + 1}. {part}." for n, part in enumerate(parts))
    return {
        "start": _the(question.start), "facing": _the(question.facing),
        "goal": _the(question.destination), "steps": steps,
    }  # fmt: skip


def _configuration(question: Configuration, rng: Rng) -> tuple[str, dict[str, str]]:
    slots = {"a": _the(question.a), "b": _the(question.b)}
    slots["relation"] = _one(_RELATIONS[question.relation], rng)
    if question.observer is not None:
        slots["observer"] = _the(question.observer)
        slots["facing"] = _the(question.facing or question.b)
    if question.relation in ("above", "below", "on", "inside"):
        return "configuration_vertical", slots
    return f"configuration_{question.view}", slots
