"""Does the stated reasoning follow the room, or only repeat it? Change the room and re-run it.

A completion's statements are read as formulas: which vectors, angles, distances, heights of which
objects. In a changed room they are evaluated anew, and must give what the solver finds there. The
room is first cut down to the objects that the reasoning cites, so that nobody is asked to foresee
objects that have become closer or surer. Three changes, each where it makes sense:

- *mirror* (x negated): directions, routes and viewed relations turn round.
- *delete* each cited object that the question names: the result must become impossible, or change;
  a count must be lower by one.
- *permute* the boxes of two cited objects, where each name can mean one cited object only: all
  families but counting, sizes and order of sight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from spatialcode.questions.types import (
    VIEWED_RELATIONS,
    AbsoluteDistance,
    Configuration,
    Counting,
    Forward,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoutePlanning,
)
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.rubric_answers import Meaning, meaning_of
from spatialcode.reasoning.rubric_entailed import Allows, allowed
from spatialcode.reasoning.rubric_needs import needs_of, references
from spatialcode.reasoning.rubric_terms import CONCLUSIONS, facts_of, ids_of
from spatialcode.reasoning.solver import solve
from spatialcode.reasoning.verify import Context, recomputed
from spatialcode.scene.schema import Camera, SceneObject, SpatialCode

_PERMUTED = (
    AbsoluteDistance, RelativeDistance, RelativeDirection, RoutePlanning, Configuration,
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A changed room, and what has been deleted from it, if anything."""

    code: SpatialCode
    deleted: str | None = None


def counterfactual(question: Question, code: SpatialCode, statements: Sequence[Any]) -> float:
    """Share of the changes that the stated reasoning follows; 1 where none makes sense.

    0 where the reasoning gives nothing even in the room as it is.
    """
    question = replace(question, options=())
    context = Context(code)
    named = {i for reference in references(question) for i in ids_of(reference, context)}
    formulas = [s for s in statements if not isinstance(s, say.Final | say.Assumed)]
    cited = [i for i in _cited(formulas) if context.item(i) is not None]
    if not cited:
        return 1.0 if not named else 0.0
    room = replace(code, objects=tuple(item for item in code.objects if item.id in set(cited)))
    question = _pinned(question, Context(room))
    before = _rerun(question, room, formulas)
    truth = _truth(question, room)
    if before is None or truth is None or not before(truth):
        return 0.0
    followed = [
        _follows(question, change, formulas, truth)
        for change in _changes(question, room, [i for i in cited if i in named])
    ]
    known = [one for one in followed if one is not None]
    return sum(known) / len(known) if known else 1.0


def _pinned(question: Question, context: Context) -> Question:
    """The question with ids for what only one cited object can be meant by.

    A deleted thing then stays missing, rather than having its neighbour taken for it.
    """
    if isinstance(question, Counting):
        return question

    def pin(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(pin, value))
        if isinstance(value, Forward):
            return Forward(pin(value.until))
        ids = ids_of(value, context) if isinstance(value, Reference) else ()
        return replace(value, object_id=next(iter(ids)), selector=None) if len(ids) == 1 else value

    return replace(question, **{one.name: pin(getattr(question, one.name))
                                for one in fields(question)})  # fmt: skip


def _follows(
    question: Question, change: Change, formulas: Sequence[Any], before: Meaning
) -> bool | None:
    """Whether the re-run reasoning gives the changed room's truth; None where neither does."""
    now, truth = _rerun(question, change.code, formulas), _truth(question, change.code)
    if change.deleted is not None:
        if isinstance(question, Counting):
            assert isinstance(before, float)
            if before == 1.0:
                return now is None
            return truth == before - 1.0 and now is not None and now(truth)
        return now is None or not now(before)
    if truth is None:
        return None
    return now is not None and now(truth)


