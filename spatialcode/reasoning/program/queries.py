"""What the functions of the program language do. Questions go through the solver's own code, so a
program's number is the solver's number, with the same evidence.

Several things of a kind: `distance`, `nearest`, `farthest` take the closest pair, `longest` the
middle one, `first_seen` and `order` the earliest, directions and relations the surest, as the
solver does. Functions of one thing refuse several, and refuse a choice where there is only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Counting,
    ObjectSize,
    Reference,
    RelativeDistance,
    RoomSize,
    Selector,
)
from spatialcode.reasoning import grounded
from spatialcode.reasoning.program.limits import Refused
from spatialcode.reasoning.program.scene import Meant, Scene, superfluous
from spatialcode.reasoning.program.signature import Given
from spatialcode.reasoning.program.values import Value, items
from spatialcode.reasoning.resolve import against, select
from spatialcode.reasoning.statements import (
    Count,
    Distance,
    Extents,
    Extreme,
    FirstSeen,
    Height,
    Position,
    Statement,
)
from spatialcode.reasoning.stating import at
from spatialcode.scene.schema import SceneObject


def _phrase(scene: Scene, given: Given) -> Meant:
    if isinstance(given["x"], SceneObject):
        raise Refused("type", "expected a noun phrase, got a thing; len() counts a list", "x")
    return scene.meant(given["x"], "x")


def count(scene: Scene, given: Given) -> Value:
    """How many things a phrase means."""
    return int(scene.ask(grounded.counting, Counting(target=_phrase(scene, given).reference)).value)


def things(scene: Scene, given: Given) -> Value:
    """The things a phrase means, in the code's order."""
    meant = _phrase(scene, given)
    ids = tuple(item.id for item in meant.things)
    scene.state([Count(meant.reference.noun, ids, len(ids))], ids)
    return list(meant.things)


def exists(scene: Scene, given: Given) -> Value:
    """Whether the code has a thing that a phrase means."""
    wanted = scene.read(given["x"], "x")
    ids = tuple(item.id for item in scene.find(wanted))
    scene.state([Count(wanted.noun, ids, len(ids))], ids)
    return bool(ids)


def distance(scene: Scene, given: Given) -> Value:
    """Metres between the closest pair."""
    a, b = scene.meant(given["a"], "a"), scene.meant(given["b"], "b")
    scene.budget.spend(len(a.things) * len(b.things))
    question = AbsoluteDistance(a=a.reference, b=b.reference)
    return scene.ask(grounded.absolute_distance, question).value


def extreme(extreme: Literal["closest", "farthest"], scene: Scene, given: Given) -> Value:
    """Of phrases the one whose thing is closest (farthest); of several things one of them."""
    anchor = scene.meant(given["to"], "to")
    listed = given["candidates"]
    if not isinstance(listed, list) or any(isinstance(one, SceneObject) for one in listed):
        return _picked(extreme, scene, anchor, _several(scene, listed, "candidates"))
    meant = [scene.meant(one, "candidates", n) for n, one in enumerate(listed)]
    if not meant:
        raise Refused("undefined", "an empty list", "candidates")
    scene.budget.spend(sum(len(one.things) for one in meant) * len(anchor.things))
    question = RelativeDistance(
        anchor=anchor.reference, candidates=_numbered(meant), extreme=extreme
    )
    return listed[int(scene.ask(grounded.relative_distance, question).value)]


def _numbered(meant: Sequence[Meant]) -> tuple[Reference, ...]:
    """References with numbers for phrases, so that two that read alike stay apart."""
    return tuple(replace(one.reference, phrase=str(n)) for n, one in enumerate(meant))


def _picked(
    extreme: Literal["closest", "farthest"], scene: Scene, anchor: Meant,
    found: tuple[SceneObject, ...],
) -> SceneObject:  # fmt: skip
    """The thing of several that is closest to (farthest from) the nearest of the anchors."""
    things, anchors = against(found, anchor.things)
    scene.budget.spend(len(things) * len(anchors))
    pairs = [grounded.nearest_pair(anchors, (item,), scene.index) for item in things]
    choose = min if extreme == "closest" else max
    near, thing, _ = choose(pairs, key=lambda pair: pair[2])
    statements: list[Statement] = [at(near, "anchor")]
    statements += [at(item, "candidate") for _, item, _ in pairs]
    statements += [Distance(one.id, item.id, metres) for one, item, metres in pairs]
    statements.append(Extreme(extreme, thing.id, near.id))
    scene.state(statements, [near.id, *(item.id for _, item, _ in pairs)])
    return thing


