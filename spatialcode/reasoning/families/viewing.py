"""Turns and bearings: what families share that depend on where one stands and looks.

Angles are in degrees from the viewing direction, seen from above, counter-clockwise: left is
positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.types import Level
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric.facts import Fact
from spatialcode.reasoning.rubric.steps import Ends, is_between
from spatialcode.reasoning.rubric.verify import HALF_DEG, Context, bind, signed_angle_deg
from spatialcode.scene import relations

Floats = NDArray[np.float64]

_READ = {"easy": relations.side, "medium": relations.third, "hard": relations.quadrant}
#: Where one stands and looks, as choices of a grammar: before a question, and as a sentence.
STAND = (
    "(If I am|If you are|Suppose I am|Imagine I am|Imagine you are|When I am|When|While|Assume I am"
    "|For a person) (standing|positioned|located|placed) (by|at|near|next to|beside|close to)"
    " {observer}( and|,| while) (facing|looking at|looking towards|turned towards) {facing}"
)
PERSON = (
    "(I am|You are|Someone is|A person is|Somebody is) (standing|located|positioned) (by|at|next to"
    "|beside) {observer}( and facing| and looking at|, facing|, looking towards) {facing}."
)
LEFT_RIGHT = "left for a positive angle, right for a negative one"


def turned_deg(u: Floats, v: Floats) -> Floats:
    """(...) signed angles from u to v (..., 2)."""
    cross = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    return np.degrees(np.arctan2(cross, (u * v).sum(axis=-1)))


def word_of(bearing_deg: float, level: Level) -> str:
    """The direction word of a bearing, at a level."""
    return str(_READ[level](bearing_deg))


def words_of(bearing_deg: Floats, level: Level) -> NDArray[np.str_]:
    """(...) `word_of` of many bearings; 0 counts as right."""
    side = np.where(bearing_deg > 0.0, "left", "right")
    if level == "easy":
        return side
    if level == "medium":
        return np.where(np.abs(bearing_deg) >= relations.BACK_DEG, "back", side)
    return np.char.add(np.where(np.abs(bearing_deg) < 90.0, "front-", "back-"), side)


# The rubric


def angle_between(used: Sequence[Fact], ends: Ends) -> Fact | None:
    """The stated angle between vectors with these ends."""
    kind = say.Angle
    return next((f for f in used if isinstance(f.statement, kind) and is_between(f, ends)), None)


def unrounded_deg(fact: Fact) -> list[float]:
    """A stated angle, and what it may have been rounded from, each in (-180, 180]."""
    value = fact.statement.value_deg
    return [180.0 - (180.0 - value - by) % 360.0 for by in (0.0, HALF_DEG, -HALF_DEG)]


def words_allowed(used: Sequence[Fact], ends: Ends, level: Level) -> set[str] | None:
    """The direction words of the stated angle; None where it is not stated."""
    fact = angle_between(used, ends)
    return None if fact is None else {word_of(angle, level) for angle in unrounded_deg(fact)}


def true_bearing(context: Context, ends: Sequence[str]) -> float | None:
    """The true angle, degrees, between vectors by their ends' ids: (tail, head) twice."""
    u, v = bind(context, ends[0], ends[1]), bind(context, ends[2], ends[3])
    return None if u is None or v is None else signed_angle_deg(u.xy_m, v.xy_m)
