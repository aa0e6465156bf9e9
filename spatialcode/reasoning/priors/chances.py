"""How probable each answer is where some of what is asked about is missing from the code.

Words with their chances, of routes, relations and orders; empty where nothing is known.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from spatialcode.questions.names import plain
from spatialcode.questions.types import (
    TURNS,
    VIEWED_RELATIONS,
    AppearanceOrder,
    Blank,
    Configuration,
    Forward,
    RoutePlanning,
)
from spatialcode.reasoning.priors.places import NUM_DRAWS, Places
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.stating import front_xy, surest
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import BACK_DEG, View

Floats = NDArray[np.float64]

#: Share of routes that do not go straight from thing to thing.
_BLUR = 0.3


def route_chances(question: RoutePlanning, places: Places) -> dict[str, float]:
    """Turns by the share of places that lead to them, and by how usual they are on routes.

    Where one faces what one stands at, every direction of the first heading is as likely.
    """
    here, heading = places.of(question.start), None
    if question.facing.noun != question.start.noun:
        heading = places.of(question.facing) - here
    turns: list[NDArray[np.str_]] = []
    for n, step in enumerate(question.steps):
        onward = [s.until for s in question.steps[n:] if isinstance(s, Forward)]
        there = places.of(onward[0] if onward else question.destination)
        if isinstance(step, Forward):
            here, heading = there, there - here
        else:
            turns.append(_turns(_evenly() if heading is None else heading, there - here))
    counted = Counter(zip(*(turn.tolist() for turn in turns), strict=True))
    at_start = isinstance(question.steps[0], Blank)
    chances = {}
    for words in product(TURNS, repeat=len(turns)):
        led = (1.0 - _BLUR) * counted[words] / NUM_DRAWS + _BLUR / len(TURNS) ** len(turns)
        for n, turn in enumerate(words):
            led *= places.priors.turn_rate(turn, at_start and n == 0)
        chances[", ".join(f"Turn {turn.capitalize()}" for turn in words)] = led
    total = sum(chances.values())
    return {words: chance / total for words, chance in chances.items()}


def _evenly() -> Floats:
    """Directions all around."""
    turn = np.linspace(0.0, 2.0 * np.pi, NUM_DRAWS, endpoint=False)
    return np.column_stack([np.cos(turn), np.sin(turn)])


def bearings_deg(u: Floats, v: Floats) -> Floats:
    """(draws,) signed angles from u to v (draws, 2), left positive, degrees."""
    cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    return np.degrees(np.arctan2(cross, (u * v).sum(axis=1)))


def _turns(heading: Floats, onward: Floats) -> NDArray[np.str_]:
    bearing = bearings_deg(heading, onward)
    words = np.where(bearing > 0.0, "left", "right")
    return np.where(np.abs(bearing) >= BACK_DEG, "back", words)


def relation_chances(question: Configuration, places: Places) -> dict[str, float]:
    """Yes and no, for left, right, front and behind, where the view is known."""
    if question.relation not in VIEWED_RELATIONS:
        return {}
    forward = _forward(question, places)
    if forward is None:
        return {}
    between = places.of(question.a) - places.of(question.b)
    if not between.any():  # one thing under two words has no relation to itself
        return {}
    ahead = (between * forward).sum(axis=1)
    leftward = forward[:, 0] * between[:, 1] - forward[:, 1] * between[:, 0]
    # what an object faces lies in front of it, also for one who stands there; for any other viewer
    # in front is nearer
    stands = question.b if question.observer is None else question.observer
    at_b = question.view != "camera" and np.array_equal(places.of(stands), places.of(question.b))
    front = ahead if at_b else -ahead
    margin = {"left": leftward, "right": -leftward, "front": front, "behind": -front}
    yes = float((margin[question.relation] > 0.0).mean())
    return {"yes": yes, "no": 1.0 - yes}


def _forward(question: Configuration, places: Places) -> Floats | None:
    """(draws, 2) viewing directions; None where nobody knows who looks, or where to."""
    if question.view == "observer":
        assert question.observer is not None
        return places.of(question.facing or question.b) - places.of(question.observer)
    if question.view == "camera":
        cameras = places.index.code.cameras
        forward_xy = View.of_camera(cameras[0]).forward_xy if cameras else None
    else:
        found = resolve(question.b, places.index)
        forward_xy = front_xy(surest(found)) if found else None
    return None if forward_xy is None else np.tile(forward_xy, (NUM_DRAWS, 1))


def order_chances(question: AppearanceOrder, index: SceneIndex) -> dict[str, float]:
    """The options' orders by the share of pairs of known things that they have right."""
    times = {}
    for candidate in question.candidates:
        found = resolve(candidate, index)
        if found:
            times[plain(candidate.phrase)] = min(item.first_seen_s for item in found)
    pairs = [(a, b) for a, b in combinations(times, 2) if times[a] != times[b]]
    chances = {}
    for option in question.options:
        order = [plain(part) for part in option.text.split(",")]
        rank = {name: n for n, name in enumerate(order)}
        if pairs and all(name in rank for name in times):
            right = [(rank[a] < rank[b]) == (times[a] < times[b]) for a, b in pairs]
            chances[option.text] = sum(right) / len(right)
    best = max(chances.values(), default=0.0)
    equal = [words for words, share in chances.items() if share == best]
    return {words: 1.0 / len(equal) for words in equal if best > 0.0}