def _several(scene: Scene, value: Value, argument: str) -> tuple[SceneObject, ...]:
    """Things to choose from: at least two."""
    if isinstance(value, list):
        things = [one for one in value if isinstance(one, SceneObject)]
        if len(things) < len(value):
            raise Refused("type", "expected a noun phrase or a list of things", argument)
        if not things:
            raise Refused("undefined", "an empty list", argument)
        found, what = tuple(dict.fromkeys(things)), "the list"
    else:
        meant = scene.meant(value, argument)
        found, what = meant.things, meant.reference.phrase
    if len(found) == 1:
        raise superfluous(what, found[0], argument)
    return found


def choose(kind: Any, scene: Scene, given: Given) -> Value:
    """The thing of several that a selector picks."""
    things = _several(scene, given["x"], "x")
    scene.budget.spend(len(things))
    statements = [_measured(kind, scene, item) for item in things if kind != "last_seen"]
    scene.state(statements, [item.id for item in things])
    return select(Reference("thing", selector=Selector(kind)), things, scene.index)[0]


def _measured(kind: str, scene: Scene, item: SceneObject) -> Statement:
    if kind == "first_seen":
        return FirstSeen(item.id, item.first_seen_s)
    if kind in ("highest", "lowest"):
        return _face("top" if kind == "highest" else "bottom", scene, item)
    return Extents(item.id, item.size_m)


def _face(face: Any, scene: Scene, item: SceneObject) -> Height:
    z = scene.index.corners_m[scene.index.row[item.id], :, 2]
    return Height(item.id, face, float(z.max() if face == "top" else z.min()))


def height_of(face: Any, scene: Scene, given: Given) -> Value:
    """World z of a thing's top or bottom, metres."""
    item = scene.one(given["x"], "x")
    stated = _face(face, scene, item)
    scene.state([stated], [item.id])
    return stated.z_m


def reference(scene: Scene, given: Given) -> Value:
    """The one thing that a phrase means."""
    item = scene.one(given["x"], "x")
    scene.state([], [item.id])
    return item


def position(scene: Scene, given: Given) -> Value:
    """World x, y, z of a thing's centre, metres."""
    item = scene.one(given["x"], "x")
    scene.state([Position(item.id, item.center_m)], [item.id])
    return list(item.center_m)


def size(scene: Scene, given: Given) -> Value:
    """Width, depth and height of a thing along its own axes, metres."""
    return list(_extents(scene, given))


def _extents(scene: Scene, given: Given) -> tuple[float, float, float]:
    item = scene.one(given["x"], "x")
    scene.state([Extents(item.id, item.size_m)], [item.id])
    return item.size_m


def extent(axis: int, scene: Scene, given: Given) -> Value:
    """One of a thing's extents, metres."""
    return _extents(scene, given)[axis]


def volume(scene: Scene, given: Given) -> Value:
    """Cubic metres of a thing's box."""
    width, depth, height = _extents(scene, given)
    return width * depth * height


def longest(scene: Scene, given: Given) -> Value:
    """The longest extent, metres; of several things, of the middle one."""
    target = scene.meant(given["x"], "x").reference
    return scene.ask(grounded.object_size, ObjectSize(target=target, unit="m")).value


def area(scene: Scene, _: Given) -> Value:
    """Square metres of the room's floor."""
    return scene.ask(grounded.room_size, RoomSize()).value


def first_seen(scene: Scene, given: Given) -> Value:
    """Seconds at which the earliest of the things meant was first seen."""
    item = min(scene.meant(given["x"], "x").things, key=lambda item: item.first_seen_s)
    scene.state([FirstSeen(item.id, item.first_seen_s)], [item.id])
    return item.first_seen_s


def order(scene: Scene, given: Given) -> Value:
    """Phrases or things by first sight."""
    listed = items(given["x"], "x")
    if len(listed) < 2:
        raise Refused("arguments", "an order needs two things or more", "x")
    meant = [scene.meant(one, "x", n) for n, one in enumerate(listed)]
    answer = scene.ask(grounded.appearance, AppearanceOrder(candidates=_numbered(meant)))
    return [listed[int(n)] for n in str(answer.value).split(", ")]
