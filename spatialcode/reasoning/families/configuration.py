"""Whether a relation holds between two things: yes or no.

Left, right, in front of and behind hold for the first camera, for the second thing's own front, or
for one who stands at a third thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from spatialcode.questions.types import (
    VIEWED_RELATIONS,
    Configuration,
    Reference,
    Relation,
    Viewpoint,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.answers.choices import Choice
from spatialcode.reasoning.evidence import (
    Answer,
    answer_of,
    apart,
    at,
    bearing_evidence,
    height_of,
    surest,
    vector,
)
from spatialcode.reasoning.families.configuration_questions import ConfigurationQuestions, along
from spatialcode.reasoning.families.viewing import angle_between, unrounded_deg
from spatialcode.reasoning.naming import Floats
from spatialcode.reasoning.priors.guesses import NUM_DRAWS, Places, Sight
from spatialcode.reasoning.program.of_question import not_an_answer, said
from spatialcode.reasoning.program.scene import Function, Given, Scene, one_of
from spatialcode.reasoning.program.values import Refused, Value, kind_of
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.rubric import steps
from spatialcode.reasoning.rubric.answers import Meaning
from spatialcode.reasoning.rubric.changes import mirrored_and_moved, stacked
from spatialcode.reasoning.rubric.facts import TIE_M, Allows, Case, Fact, differs
from spatialcode.reasoning.rubric.steps import Ends, Need
from spatialcode.reasoning.rubric.verify import Bound, bind
from spatialcode.scene import relations
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import View
from spatialcode.scene.schema import SceneObject, SpatialCode

Named = tuple[Reference, SceneObject]

_FRONT, _CAMERA_IDS = frozenset({"front"}), frozenset({"camera"})
#: The faces of both things whose heights a relation compares.
_FACES: Mapping[str, tuple[tuple[Literal["top", "bottom"], ...], ...]] = {
    "above": (("bottom",), ("top",)), "on": (("bottom",), ("top",)),
    "below": (("top",), ("bottom",)), "inside": (("top", "bottom"), ("top", "bottom")),
}  # fmt: skip
_FUNCTION_OF = {"left": "left_of", "right": "right_of", "front": "in_front_of"}


# Exact answers


def _viewers(question: Configuration, index: SceneIndex, b: SceneObject) -> list[Named] | None:
    """The observer and what is faced, where the question names them; None where one is missing."""
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
    """The viewing direction; None where there is no camera, or no horizontal direction."""
    if question.view == "object":
        front = relations.front_xy(b)
        return None if front is None else say.Vector("forward", b.id, "front", front)
    if question.view == "camera":
        cameras = index.code.cameras
        front = View.of_camera(cameras[0]).forward_xy if cameras else None
        return None if front is None else say.Vector("forward", "camera", "front", front)
    (_, stands), (_, faced) = viewers
    forward = vector("forward", stands, faced)
    return forward if apart(stands, faced) else None


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
    leftward, ahead = along(forward, between)
    # what an object faces lies in front of it, also for one who stands there; for any other viewer
    # in front is nearer
    stands = question.b if question.observer is None else question.observer
    at_b = question.view != "camera" and np.array_equal(places.of(stands), places.of(question.b))
    front = ahead if at_b else -ahead
    margin = {"left": leftward, "right": -leftward, "front": front, "behind": -front}
    yes = float((margin[question.relation] > 0.0).mean())
    return {"yes": yes, "no": 1.0 - yes}


def _likely_forward(question: Configuration, places: Places) -> Floats | None:
    """(draws, 2) viewing directions; None where the viewer or the direction is not known."""
    if question.view == "observer":
        assert question.observer is not None
        return places.of(question.facing or question.b) - places.of(question.observer)
    if question.view == "camera":
        cameras = places.index.code.cameras
        forward_xy = View.of_camera(cameras[0]).forward_xy if cameras else None
    else:
        found = resolve(question.b, places.index)
        forward_xy = relations.front_xy(surest(found)) if found else None
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


class ConfigurationFamily(ConfigurationQuestions):
    """Yes or no answers."""

    functions = (
        _function("left", "is left of"), _function("right", "is right of"),
        _function("front", "is in front of"), _function("behind", "is behind"),
        _function("above", "is above"), _function("below", "is below"),
        _function("on", "stands on"), _function("inside", "is inside"),
    )  # fmt: skip
    undefined = "both are the same thing, or the view has no direction"
    permutes = True
    wanted = "true or false"
    conclusion = say.Holds

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
            # one who stands at b shares its front, whether b's own view was asked for or not
            verdict = relations.viewed(
                question.relation, forward.xy_m, a.center_m[:2], b.center_m[:2],
                from_b=forward.tail_id == b.id,
            )  # fmt: skip
            statements += bearing_evidence(forward, vector("between", b, a))
        else:
            verdict = relations.VERTICAL[question.relation](a, b)
            for item, faces in zip((a, b), _FACES[question.relation], strict=True):
                statements += [height_of(item, face, index) for face in faces]
        statements.append(say.Holds(a.id, question.relation, b.id, verdict.holds))
        word = "yes" if verdict.holds else "no"
        return answer_of(question, word, statements, ids=(a.id, b.id), named=named)

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
        self, question: Configuration, value: Value, index: SceneIndex
    ) -> float | Choice:
        if not isinstance(value, bool):
            raise not_an_answer(f"the question is answered by true or false, not {kind_of(value)}")
        return Choice("yes" if value else "no")

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
        return (
            conclusion.relation == case.question.relation
            and conclusion.a_id in case.found[0] and conclusion.b_id in case.found[1]
        )  # fmt: skip

    def refutes(self, case: Case[Configuration], conclusion: Any) -> str:
        """For left, right, front and behind; other relations need no question to be checked."""
        forward = _true_forward(case, conclusion.b_id)
        if forward is None:
            return "there is no view to tell it from"
        a, b = (case.context.code.object(name) for name in (conclusion.a_id, conclusion.b_id))
        verdict = relations.viewed(
            conclusion.relation, forward.xy_m, a.center_m[:2], b.center_m[:2],
            from_b=forward.tail_id == b.id,
        )  # fmt: skip
        return differs(verdict.holds, conclusion)

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


def _true_forward(case: Case[Configuration], b_id: str) -> Bound | None:
    """The viewing direction, from who looks; None where it has no horizontal direction."""
    question, context = case.question, case.context
    if question.view != "observer":
        return bind(context, "camera" if question.view == "camera" else b_id, "front")
    ends = _ends(case)
    stands = case.cast.one(ends[0], "observer", context)
    faced = b_id if question.facing is None else case.cast.one(ends[1], "facing", context)
    ahead = bind(context, stands, faced)
    return None if ahead is None or ahead.xy_m == (0.0, 0.0) else ahead


FAMILY = ConfigurationFamily()
