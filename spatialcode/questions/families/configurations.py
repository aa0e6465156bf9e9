"""Whether a relation holds between two things: yes or no.

Left, right, in front of and behind are asked for the first camera, for the second thing's own front
and for one who stands at a third thing. A box does not tell what is inside from what merely reaches
into it (a pillow on a seat lies within the sofa's box): such pairs are not asked about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from spatialcode.questions.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool
from spatialcode.questions.families.room import Floats, Rng, Room
from spatialcode.questions.names import canonical
from spatialcode.questions.phrasing import RELATION_WORDS
from spatialcode.questions.references import reference
from spatialcode.questions.types import Configuration, Relation, Viewpoint
from spatialcode.scene import relations
from spatialcode.scene.categories import CATEGORIES
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.scene.relations import View

_FRONTED = frozenset(one.label for one in CATEGORIES if one.has_front)
#: Their boxes hold air above the seat, in which a thing lies on them and not inside.
_SEATS = frozenset({"chair", "stool", "sofa", "bed", "toilet", "bench", "armchair"})
_VERTICAL: dict[Relation, Any] = {
    "above": relations.above, "below": relations.below,
    "on": relations.on, "inside": relations.inside,
}  # fmt: skip
#: Observers, faced things and pairs that are looked at.
_NUM_TRIED = 3000


@dataclass
class _Cells:
    """Candidates (a, b, observer, facing) by relation and view, and by yes and no."""

    room: Room
    found: dict[tuple[str, str], list[Any]]
    seen: int = 0

    def add(self, rows: Any, view: str, leftward_m: Floats, front_m: Floats) -> None:
        """Candidates (N, 4) with how far a lies to the left and in front of b."""
        wanted = self.room.wanted(rows)
        margin = self.room.config.margins.viewed_m
        self.seen += int(wanted.sum())
        sides = {"left": leftward_m, "right": -leftward_m, "front": front_m, "behind": -front_m}
        for relation, metres in sides.items():
            for word, clear in (("yes", metres >= margin), ("no", metres <= -margin)):
                key = f"{relation} {view}", word
                self.found.setdefault(key, []).append(rows[wanted & clear])


def configuration(room: Room, rng: Rng) -> Pool:
    """All relations and views that the code allows; every group has its own yes and no."""
    rows = np.array(room.things(rng), np.intp)
    apart = room.naming.apart_rows(rows.tolist())
    pairs = rows[np.argwhere(apart)].reshape(-1, 2)
    cells = _Cells(room, {})
    _from_camera(pairs, cells)
    _from_own_front(pairs, cells)
    _from_observer(rows, apart, cells, rng)
    _vertical(pairs, cells)
    arrays = {key: np.vstack(found) for key, found in cells.found.items()}
    reason = AMBIGUOUS if cells.seen else TOO_FEW
    return Pool(arrays, partial(_draft, room), ("yes", "no"), reason=reason)


def _with_viewer(pairs: Any, observer: Any = None, facing: Any = None) -> Any:
    """(N, 4): a, b, observer, facing; b stands in where nobody does."""
    spare = pairs[:, 1]
    return np.column_stack(
        [pairs, spare if observer is None else observer, spare if facing is None else facing]
    )


def _along(forward: Floats, between: Floats) -> tuple[Floats, Floats]:
    """How far to the left, and how far ahead, for unit directions (..., 2)."""
    ahead = (forward * between).sum(axis=-1)
    return forward[..., 0] * between[..., 1] - forward[..., 1] * between[..., 0], ahead


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _from_camera(pairs: Any, cells: _Cells) -> None:
    cameras = cells.room.index.code.cameras
    if not cameras or not len(pairs):
        return
    view, xy = View.of_camera(cameras[0]), cells.room.xy_m
    forward, origin = _unit(np.array(view.forward_xy)), np.array(view.origin_xy)
    far = (xy - origin) @ forward >= cells.room.config.margins.separation_m
    pairs = pairs[far[pairs].all(axis=1)]  # things behind the camera are not before its eyes
    leftward, ahead = _along(forward, xy[pairs[:, 0]] - xy[pairs[:, 1]])
    cells.add(_with_viewer(pairs), "camera", leftward, -ahead)


def _from_own_front(pairs: Any, cells: _Cells) -> None:
    index, xy = cells.room.index, cells.room.xy_m
    fronted = np.array([item.label in _FRONTED for item in index.objects], bool)
    upright = index.boxes.upright()
    pairs = pairs[(fronted & upright)[pairs[:, 1]]] if len(pairs) else pairs
    if len(pairs):
        front = matrix_from_quaternion(index.boxes.quaternion)[pairs[:, 1], :2, 1]
        leftward, ahead = _along(_unit(front), xy[pairs[:, 0]] - xy[pairs[:, 1]])
        cells.add(_with_viewer(pairs), "object", leftward, ahead)


def _from_observer(rows: Any, apart: Any, cells: _Cells, rng: Rng) -> None:
    """One at a third thing; he faces the second thing or a fourth."""
    if len(rows) < 3:
        return
    xy, least = cells.room.xy_m, cells.room.config.margins.separation_m
    places = rng.integers(len(rows), size=(_NUM_TRIED, 4))
    facing_b = rng.random(_NUM_TRIED) < 0.5
    places[facing_b, 3] = places[facing_b, 1]
    places = np.unique(places, axis=0)
    a, b, o, f = places.T
    kept = apart[a, b] & apart[a, o] & apart[b, o] & apart[o, f] & apart[a, f]
    kept &= (b == f) | apart[b, f]
    chosen = rows[places[kept]]
    origin = xy[chosen[:, 2]]
    forward = xy[chosen[:, 3]] - origin
    clear = np.linalg.norm(forward, axis=1) >= least
    forward = _unit(forward)
    for k in (0, 1):
        clear &= _along(forward, xy[chosen[:, k]] - origin)[1] >= least
    chosen, forward = chosen[clear], forward[clear]
    leftward, ahead = _along(forward, xy[chosen[:, 0]] - xy[chosen[:, 1]])
    cells.add(chosen, "observer", leftward, -ahead)


def _vertical(pairs: Any, cells: _Cells) -> None:
    room, margin = cells.room, cells.room.config.margins.relation_m
    pairs = pairs[room.wanted(pairs)] if len(pairs) else pairs
    cells.seen += len(pairs)
    if not len(pairs):
        return
    corners = room.index.corners_m
    low, high = corners.min(axis=1), corners.max(axis=1)
    a, b = pairs.T
    gap = np.maximum(low[a] - high[b], low[b] - high[a])
    beside = (gap[:, :2] >= margin).any(axis=1)
    lists: dict[tuple[str, str], list[list[int]]] = {}
    for pair in pairs[~beside].tolist():
        for relation, word in _decided(room, pair, _interlocked(low, high, pair)):
            lists.setdefault((f"{relation} camera", word), []).append(pair)
    for relation in _VERTICAL:
        cells.found.setdefault((f"{relation} camera", "no"), []).append(_with_viewer(pairs[beside]))
    for key, found in lists.items():
        cells.found.setdefault(key, []).append(_with_viewer(np.array(found)))


def _interlocked(low: Floats, high: Floats, pair: Sequence[int]) -> bool:
    """Whether two boxes interlock: their heights share more than a contact."""
    a, b = pair
    common = min(high[a, 2], high[b, 2]) - max(low[a, 2], low[b, 2])
    return bool(common > relations.CONTACT_M)


def _decided(room: Room, pair: Sequence[int], interlocked: bool) -> list[tuple[Relation, str]]:
    """Vertical relations of a pair that are clear, with their answer."""
    margin = room.config.margins.relation_m
    a, b = (room.index.objects[row] for row in pair)
    seat = canonical(b.label) in _SEATS
    decided: list[tuple[Relation, str]] = []
    for relation, test in _VERTICAL.items():
        verdict = test(a, b)
        if verdict.holds and verdict.margin_m >= margin and not (relation == "inside" and seat):
            decided.append((relation, "yes"))
        elif not verdict.holds and verdict.margin_m <= -margin and not interlocked:
            decided.append((relation, "no"))
    return decided


def _draft(room: Room, chosen: Sequence[int], group: str, answer: str, rng: Rng) -> Draft:
    relation: Any
    relation, view_word = group.split(" ")
    assert relation in get_args(Relation)
    view: Viewpoint = view_word  # type: ignore[assignment]
    named = {row: room.name(row, rng) for row in dict.fromkeys(chosen)}
    a, b, observer, facing = (named[row] for row in chosen)
    words, other = RELATION_WORDS[relation]
    slots = {"a": a, "b": b, "relation": words, "other": other}
    viewer: dict[str, Any] = {}
    if view == "observer":
        slots |= {"observer": observer, "facing": facing}
        viewer = {"observer": reference(observer), "facing": reference(facing)}
    meant = partial(
        Configuration, a=reference(a), relation=relation, b=reference(b), view=view, **viewer
    )
    kind = "vertical" if relation in _VERTICAL else view
    wrong = "no" if answer == "yes" else "yes"
    return Draft(f"configuration_{kind}", slots, meant, choices=(answer, wrong))
