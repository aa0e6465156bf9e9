"""Is a statement true of a code? Every quantity is recomputed; nothing is taken on trust.

Tolerances follow from the 2 decimals in which codes and statements are written, propagated to
first order: half a unit of the last digit for what is quoted, more for what is computed from
quoted numbers. No tolerance is tuned. What a statement is *for* is not asked here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spatialcode.reasoning.statements import (
    Angle,
    Area,
    Count,
    Cross,
    Distance,
    Dot,
    Extents,
    FirstSeen,
    Height,
    Longest,
    Order,
    Position,
    RoleOf,
    Statement,
    Vector,
)  # fmt: skip
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject, SpatialCode

Vec2 = tuple[float, float]

#: Half a unit of the second decimal, and what float32 adds to it.
HALF_M = 0.005 + 1e-5
#: The difference of two quoted coordinates.
DIFFERENCE_M = 2 * HALF_M
#: A box's top from quoted centre and extent, rounded once more.
HEIGHT_M = HALF_M + HALF_M / 2 + HALF_M
#: Two boxes of quoted centres and extents, each corner off by at most this along each axis.
DISTANCE_M = 2 * math.sqrt(3) * (HALF_M + HALF_M / 2) + HALF_M
HALF_DEG = 0.05 + 1e-5
#: A vector too short for its angle to be known is not forgiven any angle.
WIDEST_DEG = 10.0


@dataclass(frozen=True)
class Check:
    """Whether a statement is true: ``score`` 1 or 0, and why not."""

    ok: bool
    score: float
    reason: str


@dataclass(frozen=True)
class Bound:
    """A named vector: between what, its true value, and how far rounding moves a component."""

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


def front_xy(code: SpatialCode, item: SceneObject | None) -> Vec2 | None:
    """Unit horizontal front: an object's own +y, or for None the first camera's viewing direction.

    None where it points straight up or down, or there is no camera.
    """
    if item is not None:
        x, y = matrix_from_quaternion(item.quaternion_wxyz)[:2, 1]
    elif code.cameras:
        x, y = (code.cameras[0].T_world_camera[axis][2] for axis in (0, 1))
    else:
        return None
    norm = math.hypot(x, y)
    return (float(x) / norm, float(y) / norm) if norm > 1e-6 else None


def bind(context: Context, tail_id: str, head_id: str) -> Bound | None:
    """The true vector between two ends of a `Vector` statement, None if there is none."""
    code, tail = context.code, context.item(tail_id)
    if tail is None and tail_id != "camera":
        return None
    if head_id == "front":
        front = front_xy(code, tail)
        return Bound(tail_id, head_id, front, HALF_M) if front else None
    head = context.item(head_id)
    if head is None or (tail is None and not code.cameras):
        return None
    if tail is not None:
        x, y = tail.center_m[:2]
    else:
        x, y = (code.cameras[0].T_world_camera[axis][3] for axis in (0, 1))
    xy = (head.center_m[0] - x, head.center_m[1] - y)
    return Bound(tail_id, head_id, xy, DIFFERENCE_M)


def signed_angle_deg(u: Vec2, v: Vec2) -> float:
    """Degrees from u to v, left positive, in (-180, 180]; 0 if either has no length."""
    degrees = math.degrees(math.atan2(u[0] * v[1] - u[1] * v[0], u[0] * v[0] + u[1] * v[1]))
    return 180.0 if degrees == -180.0 else degrees


def check(statement: Statement, context: Context) -> Check:
    """Recompute a statement from the code. A `Vector` also binds its name, true or not.

    Conclusions and assumptions quote nothing of the code and pass; whether they follow is the
    rubric's question.
    """
    function = _CHECKS.get(type(statement))
    reason = function(statement, context) if function else ""
    return Check(not reason, 0.0 if reason else 1.0, reason)


def _near(what: str, stated: float, true: float, slack: float) -> str:
    if abs(stated - true) <= slack:
        return ""
    return f"{what} is {true:.2f}, stated {stated:.2f}"


def _missing(*ids: str) -> str:
    return f"not in the code: {', '.join(ids)}"


def _check_position(statement: Position, context: Context) -> str:
    item = context.item(statement.object_id)
    if item is None:
        return _missing(statement.object_id)
    wrong = (
        _near(f"{item.id}.{axis}", stated, true, HALF_M)
        for axis, stated, true in zip("xyz", statement.center_m, item.center_m, strict=True)
    )
    return next(filter(None, wrong), "")


def _check_extents(statement: Extents, context: Context) -> str:
    item = context.item(statement.object_id)
    if item is None:
        return _missing(statement.object_id)
    pairs = zip(statement.size_m, item.size_m, strict=True)
    return next(filter(None, (_near(f"extent of {item.id}", a, b, HALF_M) for a, b in pairs)), "")


def _check_role(statement: RoleOf, context: Context) -> str:
    return "" if context.item(statement.object_id) else _missing(statement.object_id)


def _check_vector(statement: Vector, context: Context) -> str:
    bound = bind(context, statement.tail_id, statement.head_id)
    if bound is None:
        context.vectors.pop(statement.name, None)
        return _missing(statement.tail_id, statement.head_id)
    context.vectors[statement.name] = bound
    pairs = zip(statement.xy_m, bound.xy_m, strict=True)
    return next(filter(None, (_near(statement.name, a, b, bound.slack) for a, b in pairs)), "")


def _named(statement: Any, context: Context) -> tuple[Bound, Bound] | None:
    u, v = context.vectors.get(statement.u), context.vectors.get(statement.v)
    return (u, v) if u and v else None


def _product_slack(u: Bound, v: Bound) -> float:
    spread = (abs(u.xy_m[0]) + abs(u.xy_m[1])) * v.slack + (
        abs(v.xy_m[0]) + abs(v.xy_m[1])
    ) * u.slack
    return spread + 2 * u.slack * v.slack + HALF_M


def _check_dot(statement: Dot, context: Context) -> str:
    pair = _named(statement, context)
    if pair is None:
        return f"no vectors {statement.u}, {statement.v} were stated before"
    (a, b), (c, d) = pair[0].xy_m, pair[1].xy_m
    return _near("dot", statement.value, a * c + b * d, _product_slack(*pair))


def _check_cross(statement: Cross, context: Context) -> str:
    pair = _named(statement, context)
    if pair is None:
        return f"no vectors {statement.u}, {statement.v} were stated before"
    (a, b), (c, d) = pair[0].xy_m, pair[1].xy_m
    return _near("cross", statement.value, a * d - b * c, _product_slack(*pair))


def _check_angle(statement: Angle, context: Context) -> str:
    pair = _named(statement, context)
    if pair is None:
        return f"no vectors {statement.u}, {statement.v} were stated before"
    true, slack = signed_angle_deg(pair[0].xy_m, pair[1].xy_m), HALF_DEG
    for bound in pair:
        length, moved = math.hypot(*bound.xy_m), bound.slack * math.sqrt(2)
        slack += math.degrees(math.asin(moved / length)) if length > moved else WIDEST_DEG
    apart = abs((statement.value_deg - true + 180.0) % 360.0 - 180.0)
    if apart <= min(slack, WIDEST_DEG) and abs(statement.value_deg) <= 180.0 + HALF_DEG:
        return ""
    return f"angle is {true:.1f}, stated {statement.value_deg:.1f}"


def _check_distance(statement: Distance, context: Context) -> str:
    unknown = [i for i in (statement.a_id, statement.b_id) if context.item(i) is None]
    if unknown:
        return _missing(*unknown)
    true = context.index.distance_m(statement.a_id, statement.b_id)
    return _near("distance", statement.value_m, true, DISTANCE_M)


def _check_longest(statement: Longest, context: Context) -> str:
    item = context.item(statement.object_id)
    if item is None:
        return _missing(statement.object_id)
    return _near("longest extent", statement.value_m, max(item.size_m), HALF_M)


def _check_count(statement: Count, context: Context) -> str:
    ids = statement.object_ids
    unknown = [i for i in ids if context.item(i) is None]
    if unknown:
        return _missing(*unknown)
    if len(set(ids)) != len(ids) or len(ids) != statement.value:
        return f"{len(set(ids))} different objects are listed, stated {statement.value}"
    labels = {item.label for i in ids if (item := context.item(i))}
    left_out = {o.id for o in context.index.objects if o.label in labels} - set(ids)
    # a second box of a thing that is listed is no other thing
    left_out -= {twin for i in ids for twin in context.index.twins.get(i, ())}
    return f"left out: {', '.join(sorted(left_out))}" if left_out else ""


def _check_first_seen(statement: FirstSeen, context: Context) -> str:
    item = context.item(statement.object_id)
    if item is None:
        return _missing(statement.object_id)
    return _near("first sight", statement.t_s, item.first_seen_s, HALF_M)


def _check_area(statement: Area, context: Context) -> str:
    room = context.code.room
    if room is None:
        return "the code has no room"
    return _near("area", statement.value_m2, room.area_m2, HALF_M)


def _check_height(statement: Height, context: Context) -> str:
    item = context.item(statement.object_id)
    if item is None:
        return _missing(statement.object_id)
    corners = context.index.corners_m[context.index.row[item.id], :, 2]
    true = corners.max() if statement.face == "top" else corners.min()
    return _near(f"{statement.face} of {item.id}", statement.z_m, float(true), HEIGHT_M)


def _check_order(statement: Order, context: Context) -> str:
    times = [item.first_seen_s for i in statement.object_ids if (item := context.item(i))]
    if len(times) != len(statement.object_ids):
        return "the order names things that are not in the code"
    return "" if times == sorted(times) else "not the order of first sight"


_CHECKS: dict[type, Callable[[Any, Context], str]] = {
    Position: _check_position, Extents: _check_extents, RoleOf: _check_role, Vector: _check_vector,
    Dot: _check_dot, Cross: _check_cross, Angle: _check_angle, Distance: _check_distance,
    Longest: _check_longest, Count: _check_count, FirstSeen: _check_first_seen, Area: _check_area,
    Height: _check_height, Order: _check_order,
}  # fmt: skip
