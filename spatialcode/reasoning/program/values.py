"""Values of the program language, and what operators do with them.

Numbers, true or false, texts, things, and lists of these. Nothing is converted quietly: true is no
number, a text is no list, and only like is compared with like. Lists hold no lists, so that no
value is larger than the steps it took.
"""

from __future__ import annotations

import ast
import math
from typing import Any

from spatialcode.reasoning.program.limits import Limits, Refused
from spatialcode.scene.schema import SceneObject

Scalar = int | float | bool | str | SceneObject
Value = Scalar | list[Scalar]


def kind_of(value: object) -> str:
    """What a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "a thing"


def number(value: Value, argument: str | None = None, item: int | None = None) -> int | float:
    """The value as a number; Refused otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("type", f"expected a number, got {kind_of(value)}", argument, item)
    return value


def numbers(value: Value, argument: str) -> list[int | float]:
    """The value as a list of numbers, at least one; Refused otherwise."""
    listed = items(value, argument)
    if not listed:
        raise Refused("undefined", "an empty list", argument)
    return [number(one, argument, n) for n, one in enumerate(listed)]


def items(value: Value, argument: str) -> list[Scalar]:
    """The value as a list; Refused otherwise."""
    if not isinstance(value, list):
        raise Refused("type", f"expected a list, got {kind_of(value)}", argument)
    return value


def admitted(value: Any, limits: Limits) -> Value:
    """The value, if it is within limits: numbers finite and not too large, lists not too long."""
    listed = value if isinstance(value, list) else [value]
    if len(listed) > limits.max_items:
        raise Refused("limit", f"a list of more than {limits.max_items} items")
    for one in listed:
        if isinstance(one, list):
            raise Refused("type", "lists hold no lists")
        if isinstance(one, float) and math.isnan(one):
            raise Refused("undefined", "the result is not a number")
        if isinstance(one, (int, float)) and not abs(one) <= limits.max_number:
            raise Refused("limit", f"a number beyond {limits.max_number:g}")
    return value


def unary(op: ast.unaryop, value: Value) -> Value:
    """Plus and minus."""
    return -number(value) if isinstance(op, ast.USub) else +number(value)


def binary(op: ast.operator, left: Value, right: Value, limits: Limits) -> Value:
    """Arithmetic on numbers; Refused where it is not defined."""
    a, b = number(left), number(right)
    if isinstance(op, ast.Pow):
        return _power(a, b, limits)
    if isinstance(op, (ast.Div, ast.FloorDiv, ast.Mod)) and b == 0:
        raise Refused("undefined", "division by zero")
    results = {
        ast.Add: lambda: a + b, ast.Sub: lambda: a - b, ast.Mult: lambda: a * b,
        ast.Div: lambda: a / b, ast.FloorDiv: lambda: a // b, ast.Mod: lambda: a % b,
    }  # fmt: skip
    return results[type(op)]()  # type: ignore[index]


def _power(a: int | float, b: int | float, limits: Limits) -> int | float:
    """A power, its size known from floats before whole numbers are multiplied."""
    try:
        rough = math.pow(a, b)
    except OverflowError:
        rough = math.inf
    except ValueError:
        raise Refused("undefined", f"{a:g} ** {b:g} is not a real number") from None
    if abs(rough) > limits.max_number:
        raise Refused("limit", f"a number beyond {limits.max_number:g}")
    return a**b if isinstance(a, int) and isinstance(b, int) and b >= 0 else rough


def compare(op: ast.cmpop, left: Value, right: Value) -> bool:
    """One comparison: order of numbers, equality of like with like, membership of a list."""
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(right, list):
            raise Refused("type", f"expected a list after in, got {kind_of(right)}")
        found = any(kind_of(one) == kind_of(left) and one == left for one in right)
        return found == isinstance(op, ast.In)
    if isinstance(op, (ast.Eq, ast.NotEq)):
        if kind_of(left) != kind_of(right):
            raise Refused("type", f"{kind_of(left)} is not compared with {kind_of(right)}")
        return (left == right) == isinstance(op, ast.Eq)
    a, b = number(left), number(right)
    if isinstance(op, (ast.Lt, ast.LtE)):
        return a < b if isinstance(op, ast.Lt) else a <= b
    return a > b if isinstance(op, ast.Gt) else a >= b