def _cited(formulas: Sequence[Any]) -> list[str]:
    """Ids that quantities are about, in order; a conclusion or a bare role uses nothing."""
    found: dict[str, None] = {}
    for s in formulas:
        if isinstance(s, (*CONCLUSIONS, say.RoleOf)):
            continue
        ids = list(getattr(s, "object_ids", ()))
        ids += [getattr(s, name) for name in _ENDS if hasattr(s, name)]
        found.update(dict.fromkeys(ids))
    return list(found)


_ENDS = ("object_id", "a_id", "b_id", "tail_id", "head_id")


def _rerun(question: Question, code: SpatialCode, formulas: Sequence[Any]) -> Allows | None:
    """What the formulas, evaluated in a room, allow as an answer; None where they give nothing."""
    context = Context(code)
    values = [recomputed(s, context) for s in formulas if not isinstance(s, CONCLUSIONS)]
    read = facts_of([value for value in values if value is not None], Context(code))
    found = [ids_of(reference, context) for reference in references(question)]
    if not all(found):
        return None
    needs = needs_of(question, found, read.cast, context)
    used = [fact for fact in read.facts if any(need.accepts(fact) for need in needs)]
    return allowed(question, used, found, read.cast, context)


def _truth(question: Question, code: SpatialCode) -> Meaning | None:
    """The solver's answer in a room, as a meaning; None where things are missing."""
    answer = solve(question, code)
    if not answer.grounded:
        return None
    return meaning_of(question, answer.value)


def _changes(question: Question, room: SpatialCode, named: list[str]) -> Iterator[Change]:
    if isinstance(question, RelativeDirection | RoutePlanning) or (
        isinstance(question, Configuration) and question.relation in VIEWED_RELATIONS
    ):
        yield Change(mirrored(room))
    for object_id in named:
        yield Change(without(room, object_id), object_id)
    single = all(one.object_id is not None for one in references(question))
    if single and isinstance(question, _PERMUTED):
        for a_id, b_id in pairwise(named):
            yield Change(permuted(room, a_id, b_id))


def without(code: SpatialCode, object_id: str) -> SpatialCode:
    """The code without an object."""
    return replace(code, objects=tuple(o for o in code.objects if o.id != object_id))


def permuted(code: SpatialCode, a_id: str, b_id: str) -> SpatialCode:
    """The code in which two objects have each other's boxes; both stand still."""
    a, b = code.object(a_id), code.object(b_id)
    boxes = {a_id: b, b_id: a}
    return replace(
        code, objects=tuple(_in_box_of(o, boxes[o.id]) if o.id in boxes else o
                            for o in code.objects),
    )  # fmt: skip


def _in_box_of(item: SceneObject, other: SceneObject) -> SceneObject:
    return replace(
        item, center_m=other.center_m, size_m=other.size_m, quaternion_wxyz=other.quaternion_wxyz,
        motion="static", track=(),
    )  # fmt: skip


def mirrored(code: SpatialCode) -> SpatialCode:
    """The code with world x negated; boxes keep their extents, cameras see the mirror image."""
    return replace(
        code, objects=tuple(_mirrored_object(item) for item in code.objects),
        cameras=tuple(_mirrored_camera(camera) for camera in code.cameras),
    )  # fmt: skip


def _mirrored_object(item: SceneObject) -> SceneObject:
    (x, y, z), (qw, qx, qy, qz) = item.center_m, item.quaternion_wxyz
    # M R M with M = diag(-1, 1, 1): an axis of rotation keeps its x, as a pseudovector
    return replace(
        item, center_m=(-x, y, z), quaternion_wxyz=(qw, qx, -qy, -qz), motion="static", track=()
    )


def _mirrored_camera(camera: Camera) -> Camera:
    (a, b, c, x), *rest = camera.T_world_camera
    # the camera's own x axis turns as well, or it would not be a rotation
    rows = [(a, -b, -c, -x), *((-row[0], *row[1:]) for row in rest[:2]), rest[2]]
    return replace(camera, T_world_camera=tuple(rows))  # type: ignore[arg-type]
