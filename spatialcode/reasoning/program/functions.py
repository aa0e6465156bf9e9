"""Every function of the program language, by name.

Functions that put a question of a family are the family's own (`Family.functions`): a program's
number is then the solver's number, with the same evidence. The others are here.

Of several things of a kind `first_seen` takes the earliest. Functions of one thing refuse several,
and refuse a choice where there is only one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from spatialcode.questions.types import Reference, Selector
from spatialcode.reasoning.evidence import height_of
from spatialcode.reasoning.families.family import Family
from spatialcode.reasoning.families.registry import families
from spatialcode.reasoning.program.scene import Apply, Function, Given, Scene, of_kind, several
from spatialcode.reasoning.program.values import Refused, Value, items, number, numbers
from spatialcode.reasoning.resolve import select
from spatialcode.reasoning.statements import Count, Extents, FirstSeen, Position, Statement
from spatialcode.scene.schema import SceneObject

#: `round` keeps at most as many decimals.
MAX_DIGITS = 9
#: The order in which prompts and the language's page list functions; others come behind.
_ORDER = (
    "count", "things", "exists", "reference", "distance", "nearest", "farthest", "direction",
    "bearing", "turns", "longest", "size", "width", "depth", "height", "volume", "position", "top",
    "bottom", "area", "first_seen", "order", "largest", "smallest", "tallest", "shortest",
    "highest", "lowest", "first", "last", "left_of", "right_of", "in_front_of", "behind", "above",
    "below", "on", "inside", "min", "max", "sorted", "sum", "len", "abs", "round",
)  # fmt: skip


def _things(scene: Scene, given: Given) -> Value:
    """The things a phrase means, in the code's order."""
    meant = of_kind(scene, given)
    ids = tuple(item.id for item in meant.things)
    scene.state([Count(meant.reference.noun, ids, len(ids))], ids)
    return list(meant.things)


def _exists(scene: Scene, given: Given) -> Value:
    """Whether the code has a thing that a phrase means."""
    wanted = scene.read(given["x"], "x")
    ids = tuple(item.id for item in scene.find(wanted))
    scene.state([Count(wanted.noun, ids, len(ids))], ids)
    return bool(ids)


def _choose(kind: Any, scene: Scene, given: Given) -> Value:
    """The thing of several that a selector picks."""
    things = several(scene, given["x"], "x")
    scene.budget.spend(len(things))
    statements = [_measured(kind, scene, item) for item in things if kind != "last_seen"]
    scene.state(statements, [item.id for item in things])
    return select(Reference("thing", selector=Selector(kind)), things, scene.index)[0]


def _measured(kind: str, scene: Scene, item: SceneObject) -> Statement:
    if kind == "first_seen":
        return FirstSeen(item.id, item.first_seen_s)
    if kind in ("highest", "lowest"):
        return height_of(item, "top" if kind == "highest" else "bottom", scene.index)
    return Extents(item.id, item.size_m)


def _height_of(face: Any, scene: Scene, given: Given) -> Value:
    """World z of a thing's top or bottom, metres."""
    item = scene.one(given["x"], "x")
    stated = height_of(item, face, scene.index)
    scene.state([stated], [item.id])
    return stated.z_m


def _reference(scene: Scene, given: Given) -> Value:
    """The one thing that a phrase means."""
    item = scene.one(given["x"], "x")
    scene.state([], [item.id])
    return item


def _position(scene: Scene, given: Given) -> Value:
    """World x, y, z of a thing's centre, metres."""
    item = scene.one(given["x"], "x")
    scene.state([Position(item.id, item.center_m)], [item.id])
    return list(item.center_m)


def _extents(scene: Scene, given: Given) -> tuple[float, float, float]:
    """Width, depth and height of a thing along its own axes, metres."""
    item = scene.one(given["x"], "x")
    scene.state([Extents(item.id, item.size_m)], [item.id])
    return item.size_m


def _extent(axis: int, scene: Scene, given: Given) -> Value:
    """One of a thing's extents, metres."""
    return _extents(scene, given)[axis]


def _volume(scene: Scene, given: Given) -> Value:
    """Cubic metres of a thing's box."""
    width, depth, height = _extents(scene, given)
    return width * depth * height


