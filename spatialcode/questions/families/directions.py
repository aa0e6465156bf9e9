"""Questions of direction for one who stands at a thing and faces another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from spatialcode.questions.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, by_word
from spatialcode.questions.families.room import Floats, Maker, Rng, Room
from spatialcode.questions.references import reference
from spatialcode.questions.types import DIRECTION_WORDS, Level, RelativeDirection
from spatialcode.scene.relations import BACK_DEG, BORDERS_DEG

#: What lies behind is neither left nor right "of" what one faces.
_EASY_DEG = 135.0


def turned_deg(u: Floats, v: Floats) -> Floats:
    """(...) signed angle from u to v (..., 2), counter-clockwise seen from above: left above 0."""
    cross = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    return np.degrees(np.arctan2(cross, (u * v).sum(axis=-1)))


def _words(bearing_deg: Floats, level: Level) -> np.ndarray:
    side = np.where(bearing_deg > 0.0, "left", "right")
    if level == "easy":
        return side
    if level == "medium":
        return np.where(np.abs(bearing_deg) >= BACK_DEG, "back", side)
    ahead = np.where(np.abs(bearing_deg) < 90.0, "front-", "back-")
    return np.char.add(ahead, side)


def direction(level: Level) -> Maker:
    """The maker of one level."""
    return partial(_direction, level)


def _direction(level: Level, room: Room, rng: Rng) -> Pool:
    """Candidates are rows (observer, facing, target), all kinds told apart."""
    margins = room.config.margins
    rows = room.things(rng)
    n = np.arange(len(rows))
    o, f, t = (axis.ravel() for axis in np.meshgrid(n, n, n, indexing="ij"))
    apart = room.naming.apart_rows(rows)
    distinct = apart[o, f] & apart[o, t] & apart[f, t]
    triples = np.array(rows, np.intp)[np.stack([o, f, t], axis=1)[distinct]].reshape(-1, 3)
    triples = triples[room.wanted(triples)]
    xy = room.xy_m
    observer, facing, target = (xy[triples[:, k]] for k in range(3))
    bearing = turned_deg(facing - observer, target - observer)
    size = np.abs(bearing)
    kept = np.ones(len(triples), bool)
    for a, b in ((observer, facing), (observer, target), (facing, target)):
        kept &= np.linalg.norm(a - b, axis=1) >= margins.separation_m
    for border in BORDERS_DEG[level]:
        kept &= np.abs(size - border) >= margins.bearing_deg
    if level == "easy":
        kept &= size <= _EASY_DEG - margins.bearing_deg
    cells = by_word(triples, _words(bearing, level), kept)
    words = DIRECTION_WORDS[level]

    def draft(chosen: Sequence[int], _: str, answer: str, rng: Rng) -> Draft:
        names = [room.name(row, rng) for row in chosen]
        slots = dict(zip(("observer", "facing", "target"), names, strict=True))
        meant = partial(
            RelativeDirection, observer=reference(names[0]), facing=reference(names[1]),
            target=reference(names[2]), level=level,
        )  # fmt: skip
        wrong = tuple(word for word in words if word != answer)
        return Draft(f"object_rel_direction_{level}", slots, meant, choices=(answer, *wrong))

    return Pool(cells, draft, words, reason=AMBIGUOUS if len(triples) else TOO_FEW)
