"""How questions about routes are read, said and generated; `route_planning` answers them.

One goes straight from a thing's centre to the next one's. Whether something stands in the way is
not known; legs that leave the room's outline are not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from spatialcode.questions.names import reference
from spatialcode.questions.parse import Common, Reader
from spatialcode.questions.types import TURNS, Blank, Forward, Question, RoutePlanning
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, by_word, drawn
from spatialcode.reasoning.families.family import Family, Sentences, Wording
from spatialcode.reasoning.families.viewing import (
    turned_deg,
)
from spatialcode.reasoning.naming import Bools, Floats, NamedRoom, Rng, the
from spatialcode.scene import relations

#: Routes of one form that are looked at; a small room has fewer.
_NUM_TRIED = 2000
#: Where along a leg it is looked at whether it is in the room.
_ALONG = np.linspace(0.2, 0.8, 7)

_ROUTE = re.compile(
    r"\brobot,? (?:is )?(?:that |which )?(?:beginning|starting|begins|starts) "
    r"(?:at|by|from) (?:the )*(?P<start>[^.]{1,120}?),?(?: and)? (?:(?:facing|faces) "
    r"(?:(?:into|out|to|towards?) )?|(?=with your ))(?P<facing>[^.]{1,120}?)\s*\. "
    r"(?:you want to|you should|it should|it wants to|your goal is(?: to)?|its goal is(?: to)?)"
    r"(?: (?:navigate|go|get|walk|drive) to)? (?:the )*(?P<goal>[^.]{1,120}?)\s*\.",
    re.IGNORECASE,
)
#: "facing the door and to the left of the bin": only the first says where one looks.
_BESIDES = re.compile(r" and to | to the left| to the right", re.IGNORECASE)
_STEP = re.compile(r"(?:^|\s)\d{1,2}\. ")
_REACHED = re.compile(r"\.? ?(?:you|it) ha(?:ve|s) reached", re.IGNORECASE)
_ON_THE_WAY = re.compile(
    r"^(?:go|move|walk|drive) f\w+(?: through [^.]{1,40})?(?: (?:un\w+|to|past|passing))?"
    r"(?: (?:past|passing(?: by)?))?\s+",
    re.IGNORECASE,
)
_WHERE_SEEN = re.compile(r"\s+is (?:right )?(?:on|to|in) (?:your|my|the|front)\b.*$", re.IGNORECASE)


def _read(text: str, common: Common) -> Question | None:
    """The whole text as a route with blanks; None where it is none. SchemaError for a nameless
    start, goal or step.
    """
    found = _ROUTE.search(text) if "robot" in text.lower() else None
    if found is None:
        return None
    told = _REACHED.split(text[found.end() :])[0]
    route: list[Forward | Blank] = []
    for step in _STEP.split(told)[1:]:
        if "fill in" in step.lower():
            route.append(Blank())
        elif step.strip(" ."):
            goal = _WHERE_SEEN.sub("", _ON_THE_WAY.sub("", step.strip(" .")))
            route.append(Forward(reference(goal)))
    if not any(isinstance(step, Blank) for step in route):
        return None
    facing = _BESIDES.split(found["facing"])[0]
    return RoutePlanning(
        start=reference(found["start"].strip(" ,")), facing=reference(facing),
        destination=reference(found["goal"]), steps=tuple(route), **common,
    )  # fmt: skip


_ACTIONS = (
    " You will perform the following actions (Note: for each [please fill in], choose either"
    " 'turn back,' 'turn left,' or 'turn right.'): {steps} You have reached the final destination."
)
_FILL = (
    " Choose 'turn back', 'turn left' or 'turn right' for each [please fill in] of these actions:"
    " {steps} You have reached the final destination."
)
_TEMPLATES: Mapping[str, Sentences] = {
    "route_planning": Sentences(
        "You are a robot beginning at {start} and facing {facing}. You want to navigate to {goal}."
        + _ACTIONS,
        ("You are a robot beginning at {start} facing {facing}. You want to navigate to {goal}."
         + _FILL,
         "You are a robot starting at {start}, facing {facing}. Your goal is {goal}." + _FILL),
        ("A robot starts at {start} and faces {facing}. It should get to {goal}." + _FILL,),
    ),
}  # fmt: skip

_ROUTE_SENTENCE = (
    "(You are a robot|A robot is|Imagine a robot|You are|The robot is) (at|next to|beginning at"
    "|starting from|by) {start}(, facing| and facing| and looking at|, turned towards) {facing}."
    " (It wants|You want|The aim is|The task is|You need) to (reach|go to|get to|move to|arrive at)"
    " {goal}. (Fill in|Choose) (each|the) (turn|missing turn|blank|[please fill in])( with turn"
    " left, turn right or turn back|): {steps}( The goal is reached.|)"
)
_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "route_planning": (_ROUTE_SENTENCE,),
}  # fmt: skip

_READER = Reader(whole=_read)


def words_of_turns(turns: Sequence[Any]) -> str:
    """The answer in words: "Turn Left, Turn Back"."""
    return ", ".join(f"Turn {str(turn).capitalize()}" for turn in turns)


def _routes(num_things: int, num_blanks: int, ahead: bool, rng: Rng) -> np.ndarray:
    """(N, k) start, facing and stops by lot; ``ahead``: the first stop is what one faces."""
    width = 2 + num_blanks
    if num_things < width:
        return np.zeros((0, width + ahead), np.intp)
    tried = min(_NUM_TRIED, num_things**width)
    lots = rng.choice(num_things**width, tried, replace=False)
    places = np.stack(np.unravel_index(lots, (num_things,) * width), axis=1)
    return np.insert(places, 2, places[:, 1], axis=1) if ahead else places


def _turns(routes: np.ndarray, ahead: bool, room: NamedRoom) -> tuple[np.ndarray, Bools]:
    """(N, blanks) places in `TURNS`; (N,) whether all are clear, all legs long and in the room."""
    margins, xy = room.config.margins, room.xy_m
    start, facing, *stops = (xy[routes[:, k]] for k in range(routes.shape[1]))
    points = [start, *stops]
    legs = [b - a for a, b in pairwise(points)]
    headings = legs if ahead else [facing - start, *legs]
    kept = np.linalg.norm(facing - start, axis=1) >= margins.separation_m
    for a, leg in zip(points, legs, strict=False):
        kept &= np.linalg.norm(leg, axis=1) >= margins.leg_m
        kept &= _in_room(a, leg, room)
    bearings = np.stack([turned_deg(u, v) for u, v in pairwise(headings)], axis=1)
    size = np.abs(bearings)
    clear = (size >= margins.turn_deg) & (np.abs(size - relations.BACK_DEG) >= margins.bearing_deg)
    turns = np.where(bearings > 0.0, TURNS.index("left"), TURNS.index("right"))
    turns = np.where(size >= relations.BACK_DEG, TURNS.index("back"), turns)
    return turns, kept & clear.all(axis=1)


def _in_room(start: Floats, leg: Floats, room: NamedRoom) -> Bools:
    """(N,) whether the legs stay inside the outline, where there is one."""
    found = room.index.code.room
    if found is None or not found.polygon_m:
        return np.ones(len(start), bool)
    points = start[:, None, :] + _ALONG[:, None] * leg[:, None, :]
    return np.all(inside_polygon(points, np.array(found.polygon_m)), axis=1)


def inside_polygon(points: Floats, polygon: Floats) -> Bools:
    """(...) which points (..., 2) lie in a polygon (P, 2), by the even-odd rule."""
    x, y = points[..., 0], points[..., 1]
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside


def _draft(room: NamedRoom, chosen: Sequence[int], group: str, answer: str, rng: Rng) -> Draft:
    named = {row: room.name(row, rng) for row in dict.fromkeys(chosen)}
    start, facing, *stops = (named[row] for row in chosen)
    route: list[Forward | Blank] = [Forward(reference(stops[0]))] if group.endswith("a") else []
    for stop in stops[1:] if route else stops:
        route += [Blank(), Forward(reference(stop))]
    parts = [
        "[please fill in]" if isinstance(step, Blank) else f"Go forward until {step.until.phrase}"
        for step in route
    ]
    told = " ".join(f"{n}. {words}" for n, words in enumerate(parts, 1)) + "."
    slots = {"start": start, "facing": facing, "goal": stops[-1], "steps": told}
    meant = partial(
        RoutePlanning, start=reference(start), facing=reference(facing),
        destination=reference(stops[-1]), steps=tuple(route),
    )  # fmt: skip
    options = turn_sequences(answer.split(", "), room.config.num_options, rng)
    return Draft(RoutePlanning.family, slots, meant, choices=tuple(map(words_of_turns, options)))


def turn_sequences(truth: Sequence[str], num_options: int, rng: Rng) -> tuple[tuple[str, ...], ...]:
    """The true turns and other ones; one turn: all three; more: two places with two turns each.

    The options are close to each other in the same way: nothing about the set tells which is right.
    """
    if len(truth) == 1:
        wrong = [turn for turn in TURNS if turn != truth[0]]
        kept = wrong if num_options >= 3 else [wrong[int(rng.integers(2))]]
        return (tuple(truth), *((turn,) for turn in kept))
    first, second = (int(n) for n in rng.permutation(len(truth))[:2])
    other = {place: _other(truth[place], rng) for place in (first, second)}
    sets = [(first,), (second,), (first, second)]
    made = [
        tuple(other[n] if n in places else turn for n, turn in enumerate(truth)) for places in sets
    ]
    if num_options <= 4:
        kept_places = rng.permutation(3)[: num_options - 1]
        return (tuple(truth), *(made[n] for n in sorted(kept_places)))
    every = [tuple(TURNS[n] for n in np.unravel_index(k, (3,) * len(truth)))
             for k in range(3 ** len(truth))]  # fmt: skip
    rest = [turns for turns in every if turns != tuple(truth) and turns not in made]
    extra = rng.permutation(len(rest))[: num_options - 4]
    return (tuple(truth), *made, *(rest[n] for n in extra))


def _other(turn: str, rng: Rng) -> str:
    return [one for one in TURNS if one != turn][int(rng.integers(2))]


class RoutePlanningQuestions(Family[RoutePlanning]):
    """How the family's questions are read, said and generated."""

    question_type = RoutePlanning
    names = (RoutePlanning.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """Candidates are rows (start, facing, stop, …).

        Where the first stop is what one faces, one goes there first; otherwise a turn comes first.
        Groups are by number of turns and by that.
        """
        rows = np.array(room.things(rng), np.intp)
        told_apart = room.naming.apart_rows(rows.tolist())
        cells: dict[tuple[str, str], Any] = {}
        seen = 0
        for num_blanks in range(1, room.config.max_blanks + 1):
            for ahead in (False, True):
                places = _routes(len(rows), num_blanks, ahead, rng)
                for a, b in combinations(range(places.shape[1]), 2):
                    if not (ahead and (a, b) == (1, 2)):
                        places = places[told_apart[places[:, a], places[:, b]]]
                found = rows[places].reshape(-1, places.shape[1])
                found = found[room.wanted(found)]
                seen += len(found)
                turns, clear = _turns(found, ahead, room)
                words = np.array([", ".join(TURNS[n] for n in one) for one in turns.tolist()], str)
                cells |= by_word(found, words, clear, f"{num_blanks}{'a' if ahead else ''}")
        return Pool(cells, partial(_draft, room), reason=AMBIGUOUS if seen else TOO_FEW)

    def wording(self, question: RoutePlanning, rng: Rng) -> Wording:
        ways = ("Go forward until", "Walk to", "Move forward to", "Go to", "Drive to")
        go = drawn(ways, rng)
        parts = [
            "[please fill in]" if isinstance(step, Blank) else f"{go} {the(step.until)}"
            for step in question.steps
        ]
        told = " ".join(f"{n + 1}. {part}." for n, part in enumerate(parts))
        slots = {
            "start": the(question.start), "facing": the(question.facing),
            "goal": the(question.destination), "steps": told,
        }  # fmt: skip
        return Wording(question.family, slots)
