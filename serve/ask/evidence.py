"""The statements of a reasoning as data for pages and programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from serve.ask.choosing import Claim
from spatialcode.reasoning import statements as say
from spatialcode.scene.schema import SpatialCode

#: For each kind of statement, the field with its value and the unit of that value.
_VALUES: dict[type, tuple[str, str]] = {
    say.Position: ("center_m", "m"), say.Extents: ("size_m", "m"), say.RoleOf: ("role", ""),
    say.Vector: ("xy_m", "m"), say.Dot: ("value", ""), say.Cross: ("value", ""),
    say.Angle: ("value_deg", "deg"), say.Distance: ("value_m", "m"), say.Longest: ("value_m", "m"),
    say.Count: ("value", ""), say.FirstSeen: ("t_s", "s"), say.Area: ("value_m2", "m2"),
    say.Height: ("z_m", "m"), say.Direction: ("direction", ""), say.Extreme: ("object_id", ""),
    say.TurnAt: ("turn", ""), say.Order: ("object_ids", ""), say.Holds: ("holds", ""),
    say.Assumed: ("value", ""),
}  # fmt: skip
_ID_FIELDS = ("object_id", "a_id", "b_id", "anchor_id", "tail_id", "head_id")
_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True)
class CitedObject:
    """An object that an answer is based on; times are seconds from the video's first frame."""

    id: str
    label: str
    first_seen_s: float
    last_seen_s: float


@dataclass(frozen=True)
class CitedQuantity:
    """A statement as data. ``value``: in ``unit``, "m", "m2", "s", "deg", or "" for none or one
    that depends on the vectors. ``objects``: ids in the code. ``recomputes``: the code gives the
    same value.
    """

    kind: str
    text: str
    objects: tuple[str, ...]
    value: float | bool | str | tuple[float, ...] | tuple[str, ...]
    unit: str
    recomputes: bool


@dataclass(frozen=True)
class CitedEvidence:
    """What an answer is based on; ``text``: the quantities as lines."""

    text: tuple[str, ...]
    objects: tuple[CitedObject, ...]
    quantities: tuple[CitedQuantity, ...]


def evidence_of(
    claims: Sequence[Claim], code: SpatialCode, object_ids: Iterable[str] = ()
) -> CitedEvidence:
    """Claims as evidence. ``object_ids`` come first; others follow as they are mentioned."""
    things = {item.id: item for item in code.objects}
    quantities = tuple(_quantity(claim, things) for claim in claims)
    named = (name for one in quantities for name in one.objects)
    used = [things[name] for name in dict.fromkeys((*object_ids, *named)) if name in things]
    return CitedEvidence(
        text=tuple(one.text for one in quantities),
        objects=tuple(
            CitedObject(item.id, item.label, item.first_seen_s, item.last_seen_s) for item in used
        ),
        quantities=quantities,
    )


def _quantity(claim: Claim, things: dict[str, Any]) -> CitedQuantity:
    statement: Any = claim.statement
    name, unit = _VALUES[type(statement)]
    if isinstance(statement, say.Vector) and statement.head_id == "front":
        unit = ""  # a direction of length 1
    ids = [getattr(statement, one, "") for one in _ID_FIELDS]
    ids += getattr(statement, "object_ids", ())
    return CitedQuantity(
        kind=_CAPITAL.sub("_", type(statement).__name__).lower(),
        text=statement.text(),
        objects=tuple(dict.fromkeys(one for one in ids if one in things)),
        value=getattr(statement, name),
        unit=unit,
        recomputes=not claim.doubt,
    )
