"""Every function of the program language, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from spatialcode.reasoning.program import queries as query
from spatialcode.reasoning.program import views as view
from spatialcode.reasoning.program.limits import Refused
from spatialcode.reasoning.program.scene import Scene
from spatialcode.reasoning.program.signature import Apply, Function, Given
from spatialcode.reasoning.program.values import Value, items, number, numbers

#: `round` keeps at most as many decimals.
MAX_DIGITS = 9


def _extremum(of: Callable[[list[int | float]], int | float], scene: Scene, given: Given) -> Value:
    """Of one list, or of two numbers or more."""
    listed = items(given["values"], "values")
    if len(listed) == 1:
        if not isinstance(listed[0], list):
            raise Refused("arguments", "give it a list, or two numbers or more")
        listed = listed[0]
    scene.budget.spend(len(listed))
    return of(numbers(listed, "values"))


def _sorted(scene: Scene, given: Given) -> Value:
    scene.budget.spend(len(items(given["values"], "values")))
    ordered: list[Any] = sorted(numbers(given["values"], "values"))
    return ordered


def _sum(scene: Scene, given: Given) -> Value:
    scene.budget.spend(len(items(given["values"], "values")))
    return sum(numbers(given["values"], "values"))


def _round(_: Scene, given: Given) -> Value:
    value, digits = number(given["x"], "x"), number(given.get("digits", 0), "digits")
    if not isinstance(digits, int) or not 0 <= digits <= MAX_DIGITS:
        raise Refused("arguments", f"digits is a whole number from 0 to {MAX_DIGITS}", "digits")
    return round(value, digits) if digits else round(value)


def _len(_: Scene, given: Given) -> Value:
    return len(items(given["values"], "values"))


def _abs(_: Scene, given: Given) -> Value:
    return abs(number(given["x"], "x"))


def _of_one(name: str, apply: Apply) -> Function:
    return Function(name, ("x",), apply)


def _relation(name: str, relation: str) -> Function:
    if relation in ("above", "below", "on", "inside"):
        return Function(name, ("a", "b"), partial(view.vertical, relation))
    optional = {"view": '"camera"', "observer": "none", "facing": "b"}
    return Function(name, ("a", "b"), partial(view.viewed, relation), optional)


_BEARING = ("observer", "facing", "target")
_LISTED = (
    _of_one("count", query.count),
    _of_one("things", query.things),
    _of_one("exists", query.exists),
    _of_one("reference", query.reference),
    Function("distance", ("a", "b"), query.distance),
    Function("nearest", ("candidates", "to"), partial(query.extreme, "closest")),
    Function("farthest", ("candidates", "to"), partial(query.extreme, "farthest")),
    Function("direction", _BEARING, view.direction, {"level": '"hard"'}),
    Function("bearing", _BEARING, view.bearing),
    Function("turns", ("start", "facing", "path"), view.turns),
    _of_one("longest", query.longest),
    _of_one("size", query.size),
    _of_one("width", partial(query.extent, 0)),
    _of_one("depth", partial(query.extent, 1)),
    _of_one("height", partial(query.extent, 2)),
    _of_one("volume", query.volume),
    _of_one("position", query.position),
    _of_one("top", partial(query.height_of, "top")),
    _of_one("bottom", partial(query.height_of, "bottom")),
    Function("area", (), query.area),
    _of_one("first_seen", query.first_seen),
    Function("order", ("x",), query.order),
    _of_one("largest", partial(query.choose, "largest")),
    _of_one("smallest", partial(query.choose, "smallest")),
    _of_one("tallest", partial(query.choose, "tallest")),
    _of_one("shortest", partial(query.choose, "shortest")),
    _of_one("highest", partial(query.choose, "highest")),
    _of_one("lowest", partial(query.choose, "lowest")),
    _of_one("first", partial(query.choose, "first_seen")),
    _of_one("last", partial(query.choose, "last_seen")),
    _relation("left_of", "left"),
    _relation("right_of", "right"),
    _relation("in_front_of", "front"),
    _relation("behind", "behind"),
    _relation("above", "above"),
    _relation("below", "below"),
    _relation("on", "on"),
    _relation("inside", "inside"),
    Function("min", ("values",), partial(_extremum, min), variadic=True),
    Function("max", ("values",), partial(_extremum, max), variadic=True),
    Function("sorted", ("values",), _sorted),
    Function("sum", ("values",), _sum),
    Function("len", ("values",), _len),
    _of_one("abs", _abs),
    Function("round", ("x",), _round, {"digits": "0"}),
)
FUNCTIONS = {function.name: function for function in _LISTED}
