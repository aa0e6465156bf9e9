"""Whether a relation holds between two things: yes or no.

Left, right, in front of and behind hold for the first camera, for the second thing's own front, or
for one who stands at a third thing. A box does not tell what is inside from what merely reaches
into it (a pillow on a seat lies within the sofa's box): such pairs are not generated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from spatialcode.questions.names import canonical
from spatialcode.questions.parse import AT, FACE, PLACE, WHO, Common, Match, Reader, rule
from spatialcode.questions.references import reference, thing
from spatialcode.questions.types import (
    RELATIONS,
    VIEWED_RELATIONS,
    Configuration,
    Question,
    Reference,
    Relation,
    Viewpoint,
    same_reference,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.drawing import AMBIGUOUS, TOO_FEW, Draft, Pool, drawn
from spatialcode.reasoning.evidence import (
    Answer,
    answer_of,
    apart,
    at,
    bearing_evidence,
    front_xy,
    letter_of,
    sure,
    surest,
    vector,
)
from spatialcode.reasoning.families.family import LEAD, Family, Sentences, Wording
from spatialcode.reasoning.families.viewing import PERSON, STAND, angle_between, unrounded_deg
from spatialcode.reasoning.naming import Floats, NamedRoom, Rng, the
from spatialcode.reasoning.priors.guesses import Sight
from spatialcode.reasoning.priors.places import NUM_DRAWS, Places
from spatialcode.reasoning.program.interpreter import Result
from spatialcode.reasoning.program.limits import Refused
from spatialcode.reasoning.program.of_question import ProgramAnswer, not_an_answer, said
from spatialcode.reasoning.program.scene import Function, Given, Scene, one_of
from spatialcode.reasoning.program.values import Value, kind_of
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.answers import Meaning
from spatialcode.reasoning.rubric.changes import mirrored_and_moved, stacked
from spatialcode.reasoning.rubric.entailed import TIE_M, Allows, Case, differs
from spatialcode.reasoning.rubric.facts import Fact
from spatialcode.reasoning.rubric.steps import Ends, Need
from spatialcode.reasoning.rubric.verify import bind, view_of
from spatialcode.scene import relations
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.categories import CATEGORIES
from spatialcode.scene.frames import matrix_from_quaternion
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import View
from spatialcode.scene.schema import SceneObject, SpatialCode

Named = tuple[Reference, SceneObject]

_FRONTED = frozenset(one.label for one in CATEGORIES if one.has_front)
_FRONT, _CAMERA_IDS = frozenset({"front"}), frozenset({"camera"})
#: The faces of both things whose heights a relation compares.
_FACES = {
    "above": (("bottom",), ("top",)), "on": (("bottom",), ("top",)),
    "below": (("top",), ("bottom",)), "inside": (("top", "bottom"), ("top", "bottom")),
}  # fmt: skip
#: Relations that need no viewer.
_VERTICAL = tuple(one for one in RELATIONS if one not in VIEWED_RELATIONS)
_FUNCTION_OF = {"left": "left_of", "right": "right_of", "front": "in_front_of"}

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
        return Configuration(view="object", **parts) if same_reference(thing(whose), b) else None
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
#: Observers, faced things and pairs that are looked at.
_NUM_TRIED = 3000


@dataclass
class _Cells:
    """Candidates (a, b, observer, facing) by relation and view, and by yes and no."""

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


def _from_observer(rows: Any, told_apart: Any, cells: _Cells, rng: Rng) -> None:
    """One at a third thing; he faces the second thing or a fourth."""
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


# Exact answers


def _viewers(question: Configuration, index: SceneIndex, b: SceneObject) -> list[Named] | None:
    """Who looks, and what is faced, where the question names them; None where one is missing."""
    if question.observer is None:
        return []
    facing = question.facing or question.b
    stands = resolve(question.observer, index)
    faces = resolve(facing, index) if question.facing is not None else (b,)
    if not stands or not faces:
        return None
    return [(question.observer, surest(stands)), (facing, surest(faces))]


def _forward(
    question: Configuration, index: SceneIndex, b: SceneObject, viewers: list[Named]
) -> say.Vector | None:
    """The viewing direction; None where there is no camera, or it points nowhere in particular."""
    if question.view == "object":
        front = front_xy(b)
        return None if front is None else say.Vector("forward", b.id, "front", front)
    if question.view == "camera":
        cameras = index.code.cameras
        front = View.of_camera(cameras[0]).forward_xy if cameras else None
        return None if front is None else say.Vector("forward", "camera", "front", front)
    (_, stands), (_, faced) = viewers
    forward = vector("forward", stands, faced)
    return forward if apart(stands, faced) else None


def _heights(relation: str, a: SceneObject, b: SceneObject) -> list[say.Statement]:
    """The faces that the relation compares."""
    faces = [(item, face) for item, shown in zip((a, b), _FACES[relation], strict=True)
             for face in shown]  # fmt: skip
    heights = {item.id: Boxes.of([item]).corners()[0][:, 2] for item in (a, b)}
    return [
        say.Height(item.id, "top", float(heights[item.id].max()))
        if face == "top"
        else say.Height(item.id, "bottom", float(heights[item.id].min()))
        for item, face in faces
    ]


# Guesses


def _chances(question: Configuration, places: Places) -> dict[str, float]:
    """Yes and no, for left, right, front and behind, where the view is known."""
    if question.relation not in VIEWED_RELATIONS:
        return {}
    forward = _likely_forward(question, places)
    if forward is None:
        return {}
    between = places.of(question.a) - places.of(question.b)
    if not between.any():  # one thing under two words has no relation to itself
        return {}
    leftward, ahead = _along(forward, between)
    # what an object faces lies in front of it, also for one who stands there; for any other viewer
    # in front is nearer
    stands = question.b if question.observer is None else question.observer
    at_b = question.view != "camera" and np.array_equal(places.of(stands), places.of(question.b))
    front = ahead if at_b else -ahead
    margin = {"left": leftward, "right": -leftward, "front": front, "behind": -front}
    yes = float((margin[question.relation] > 0.0).mean())
    return {"yes": yes, "no": 1.0 - yes}


def _likely_forward(question: Configuration, places: Places) -> Floats | None:
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


# The program language


def _viewed_function(relation: Any, scene: Scene, given: Given) -> Value:
    """Whether a relation that depends on a view holds."""
    roles = {
        name: scene.meant(given[name], name).reference
        for name in ("a", "b", "observer", "facing")
        if name in given
    }
    usual = "observer" if "observer" in roles else "camera"
    view = one_of(get_args(Viewpoint), given.get("view", usual), "view")
    if (view == "observer") != ("observer" in roles):
        raise Refused("arguments", 'view="observer" and observer= go together', "view")
    if "facing" in roles and view != "observer":
        raise Refused("arguments", "facing= needs observer=", "facing")
    question = Configuration(relation=relation, view=view, **roles)  # type: ignore[arg-type]
    return scene.ask(question).value == "yes"


def _vertical_function(relation: Any, scene: Scene, given: Given) -> Value:
    """Whether a relation of heights and footprints holds."""
    a, b = (scene.meant(given[name], name).reference for name in ("a", "b"))
    return scene.ask(Configuration(a=a, relation=relation, b=b)).value == "yes"


def _function(relation: Relation, words: str) -> Function:
    name, meaning = _FUNCTION_OF.get(relation, relation), f"whether a {words} b"
    if relation not in VIEWED_RELATIONS:
        return Function(name, ("a", "b"), partial(_vertical_function, relation), meaning)
    optional = {"view": '"camera"', "observer": "none", "facing": "b"}
    apply = partial(_viewed_function, relation)
    return Function(name, ("a", "b"), apply, f"{meaning}, for a view", optional)


class ConfigurationFamily(Family[Configuration]):
    """Yes or no answers."""

    question_type = Configuration
    names = (Configuration.family,)
    reader = _READER
    templates = _TEMPLATES
    grammars = _GRAMMARS
    functions = (
        _function("left", "is left of"), _function("right", "is right of"),
        _function("front", "is in front of"), _function("behind", "is behind"),
        _function("above", "is above"), _function("below", "is below"),
        _function("on", "stands on"), _function("inside", "is inside"),
    )  # fmt: skip
    undefined = "both are the same thing, or the view has no direction"
    permutes = True

    def pool(self, name: str, room: NamedRoom, rng: Rng) -> Pool:
        """All relations and views that the code allows; every group has its own yes and no."""
        rows = np.array(room.things(rng), np.intp)
        told_apart = room.naming.apart_rows(rows.tolist())
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

    def solve(self, question: Configuration, index: SceneIndex) -> Answer | None:
        """Whether the relation holds, from heights or from the view asked for."""
        found = resolve(question.a, index), resolve(question.b, index)
        if not all(found):
            return None
        a, b = (surest(things) for things in found)
        if a.id == b.id:  # two words for the only thing there: one of the two is missing
            return None
        named = [(question.a, a), (question.b, b)]
        statements: list[say.Statement] = []
        if question.relation in VIEWED_RELATIONS:
            statements += [at(a, "first"), at(b, "second")]
            viewers = _viewers(question, index, b)
            forward = None if viewers is None else _forward(question, index, b, viewers)
            if viewers is None or forward is None:
                return None
            named += viewers
            tail, camera = forward.tail_id, forward.tail_id == "camera"
            origin = (
                index.code.cameras[0].matrix()[:2, 3] if camera
                else index.objects[index.row[tail]].center_m
            )  # fmt: skip
            # one who stands at b shares its front, whether b's own view was asked for or not
            verdict = relations.viewed(
                question.relation, View((origin[0], origin[1]), forward.xy_m), a.center_m[:2],
                b.center_m[:2], from_b=tail == b.id,
            )  # fmt: skip
            statements += bearing_evidence(forward, vector("between", b, a))
        else:
            verdict = relations.VERTICAL[question.relation](a, b)
            statements += _heights(question.relation, a, b)
        statements.append(say.Holds(a.id, question.relation, b.id, verdict.holds))
        word = "yes" if verdict.holds else "no"
        option = letter_of(question.options, word)
        return answer_of(word, (a.id, b.id), statements, sure(named), option=option)

    def guess(self, question: Configuration, sight: Sight) -> Answer:
        chances = {} if sight.places is None else _chances(question, sight.places)
        return sight.likeliest(question, chances)

    def program(self, question: Configuration) -> str:
        parts = [said(question.a), said(question.b)]
        if question.relation in VIEWED_RELATIONS:
            if question.view == "object":
                parts.append('view="object"')
            if question.observer is not None:
                parts.append(f"observer={said(question.observer)}")
                if question.facing is not None:
                    parts.append(f"facing={said(question.facing)}")
        return f"{_FUNCTION_OF.get(question.relation, question.relation)}({', '.join(parts)})"

    def read_value(
        self, question: Configuration, result: Result, index: SceneIndex
    ) -> ProgramAnswer:
        if not isinstance(result.value, bool):
            raise not_an_answer(
                f"the question is answered by true or false, not {kind_of(result.value)}"
            )
        word = "yes" if result.value else "no"
        return ProgramAnswer(word, letter_of(question.options, word))

    def rule(self, question: Configuration) -> str:
        if question.relation not in VIEWED_RELATIONS:
            return (
                "above and on: the first object's bottom against the second's top, footprints "
                "overlapping; on within 0.10 m. below: the reverse of above. inside: at least 80 % "
                "of its volume within the other."
            )
        return (
            "forward is the viewer's direction (the camera's at the start, the second object's own "
            "front, or from the observer to what is faced); between runs from the second object to "
            "the first. left: the cross product is positive; right: negative; behind: the dot "
            "product is positive; front: negative. From the second object's own front it is the "
            "other way round for front and behind."
        )

    def forms(self, question: Configuration) -> tuple[str, ...]:
        last = f"{question.relation}(ID, ID) = yes or no"
        if question.relation not in VIEWED_RELATIONS:
            return ("bottom(ID) = D m", "top(ID) = D m", last)
        return (
            "first: ID is at (X, Y, Z)", "second: ID is at (X, Y, Z)",
            "forward = front(ID) = (X, Y)", "forward = FACED - OBSERVER = (X, Y)",
            "between = FIRST - SECOND = (X, Y)", "dot(forward, between) = D",
            "cross(forward, between) = D", "angle(forward, between) = DEG degrees", last,
        )  # fmt: skip

    def value_words(self, question: Configuration) -> str:
        return "true or false"

    def choice_words(self, question: Configuration) -> tuple[str, ...]:
        return "yes", "no"

    def needs(self, case: Case[Configuration]) -> list[Need]:
        question = case.question
        a, b = case.chosen(0, "first"), case.chosen(1, "second")
        positions = [(a, "first"), (b, "second")]
        if question.relation not in VIEWED_RELATIONS:
            needs = [
                steps.height(face, ids)
                for ids, faces in zip((a, b), _FACES[question.relation], strict=True)
                for face in faces
            ]
            needs += [steps.position(ids, what, required=False) for ids, what in positions]
            return needs + [steps.role(what, ids, required=False) for ids, what in positions]
        ends = _ends(case)
        if ends[0] == _CAMERA_IDS and not case.context.code.cameras:
            return []
        needs = [steps.position(ids, what) for ids, what in positions]
        roles = {"first": a, "second": b, "target": a, "anchor": b}
        if question.observer is not None:
            roles |= {"observer": ends[0], "facing": ends[1]}
            needs += [steps.position(ids, "viewer", required=False) for ids in ends[:2]]
        needs += [steps.role(what, ids, required=False) for what, ids in roles.items()]
        return needs + steps.turned(ends)

    def allows(self, case: Case[Configuration], used: Sequence[Fact]) -> Allows | None:
        viewed = case.question.relation in VIEWED_RELATIONS
        return _view_allows(case, used) if viewed else _heights_allow(case, used)

    def concludes(self, case: Case[Configuration], stated: Sequence[Any]) -> Allows:
        return lambda meaning: all(s.holds == (meaning[0] == "yes") for s in stated)

    def asks(self, case: Case[Configuration], conclusion: Any) -> bool:
        fits = isinstance(conclusion, say.Holds)
        return (
            fits and conclusion.relation == case.question.relation
            and conclusion.a_id in case.found[0] and conclusion.b_id in case.found[1]
        )  # fmt: skip

    def refutes(self, case: Case[Configuration], conclusion: Any) -> str:
        """For left, right, front and behind; other relations need no question to be checked."""
        if not isinstance(conclusion, say.Holds):
            return ""
        view = _true_view(case, conclusion.b_id)
        if view is None:
            return "there is no view to tell it from"
        a, b = (case.context.code.object(name) for name in (conclusion.a_id, conclusion.b_id))
        stands, seen = view
        xy = (a.center_m[0], a.center_m[1]), (b.center_m[0], b.center_m[1])
        from_b = stands == conclusion.b_id
        return differs(
            relations.viewed(conclusion.relation, seen, *xy, from_b=from_b).holds, conclusion
        )

    def meaning(self, question: Configuration, words: str) -> Meaning | None:
        return (words,) if words in ("yes", "no") else None

    def telling(
        self, question: Configuration, code: SpatialCode, named: Sequence[Sequence[str]]
    ) -> Iterator[SpatialCode]:
        yield from stacked(code, named[0][0], named[1][0])
        yield from mirrored_and_moved(code, named)

    def mirrors(self, question: Configuration) -> bool:
        return question.relation in VIEWED_RELATIONS


# The rubric


def _ends(case: Case[Configuration]) -> Ends:
    """Ends of the viewing direction, and of the vector from b to a."""
    question = case.question
    a, b = case.chosen(0, "first"), case.chosen(1, "second")
    if question.view == "camera":
        return _CAMERA_IDS, _FRONT, b, a
    if question.view == "object":
        return b, _FRONT, b, a
    observer = case.chosen(2, "observer")
    faced = case.chosen(3, "facing") if question.facing is not None else b
    return observer, faced, b, a


def _view_allows(case: Case[Configuration], used: Sequence[Fact]) -> Allows | None:
    """From the signed angle between the view and the way from b to a."""
    fact = angle_between(used, _ends(case))
    if fact is None or fact.u is None or fact.v is None:
        return None
    words = set()
    from_b = fact.u.tail_id == fact.v.tail_id
    for angle in unrounded_deg(fact):
        ahead = abs(angle) < 90.0
        holds = {
            "left": 0.0 < angle < 180.0,
            "right": -180.0 < angle < 0.0,
            "front": ahead if from_b else abs(angle) > 90.0,
            "behind": abs(angle) > 90.0 if from_b else ahead,
        }[case.question.relation]
        words.add("yes" if holds else "no")
    if max(map(abs, fact.v.xy_m)) <= TIE_M:  # in one place, seen from above: no angle is known
        words = {"yes", "no"}
    return lambda meaning: meaning[0] in words


def _heights_allow(case: Case[Configuration], used: Sequence[Fact]) -> Allows | None:
    """From heights: a gap rules a relation out; that footprints meet, no height can show."""
    sides = (("a", case.chosen(0, "first")), ("b", case.chosen(1, "second")))
    z_m: dict[tuple[str, str], float] = {}
    for fact in used:
        s = fact.statement
        if isinstance(s, say.Height):
            for name, ids in sides:
                if s.object_id in ids:
                    z_m.setdefault((name, s.face), s.z_m)
    try:
        refuted = _refuted(case.question.relation, z_m)
    except KeyError:  # a face that the relation compares is not stated
        return None
    return lambda meaning: not (meaning[0] == "yes" and refuted)


def _refuted(relation: str, z_m: Mapping[tuple[str, str], float]) -> bool:
    """Whether heights alone rule the relation out, rounding forgiven."""
    if relation == "inside":
        low = max(z_m["a", "bottom"], z_m["b", "bottom"])
        high = min(z_m["a", "top"], z_m["b", "top"])
        tall = z_m["a", "top"] - z_m["a", "bottom"]
        return high - low + TIE_M < relations.INSIDE_SHARE * (tall - TIE_M)
    if relation == "below":
        gap = z_m["b", "bottom"] - z_m["a", "top"]
    else:
        gap = z_m["a", "bottom"] - z_m["b", "top"]
    far = abs(gap) if relation == "on" else -gap
    return far > relations.CONTACT_M + TIE_M


def _true_view(case: Case[Configuration], b_id: str) -> tuple[str, View] | None:
    """Who looks, and the view; None where it has no horizontal direction."""
    question, context = case.question, case.context
    if question.view == "camera":
        view = view_of(context.code, None)
        return None if view is None else ("camera", view)
    if question.view == "object":
        view = view_of(context.code, context.item(b_id))
        return None if view is None else (b_id, view)
    ends = _ends(case)
    stands = case.cast.one(ends[0], "observer", context)
    faced = b_id if question.facing is None else case.cast.one(ends[1], "facing", context)
    ahead, stand = bind(context, stands, faced), context.item(stands)
    if ahead is None or stand is None or ahead.xy_m == (0.0, 0.0):
        return None
    return stands, View((stand.center_m[0], stand.center_m[1]), ahead.xy_m)


FAMILY = ConfigurationFamily()
