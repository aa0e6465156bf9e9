"""Programs over a spatial code: a small expression language in Python's syntax, interpreted.

A program is one expression, or lines of ``name = expression`` and an expression last. It has
numbers, texts, lists, arithmetic, comparisons, ``and or not``, ``a if b else c``, and the functions
of `functions`, which take noun phrases: ``distance("bed", "largest table")``. Nothing else
exists in it, and nothing of it is compiled or executed by Python: the syntax tree is walked here.

Text is first read token by token: only what the language has reaches Python's parser, in bounded
number and depth, so that parsing can neither recurse deeply nor take long. The tree is then checked
whole, also the branches that would not be evaluated.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spatialcode.errors import ProgramError
from spatialcode.reasoning.evidence import Evidence
from spatialcode.reasoning.program.functions import functions
from spatialcode.reasoning.program.scene import Scene
from spatialcode.reasoning.program.values import (
    DEFAULT_LIMITS,
    Budget,
    Limits,
    Refused,
    Value,
    admitted,
    binary,
    compare,
    kind_of,
    unary,
)
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


_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+|\n|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<operator>\*\*|//|<=|>=|==|!=|[-+*/%()\[\],<>=])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:[\\'\"]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5})|\\(.?)")
_SURROGATE_ESCAPE = re.compile(r"\\(?:u|U0000)[dD][89a-fA-F]")
#: Python's tokenizer takes a lone carriage return for the end of a line, even in a comment.
_NEVER = re.compile("[\\0\\r\ud800-\udfff]")
#: Longer literals are refused before they are converted.
_MAX_DIGITS = 40
_WORDS = frozenset({"and", "or", "not", "in", "if", "else", "True", "False"})
_CLOSES = {")": "(", "]": "["}
_REFUSED_CHARACTERS = {
    ".": "there is no attribute access", ":": "there are no slices, dicts, lambdas or ':='",
    "{": "there are no dicts, sets or formats", "}": "there are no dicts, sets or formats",
    ";": "one line holds one expression", "@": "there are no decorators or matrix products",
    "\\": "lines are not continued by a backslash; brackets continue them",
}  # fmt: skip

_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_UNARY = (ast.Not, ast.USub, ast.UAdd)
_COMPARED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_PLAIN = (ast.BoolOp, ast.IfExp, ast.List, ast.Subscript, ast.Name, ast.keyword)


class Source:
    """A program's text without the blanks around it, and positions in the text as it was given."""

    def __init__(self, text: str) -> None:
        text = text.replace("\r\n", "\n")
        self.text = text.strip(" \t\n")
        self.lines = self.text.split("\n")
        self.num_chars = len(text)
        self._before = text[: len(text) - len(text.lstrip(" \t\n"))]

    def error_in(self, kind: str, line: int, column: int, reason: str) -> ProgramError:
        """An error at a line and column of the text without the blanks around it, both from 1."""
        if line == 1:
            column += len(self._before) - (self._before.rfind("\n") + 1)
        return ProgramError(kind, line + self._before.count("\n"), column, reason)

    def error(self, kind: str, offset: int, reason: str) -> ProgramError:
        """An error at an offset in characters."""
        before = self.text[:offset]
        column = offset - (before.rfind("\n") + 1) + 1
        return self.error_in(kind, before.count("\n") + 1, column, reason)

    def error_at(self, kind: str, node: ast.AST, reason: str) -> ProgramError:
        """An error at a node, whose column Python counts in bytes of UTF-8."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        column = len(text.encode()[:column].decode(errors="ignore"))
        return self.error_in(kind, line, column + 1, reason)


def parse_program(source: Source, limits: Limits) -> list[ast.Assign | ast.expr]:
    """The assignments, and the expression last; ProgramError for anything but the language."""
    mode = "exec" if _read_tokens(source, limits) else "eval"
    try:
        tree = ast.parse(source.text, mode=mode)
    except SyntaxError as error:
        if not error.offset or not error.lineno:  # Python's way to say "at the end"
            raise source.error("syntax", len(source.text), error.msg) from None
        line = min(error.lineno, len(source.lines))
        raise source.error_in("syntax", line, max(error.offset, 1), error.msg) from None
    except (MemoryError, RecursionError):
        raise source.error("limit", 0, "nested too deeply") from None
    except ValueError as error:  # what Python's parser has against a text as a whole
        raise source.error("syntax", 0, str(error)) from None
    body = tree.body if isinstance(tree, ast.Module) else [tree.body]  # type: ignore[attr-defined]
    parts = _parts(body, source)
    _check(parts, source, limits)
    return parts


def _parts(body: Sequence[ast.AST], source: Source) -> list[ast.Assign | ast.expr]:
    parts: list[ast.Assign | ast.expr] = []
    for part in body[:-1]:
        if not isinstance(part, ast.Assign):
            raise source.error_at("forbidden", part, "lines before the last are name = expression")
        parts.append(part)
    last = body[-1].value if isinstance(body[-1], ast.Expr) else body[-1]
    if not isinstance(last, ast.expr):
        raise source.error_at("syntax", last, "the last line must be an expression")
    return [*parts, last]


def _read_tokens(source: Source, limits: Limits) -> bool:
    """Refuse what the language does not have; True if there are assignments."""
    text, at, num, assigns = source.text, 0, 0, False
    before: re.Match[str] | None = None
    if source.num_chars > limits.max_chars:
        raise source.error("limit", 0, f"more than {limits.max_chars} characters")
    opened: list[tuple[str, int]] = []
    while at < len(text):
        token = _TOKEN.match(text, at)
        kind = token.lastgroup if token else None
        if token is None or kind is None:
            raise source.error("forbidden", at, _character(text, at))
        piece, num = token.group(), num + (kind != "blank")
        if num > limits.max_nodes:
            raise source.error("limit", at, f"more than {limits.max_nodes} tokens")
        try:
            _check_token(token, before)
        except Refused as refused:
            raise source.error(refused.kind, at, refused.reason) from None
        if piece in ("(", "["):
            opened.append((piece, at))
            if len(opened) > limits.max_depth:
                raise source.error("limit", at, f"brackets deeper than {limits.max_depth}")
        elif piece in _CLOSES and (not opened or opened.pop()[0] != _CLOSES[piece]):
            raise source.error("syntax", at, f"{piece!r} closes nothing")
        assigns = assigns or (piece == "=" and not opened)
        if kind != "blank":
            before = token
        elif piece == "\n" and not opened:
            before = None
        at = token.end()
    if opened:
        raise source.error("syntax", opened[-1][1], f"{opened[-1][0]!r} is never closed")
    if not num:
        raise ProgramError("syntax", 1, 1, "an empty program")  # also where only blanks are
    return assigns


def _character(text: str, at: int) -> str:
    character = text[at]
    if character in "\"'":
        return "a string that does not end on its line"
    shown = ascii(character)
    return _REFUSED_CHARACTERS.get(character, f"{shown} is no part of the language")


def _check_token(token: re.Match[str], before: re.Match[str] | None) -> None:
    kind, piece = token.lastgroup, token.group()
    if _NEVER.search(piece):
        raise Refused("forbidden", "null bytes, carriage returns and surrogates are refused")
    last = before.lastgroup if before else None
    touching = last if before and before.end() == token.start() else None
    if kind == "string":
        if touching == "name" and before and before.group() not in _WORDS:
            raise Refused("forbidden", "strings have no prefix")
        if last == "string":
            raise Refused("forbidden", "strings do not stand side by side")
        for escape in _ESCAPE.finditer(piece):
            if escape[1] is not None or _SURROGATE_ESCAPE.match(escape[0]):
                raise Refused("forbidden", f"escape {escape[0]} is not part of the language")
    elif kind == "number" and len(piece) > _MAX_DIGITS:
        raise Refused("limit", f"a number of more than {_MAX_DIGITS} characters")
    elif kind == "name":
        if touching == "number":
            raise Refused("forbidden", "numbers are decimal, without letters after them")
        if keyword.iskeyword(piece) and piece not in _WORDS:
            raise Refused("forbidden", f"{piece!r} is not part of the language")


def _check(parts: list[ast.Assign | ast.expr], source: Source, limits: Limits) -> None:
    """Every node is of the language, every name known where it stands; bounded size and depth."""
    known: set[str] = set()
    num = 0
    for part in parts:
        value = part.value if isinstance(part, ast.Assign) else part
        for node, depth in _nodes(value):
            num += 1
            if num > limits.max_nodes:
                raise source.error_at("limit", node, f"more than {limits.max_nodes} nodes")
            if depth > limits.max_depth:
                raise source.error_at("limit", node, f"nested deeper than {limits.max_depth}")
            try:
                _check_node(node, known, limits)
            except Refused as refused:
                raise source.error_at(refused.kind, node, refused.reason) from None
        if isinstance(part, ast.Assign):
            known.add(_assigned(part, source))


def _nodes(tree: ast.expr) -> Iterator[tuple[ast.AST, int]]:
    """Nodes with their depth, without recursion; a called function's name is its call's."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        skipped = node.func if isinstance(node, ast.Call) else None
        children: Iterable[ast.AST] = ast.iter_child_nodes(node)
        inner = [child for child in children if isinstance(child, (ast.expr, ast.keyword))]
        waiting += [(child, depth + 1) for child in reversed(inner) if child is not skipped]


