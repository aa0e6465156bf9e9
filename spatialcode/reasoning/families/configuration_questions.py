"""How configuration questions are read, said and generated; their answers are in `configuration`.

Left, right, in front of and behind are asked for the first camera, for the second thing's own front
and for one who stands at a third thing. A box does not tell what is inside from what merely reaches
into it (a pillow on a seat lies within the sofa's box): such pairs are not asked about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from spatialcode.questions.names import canonical, reference, thing
from spatialcode.questions.parse import AT, FACE, PLACE, WHO, Common, Match, Reader, rule
from spatialcode.questions.types import (
    RELATIONS,
    VIEWED_RELATIONS,
    Configuration,
    Question,
    Relation,
    Viewpoint,
    same_meaning,
)
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, drawn
from spatialcode.reasoning.families.family import LEAD, Family, Sentences, Wording
from spatialcode.reasoning.families.viewing import PERSON, STAND
from spatialcode.reasoning.naming import Floats, NamedRoom, Rng, the
from spatialcode.scene import relations
from spatialcode.scene.categories import CATEGORIES
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.scene.relations import View

_FRONTED = frozenset(one.label for one in CATEGORIES if one.has_front)
#: Relations that need no viewer.
_VERTICAL = tuple(one for one in RELATIONS if one not in VIEWED_RELATIONS)

_SAID: dict[str, Relation] = {
    "to the left of": "left", "left of": "left", "on the left of": "left",
    "on the left side of": "left", "to the right of": "right", "right of": "right",
    "on the right of": "right", "on the right side of": "right", "in front of": "front",
    "behind": "behind", "above": "above", "over": "above", "below": "below", "under": "below",
    "underneath": "below", "beneath": "below", "on top of": "on", "on": "on", "inside of": "inside",
    "inside": "inside", "in": "inside",
}  # fmt: skip
_VIEWING = r"(?:view|perspective|viewpoint|point of view)"
_SEEN = r"(?:as |when )?(?:(?:seen |viewed )?(?:from|in)) "
_CAMERA = rf"{_SEEN}the (?:first )?camera(?:'s(?: own)? {_VIEWING})?(?: at the start of the video)?"
_OWN = (
    rf"{_SEEN}(?:(?P<own>[^?.,;:()!]{{1,80}}?)(?:'s|') own (?:{_VIEWING}|front)|"
    rf"the (?:own )?{_VIEWING} of (?!someone|somebody)(?P<of>[^?.,;:()!]{{1,80}})|"
    rf"(?P<its>its) own (?:{_VIEWING}|front))"
)
_OBSERVER = (
    rf"(?:{_SEEN}(?:the {_VIEWING} of )?)?{WHO}standing {AT} (?P<observer>[^?.,;:()!]{{1,80}}?)"
    rf"(?:{FACE} (?P<facing>[^?.,;:()!]{{1,80}}))?"
)
_VIEW = rf"(?:(?P<camera>{_CAMERA})|{_OWN}|{_OBSERVER})"
_PLACED = r"(?:(?:located|positioned|placed|situated|standing|lying|hanging|sitting) )?"
_IS = rf"is <a> {_PLACED}(?P<relation>{'|'.join(_SAID)}) <b>"
_DETERMINED = re.compile(r"(?:the|a|an|my|this|that) .|[^\W\d]\w*_\d+$", re.IGNORECASE)


def _read(found: Match, common: Common) -> Question | None:
    relation = _SAID[found["relation"].lower()]
    short = found["relation"].lower() in ("on", "in")
    if short and not all(_DETERMINED.match(found[name]) for name in "ab"):
        return None  # "in good condition", "on fire"
    a, b = thing(found["a"]), thing(found["b"])
    stated = found.groupdict()
    parts: Common = {"a": a, "relation": relation, "b": b, **common}
    if stated.get("observer"):
        facing = thing(stated["facing"]) if stated["facing"] else None
        return Configuration(
            view="observer", observer=thing(stated["observer"]), facing=facing, **parts
        )
    if whose := stated.get("own") or stated.get("of"):
        # another thing's front would be another question
        return Configuration(view="object", **parts) if same_meaning(thing(whose), b) else None
    return Configuration(view="object" if stated.get("its") else "camera", **parts)


_READER = Reader((
    rule("is ", rf"{_IS}(?:,? {_VIEW})?(?: {PLACE})?", _read),
    rule("is ", rf"{_VIEW}, {_IS}", _read),
))  # fmt: skip

#: How a relation is said: the standard words, and others.
RELATION_WORDS: Mapping[Relation, tuple[str, str]] = {
    "left": ("to the left of", "left of"), "right": ("to the right of", "right of"),
    "front": ("in front of", "in front of"), "behind": ("behind", "behind"),
    "above": ("above", "over"), "below": ("below", "under"),
    "on": ("on", "on top of"), "inside": ("inside", "in"),
}  # fmt: skip

_TEMPLATES: Mapping[str, Sentences] = {
    "configuration_camera": Sentences(
        "From the camera's view at the start of the video, is {a} {relation} {b}?",
        ("Is {a} {relation} {b} from the first camera's view?",
         "Seen from the camera at the start of the video, is {a} {other} {b}?"),
        ("When seen from the first camera, is {a} {other} {b}?",),
    ),
    "configuration_object": Sentences(
        "From the perspective of {b}, is {a} {relation} {b}?",
        ("Is {a} {relation} {b}, from the perspective of {b}?",
         "From {b}'s own perspective, is {a} {other} {b}?"),
        ("Is {a} {other} {b}, when seen from {b}'s own front?",),
    ),
    "configuration_observer": Sentences(
        "For someone standing by {observer} and facing {facing}, is {a} {relation} {b}?",
        ("If I am standing at {observer} and facing {facing}, is {a} {relation} {b}?",
         "Is {a} {other} {b} for someone standing next to {observer} and facing {facing}?"),
        ("When standing by {observer} facing {facing}, is {a} {other} {b}?",),
    ),
    "configuration_vertical": Sentences(
        "Is {a} {relation} {b}?",
        ("Is {a} {other} {b}?", "In this room, is {a} {relation} {b}?"),
        ("In the video, is {a} {other} {b}?",),
    ),
}  # fmt: skip


_GRAMMARS: Mapping[str, tuple[str, ...]] = {
    "configuration_camera": (
        "(From|In|Seen from|Looking from) (the view of the first camera|the camera's first view"
        "|the first frame|where the camera starts|the camera at the start), is {a} {relation} {b}?",
        "(For|To) the (first camera|camera at the start), is {a} {relation} {b}?",
        "Is {a} {relation} {b} (in the first camera's view|as the first camera sees it|from the"
        " camera's view|as seen by the camera at the start)?",
        "(Does|Would) the first camera (see|show) {a} {relation} {b}?",
    ),
    "configuration_object": (
        "(From|Seen from|In) (the front|the own view|the view|the perspective|the point of view) of"
        " {b}, is {a} {relation} (it|{b})?",
        "Is {a} {relation} {b}(,|) (from|seen from|in) {b}'s (own |)(front|perspective|view|point"
        " of view)?",
        "(With|By) {b}'s own (front|facing|orientation), is {a} {relation} {b}?",
    ),
    "configuration_observer": (
        STAND + ", (is|would) {a}( be|) {relation} {b}?",
        PERSON + " (Is|Would) {a}( be|) {relation} {b}?",
        "Is {a} {relation} {b} (for|to|seen by|as seen by) (a person|someone|one) (at|by|beside"
        "|next to) {observer} (facing|who faces|looking at|turned to) {facing}?",
    ),
    "configuration_vertical": (
        LEAD + "(is|would you say that) {a}( located|) {relation} {b}?",
        "(Does|Would) {a} (lie|stand|sit|hang|rest) {relation} {b}?",
        "(Is it true that|Is it right that|True or false:) {a} is {relation} {b}?",
        "{a} is {relation} {b}, (yes or no|right|true|is it not)?",
    ),
}  # fmt: skip
#: How training sentences say a relation.
_OTHER_WORDS = {
    "left": ("to the left of", "left of", "on the left of", "on the left side of"),
    "right": ("to the right of", "right of", "on the right of", "on the right side of"),
    "front": ("in front of", "before", "at the front of"),
    "behind": ("behind", "in back of", "at the back of"),
    "above": ("above", "over", "higher up than", "somewhere above"),
    "below": ("below", "under", "beneath", "underneath"),
    "on": ("on", "on top of", "resting on", "standing on"),
    "inside": ("inside", "in", "within", "inside of"),
}


# Generated questions

#: Their boxes hold air above the seat, in which a thing lies on them and not inside.
_SEATS = frozenset({"chair", "stool", "sofa", "bed", "toilet", "bench", "armchair"})
#: How many random sets of observer, faced thing and pair are tried.
_NUM_TRIED = 3000


@dataclass
class _Cells:
    """Candidates (a, b, observer, facing) by relation and view, and by yes and no, and the number
    of those that were looked at.
    """

    room: NamedRoom
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


def _with_viewer(pairs: Any, observer: Any = None, facing: Any = None) -> Any:
    """(N, 4): a, b, observer, facing; b in the place of those that the view does not have."""
    spare = pairs[:, 1]
    return np.column_stack(
        [pairs, spare if observer is None else observer, spare if facing is None else facing]
    )


def along(forward: Floats, between: Floats) -> tuple[Floats, Floats]:
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
    pairs = pairs[far[pairs].all(axis=1)]  # things behind the camera are not in its view
    leftward, ahead = along(forward, xy[pairs[:, 0]] - xy[pairs[:, 1]])
    cells.add(_with_viewer(pairs), "camera", leftward, -ahead)


def _from_own_front(pairs: Any, cells: _Cells) -> None:
    index, xy = cells.room.index, cells.room.xy_m
    fronted = np.array([item.label in _FRONTED for item in index.objects], bool)
    upright = index.boxes.upright()
    pairs = pairs[(fronted & upright)[pairs[:, 1]]] if len(pairs) else pairs
    if len(pairs):
        front = matrix_from_quaternion(index.boxes.quaternion)[pairs[:, 1], :2, 1]
        leftward, ahead = along(_unit(front), xy[pairs[:, 0]] - xy[pairs[:, 1]])
        cells.add(_with_viewer(pairs), "object", leftward, ahead)


def _from_observer(rows: Any, told_apart: Any, cells: _Cells, rng: Rng) -> None:
    """For an observer at a third thing, who faces the second thing or a fourth."""
    if len(rows) < 3:
        return
    xy, least = cells.room.xy_m, cells.room.config.margins.separation_m
    places = rng.integers(len(rows), size=(_NUM_TRIED, 4))
    facing_b = rng.random(_NUM_TRIED) < 0.5
    places[facing_b, 3] = places[facing_b, 1]
    places = np.unique(places, axis=0)
    a, b, o, f = places.T
    kept = (
        told_apart[a, b] & told_apart[a, o] & told_apart[b, o] & told_apart[o, f] & told_apart[a, f]
    )
    kept &= (b == f) | told_apart[b, f]
    chosen = rows[places[kept]]
    origin = xy[chosen[:, 2]]
    forward = xy[chosen[:, 3]] - origin
    clear = np.linalg.norm(forward, axis=1) >= least
    forward = _unit(forward)
    for k in (0, 1):
        clear &= along(forward, xy[chosen[:, k]] - origin)[1] >= least
    chosen, forward = chosen[clear], forward[clear]
    leftward, ahead = along(forward, xy[chosen[:, 0]] - xy[chosen[:, 1]])
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


def _decided(room: NamedRoom, pair: Sequence[int], interlocked: bool) -> list[tuple[Relation, str]]:
    """Vertical relations of a pair that are clear, with their answer."""
    margin = room.config.margins.relation_m
    a, b = (room.index.objects[row] for row in pair)
    seat = canonical(b.label) in _SEATS
    decided: list[tuple[Relation, str]] = []
    for relation in _VERTICAL:
        verdict = relations.VERTICAL[relation](a, b)
        if verdict.holds and verdict.margin_m >= margin and not (relation == "inside" and seat):
            decided.append((relation, "yes"))
        elif not verdict.holds and verdict.margin_m <= -margin and not interlocked:
            decided.append((relation, "no"))
    return decided


def _draft(room: NamedRoom, chosen: Sequence[int], group: str, answer: str, rng: Rng) -> Draft:
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
    wrong = "no" if answer == "yes" else "yes"
    return Draft(_template(relation, view), slots, meant, choices=(answer, wrong))


def _template(relation: Relation, view: Viewpoint) -> str:
    """Which sentences say the question."""
    return f"configuration_{view if relation in VIEWED_RELATIONS else 'vertical'}"


class ConfigurationQuestions(Family[Configuration]):
    """How the family's questions are read, said and generated."""

    question_type = Configuration
    names = (Configuration.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """All relations and views that the code allows; every group has its own yes and no."""
        rows = np.array(room.things(rng), np.intp)
        told_apart = room.apart_rows(rows.tolist())
        pairs = rows[np.argwhere(told_apart)].reshape(-1, 2)
        cells = _Cells(room, {})
        _from_camera(pairs, cells)
        _from_own_front(pairs, cells)
        _from_observer(rows, told_apart, cells, rng)
        _vertical(pairs, cells)
        arrays = {key: np.vstack(found) for key, found in cells.found.items()}
        reason = AMBIGUOUS if cells.seen else TOO_FEW
        return Pool(arrays, partial(_draft, room), ("yes", "no"), reason=reason)

    def wording(self, question: Configuration, rng: Rng) -> Wording:
        slots = {"a": the(question.a), "b": the(question.b)}
        slots["relation"] = drawn(_OTHER_WORDS[question.relation], rng)
        if question.observer is not None:
            slots["observer"] = the(question.observer)
            slots["facing"] = the(question.facing or question.b)
        return Wording(_template(question.relation, question.view), slots)
