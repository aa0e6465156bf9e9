"""Is a statement true of a code? Every quantity is recomputed; nothing is taken on trust.

Tolerances follow from the 2 decimals in which codes and statements are written, propagated to
first order: half a unit of the last digit for a number that is quoted, more for one that is
computed from quoted numbers. No tolerance is tuned. Whether the question needs a statement is not
decided here, nor whether a conclusion holds, since that depends on the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from spatialcode.errors import SchemaError
from spatialcode.questions.types import Reference
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.evidence import height_of
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.statements import Statement
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import View, front_xy
from spatialcode.scene.schema import SceneObject, SpatialCode

Vec2 = tuple[float, float]
#: True numbers of a statement and how far each may be off, or why there are none.
Truth = tuple[tuple[float, ...], float] | str

#: Half a unit of the second decimal, and the rounding of float32.
HALF_M = 0.005 + 1e-5
#: The difference of two quoted coordinates.
DIFFERENCE_M = 2 * HALF_M
#: A box's top from quoted centre and extent, rounded once more.
HEIGHT_M = HALF_M + HALF_M / 2 + HALF_M
#: Two boxes of quoted centres and extents, each corner off by at most this along each axis.
DISTANCE_M = 2 * math.sqrt(3) * (HALF_M + HALF_M / 2) + HALF_M
HALF_DEG = 0.05 + 1e-5
#: The most that an angle may be off: the direction of a very short vector is hardly known.
WIDEST_DEG = 10.0


@dataclass(frozen=True)
class Bound:
    """A named vector: its two ends, its true value, and how far rounding may move a component."""

    tail_id: str
    head_id: str
    xy_m: Vec2
    slack: float


@dataclass
class Context:
    """The code that statements are about, and the vectors that earlier ones have named."""

    code: SpatialCode
    vectors: dict[str, Bound] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = SceneIndex.of(self.code)

    def item(self, object_id: str) -> SceneObject | None:
        """The object of that id, None if the code has none."""
        row = self.index.row.get(object_id)
        return None if row is None else self.index.objects[row]


def bind(context: Context, tail_id: str, head_id: str) -> Bound | None:
    """The true vector between two ends of a `Vector` statement, None if there is none."""
    cameras, tail = context.code.cameras, context.item(tail_id)
    if tail is None and (tail_id != "camera" or not cameras):
        return None
    if head_id == "front":
        if tail is not None:
            front = front_xy(tail)
        else:
            x, y = View.of_camera(cameras[0]).forward_xy
            front = (x / math.hypot(x, y), y / math.hypot(x, y))
        return Bound(tail_id, head_id, front, HALF_M) if front else None
    head = context.item(head_id)
    if head is None:
        return None
    x, y = tail.center_m[:2] if tail else (row[3] for row in cameras[0].T_world_camera[:2])
    xy = (head.center_m[0] - x, head.center_m[1] - y)
    return Bound(tail_id, head_id, xy, DIFFERENCE_M)


def signed_angle_deg(u: Vec2, v: Vec2) -> float:
    """Degrees from u to v, left positive, in (-180, 180]; 0 if either has no length."""
    try:
        return View((0.0, 0.0), u).bearing_deg(v)
    except SchemaError:  # two things in one place
        return 0.0


def check(statement: Statement, context: Context) -> str:
    """Why a statement is false, recomputed from the code; "" where it is true. A `Vector` also
    binds its name, true or not.

    Conclusions and assumptions quote no number of the code and pass; the rubric decides elsewhere
    whether they hold.
    """
    kind = type(statement)
    if kind in _TRUTHS:
        return _compared(statement, _TRUTHS[kind](statement, context))
    if isinstance(statement, say.RoleOf):
        return "" if context.item(statement.object_id) else _missing(statement.object_id)
    return _check_count(statement, context) if isinstance(statement, say.Count) else ""


def recomputed(statement: Statement, context: Context) -> Any:
    """The statement with the numbers that the code gives; None where the code gives none.

    Conclusions and roles are returned unchanged; a count keeps the listed objects that are in the
    code. A `Vector` binds its name.
    """
    kind: Any = type(statement)
    if isinstance(statement, say.Count):
        ids = tuple(i for i in statement.object_ids if context.item(i) is not None)
        return say.Count(statement.noun, ids, len(ids))
    if kind not in _TRUTHS:
        return statement
    truth = _TRUTHS[kind](statement, context)
    if isinstance(truth, str):
        return None
    numbers, name = truth[0], _FIELDS[kind]
    value = numbers if isinstance(getattr(statement, name), tuple) else numbers[0]
    return replace(statement, **{name: value})  # type: ignore[arg-type]


def _compared(statement: Any, truth: Truth) -> str:
    if isinstance(truth, str):
        return truth
    numbers, slack = truth
    stated = getattr(statement, _FIELDS[type(statement)])
    said = stated if isinstance(stated, tuple) else (stated,)
    if isinstance(statement, say.Angle):
        apart = abs((said[0] - numbers[0] + 180.0) % 360.0 - 180.0)
        fits = apart <= slack and abs(said[0]) <= 180.0 + HALF_DEG
    else:
        fits = all(abs(a - b) <= slack for a, b in zip(said, numbers, strict=True))
    if fits:
        return ""
    true = ", ".join(f"{number:.2f}" for number in numbers)
    return f"false: {statement.text()} (it is {true})"


def _missing(*ids: str) -> str:
    return f"not in the code: {', '.join(ids)}"


def _of_object(read: Callable[[SceneObject], Any], slack: float) -> Callable[[Any, Context], Truth]:
    """A truth that is read off one object."""

    def truth(statement: Any, context: Context) -> Truth:
        item = context.item(statement.object_id)
        return _missing(statement.object_id) if item is None else (read(item), slack)

    return truth


def _vector(statement: say.Vector, context: Context) -> Truth:
    bound = bind(context, statement.tail_id, statement.head_id)
    if bound is None:
        context.vectors.pop(statement.name, None)
        return _missing(statement.tail_id, statement.head_id)
    context.vectors[statement.name] = bound
    return bound.xy_m, bound.slack


def _of_pair(
    read: Callable[[Bound, Bound], tuple[float, float]],
) -> Callable[[Any, Context], Truth]:
    """A truth that is computed, with its slack, from two vectors named before."""

    def truth(statement: Any, context: Context) -> Truth:
        u, v = context.vectors.get(statement.u), context.vectors.get(statement.v)
        if u is None or v is None:
            return f"no vectors {statement.u}, {statement.v} were stated before"
        number, slack = read(u, v)
        return (number,), slack

    return truth


def _product_slack(u: Bound, v: Bound) -> float:
    spread = (abs(u.xy_m[0]) + abs(u.xy_m[1])) * v.slack + (
        abs(v.xy_m[0]) + abs(v.xy_m[1])
    ) * u.slack
    return spread + 2 * u.slack * v.slack + HALF_M


def _dot(u: Bound, v: Bound) -> tuple[float, float]:
    return u.xy_m[0] * v.xy_m[0] + u.xy_m[1] * v.xy_m[1], _product_slack(u, v)


def _cross(u: Bound, v: Bound) -> tuple[float, float]:
    return u.xy_m[0] * v.xy_m[1] - u.xy_m[1] * v.xy_m[0], _product_slack(u, v)


def _angle(u: Bound, v: Bound) -> tuple[float, float]:
    slack = HALF_DEG
    for bound in (u, v):
        length, moved = math.hypot(*bound.xy_m), bound.slack * math.sqrt(2)
        slack += math.degrees(math.asin(moved / length)) if length > moved else WIDEST_DEG
    return signed_angle_deg(u.xy_m, v.xy_m), min(slack, WIDEST_DEG)


def _distance(statement: say.Distance, context: Context) -> Truth:
    row = context.index.row
    unknown = [i for i in (statement.a_id, statement.b_id) if i not in row]
    if unknown:
        return _missing(*unknown)
    return (context.index.distance_m(statement.a_id, statement.b_id),), DISTANCE_M


def _area(_: say.Area, context: Context) -> Truth:
    room = context.code.room
    return "the code has no room" if room is None else ((room.area_m2,), HALF_M)


def _height(statement: say.Height, context: Context) -> Truth:
    item = context.item(statement.object_id)
    if item is None:
        return _missing(statement.object_id)
    return (height_of(item, statement.face, context.index).z_m,), HEIGHT_M


def _check_count(statement: Any, context: Context) -> str:
    ids, noun = statement.object_ids, statement.noun
    unknown = [i for i in ids if context.item(i) is None]
    if unknown:
        return _missing(*unknown)
    if len(set(ids)) != len(ids) or len(ids) != statement.value:
        return f"{len(set(ids))} different objects are listed, stated {statement.value}"
    meant = {item.id for item in resolve(Reference(noun), context.index)}
    # a second box of a thing may stand for it, but is no other thing
    twins = context.index.twins
    stands = {i for i in ids if i in meant or meant & twins.get(i, frozenset())}
    if len(stands) == len(ids) == len(meant):
        return ""
    return f"{noun} in the code: {', '.join(sorted(meant)) or 'none'}"


_TRUTHS: dict[type, Callable[[Any, Context], Truth]] = {
    say.Position: _of_object(lambda item: item.center_m, HALF_M),
    say.Extents: _of_object(lambda item: item.size_m, HALF_M),
    say.Longest: _of_object(lambda item: (max(item.size_m),), HALF_M),
    say.FirstSeen: _of_object(lambda item: (item.first_seen_s,), HALF_M),
    say.Vector: _vector, say.Dot: _of_pair(_dot), say.Cross: _of_pair(_cross),
    say.Angle: _of_pair(_angle), say.Distance: _distance, say.Area: _area, say.Height: _height,
}  # fmt: skip
#: The field that holds a statement's numbers.
_FIELDS: dict[type, str] = {
    say.Position: "center_m", say.Extents: "size_m", say.Longest: "value_m", say.FirstSeen: "t_s",
    say.Vector: "xy_m", say.Dot: "value", say.Cross: "value", say.Angle: "value_deg",
    say.Distance: "value_m", say.Area: "value_m2", say.Height: "z_m",
}  # fmt: skip
