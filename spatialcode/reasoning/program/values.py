"""Values of the program language, what operators do with them, and what a program may cost.

Numbers, true or false, texts, things, and lists of these. Nothing is converted quietly: true is no
number, a text is no list, and only like is compared with like. Lists hold no lists, so that no
value is larger than the steps it took.
"""

from __future__ import annotations

import ast
import math
import time
from dataclasses import dataclass, fields
from typing import Any

from spatialcode.errors import SchemaError
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


@dataclass(frozen=True)
class Limits:
    """Bounds of one run; every one is enforced. Whole numbers >= 1 unless said otherwise.

    ``max_chars``: of the source. ``max_nodes``: tokens, and nodes of the syntax tree.
    ``max_depth``: of brackets, and of the syntax tree. ``max_text_chars``: of one string.
    ``max_steps``: nodes evaluated, objects looked through, pairs compared, statements made.
    ``max_items``: of one list. ``max_objects``: of the code, since the table of distances grows
    with their square. ``max_number``: largest magnitude of a number. ``max_seconds``: wall clock,
    looked at with every step (a net for slow machines; the steps are what bounds a run).
    """

    max_chars: int = 8000
    max_nodes: int = 1000
    max_depth: int = 32
    max_text_chars: int = 400
    max_steps: int = 200_000
    max_items: int = 1000
    max_objects: int = 1000
    max_number: float = 1e15
    max_seconds: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise SchemaError(field.name, "a whole number" if whole else "a number", value)
            if not (value >= 1 if whole else 0.0 < value < math.inf):
                raise SchemaError(field.name, ">= 1" if whole else "a finite number > 0", value)
        if self.max_depth > 100:  # the interpreter itself recurses
            raise SchemaError("max_depth", "at most 100", self.max_depth)
        if self.max_number > 1e15:  # whole numbers stay exact as floats
            raise SchemaError("max_number", "at most 1e15", self.max_number)


DEFAULT_LIMITS = Limits()


class Refused(Exception):  # noqa: N818 - never leaves the interpreter, which adds the position
    """A part of a program cannot be carried out; where it stands, the interpreter knows.

    ``argument``: the parameter at fault, None for the whole call. ``item``: which of a list.
    """

    def __init__(
        self, kind: str, reason: str, argument: str | None = None, item: int | None = None
    ) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.argument = argument
        self.item = item


class Budget:
    """Steps and seconds spent so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.num_steps = 0
        self._end_s = time.monotonic() + limits.max_seconds

    def spend(self, num_steps: int = 1) -> None:
        """Account for work about to be done; Refused where it would be too much."""
        self.num_steps += num_steps
        if self.num_steps > self.limits.max_steps:
            raise Refused("limit", f"more than {self.limits.max_steps} steps")
        if time.monotonic() > self._end_s:
            raise Refused("limit", f"more than {self.limits.max_seconds:g} seconds")
