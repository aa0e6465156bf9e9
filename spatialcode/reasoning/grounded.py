"""Exact answers to questions whose things are all in the code, with the evidence for them.

Each function returns None where a thing that the question names is missing; the solver then falls
back on priors. Distances are exact minima between oriented boxes, over all things of the kinds
named.
"""

from __future__ import annotations

from itertools import product

from spatialcode.questions.names import plain
from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
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
)
from spatialcode.reasoning.stating import (
    answer_of,
    at,
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
    return answer_of(float(len(ids)), ids, [counted], sure(found))


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
    return answer_of(value, (item.id,), statements, sure([item]), unit=question.unit)


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
    statements: list[Statement] = [at(x, "first"), at(y, "second")]
    statements.append(Distance(x.id, y.id, metres))
    value = metres * (100.0 if question.unit == "cm" else 1.0)
    return answer_of(value, (x.id, y.id), statements, sure([x, y]), unit=question.unit)


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
    return answer_of(words, ids, statements, sure([p[1] for p in pairs]), option=letter)


def relative_direction(question: RelativeDirection, index: SceneIndex) -> Answer | None:
    """The bearing from the observer, read at the level asked for."""
    things = [resolve(ref, index) for ref in (question.observer, question.facing, question.target)]
    if not all(things):
        return None
    observer, facing, target = (surest(found) for found in things)
    if observer.center_m[:2] == facing.center_m[:2]:
        return None
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
    return answer_of(word, ids, statements, sure(items), option=letter_of(question.options, word))


def route(question: RoutePlanning, index: SceneIndex) -> Answer | None:
    """Turns from one leg's direction to the next; a stop that is not in the code ends it."""
    found = [resolve(question.start, index), resolve(question.facing, index)]
    stops = [resolve(step.until, index) for step in question.steps if isinstance(step, Forward)]
    if not all(found) or not all(stops):
        return None
    here, face = surest(found[0]), surest(found[1])
    goals = iter([surest(things) for things in stops])
    statements: list[Statement] = [at(here, "start"), at(face, "facing")]
    # Facing what one stands at says nothing: there is no direction to turn from.
    heading = (here, face) if here.id != face.id else None
    turns: list[str] = []
    upcoming = next(goals, None)
    for step in question.steps:
        if upcoming is None:
            return None
        if isinstance(step, Forward):
            heading, here, upcoming = (here, upcoming), upcoming, next(goals, None)
            continue
        if heading is None or heading[0].center_m[:2] == heading[1].center_m[:2]:
            return None
        number = len(turns) + 1
        u, v = vector(f"heading_{number}", *heading), vector(f"leg_{number}", here, upcoming)
        evidence = bearing_evidence(u, v)
        angle = evidence[-1]
        assert isinstance(angle, Angle)
        turn = relations.third(angle.value_deg)
        turns.append(turn)
        statements += [at(upcoming, "stop"), u, v, angle, TurnAt(number, here.id, turn)]
    words = ", ".join(f"Turn {turn.capitalize()}" for turn in turns)
    ids = tuple(dict.fromkeys(s.object_id for s in statements if isinstance(s, Position)))
    items = [index.objects[index.row[name]] for name in ids]
    option = next((o.letter for o in question.options if _turns(o.text) == turns), None)
    return answer_of(words, ids, statements, sure(items), option=option)


def appearance(question: AppearanceOrder, index: SceneIndex) -> Answer | None:
    """Kinds by the first sight of their earliest thing."""
    found = [resolve(candidate, index) for candidate in question.candidates]
    if not all(found):
        return None
    firsts = [min(things, key=lambda item: item.first_seen_s) for things in found]
    # a code without times (imported boxes) knows nothing of order
    if len({item.first_seen_s for item in firsts}) == 1:
        return None
    order = sorted(range(len(firsts)), key=lambda n: firsts[n].first_seen_s)
    statements: list[Statement] = [FirstSeen(item.id, item.first_seen_s) for item in firsts]
    ids = tuple(firsts[n].id for n in order)
    statements.append(Order(ids))
    words = ", ".join(question.candidates[n].phrase for n in order)
    letter = letter_of(question.options, words)
    return answer_of(words, ids, statements, sure(firsts), option=letter)


def _turns(text: str) -> list[str]:
    return [plain(part).replace("turn ", "") for part in text.split(",")]
