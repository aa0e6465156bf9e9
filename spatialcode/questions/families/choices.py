"""Questions that choose among kinds of things: which is closest, which was seen first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from spatialcode.questions.distractors import orders
from spatialcode.questions.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool
from spatialcode.questions.families.room import Bools, Floats, Rng, Room
from spatialcode.questions.phrasing import words_in_row
from spatialcode.questions.references import reference
from spatialcode.questions.types import AppearanceOrder, Question, RelativeDistance

#: Kinds that are combined: 1001 sets of four.
_MAX_KINDS = 14


def relative_distance(room: Room, rng: Rng) -> Pool:
    """Which kind's nearest thing is the closest to one thing; farthest: kinds of one thing only.

    Candidates are rows (anchor, kind, kind, …), the kind that is the answer first.
    """
    naming, size = room.naming, room.config.num_options
    kinds = [kind for kind in naming.clear if naming.static[naming.rows[kind]].all()]
    kinds = _drawn(kinds, rng)
    anchors = np.array(room.things(rng), np.intp)
    anchors = anchors[room.wanted(anchors.reshape(-1, 1))]
    sets = _sets(kinds, size, room)
    metres = room.index.distances_m
    to_kind = np.array([metres[:, naming.rows[kind]].min(axis=1) for kind in kinds])
    to_kind = to_kind.reshape(len(kinds), len(metres))  # also where there are none
    single = np.array([len(naming.rows[kind]) == 1 for kind in kinds], bool)
    cells: dict[tuple[str, str], Any] = {}
    for anchor in anchors.tolist():
        apart = np.array([naming.apart(naming.kinds[anchor], kind) for kind in kinds], bool)
        possible = sets[apart[sets].all(axis=1)] if len(sets) else sets
        for extreme, sign in (("closest", 1.0), ("farthest", -1.0)):
            usable = possible if sign > 0 else possible[single[possible].all(axis=1)]
            rows = _clear_sets(usable, to_kind[:, anchor], sign, room)
            for best in np.unique(rows[:, 0]):
                found = rows[rows[:, 0] == best]
                found = np.hstack([np.full((len(found), 1), anchor), found])
                cells.setdefault((extreme, kinds[best]), []).append(found)

    def draft(chosen: Sequence[int], extreme: str, _: str, rng: Rng) -> Draft:
        anchor = room.name(chosen[0], rng)
        words = "closest to" if extreme == "closest" else "farthest from"
        return Draft(
            "object_rel_distance", {"anchor": anchor, "extreme": words},
            partial(_relative_distance, anchor=anchor, extreme=extreme),
            choices=tuple(kinds[n] for n in chosen[1:]), listed=True,
        )  # fmt: skip

    share = room.config.farthest_share
    wanted = {"closest": 1.0 - share, "farthest": share}
    enough = len(sets) and len(anchors)
    return Pool(
        {key: np.vstack(found) for key, found in cells.items() if wanted[key[0]] > 0.0}, draft,
        reason=AMBIGUOUS if enough else TOO_FEW, weights=wanted,
    )  # fmt: skip


def _relative_distance(*, anchor: str, extreme: Any, **common: Any) -> Question:
    candidates = tuple(reference(option.text) for option in common["options"])
    return RelativeDistance(
        anchor=reference(anchor), candidates=candidates, extreme=extreme, **common
    )


def appearance_order(room: Room, rng: Rng) -> Pool:
    """In which order kinds come into view: four of them, or three where there are no four."""
    naming, margin_s = room.naming, room.config.margins.first_seen_s
    kinds = [] if room.referring else _drawn(list(naming.clear), rng)
    objects = room.index.objects
    first_s = np.array([min(objects[row].first_seen_s for row in naming.rows[k]) for k in kinds])
    cells: dict[tuple[str, str], Any] = {}
    tried = 0
    for size in (4, 3):
        sets = _sets(kinds, size, room)
        tried += len(sets)
        if len(sets) and room.config.num_options <= 6:
            times = first_s[sets]
            order = np.argsort(times, axis=1)
            gaps = np.diff(np.take_along_axis(times, order, axis=1), axis=1)
            rows = np.take_along_axis(sets, order, axis=1)[(gaps >= margin_s).all(axis=1)]
            for first in np.unique(rows[:, 0]) if len(rows) else ():
                cells["", kinds[first]] = rows[rows[:, 0] == first]
        if cells:
            break

    def draft(chosen: Sequence[int], _: str, __: str, rng: Rng) -> Draft:
        order = [kinds[n] for n in chosen]
        listed = [order[n] for n in rng.permutation(len(order))]
        slots = {
            "listed": ", ".join(listed),
            "listed_and": words_in_row([f"the {kind}" for kind in listed]),
        }
        candidates = tuple(reference(kind) for kind in listed)
        options = orders(order, room.config.num_options, rng)
        choices = tuple(", ".join(option) for option in options)
        meant = partial(AppearanceOrder, candidates=candidates)
        return Draft("obj_appearance_order", slots, meant, choices=choices)

    return Pool(cells, draft, reason=AMBIGUOUS if tried else TOO_FEW)


def _drawn(kinds: list[str], rng: Rng) -> list[str]:
    kept = sorted(rng.permutation(len(kinds))[:_MAX_KINDS].tolist())
    return [kinds[n] for n in kept]


def _sets(kinds: list[str], size: int, room: Room) -> Any:
    """(N, size) sets of kinds of which none is taken for another."""
    apart: Bools = np.array([[a == b or room.naming.apart(a, b) for b in kinds] for a in kinds])
    found = np.array(list(combinations(range(len(kinds)), size)), np.intp).reshape(-1, size)
    for a, b in combinations(range(size), 2):
        if len(found):
            found = found[apart[found[:, a], found[:, b]]]
    return found


def _clear_sets(sets: Any, metres: Floats, sign: float, room: Room) -> Any:
    """Sets whose extreme kind is so by the margins, that kind first."""
    if not len(sets):
        return sets
    margins = room.config.margins
    order = np.argsort(sign * metres[sets], axis=1, kind="stable")
    rows = np.take_along_axis(sets, order, axis=1)
    best, second = metres[rows[:, 0]], metres[rows[:, 1]]
    low, high = np.minimum(best, second), np.maximum(best, second)
    return rows[(high - low >= margins.distance_m) & (high >= margins.distance_ratio * low)]
