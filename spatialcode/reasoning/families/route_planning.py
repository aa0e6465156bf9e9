"""Routes from thing to thing, with turns left to fill in.

A route goes straight from a thing's centre to the next one's. Whether something stands in the way
is not known; routes that leave the room's outline are not asked about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.names import reference
from spatialcode.questions.parse import Common, Reader
from spatialcode.questions.types import TURNS, Blank, Forward, Question, Reference, RoutePlanning
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.answers.choices import Choice, NoAnswer
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, by_word, drawn
from spatialcode.reasoning.evidence import (
    Answer,
    answer_of,
    apart,
    at,
    bearing_evidence,
    surest,
    vector,
)
from spatialcode.reasoning.families.family import Family, Sentences, Wording
from spatialcode.reasoning.families.viewing import (
    LEFT_RIGHT,
    true_bearing,
    turn_sequences,
    turned_deg,
    words_allowed,
    words_of_turns,
)
from spatialcode.reasoning.naming import Bools, Floats, NamedRoom, Rng, the
from spatialcode.reasoning.priors.fit import Samples
from spatialcode.reasoning.priors.guesses import NUM_DRAWS, Places, Sight
from spatialcode.reasoning.program.of_question import not_an_answer, quoted, said
from spatialcode.reasoning.program.scene import Function, Given, Scene
from spatialcode.reasoning.program.values import Refused, Value, items
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.answers import Meaning
from spatialcode.reasoning.rubric.facts import Allows, Case, Fact, ids_of
from spatialcode.reasoning.rubric.steps import Ends, Need
from spatialcode.scene import relations
from spatialcode.scene.index import SceneIndex

#: Share of routes that do not go straight from thing to thing.
_BLUR = 0.3
#: Marks a turn in a program's path: no noun phrase is written so.
_TURN_MARK = "?"
_TURN = re.compile("|".join(TURNS))


#: How many random routes of one form are tried; a small room has fewer.
_NUM_TRIED = 2000
#: Points along a leg, as shares of it, that must lie in the room.
_ALONG = np.linspace(0.2, 0.8, 7)

_ROUTE = re.compile(
    r"\brobot,? (?:is )?(?:that |which )?(?:beginning|starting|begins|starts) "
    r"(?:at|by|from) (?:the )*(?P<start>[^.]{1,120}?),?(?: and)? (?:(?:facing|faces) "
    r"(?:(?:into|out|to|towards?) )?|(?=with your ))(?P<facing>[^.]{1,120}?)\s*\. "
    r"(?:you want to|you should|it should|it wants to|your goal is(?: to)?|its goal is(?: to)?)"
    r"(?: (?:navigate|go|get|walk|drive) to)? (?:the )*(?P<goal>[^.]{1,120}?)\s*\.",
    re.IGNORECASE,
)
#: "facing the door and to the left of the bin": only the first part is a viewing direction.
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


def _routes(num_things: int, num_blanks: int, ahead: bool, rng: Rng) -> np.ndarray:
    """(N, k) random starts, faced things and stops; ``ahead``: the first stop is what is faced."""
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
    return np.all(relations.inside_polygon(points, np.array(found.polygon_m)), axis=1)


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


def _num_blanks(question: RoutePlanning) -> int:
    return sum(isinstance(step, Blank) for step in question.steps)


def _chances(question: RoutePlanning, places: Places) -> dict[str, float]:
    """Turns by the share of places that lead to them, and by how usual they are on routes.

    Where what is faced is also the start, all directions of the first heading are equally likely.
    """
    here, heading = places.of(question.start), None
    if question.facing.noun != question.start.noun:
        heading = places.of(question.facing) - here
    turns: list[NDArray[np.str_]] = []
    for n, step in enumerate(question.steps):
        onward = [s.until for s in question.steps[n:] if isinstance(s, Forward)]
        there = places.of(onward[0] if onward else question.destination)
        if isinstance(step, Forward):
            here, heading = there, there - here
        else:
            faced = _all_around() if heading is None else heading
            turns.append(relations.words_of(turned_deg(faced, there - here), "medium"))
    counted = Counter(zip(*(turn.tolist() for turn in turns), strict=True))
    at_start = isinstance(question.steps[0], Blank)
    chances = {}
    for words in product(TURNS, repeat=len(turns)):
        led = (1.0 - _BLUR) * counted[words] / NUM_DRAWS + _BLUR / len(TURNS) ** len(turns)
        for n, turn in enumerate(words):
            led *= places.priors.turn_rate(turn, at_start and n == 0)
        chances[words_of_turns(words)] = led
    total = sum(chances.values())
    return {words: chance / total for words, chance in chances.items()}


def _all_around() -> Floats:
    """(draws, 2) directions all around, evenly spaced."""
    turn = np.linspace(0.0, 2.0 * np.pi, NUM_DRAWS, endpoint=False)
    return np.column_stack([np.cos(turn), np.sin(turn)])


def _function(scene: Scene, given: Given) -> Value:
    """The turns of a route, one a mark in its path."""
    start, facing = (scene.meant(given[name], name).reference for name in ("start", "facing"))
    path = items(given["path"], "path")
    if _TURN_MARK not in path:
        raise Refused("arguments", f'mark each turn in the path by "{_TURN_MARK}"', "path")
    if path[-1] == _TURN_MARK:
        raise Refused("arguments", "a turn leads to a stop; name it after the turn", "path")
    route = tuple(
        Blank() if one == _TURN_MARK else Forward(scene.meant(one, "path", n).reference)
        for n, one in enumerate(path)
    )
    question = RoutePlanning(start=start, facing=facing, destination=start, steps=route)
    stated = scene.ask(question).evidence.statements
    return [s.turn for s in stated if isinstance(s, say.TurnAt)]


class RoutePlanningFamily(Family[RoutePlanning]):
    """The turns answer, one a blank."""

    question_type = RoutePlanning
    names = (RoutePlanning.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (
        Function("turns", ("start", "facing", "path"), _function,
                 'list of turns along a path of things, in which "?" stands for a turn'),
    )  # fmt: skip
    undefined = "a turn needs a direction before it and a stop that stands apart"
    permutes = True
    decided = (
        "At each turn the heading is the way one came (at the start: the way one faces), and "
        "the leg leads to the next stop. The angle decides: back from 135 degrees on, else "
        f"{LEFT_RIGHT}."
    )
    lines = (
        "start: ID is at (X, Y, Z)", "facing: ID is at (X, Y, Z)", "stop: ID is at (X, Y, Z)",
        "heading_N = TO - FROM = (X, Y)", "leg_N = TO - FROM = (X, Y)",
        "angle(heading_N, leg_N) = DEG degrees", "turn N at ID: WORD",
    )  # fmt: skip
    wanted = 'a list of "left", "right" or "back", one for each turn'
    conclusion = say.TurnAt

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """Candidates are rows (start, facing, stop, …).

        Where the first stop is what one faces, one goes there first; otherwise a turn comes first.
        Groups are by number of turns and by that.
        """
        rows = np.array(room.things(rng), np.intp)
        told_apart = room.apart_rows(rows.tolist())
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

    def solve(self, question: RoutePlanning, index: SceneIndex) -> Answer | None:
        """Turns from one leg's direction to the next; a stop that is not in the code ends it."""
        stops = [step.until for step in question.steps if isinstance(step, Forward)]
        if isinstance(question.steps[-1], Blank):  # the last turn leads to the destination
            stops.append(question.destination)
        references = [question.start, question.facing, *stops]
        things = [resolve(one, index) for one in references]
        if not all(things):
            return None
        named = [(one, surest(found)) for one, found in zip(references, things, strict=True)]
        here, face, *rest = (item for _, item in named)
        goals = iter(rest)
        statements: list[say.Statement] = [at(here, "start"), at(face, "facing")]
        # Facing what one stands at says nothing: there is no direction to turn from.
        heading = (here, face) if here.id != face.id else None
        turns: list[str] = []
        stated: dict[tuple[str, str], say.Vector] = {}
        upcoming = next(goals, None)
        for step in question.steps:
            if upcoming is None:
                return None
            if isinstance(step, Forward):
                heading, here, upcoming = (here, upcoming), upcoming, next(goals, None)
                continue
            if heading is None or not apart(*heading) or not apart(here, upcoming):
                return None
            number = len(turns) + 1
            # the way just gone has been stated, where a turn led into it
            ends = heading[0].id, heading[1].id
            u = stated.get(ends) or vector(f"heading_{number}", *heading)
            v = vector(f"leg_{number}", here, upcoming)
            angle = bearing_evidence(u, v)[-1]
            assert isinstance(angle, say.Angle)
            turn = relations.word_of(angle.value_deg, "medium")
            turns.append(turn)
            statements += [at(upcoming, "stop"), *([] if ends in stated else [u]), v, angle]
            statements.append(say.TurnAt(number, here.id, turn))
            stated |= {ends: u, (here.id, upcoming.id): v}
        words = words_of_turns(turns)
        ids = [s.object_id for s in statements if isinstance(s, say.Position)]
        return answer_of(question, words, statements, ids=ids, named=named)

    def guess(self, question: RoutePlanning, sight: Sight) -> Answer:
        chances = {} if sight.places is None else _chances(question, sight.places)
        return sight.likeliest(question, chances)

    def any_words(self, question: RoutePlanning) -> str:
        return words_of_turns(["left"] * _num_blanks(question))

    def fit(self, samples: Samples) -> dict[str, Any]:
        """Rates of turns at the start and on the way; each counted once more than seen."""
        seen: Counter[str] = Counter()
        for item, question in samples.asked:
            assert isinstance(question, RoutePlanning)
            words = next((o.text for o in question.options if o.letter == item.ground_truth), "")
            for n, turn in enumerate(_TURN.findall(words.lower())):
                first = n == 0 and isinstance(question.steps[0], Blank)
                seen[f"{'first' if first else 'later'} {turn}"] += 1
        rates: dict[str, float] = {}
        for place in ("first", "later") if seen else ():
            total = sum(seen[f"{place} {turn}"] + 1 for turn in TURNS)
            rates |= {f"{place} {turn}": (seen[f"{place} {turn}"] + 1) / total for turn in TURNS}
        return {"turns": rates}

    def program(self, question: RoutePlanning) -> str:
        path = [
            quoted(_TURN_MARK) if isinstance(step, Blank) else said(step.until)
            for step in question.steps
        ]
        if isinstance(question.steps[-1], Blank):  # the last turn leads to the destination
            path.append(said(question.destination))
        start, facing = said(question.start), said(question.facing)
        return f"turns(start={start}, facing={facing}, path=[{', '.join(path)}])"

    def read_value(
        self, question: RoutePlanning, value: Value, index: SceneIndex
    ) -> float | Choice:
        num = _num_blanks(question)
        turns = value if isinstance(value, list) else [value]
        if len(turns) != num or not all(isinstance(one, str) and one in TURNS for one in turns):
            raise not_an_answer(f"the question asks for a list of {num} of {', '.join(TURNS)}")
        return Choice(words_of_turns(turns))

    def read_listed(self, text: str, question: RoutePlanning) -> Choice | NoAnswer:
        turns = re.findall(r"\b(left|right|back)\b", text.lower())
        blanks = _num_blanks(question)
        if len(turns) == blanks:
            return Choice(words_of_turns(turns))
        return NoAnswer(f"{len(turns)} turns for {blanks} blanks", several=len(turns) > blanks)

    def references(self, question: RoutePlanning) -> list[Reference]:
        stops = [step.until for step in question.steps if isinstance(step, Forward)]
        return [question.start, question.facing, *stops]

    def needs(self, case: Case[RoutePlanning]) -> list[Need]:
        start, facing, *stops = case.found
        needs = [
            need
            for role, ids in (("start", start), ("facing", facing))
            for need in (steps.position(ids, role), steps.role(role, ids))
        ]
        for ids in stops:
            needs.append(steps.position(ids, "stop", required=False))
            needs.append(steps.role("stop", ids, required=False))
        goal = ids_of(case.question.destination, case.context)
        needs.append(steps.position(goal, "destination", required=False))
        needs.append(steps.role("destination", goal, required=False))
        for ends in _legs(case):
            needs.append(steps.position(ends[3], "next stop"))
            needs += steps.turned(ends)
        return needs

    def allows(self, case: Case[RoutePlanning], used: Sequence[Fact]) -> Allows | None:
        words = [words_allowed(used, ends, "medium") for ends in _legs(case)]
        if not words or None in words:
            return None
        return lambda meaning: (
            len(meaning) == len(words)
            and all(turn in (choices or ()) for turn, choices in zip(meaning, words, strict=True))
        )

    def concludes(self, case: Case[RoutePlanning], stated: Sequence[Any]) -> Allows:
        turns = tuple(s.turn for s in sorted(stated, key=lambda s: s.step))
        return lambda meaning: turns == meaning

    def refutes(self, case: Case[RoutePlanning], conclusion: Any) -> str:
        legs = _legs(case)
        if not 1 <= conclusion.step <= len(legs):
            return f"the route has {len(legs)} turns"
        ends = legs[conclusion.step - 1]
        if conclusion.object_id not in ends[2] or not all(ends):
            return "the turn is taken elsewhere"
        roles = ("start", "facing", "stop", "stop")
        at_ends = [
            case.cast.one(i, role, case.context) for i, role in zip(ends, roles, strict=True)
        ]
        bearing_deg = true_bearing(case.context, at_ends)
        true = None if bearing_deg is None else relations.word_of(bearing_deg, "medium")
        return "" if conclusion.turn == true else f"it is {true}"

    def meaning(self, question: RoutePlanning, words: str) -> Meaning | None:
        turns = tuple(_TURN.findall(words))
        return turns if len(turns) == _num_blanks(question) else None

    def mirrors(self, question: RoutePlanning) -> bool:
        return True


def _legs(case: Case[RoutePlanning]) -> list[Ends]:
    """A blank each: ids of (tail, head) of the way faced before the turn and of the way after."""
    here, ahead = case.chosen(0, "start"), case.chosen(1, "facing")
    upcoming = iter([*case.found[2:], ids_of(case.question.destination, case.context)])
    faced, goal = (here, ahead), next(upcoming)
    legs: list[Ends] = []
    for step in case.question.steps:
        if isinstance(step, Forward):
            faced, here, goal = (here, goal), goal, next(upcoming, goal)
        else:
            legs.append((*faced, here, goal))
    return legs


FAMILY = RoutePlanningFamily()
