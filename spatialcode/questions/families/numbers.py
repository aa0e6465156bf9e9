"""Questions whose answer is a number: how many, how long, how large, how far apart.

Numbers are rounded as VSI-Bench rounds them: whole centimetres, tenths of metres and of square
metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from spatialcode.questions.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool
from spatialcode.questions.families.room import Rng, Room
from spatialcode.questions.naming import plural
from spatialcode.questions.references import reference
from spatialcode.questions.types import AbsoluteDistance, Counting, ObjectSize, RoomSize


def counting(room: Room, rng: Rng) -> Pool:  # noqa: ARG001 - all makers are called alike
    """How many of a clear kind."""
    naming = room.naming
    kinds = [] if room.referring else [
        kind for kind in naming.clear if len(naming.rows[kind]) >= room.config.min_count
    ]  # fmt: skip
    cells: dict[tuple[str, str], list[list[int]]] = {}
    for kind in kinds:
        rows = naming.rows[kind]
        cells.setdefault(("", str(len(rows))), []).append([rows[0]])

    def draft(chosen: Sequence[int], _: str, answer: str, __: Rng) -> Draft:
        kind = naming.kinds[chosen[0]]
        slots = {"kind": kind, "kinds": plural(kind)}
        return Draft(
            "object_counting", slots, partial(Counting, target=reference(kind)), truth=answer
        )

    arrays = {key: np.array(rows) for key, rows in cells.items()}
    unclear = any(len(rows) >= room.config.min_count for rows in naming.rows.values())
    return Pool(arrays, draft, reason=AMBIGUOUS if unclear else TOO_FEW)


def size(room: Room, rng: Rng) -> Pool:
    """The longest extent of one thing."""
    rows = np.array(room.things(rng, static=False), np.intp).reshape(-1, 1)
    rows = rows[room.wanted(rows)]
    longest_cm = 100.0 * room.index.boxes.size.max(axis=1, initial=0.0)
    kept = [row for row in rows.tolist() if _exact(longest_cm[row[0]], 0, room)]
    cells: dict[tuple[str, str], list[list[int]]] = {}
    for row in kept:
        cells.setdefault(("", room.naming.kinds[row[0]]), []).append(row)

    def draft(chosen: Sequence[int], _: str, __: str, rng: Rng) -> Draft:
        name = room.name(chosen[0], rng)
        meant = partial(ObjectSize, target=reference(name), unit="cm")
        truth = f"{longest_cm[chosen[0]]:.0f}"
        return Draft("object_size_estimation", {"a": name}, meant, truth=truth)

    reason = AMBIGUOUS if len(room.index.objects) else TOO_FEW
    return Pool({key: np.array(found) for key, found in cells.items()}, draft, reason=reason)


def room_size(room: Room, rng: Rng) -> Pool:  # noqa: ARG001
    """The floor's area, once a room."""
    found = room.index.code.room
    area_m2 = 0.0 if found is None else found.area_m2
    known = area_m2 > 0.0 and not room.referring

    def draft(_: Sequence[int], __: str, ___: str, ____: Rng) -> Draft:
        return Draft("room_size_estimation", {}, RoomSize, truth=f"{area_m2:.1f}")

    cells = {("", ""): np.zeros((1, 1), np.intp)} if known and _exact(area_m2, 1, room) else {}
    return Pool(cells, draft, reason=AMBIGUOUS if known else "no room")


def absolute_distance(room: Room, rng: Rng) -> Pool:
    """Between two things, each the only one that its name can mean."""
    rows = room.things(rng)
    apart = np.triu(room.naming.apart_rows(rows), 1)
    pairs = np.array(rows, np.intp)[np.argwhere(apart)].reshape(-1, 2)
    pairs = pairs[room.wanted(pairs)]
    metres = room.index.distances_m
    kept = np.array([_exact(metres[a, b], 1, room) for a, b in pairs], bool)

    def draft(chosen: Sequence[int], _: str, __: str, rng: Rng) -> Draft:
        order = [chosen[n] for n in rng.permutation(2)]
        a, b = (room.name(row, rng) for row in order)
        meant = partial(AbsoluteDistance, a=reference(a), b=reference(b), unit="m")
        truth = f"{metres[chosen[0], chosen[1]]:.1f}"
        return Draft("object_abs_distance", {"a": a, "b": b}, meant, truth=truth)

    return Pool({("", ""): pairs[kept]}, draft, reason=AMBIGUOUS if len(pairs) else TOO_FEW)


def _exact(value: float, decimals: int, room: Room) -> bool:
    """Whether rounding leaves the value what it is, but for the margin."""
    shown = float(f"{value:.{decimals}f}")
    return value > 0.0 and abs(shown - value) <= room.config.margins.rounding * value
