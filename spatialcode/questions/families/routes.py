"""Routes from thing to thing, with turns left to fill in.

One goes straight from a thing's centre to the next one's. Whether something stands in the way is
not known; legs that leave the room's outline are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from spatialcode.questions.distractors import turn_sequences
from spatialcode.questions.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, by_word
from spatialcode.questions.families.directions import turned_deg
from spatialcode.questions.families.room import Bools, Floats, Rng, Room
from spatialcode.questions.references import reference
from spatialcode.questions.types import TURNS, Blank, Forward, RoutePlanning
from spatialcode.scene.relations import BACK_DEG

#: Routes of one form that are looked at; a small room has fewer.
_NUM_TRIED = 2000
#: Where along a leg it is looked at whether it is in the room.
_ALONG = np.linspace(0.2, 0.8, 7)


def route(room: Room, rng: Rng) -> Pool:
    """Candidates are rows (start, facing, stop, …).

    Where the first stop is what one faces, one goes there first; otherwise a turn comes first.
    Groups are by number of turns and by that.
    """
    rows = np.array(room.things(rng), np.intp)
    apart = room.naming.apart_rows(rows.tolist())
    cells: dict[tuple[str, str], Any] = {}
    seen = 0
    for num_blanks in range(1, room.config.max_blanks + 1):
        for ahead in (False, True):
            places = _routes(len(rows), num_blanks, ahead, rng)
            for a, b in combinations(range(places.shape[1]), 2):
                if not (ahead and (a, b) == (1, 2)):
                    places = places[apart[places[:, a], places[:, b]]]
            found = rows[places].reshape(-1, places.shape[1])
            found = found[room.wanted(found)]
            seen += len(found)
            turns, clear = _turns(found, ahead, room)
            words = np.array([", ".join(TURNS[n] for n in one) for one in turns.tolist()], str)
            cells |= by_word(found, words, clear, f"{num_blanks}{'a' if ahead else ''}")
    return Pool(cells, partial(_draft, room), reason=AMBIGUOUS if seen else TOO_FEW)


def _routes(num_things: int, num_blanks: int, ahead: bool, rng: Rng) -> np.ndarray:
    """(N, k) start, facing and stops by lot; ``ahead``: the first stop is what one faces."""
    width = 2 + num_blanks
    if num_things < width:
        return np.zeros((0, width + ahead), np.intp)
    tried = min(_NUM_TRIED, num_things**width)
    drawn = rng.choice(num_things**width, tried, replace=False)
    drawn = np.stack(np.unravel_index(drawn, (num_things,) * width), axis=1)
    return np.insert(drawn, 2, drawn[:, 1], axis=1) if ahead else drawn


def _turns(routes: np.ndarray, ahead: bool, room: Room) -> tuple[np.ndarray, Bools]:
    """(N, blanks) places in `TURNS`; (N,) whether all are clear, all legs long and in the room."""
    margins, xy = room.config.margins, room.xy_m
    start, facing, *stops = (xy[routes[:, k]] for k in range(routes.shape[1]))
    points = [start, *stops]
    legs = [b - a for a, b in pairwise(points)]
    headings = legs if ahead else [facing - start, *legs]
    kept = np.linalg.norm(facing - start, axis=1) >= margins.separation_m
    for a, leg in zip(points, legs, strict=False):
        kept &= np.linalg.norm(leg, axis=1) >= margins.leg_m
        kept &= _in_room(a, leg, room)
    bearings = np.stack([turned_deg(u, v) for u, v in pairwise(headings)], axis=1)
    size = np.abs(bearings)
    clear = (size >= margins.turn_deg) & (np.abs(size - BACK_DEG) >= margins.bearing_deg)
    turns = np.where(bearings > 0.0, TURNS.index("left"), TURNS.index("right"))
    turns = np.where(size >= BACK_DEG, TURNS.index("back"), turns)
    return turns, kept & clear.all(axis=1)


def _in_room(start: Floats, leg: Floats, room: Room) -> Bools:
    """(N,) whether the legs stay inside the outline, where there is one."""
    found = room.index.code.room
    if found is None or not found.polygon_m:
        return np.ones(len(start), bool)
    points = start[:, None, :] + _ALONG[:, None] * leg[:, None, :]
    return np.all(inside_polygon(points, np.array(found.polygon_m)), axis=1)


def inside_polygon(points: Floats, polygon: Floats) -> Bools:
    """(...) which points (..., 2) lie in a polygon (P, 2), by the even-odd rule."""
    x, y = points[..., 0], points[..., 1]
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside


def _draft(room: Room, chosen: Sequence[int], group: str, answer: str, rng: Rng) -> Draft:
    turns = answer.split(", ")
    named = {row: room.name(row, rng) for row in dict.fromkeys(chosen)}
    start, facing, *stops = (named[row] for row in chosen)
    steps: list[Forward | Blank] = [Forward(reference(stops[0]))] if group.endswith("a") else []
    for stop in stops[1:] if steps else stops:
        steps += [Blank(), Forward(reference(stop))]
    said = [
        "[please fill in]" if isinstance(step, Blank) else f"Go forward until {step.until.phrase}"
        for step in steps
    ]
    told = " ".join(f"{n}. {words}" for n, words in enumerate(said, 1)) + "."
    slots = {"start": start, "facing": facing, "goal": stops[-1], "steps": told}
    meant = partial(
        RoutePlanning, start=reference(start), facing=reference(facing),
        destination=reference(stops[-1]), steps=tuple(steps),
    )  # fmt: skip
    options = turn_sequences(turns, room.config.num_options, rng)
    choices = tuple(", ".join(f"Turn {turn.capitalize()}" for turn in one) for one in options)
    return Draft("route_planning", slots, meant, choices=choices)
