"""Turns and bearings: what families share that depend on where one stands and looks.

Angles are in degrees from the viewing direction, seen from above, counter-clockwise: left is
positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spatialcode.questions.types import TURNS
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.naming import Floats, Rng
from spatialcode.reasoning.rubric.facts import Fact
from spatialcode.reasoning.rubric.steps import Ends, is_between
from spatialcode.reasoning.rubric.verify import HALF_DEG, Context, bind, signed_angle_deg
from spatialcode.scene.relations import Level, word_of

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


def words_of_turns(turns: Sequence[Any]) -> str:
    """The answer in words: "Turn Left, Turn Back"."""
    return ", ".join(f"Turn {str(turn).capitalize()}" for turn in turns)


def turn_sequences(truth: Sequence[str], num_options: int, rng: Rng) -> tuple[tuple[str, ...], ...]:
    """The true turns and other ones; one turn: all three; more: two places with two turns each.

    The options are close to each other in the same way: nothing about the set tells which is right.
    """
    if len(truth) == 1:
        wrong = [turn for turn in TURNS if turn != truth[0]]
        kept = wrong if num_options >= 3 else [wrong[int(rng.integers(2))]]
        return (tuple(truth), *((turn,) for turn in kept))
    first, second = (int(n) for n in rng.permutation(len(truth))[:2])
    other = {place: _other(truth[place], rng) for place in (first, second)}
    sets = [(first,), (second,), (first, second)]
    made = [
        tuple(other[n] if n in places else turn for n, turn in enumerate(truth)) for places in sets
    ]
    if num_options <= 4:
        kept_places = rng.permutation(3)[: num_options - 1]
        return (tuple(truth), *(made[n] for n in sorted(kept_places)))
    every = [tuple(TURNS[n] for n in np.unravel_index(k, (3,) * len(truth)))
             for k in range(3 ** len(truth))]  # fmt: skip
    rest = [turns for turns in every if turns != tuple(truth) and turns not in made]
    extra = rng.permutation(len(rest))[: num_options - 4]
    return (tuple(truth), *made, *(rest[n] for n in extra))


def _other(turn: str, rng: Rng) -> str:
    return [one for one in TURNS if one != turn][int(rng.integers(2))]


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