def _first_seen(scene: Scene, given: Given) -> Value:
    """Seconds at which the earliest of the things meant was first seen."""
    item = min(scene.meant(given["x"], "x").things, key=lambda item: item.first_seen_s)
    scene.state([FirstSeen(item.id, item.first_seen_s)], [item.id])
    return item.first_seen_s


def _extremum(of: Callable[[list[int | float]], int | float], scene: Scene, given: Given) -> Value:
    """Of one list, or of two numbers or more."""
    listed = items(given["values"], "values")
    if len(listed) == 1:
        if not isinstance(listed[0], list):
            raise Refused("arguments", "give it a list, or two numbers or more")
        listed = listed[0]
    scene.budget.spend(len(listed))
    return of(numbers(listed, "values"))


def _of_list(of: Callable[[list[int | float]], Any], scene: Scene, given: Given) -> Value:
    """What a function gives of one list of numbers."""
    scene.budget.spend(len(items(given["values"], "values")))
    result: Value = of(numbers(given["values"], "values"))
    return result


def _round(_: Scene, given: Given) -> Value:
    value, digits = number(given["x"], "x"), number(given.get("digits", 0), "digits")
    if not isinstance(digits, int) or not 0 <= digits <= MAX_DIGITS:
        raise Refused("arguments", f"digits is a whole number from 0 to {MAX_DIGITS}", "digits")
    return round(value, digits) if digits else round(value)


def _of_one(name: str, apply: Apply, meaning: str) -> Function:
    return Function(name, ("x",), apply, meaning)


def _of_kind(name: str, what: str, kind: str = "") -> Function:
    """A function that picks one of a kind."""
    return _of_one(name, partial(_choose, kind or name), f"of a kind, the one {what}")


_OF_NO_FAMILY = (
    _of_one("things", _things, "list of the things of a kind"),
    _of_one("exists", _exists, "whether there is such a thing"),
    _of_one("reference", _reference, "the one thing that a phrase means"),
    _of_one("size", lambda scene, given: list(_extents(scene, given)),
            "list of width, depth and height"),
    _of_one("width", partial(_extent, 0), "extent along its own x axis"),
    _of_one("depth", partial(_extent, 1), "extent along its own y axis"),
    _of_one("height", partial(_extent, 2), "extent along its own z axis"),
    _of_one("volume", _volume, "volume of its box"),
    _of_one("position", _position, "list of x, y and z of its centre"),
    _of_one("top", partial(_height_of, "top"), "height of its top"),
    _of_one("bottom", partial(_height_of, "bottom"), "height of its bottom"),
    _of_one("first_seen", _first_seen, "time at which the earliest of the things was first seen"),
    _of_kind("largest", "with the largest volume"),
    _of_kind("smallest", "with the smallest volume"),
    _of_kind("tallest", "with the largest height"),
    _of_kind("shortest", "with the smallest height"),
    _of_kind("highest", "whose top is highest"),
    _of_kind("lowest", "whose bottom is lowest"),
    _of_kind("first", "seen first", "first_seen"),
    _of_kind("last", "seen last", "last_seen"),
    Function("min", ("values",), partial(_extremum, min),
             "smallest of a list or of several numbers", variadic=True),
    Function("max", ("values",), partial(_extremum, max),
             "largest of a list or of several numbers", variadic=True),
    Function("sorted", ("values",), partial(_of_list, sorted), "a list of numbers in order"),
    Function("sum", ("values",), partial(_of_list, sum), "sum of a list of numbers"),
    Function("len", ("values",), lambda _, given: len(items(given["values"], "values")),
             "number of items"),
    _of_one("abs", lambda _, given: abs(number(given["x"], "x")), "absolute value"),
    Function("round", ("x",), _round, "rounded number", {"digits": "0"}),
)  # fmt: skip


def functions() -> Mapping[str, Function]:
    """All functions, those of registered families included, in the order of the page."""
    return _table(families())


@lru_cache(maxsize=4)
def _table(known: tuple[Family[Any], ...]) -> dict[str, Function]:
    listed = [*_OF_NO_FAMILY, *(function for family in known for function in family.functions)]
    places = {name: n for n, name in enumerate(_ORDER)}
    in_order = sorted(listed, key=lambda one: places.get(one.name, len(places)))
    return {function.name: function for function in in_order}


def function_list() -> str:
    """Every function of the program language, one a line, as prompts show them."""
    return "\n".join(
        f"{function.signature()}: {function.meaning}" for function in functions().values()
    )