def _check_node(node: ast.AST, known: set[str], limits: Limits) -> None:
    if isinstance(node, ast.Call):
        _check_call(node)
    elif isinstance(node, ast.Constant):
        _check_constant(node.value, limits)
    elif isinstance(node, ast.Name):
        if node.id in functions():
            raise Refused("type", f"{node.id} is a function: call it, {node.id}(…)")
        if node.id not in known:
            raise unknown(node.id, [*known, *functions()])
    elif isinstance(node, (ast.BinOp, ast.UnaryOp)):
        if not isinstance(node.op, _BINARY + _UNARY):
            raise Refused("forbidden", f"operator {type(node.op).__name__} is not in the language")
    elif isinstance(node, ast.Compare):
        if not all(isinstance(op, _COMPARED) for op in node.ops):
            raise Refused("forbidden", "compare with < <= > >= == != in, not in")
    elif isinstance(node, ast.Tuple):
        raise Refused("forbidden", "there are no tuples; write a list, [a, b]")
    elif not isinstance(node, _PLAIN):
        raise Refused("forbidden", f"{type(node).__name__} is not part of the language")


def _check_call(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name):
        raise Refused("forbidden", "only the language's functions can be called, by name")
    if node.func.id not in functions():
        raise unknown(node.func.id, functions())
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        raise Refused("forbidden", "arguments are not unpacked by *")
    names = [word.arg for word in node.keywords]
    if None in names:
        raise Refused("forbidden", "arguments are not unpacked by **")
    functions()[node.func.id].bind(len(node.args), [name for name in names if name is not None])


def _check_constant(value: object, limits: Limits) -> None:
    if isinstance(value, str):
        if len(value) > limits.max_text_chars:
            raise Refused("limit", f"a string of more than {limits.max_text_chars} characters")
    elif isinstance(value, (bool, int, float)):
        if not abs(value) <= limits.max_number:
            raise Refused("limit", f"a number beyond {limits.max_number:g}")
    else:
        raise Refused("forbidden", "only numbers, strings, True and False are written out")


def _assigned(part: ast.Assign, source: Source) -> str:
    target = part.targets[0]
    if len(part.targets) != 1 or not isinstance(target, ast.Name):
        raise source.error_at("forbidden", target, "a line assigns to one name: name = expression")
    if target.id.startswith("_"):
        raise source.error_at("forbidden", target, "names do not begin with _")
    if target.id in functions():
        raise source.error_at("forbidden", target, f"{target.id} is a function")
    return target.id


def unknown(name: str, known: Iterable[str]) -> Refused:
    """The refusal of a name, with the known name that is most like it."""
    near = difflib.get_close_matches(name, list(known), 1)
    return Refused(
        "unknown name", f"unknown name {name!r}" + (f"; did you mean {near[0]}?" if near else "")
    )
