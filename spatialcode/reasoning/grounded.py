"""Exact answers to questions whose things are all in the code, with the evidence for them.

Each function returns None where a thing that the question names is missing; the solver then falls
back on priors. Distances are exact minima between oriented boxes, over all things of the kinds
named.
"""

from __future__ import annotations

from itertools import product

from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Counting,
    Forward,
    ObjectSize,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.statements import (
    Angle,
    Area,
    Count,
    Direction,
    Distance,
    Extents,
    Extreme,
    FirstSeen,
    Longest,
    Order,
    Position,
    Statement,
    TurnAt,
    Vector,
)
from spatialcode.reasoning.stating import (
    answer_of,
    apart,
    at,
    bare,
    bearing_evidence,
    letter_of,
    sure,
    surest,
    vector,
)
from spatialcode.scene import relations
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import View
from spatialcode.scene.schema import SceneObject


def counting(question: Counting, index: SceneIndex) -> Answer | None:
    """How many things match the noun."""
    found = resolve(question.target, index)
    if not found:
        return None
    ids = tuple(item.id for item in found)
    counted = Count(question.target.noun, ids, len(ids))
    named = [(question.target, item) for item in found]
    return answer_of(float(len(ids)), ids, [counted], sure(named))


def object_size(question: ObjectSize, index: SceneIndex) -> Answer | None:
    """The longest of the three extents of the thing."""
    found = resolve(question.target, index)
    if not found:
        return None
    # of several of a kind, the middle one: the question meant a single thing
    item = sorted(found, key=lambda one: max(one.size_m))[(len(found) - 1) // 2]
    longest_m = max(item.size_m)
    statements: list[Statement] = [Extents(item.id, item.size_m), Longest(item.id, longest_m)]
    value = longest_m * (100.0 if question.unit == "cm" else 1.0)
    named = [(question.target, item)]
    return answer_of(value, (item.id,), statements, sure(named), unit=question.unit)


def room_size(_: RoomSize, index: SceneIndex) -> Answer | None:
    """The room's floor area, where the code has a room."""
    room = index.code.room
    if room is None or room.area_m2 <= 0.0:
        return None
    return answer_of(room.area_m2, (), [Area(room.area_m2)], 1.0, unit="m2")


def nearest_pair(
    a: tuple[SceneObject, ...], b: tuple[SceneObject, ...], index: SceneIndex
) -> tuple[SceneObject, SceneObject, float]:
    """The two things, one of each, that are closest, and how far apart (metres)."""
    pairs = [(x, y) for x, y in product(a, b) if x.id != y.id] or list(product(a, b))
    x, y = min(pairs, key=lambda pair: index.distance_m(pair[0].id, pair[1].id))
    return x, y, index.distance_m(x.id, y.id)


def absolute_distance(question: AbsoluteDistance, index: SceneIndex) -> Answer | None:
    """Between the two closest things of the two kinds."""
    a, b = resolve(question.a, index), resolve(question.b, index)
    if not a or not b:
        return None
    x, y, metres = nearest_pair(a, b, index)
    if x.id == y.id:  # two words for the only thing there: one of the two is missing
        return None
    statements: list[Statement] = [at(x, "first"), at(y, "second")]
    statements.append(Distance(x.id, y.id, metres))
    value = metres * (100.0 if question.unit == "cm" else 1.0)
    named = [(question.a, x), (question.b, y)]
    return answer_of(value, (x.id, y.id), statements, sure(named), unit=question.unit)


def relative_distance(question: RelativeDistance, index: SceneIndex) -> Answer | None:
    """Every candidate, by its nearest instance to the anchor."""
    anchors = resolve(question.anchor, index)
    found = [resolve(candidate, index) for candidate in question.candidates]
    if not anchors or not all(found):
        return None
    pairs = [nearest_pair(anchors, things, index) for things in found]
    sign = 1.0 if question.extreme == "closest" else -1.0
    best = min(range(len(pairs)), key=lambda n: sign * pairs[n][2])
    anchor = pairs[best][0]
    statements: list[Statement] = [at(anchor, "anchor")]
    statements += [at(thing, "candidate") for _, thing, _ in pairs]
    statements += [Distance(one.id, thing.id, metres) for one, thing, metres in pairs]
    statements.append(Extreme(question.extreme, pairs[best][1].id, anchor.id))
    words = question.candidates[best].phrase
    letter = question.options[best].letter if question.options else None
    ids = (anchor.id, *(thing.id for _, thing, _ in pairs))
    named = [(question.anchor, one) for one, _, _ in pairs]
    named += [(c, thing) for c, (_, thing, _) in zip(question.candidates, pairs, strict=True)]
    return answer_of(words, ids, statements, sure(named), option=letter)


def relative_direction(question: RelativeDirection, index: SceneIndex) -> Answer | None:
    """The bearing from the observer, read at the level asked for."""
    references = question.observer, question.facing, question.target
    things = [resolve(reference, index) for reference in references]
    if not all(things):
        return None
    observer, facing, target = (surest(found) for found in things)
    if not apart(observer, facing) or not apart(observer, target):
        return None  # there is no direction to where one stands
    view = View.between(observer, facing)
    bearing = view.bearing_deg((target.center_m[0], target.center_m[1]))
    word = {"easy": relations.side, "medium": relations.third, "hard": relations.quadrant}[
        question.level
    ](bearing)
    forward = vector("forward", observer, facing)
    to_target = vector("to_target", observer, target)
    statements: list[Statement] = [
        at(observer, "observer"), at(facing, "facing"), at(target, "target"),
        *bearing_evidence(forward, to_target),
        Direction(target.id, word),
    ]  # fmt: skip
    items = (observer, facing, target)
    ids = tuple(item.id for item in items)
    confidence = sure(zip(references, items, strict=True))
    return answer_of(word, ids, statements, confidence, option=letter_of(question.options, word))


def route(question: RoutePlanning, index: SceneIndex) -> Answer | None:
    """Turns from one leg's direction to the next; a stop that is not in the code ends it."""
    stops = [step.until for step in question.steps if isinstance(step, Forward)]
    if isinstance(question.steps[-1], Blank):  # the last turn is the one towards the destination
        stops.append(question.destination)
    references = [question.start, question.facing, *stops]
    things = [resolve(reference, index) for reference in references]
    if not all(things):
        return None
    named = [(one, surest(found)) for one, found in zip(references, things, strict=True)]
    here, face, *rest = (item for _, item in named)
    goals = iter(rest)
    statements: list[Statement] = [at(here, "start"), at(face, "facing")]
    # Facing what one stands at says nothing: there is no direction to turn from.
    heading = (here, face) if here.id != face.id else None
    turns: list[str] = []
    stated: dict[tuple[str, str], Vector] = {}
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
        assert isinstance(angle, Angle)
        turn = relations.third(angle.value_deg)
        turns.append(turn)
        statements += [at(upcoming, "stop"), *([] if ends in stated else [u]), v, angle]
        statements.append(TurnAt(number, here.id, turn))
        stated |= {ends: u, (here.id, upcoming.id): v}
    words = ", ".join(f"Turn {turn.capitalize()}" for turn in turns)
    ids = tuple(dict.fromkeys(s.object_id for s in statements if isinstance(s, Position)))
    option = letter_of(question.options, words)
    return answer_of(words, ids, statements, sure(named), option=option)


def appearance(question: AppearanceOrder, index: SceneIndex) -> Answer | None:
    """Kinds by the first sight of their earliest thing."""
    found = [resolve(candidate, index) for candidate in question.candidates]
    if not all(found):
        return None
    firsts = [min(things, key=lambda item: item.first_seen_s) for things in found]
    # a code without times (imported boxes) knows nothing of order
    if len({item.first_seen_s for item in firsts}) == 1:
        return None
    order = _seen_order(question, [item.first_seen_s for item in firsts])
    statements: list[Statement] = [FirstSeen(item.id, item.first_seen_s) for item in firsts]
    ids = tuple(firsts[n].id for n in order)
    statements.append(Order(ids))
    words = ", ".join(question.candidates[n].phrase for n in order)
    letter = letter_of(question.options, words)
    confidence = sure(zip(question.candidates, firsts, strict=True))
    return answer_of(words, ids, statements, confidence, option=letter)


def _seen_order(question: AppearanceOrder, times_s: list[float]) -> list[int]:
    """Candidates by time. Things seen first in one frame are in the order that an option has."""
    order = sorted(range(len(times_s)), key=lambda n: times_s[n])
    names = [bare(candidate.phrase)[0] for candidate in question.candidates]
    for option in question.options:
        listed = bare(option.text)
        if sorted(listed) == sorted(names) and len(set(names)) == len(names):
            chosen = [names.index(name) for name in listed]
            if [times_s[n] for n in chosen] == [times_s[n] for n in order]:
                return chosen
    return order
