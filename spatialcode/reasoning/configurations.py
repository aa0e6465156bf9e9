"""Whether a relation holds between two things, with the evidence for it."""

from __future__ import annotations

from spatialcode.questions.types import VIEWED_RELATIONS, Configuration, Reference
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.resolve import resolve
from spatialcode.reasoning.statements import (
    Height,
    Holds,
    Statement,
    Vector,
)
from spatialcode.reasoning.stating import (
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
from spatialcode.scene import relations
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.relations import View
from spatialcode.scene.schema import SceneObject

_VERDICTS = {
    "above": relations.above, "below": relations.below, "on": relations.on,
    "inside": relations.inside,
}  # fmt: skip


def configuration(question: Configuration, index: SceneIndex) -> Answer | None:
    """Whether the relation holds, from heights or from the view asked for."""
    found = resolve(question.a, index), resolve(question.b, index)
    if not all(found):
        return None
    a, b = (surest(things) for things in found)
    if a.id == b.id:  # two words for the only thing there: one of the two is missing
        return None
    named = [(question.a, a), (question.b, b)]
    statements: list[Statement] = []
    if question.relation in VIEWED_RELATIONS:
        statements += [at(a, "first"), at(b, "second")]
        viewers = _viewers(question, index, b)
        forward = None if viewers is None else _forward(question, index, b, viewers)
        if viewers is None or forward is None:
            return None
        named += viewers
        stands = index.code.cameras[0].matrix()[:2, 3] if forward.tail_id == "camera" else None
        origin = index.objects[index.row[forward.tail_id]].center_m if stands is None else stands
        view = View((origin[0], origin[1]), forward.xy_m)
        # one who stands at b shares its front, whether b's own view was asked for or not
        verdict = relations.viewed(
            question.relation, view, a.center_m[:2], b.center_m[:2],
            from_b=forward.tail_id == b.id,
        )  # fmt: skip
        statements += bearing_evidence(forward, vector("between", b, a))
    else:
        verdict = _VERDICTS[question.relation](a, b)
        statements += _heights(question.relation, a, b)
    statements.append(Holds(a.id, question.relation, b.id, verdict.holds))
    word = "yes" if verdict.holds else "no"
    option = letter_of(question.options, word)
    return answer_of(word, (a.id, b.id), statements, sure(named), option=option)


Named = tuple[Reference, SceneObject]


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
) -> Vector | None:
    """The viewing direction; None where there is no camera, or it points nowhere in particular."""
    if question.view == "object":
        front = front_xy(b)
        return None if front is None else Vector("forward", b.id, "front", front)
    if question.view == "camera":
        cameras = index.code.cameras
        front = View.of_camera(cameras[0]).forward_xy if cameras else None
        return None if front is None else Vector("forward", "camera", "front", front)
    (_, stands), (_, faced) = viewers
    forward = vector("forward", stands, faced)
    return forward if apart(stands, faced) else None


def _heights(relation: str, a: SceneObject, b: SceneObject) -> list[Statement]:
    """The faces that the relation compares: all of them for inside."""
    lower_face, upper_face = ("top", "bottom") if relation == "below" else ("bottom", "top")
    shown = [(a, lower_face), (b, upper_face)]
    if relation == "inside":
        shown = [(item, face) for item in (a, b) for face in ("top", "bottom")]
    heights = {item.id: Boxes.of([item]).corners()[0][:, 2] for item in (a, b)}
    return [
        Height(item.id, "top", float(heights[item.id].max()))
        if face == "top"
        else Height(item.id, "bottom", float(heights[item.id].min()))
        for item, face in shown
    ]
