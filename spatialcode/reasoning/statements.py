"""What can be stated about a spatial code while reasoning, as data and as one line of text each.

The solver states these as evidence; the rubric reads them in a model's completion and recomputes
them. So both speak one language, in which every line can be checked. A statement knows how it
is written (``text``); whether it is true, `verify` finds out.

Units and frames: world metres, seconds; vectors are horizontal (world x, y); angles are in degrees,
from the first vector to the second, counter-clockwise seen from above (left is positive), in
(-180, 180]. Numbers are written with 2 decimals, angles with 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spatialcode.questions.types import Relation

Role = Literal[
    "observer", "facing", "target", "anchor", "candidate", "first", "second", "start", "stop",
    "destination",
]  # fmt: skip


def number(value: float) -> str:
    """2 decimals, without a negative zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def numbers(values: tuple[float, ...]) -> str:
    """A tuple of numbers with 2 decimals, in brackets."""
    return f"({', '.join(map(number, values))})"


@dataclass(frozen=True)
class Position:
    """Where an object's box has its centre, and the part it plays, if any."""

    object_id: str
    center_m: tuple[float, float, float]
    role: Role | None = None

    def text(self) -> str:
        part = f"{self.role}: " if self.role else ""
        return f"{part}{self.object_id} is at {numbers(self.center_m)}"


@dataclass(frozen=True)
class Extents:
    """Full extents of an object's box along its own axes."""

    object_id: str
    size_m: tuple[float, float, float]

    def text(self) -> str:
        return f"{self.object_id} measures {' x '.join(map(number, self.size_m))} m"


@dataclass(frozen=True)
class RoleOf:
    """The part an object plays, without its position."""

    role: Role
    object_id: str

    def text(self) -> str:
        return f"{self.role}: {self.object_id}"


@dataclass(frozen=True)
class Vector:
    """The horizontal vector from one object's centre to another's, under a name.

    ``tail_id`` may be ``camera`` (the first camera). With ``head_id`` ``front`` it is the unit
    vector of the tail's own front, or of the first camera's viewing direction.
    """

    name: str
    tail_id: str
    head_id: str
    xy_m: tuple[float, float]

    def text(self) -> str:
        if self.head_id == "front":
            return f"{self.name} = front({self.tail_id}) = {numbers(self.xy_m)}"
        return f"{self.name} = {self.head_id} - {self.tail_id} = {numbers(self.xy_m)}"


@dataclass(frozen=True)
class Dot:
    """Dot product of two named vectors."""

    u: str
    v: str
    value: float

    def text(self) -> str:
        return f"dot({self.u}, {self.v}) = {number(self.value)}"


@dataclass(frozen=True)
class Cross:
    """z of the cross product of two named vectors: positive if v is to the left of u."""

    u: str
    v: str
    value: float

    def text(self) -> str:
        return f"cross({self.u}, {self.v}) = {number(self.value)}"


@dataclass(frozen=True)
class Angle:
    """Signed angle from one named vector to another, degrees, left positive."""

    u: str
    v: str
    value_deg: float

    def text(self) -> str:
        return f"angle({self.u}, {self.v}) = {round(self.value_deg, 1) + 0.0:.1f} degrees"


@dataclass(frozen=True)
class Distance:
    """Smallest distance between two boxes."""

    a_id: str
    b_id: str
    value_m: float

    def text(self) -> str:
        return f"distance({self.a_id}, {self.b_id}) = {number(self.value_m)} m"


@dataclass(frozen=True)
class Longest:
    """The largest of an object's extents."""

    object_id: str
    value_m: float

    def text(self) -> str:
        return f"longest({self.object_id}) = {number(self.value_m)} m"


@dataclass(frozen=True)
class Count:
    """How many objects of a kind there are, and which."""

    noun: str
    object_ids: tuple[str, ...]
    value: int

    def text(self) -> str:
        listed = f" [{', '.join(self.object_ids)}]" if self.object_ids else ""
        return f"count({self.noun}) = {self.value}{listed}"


@dataclass(frozen=True)
class FirstSeen:
    """When an object was first seen."""

    object_id: str
    t_s: float

    def text(self) -> str:
        return f"first_seen({self.object_id}) = {number(self.t_s)} s"


@dataclass(frozen=True)
class Area:
    """The room's floor area."""

    value_m2: float

    def text(self) -> str:
        return f"area(room) = {number(self.value_m2)} m2"


@dataclass(frozen=True)
class Height:
    """World z of an object's top or bottom."""

    object_id: str
    face: Literal["top", "bottom"]
    z_m: float

    def text(self) -> str:
        return f"{self.face}({self.object_id}) = {number(self.z_m)} m"


@dataclass(frozen=True)
class Direction:
    """Conclusion: where an object is for the observer: left, front-right, back, …"""

    object_id: str
    direction: str

    def text(self) -> str:
        return f"{self.object_id} is to the {self.direction}"


@dataclass(frozen=True)
class Extreme:
    """Conclusion: which object is closest to (farthest from) another."""

    extreme: Literal["closest", "farthest"]
    object_id: str
    anchor_id: str

    def text(self) -> str:
        return f"{self.extreme} to {self.anchor_id}: {self.object_id}"


@dataclass(frozen=True)
class TurnAt:
    """Conclusion: the turn to take at an object, number ``step`` of the route, from 1."""

    step: int
    object_id: str
    turn: str

    def text(self) -> str:
        return f"turn {self.step} at {self.object_id}: {self.turn}"


@dataclass(frozen=True)
class Order:
    """Conclusion: objects by first sight."""

    object_ids: tuple[str, ...]

    def text(self) -> str:
        return f"order: {', '.join(self.object_ids)}"


@dataclass(frozen=True)
class Holds:
    """Conclusion: whether a relation holds of ``a`` with regard to ``b``."""

    a_id: str
    relation: Relation
    b_id: str
    holds: bool

    def text(self) -> str:
        return f"{self.relation}({self.a_id}, {self.b_id}) = {'yes' if self.holds else 'no'}"


@dataclass(frozen=True)
class Assumed:
    """A value that the code does not hold: ``what`` was taken from a prior."""

    what: str
    value: str

    def text(self) -> str:
        return f"not in the code, assumed: {self.what} = {self.value}"


@dataclass(frozen=True)
class Final:
    """The answer as it is given: an option's letter, or a number with its unit."""

    value: str

    def text(self) -> str:
        return f"Answer: {self.value}"


Statement = (
    Position | Extents | RoleOf | Vector | Dot | Cross | Angle | Distance | Longest | Count
    | FirstSeen | Area | Height | Direction | Extreme | TurnAt | Order | Holds | Assumed | Final
)  # fmt: skip
