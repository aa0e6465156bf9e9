"""Statements read back from a completion: the inverse of ``Statement.text``, and a little more.

A line may hold several statements, separated by semicolons or full stops. Bullets, bold marks, "≈"
for "=", and a few wordings that models prefer ("distance between chair_1 and tv_1: 1.2 m",
"chair_1: (1, 2, 0.4)") are read as well. Everything else is prose, which cannot be checked. Work is
linear in the text: every pattern is anchored and its repeats are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast, get_args

from spatialcode.questions.types import RELATIONS
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.statements import Role, Statement

_NUMBER = r"([-+]?\d{1,9}(?:\.\d{1,9})?)"
_ID = r"([^\W\d]\w{0,80}_\d{1,6})"
_ENDS = r"([^\W\d]\w{0,80})"
_ROLE = f"({'|'.join(get_args(Role))})"
_IS = r"\s*(?:=|:|\bis\b|\bare\b)\s*"
_UNIT = r"\s*(?:m|m2|m²|metres?|meters?|s|seconds?|degrees?|deg|°|square met(?:re|er)s?)?\.?"
_XYZ = rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\){_UNIT}"
_XY = rf"\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\){_UNIT}"

_BULLET = re.compile(r"\s*(?:[-*•>]\s+|\d{1,3}[.)]\s+)?")
_SPLIT = re.compile(r";|\.\s|\.$")
_MARKS = str.maketrans({"−": "-", "≈": "=", "`": None, "*": None, "\t": " "})
_ANSWER = re.compile(r"(?:final )?answer\s*:\s*(\S.*)", re.IGNORECASE)
#: Longer lines are not read: no statement is as long, and matching stays cheap.
_LONGEST_LINE = 2000


@dataclass(frozen=True)
class Located:
    """A statement, and where in the text its line ends."""

    statement: Statement
    end: int


def read_statements(text: str) -> list[Located]:
    """Every statement of a text, in order. Never raises; a line without a statement is skipped."""
    found: list[Located] = []
    end = -1
    for line in text.split("\n"):
        end += 1 + len(line)
        if len(line) <= _LONGEST_LINE:
            found += [Located(statement, end) for statement in _read_line(line)]
    return found


def _read_line(line: str) -> list[Statement]:
    line = line.translate(_MARKS).strip()
    answer = _ANSWER.fullmatch(line)
    if answer:
        return [say.Final(answer[1].strip())]
    assumed = _ASSUMED.fullmatch(line)
    if assumed:
        return [say.Assumed(assumed[1], assumed[2])]
    parts = [_read_part(part) for part in _SPLIT.split(line)]
    return [statement for statement in parts if statement is not None]


def _read_part(part: str) -> Statement | None:
    bullet = _BULLET.match(part)
    part = part[bullet.end() if bullet else 0 :].strip()
    call = _CALL.fullmatch(part)
    if call:
        read = _CALLS.get(call[1].lower())
        return read(call[2].strip(), call[3].strip()) if read else None
    for pattern, build in _FORMS:
        match = pattern.fullmatch(part)
        if match:
            return build(*match.groups())
    return None


_CALL = re.compile(rf"(\w{{1,40}})\(([^()]{{1,200}})\){_IS}(\S.*)")
_ASSUMED = re.compile(r"not in the code, assumed: (.{1,200}?) = (.{1,200})")
_VALUE = re.compile(_NUMBER + _UNIT)
_TWO = re.compile(r"(\w{1,80})\s*,\s*(\w{1,80})")
_COUNTED = re.compile(r"(\d{1,6})\s*(?:\[([^\]]*)\])?")
_ID_ONLY = re.compile(_ID)


def _value(text: str) -> float | None:
    match = _VALUE.fullmatch(text)
    return float(match[1]) if match else None


def _pair(kind: Callable[[str, str, float], Statement], inside: str, text: str) -> Statement | None:
    names, value = _TWO.fullmatch(inside), _value(text)
    return kind(names[1], names[2], value) if names and value is not None else None


def _single(kind: Callable[[str, float], Statement], inside: str, text: str) -> Statement | None:
    value = _value(text)
    return kind(inside, value) if _ID_ONLY.fullmatch(inside) and value is not None else None


def _area(inside: str, text: str) -> Statement | None:
    value = _value(text)
    return say.Area(value) if inside.lower() == "room" and value is not None else None


def _count(inside: str, text: str) -> Statement | None:
    match = _COUNTED.fullmatch(text)
    if not match:
        return None
    return say.Count(inside, _ids(match[2] or ""), int(match[1]))


def _holds(relation: str, inside: str, text: str) -> Statement | None:
    names, word = _TWO.fullmatch(inside), text.lower()
    if not names or word not in ("yes", "no", "true", "false"):
        return None
    return say.Holds(names[1], cast(Any, relation), names[2], word in ("yes", "true"))


_CALLS: dict[str, Callable[[str, str], Statement | None]] = {
    "dot": partial(_pair, say.Dot),
    "cross": partial(_pair, say.Cross),
    "angle": partial(_pair, say.Angle),
    "distance": partial(_pair, say.Distance),
    "longest": partial(_single, say.Longest),
    "first_seen": partial(_single, say.FirstSeen),
    "top": partial(_single, lambda item, z_m: say.Height(item, "top", z_m)),
    "bottom": partial(_single, lambda item, z_m: say.Height(item, "bottom", z_m)),
    "area": _area,
    "count": _count,
    **{relation: partial(_holds, relation) for relation in RELATIONS},
}


def _ids(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _position(role: str | None, object_id: str, *xyz: str) -> Statement:
    x, y, z = map(float, xyz)
    return say.Position(object_id, (x, y, z), cast(Any, role and role.lower()))


def _extents(object_id: str, *sizes: str) -> Statement:
    x, y, z = map(float, sizes)
    return say.Extents(object_id, (x, y, z))


def _vector(name: str, head_id: str, tail_id: str, x: str, y: str) -> Statement:
    return say.Vector(name, tail_id, head_id, (float(x), float(y)))


_WRITTEN: tuple[tuple[str, Callable[..., Statement]], ...] = (
    (rf"(?:{_ROLE}\s*:\s*)?{_ID}\s*(?::|(?:is )?(?:located )?at|=|,)\s*{_XYZ}", _position),
    (rf"{_ENDS}\s*=\s*front\(\s*{_ENDS}\s*\)\s*=\s*{_XY}",
     lambda name, tail, x, y: _vector(name, "front", tail, x, y)),
    (rf"{_ENDS}\s*=\s*{_ENDS}\s*-\s*{_ENDS}\s*=\s*{_XY}", _vector),
    (rf"{_ID} is to the (front-left|front-right|back-left|back-right|left|right|back|front)",
     lambda item, word: say.Direction(item, word.lower())),
    (rf"(closest|farthest) to {_ID}\s*:\s*{_ID}",
     lambda word, anchor, item: say.Extreme(word.lower(), item, anchor)),
    (rf"turn (\d{{1,3}}) at {_ID}\s*:\s*(?:turn )?(left|right|back)",
     lambda step, item, turn: say.TurnAt(int(step), item, turn.lower())),
    (rf"{_ID} measures {_NUMBER}\s*[x×]\s*{_NUMBER}\s*[x×]\s*{_NUMBER}\s*m?", _extents),
    (rf"{_ROLE}\s*:\s*{_ID}", lambda role, item: say.RoleOf(role.lower(), item)),
    (r"order\s*:\s*(\S.{0,1000})", lambda listed: say.Order(_ids(listed))),
    (rf"(?:the )?distance (?:between|from) {_ID} (?:and|to) {_ID}{_IS}{_NUMBER}{_UNIT}",
     lambda a, b, value: say.Distance(a, b, float(value))),
)  # fmt: skip
#: Forms that are not written as calls, the more frequent ones first; the first that fits is taken.
_FORMS: tuple[tuple[re.Pattern[str], Callable[..., Statement]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), build) for pattern, build in _WRITTEN
)
