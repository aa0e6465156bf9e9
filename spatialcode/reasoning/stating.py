"""Pieces of evidence that several kinds of answers are made of."""

from __future__ import annotations

import math

from spatialcode.questions.names import plain
from spatialcode.questions.types import (
    Option,
)
from spatialcode.reasoning.evidence import Answer, Evidence
from spatialcode.reasoning.statements import (
    Angle,
    Cross,
    Dot,
    Position,
    Role,
    Statement,
    Vector,
)
from spatialcode.scene.schema import SceneObject


def letter_of(options: tuple[Option, ...], words: str) -> str | None:
    """The letter of the option that says these words."""
    wanted = plain(words).replace("turn ", "").replace("-", " ")
    for option in options:
        if plain(option.text).replace("turn ", "").replace("-", " ") == wanted:
            return option.letter
    return None


def bearing_evidence(u: Vector, v: Vector) -> list[Statement]:
    """Both vectors, their products and the signed angle between them."""
    (ux, uy), (vx, vy) = u.xy_m, v.xy_m
    dot, cross = ux * vx + uy * vy, ux * vy - uy * vx
    names = u.name, v.name
    angle = Angle(*names, math.degrees(math.atan2(cross, dot)))
    return [u, v, Dot(*names, dot), Cross(*names, cross), angle]


def at(item: SceneObject, role: Role) -> Position:
    """The statement of where a thing is, and of its part."""
    return Position(item.id, item.center_m, role)


def vector(name: str, tail: SceneObject, head: SceneObject) -> Vector:
    """The horizontal vector from one centre to another."""
    dx, dy = (head.center_m[n] - tail.center_m[n] for n in (0, 1))
    return Vector(name, tail.id, head.id, (dx, dy))


def surest(found: tuple[SceneObject, ...]) -> SceneObject:
    """The one of several of a kind that is most surely there."""
    return max(found, key=lambda item: item.score)


def sure(items: object) -> float:
    """The probability that all of these are there as labelled."""
    return math.prod(item.score for item in items)  # type: ignore[attr-defined]


def answer_of(
    value: float | str, ids: tuple[str, ...], statements: list[Statement], confidence: float, *,
    option: str | None = None, unit: str = "",
) -> Answer:  # fmt: skip
    """An answer whose evidence names every object once."""
    evidence = Evidence(tuple(dict.fromkeys(ids)), tuple(statements))
    return Answer(value, option, evidence, True, confidence, unit)
