"""Programs over a spatial code: a small expression language in Python's syntax, interpreted.

A program is one expression, or lines of ``name = expression`` and an expression last. It has
numbers, texts, lists, arithmetic, comparisons, ``and or not``, ``a if b else c``, and the functions
of `functions`, which take noun phrases: ``distance("bed", "largest table")``. Nothing else
exists in it, and nothing of it is executed by Python: the syntax tree is walked here.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spatialcode.errors import ProgramError
from spatialcode.reasoning.evidence import Evidence
from spatialcode.reasoning.program.functions import functions
from spatialcode.reasoning.program.limits import DEFAULT_LIMITS, Budget, Limits, Refused
from spatialcode.reasoning.program.scene import Scene
from spatialcode.reasoning.program.syntax import Source, parse_program
from spatialcode.reasoning.program.values import Value, admitted, binary, compare, kind_of, unary
from spatialcode.scene.schema import SpatialCode

__all__ = ["DEFAULT_LIMITS", "Limits", "Result", "Value", "run"]


@dataclass(frozen=True)
class Result:
    """What a program came to, and what that rests on.

    ``value``: a number, true or false, a text, a `SceneObject`, or a list of these; numbers are
    finite. ``trace``: the objects used, and every intermediate quantity in order of execution.
    """

    value: Value
    trace: Evidence


def run(source: str, code: SpatialCode, limits: Limits = DEFAULT_LIMITS) -> Result:
    """Run a program over a code. Metres, seconds, degrees; the same for the same arguments.

    ProgramError, with its kind and position, for anything that is not the language, goes beyond
    ``limits``, or has no value over this code. No other error, whatever the text.
    """
    text = Source(source)
    try:
        budget = Budget(limits)
        machine = _Machine(text, Scene(code, limits, budget), budget)
        value = machine.run(parse_program(text, limits))
    except Refused as refused:
        raise ProgramError(refused.kind, 1, 1, refused.reason) from None
    except RecursionError:  # called with hardly any stack left
        raise ProgramError("limit", 1, 1, "nested too deeply") from None
    return Result(value, machine.scene.evidence())


class _Machine:
    """Walks a checked syntax tree. Every node costs a step."""

    def __init__(self, source: Source, scene: Scene, budget: Budget) -> None:
        self.source = source
        self.scene = scene
        self.budget = budget
        self.names: dict[str, Value] = {}
        self._forms: dict[type, Callable[[Any], Any]] = {
            ast.Constant: lambda node: node.value,
            ast.Name: lambda node: self.names[node.id],
            ast.List: lambda node: [self.value(one) for one in node.elts],
            ast.UnaryOp: self._unary,
            ast.BinOp: self._binary,
            ast.BoolOp: self._logic,
            ast.Compare: self._compare,
            ast.IfExp: self._choice,
            ast.Subscript: self._item,
            ast.Call: self._call,
        }

    def run(self, parts: list[ast.Assign | ast.expr]) -> Value:
        """The value of the last line."""
        for part in parts[:-1]:
            assert isinstance(part, ast.Assign)
            assert isinstance(part.targets[0], ast.Name)
            self.names[part.targets[0].id] = self.value(part.value)
        assert isinstance(parts[-1], ast.expr)
        return self.value(parts[-1])

    def value(self, node: ast.expr) -> Value:
        """The value of an expression; what is refused in it gets its position."""
        try:
            self.budget.spend()
            return admitted(self._forms[type(node)](node), self.scene.limits)
        except Refused as refused:
            at = _argument(node, refused) if isinstance(node, ast.Call) else node
            raise self.source.error_at(refused.kind, at, refused.reason) from None

    def truth(self, node: ast.expr) -> bool:
        """The value of a condition."""
        value = self.value(node)
        if not isinstance(value, bool):
            reason = f"expected true or false, got {kind_of(value)}; compare it with something"
            raise self.source.error_at("type", node, reason)
        return value

    def _unary(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            return not self.truth(node.operand)
        return unary(node.op, self.value(node.operand))

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        return binary(node.op, left, right, self.scene.limits)

    def _logic(self, node: ast.BoolOp) -> bool:
        both = isinstance(node.op, ast.And)
        for operand in node.values:
            if self.truth(operand) != both:
                return not both
        return both

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, operand in zip(node.ops, node.comparators, strict=True):
            right = self.value(operand)
            self.budget.spend(len(right) if isinstance(right, list) else 1)
            if not compare(op, left, right):
                return False
            left = right
        return True

    def _choice(self, node: ast.IfExp) -> Value:
        return self.value(node.body if self.truth(node.test) else node.orelse)

    def _item(self, node: ast.Subscript) -> Value:
        value, at = self.value(node.value), self.value(node.slice)
        if not isinstance(value, list):
            raise Refused("type", f"only lists have items; this is {kind_of(value)}")
        if isinstance(at, bool) or not isinstance(at, int):
            raise Refused("type", "items are numbered by whole numbers, from 0")
        if not -len(value) <= at < len(value):
            raise Refused("undefined", f"item {at} of a list of {len(value)}")
        return value[at]

    def _call(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Name)
        function = functions()[node.func.id]
        values = [self.value(argument) for argument in _arguments(node)]
        if function.variadic:
            given: dict[str, Any] = {function.required[0]: values}
        else:
            given = dict(zip(_bound(node), values, strict=True))
        return function.apply(self.scene, given)


def _arguments(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(word.value for word in node.keywords)]


def _bound(node: ast.Call) -> tuple[str, ...]:
    assert isinstance(node.func, ast.Name)
    keywords = [word.arg for word in node.keywords if word.arg is not None]
    return functions()[node.func.id].bind(len(node.args), keywords)


def _argument(node: ast.Call, refused: Refused) -> ast.expr:
    """The argument at fault, or its item, where it is written out; else the call."""
    if refused.argument is None:
        return node
    arguments = _arguments(node)
    if len(arguments) > 1 and refused.argument == _bound(node)[-1] == _bound(node)[0]:  # variadic
        return arguments[refused.item or 0]
    at = arguments[_bound(node).index(refused.argument)]
    if isinstance(at, ast.List) and refused.item is not None and refused.item < len(at.elts):
        return at.elts[refused.item]
    return at
