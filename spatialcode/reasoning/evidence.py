"""An answer and what it rests on, and the pieces of evidence that several families state."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from spatialcode.questions.names import plain
from spatialcode.questions.types import Option, Question, Reference
from spatialcode.reasoning.resolve import fit
from spatialcode.reasoning.statements import (
    Angle,
    Cross,
    Dot,
    Final,
    Height,
    Position,
    Role,
    Statement,
    Vector,
)
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject

#: Things nearer to each other, seen from above, stand in one place: rounding is as much.
LEAST_STEP_M = 1e-6

#: Other words in which options say the same: "A. True", "B. behind me".
_SAID = {"true": "yes", "false": "no", "behind": "back", "rear": "back"}
_AROUND = re.compile(r"^(?:turn|to|on|in|at) (?:(?:the|my|your) )?| (?:side|quadrant|me|you)$")


@dataclass(frozen=True)
class Evidence:
    """What led to an answer: the objects used, and every intermediate quantity in order.

    ``object_ids``: ids of the code, in order of use, each once. ``statements``: without the
    final answer.
    """

    object_ids: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()

    def text(self) -> str:
        """The reasoning, one statement a line."""
        return "\n".join(statement.text() for statement in self.statements)


@dataclass(frozen=True)
class Answer:
    """What the question's answer is, and how sure that is.

    ``value``: a number in ``unit`` ("m", "cm", "m2", "" for counts), or the chosen option's
    words. ``option``: its letter, None where there are no options. ``grounded``: every object
    that the question names was found in the code; else priors stood in. ``confidence``: 0 to 1.
    """

    value: float | str
    option: str | None
    evidence: Evidence
    grounded: bool
    confidence: float
    unit: str = ""

    def final(self) -> str:
        """The answer as text: the letter, or the number with its unit."""
        if self.option is not None:
            return self.option
        if isinstance(self.value, str):
            return self.value
        shown = f"{self.value:g}" if self.unit == "" else f"{self.value:.2f}"
        return f"{shown} {self.unit}".strip()

    def text(self) -> str:
        """The reasoning, and the answer on its last line."""
        reasoning = self.evidence.text()
        final = Final(self.final()).text()
        return f"{reasoning}\n{final}" if reasoning else final


def letter_of(options: tuple[Option, ...], words: str) -> str | None:
    """The letter of the option that says these words."""
    wanted = bare(words)
    return next((option.letter for option in options if bare(option.text) == wanted), None)


def bare(words: str) -> tuple[str, ...]:
    """What is listed, each without article, capitals, "turn" and "to my … side"."""
    return tuple(_said(part) for part in words.split(","))


@lru_cache(maxsize=8192)
def _said(part: str) -> str:
    word = _AROUND.sub("", plain(part).replace("-", " "))
    return _SAID.get(word, word)


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


def height_of(item: SceneObject, face: Literal["top", "bottom"], index: SceneIndex) -> Height:
    """The statement of how high a thing's top or bottom is."""
    z_m = index.corners_m[index.row[item.id], :, 2]
    return Height(item.id, face, float(z_m.max() if face == "top" else z_m.min()))


def vector(name: str, tail: SceneObject, head: SceneObject) -> Vector:
    """The horizontal vector from one centre to another."""
    dx, dy = (head.center_m[n] - tail.center_m[n] for n in (0, 1))
    return Vector(name, tail.id, head.id, (dx, dy))


def apart(a: SceneObject, b: SceneObject) -> bool:
    """Whether there is a direction from one centre to the other, seen from above."""
    return math.hypot(*vector("", a, b).xy_m) >= LEAST_STEP_M


def surest(found: tuple[SceneObject, ...]) -> SceneObject:
    """The one of several of a kind that is most surely there."""
    return max(found, key=lambda item: item.score)


def sure(named: Iterable[tuple[Reference, SceneObject]]) -> float:
    """How sure an answer is: all of these are there as labelled, and are what is named.

    The product of the things' scores, each once, and of how well words and labels fit, each pair
    once.
    """
    pairs = list(named)
    scores = {item.id: item.score for _, item in pairs}
    fits = {
        (one.noun, one.modifiers, one.object_id, item.label): fit(one, item) for one, item in pairs
    }
    return math.prod(scores.values(), start=1.0) * math.prod(fits.values())


def answer_of(
    question: Question, value: float | str, statements: Sequence[Statement], *,
    ids: Iterable[str], named: Iterable[tuple[Reference, SceneObject]] = (), unit: str = "",
) -> Answer:  # fmt: skip
    """An exact answer. ``ids``: of the things it is about. ``named``: what `sure` looks at. Words
    choose the option that says them.
    """
    option = letter_of(question.options, value) if isinstance(value, str) else None
    evidence = Evidence(tuple(dict.fromkeys(ids)), tuple(statements))
    return Answer(value, option, evidence, True, sure(named), unit)
