"""Changed rooms, each a code again, and whether stated reasoning follows them.

A completion's statements are read as formulas: which vectors, angles, distances, heights of which
objects. In a changed room they are evaluated anew, and must give what the solver finds there. The
room is first cut down to the objects that the reasoning cites, so that it need not foresee others
that become closer or surer. Three changes, each where it makes sense:

- *mirror* (x negated): directions, routes and viewed relations turn round.
- *delete* each cited object that the question names: the result must become impossible, or change;
  a count must be lower by one.
- *permute* the boxes of two cited objects, where each name can mean one cited object only: all
  families but counting, sizes and order of sight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from spatialcode.questions.types import Forward, Question, Reference
from spatialcode.reasoning import statements as say
from spatialcode.reasoning.families.registry import family_of
from spatialcode.reasoning.rubric.answers import Meaning, meaning_of
from spatialcode.reasoning.rubric.facts import CONCLUSIONS, Allows, Case, facts_of, ids_of
from spatialcode.reasoning.rubric.verify import Context, recomputed
from spatialcode.reasoning.solver import solve
from spatialcode.scene.schema import Camera, SceneObject, SpatialCode, Vec3, Vec4

#: Farther than any room is wide: what is moved so far is close to nothing.
_FAR_M = 60.0
_LARGER = 1.5


def without(code: SpatialCode, object_id: str) -> SpatialCode:
    """The code without an object."""
    return replace(code, objects=tuple(o for o in code.objects if o.id != object_id))


def permuted(code: SpatialCode, a_id: str, b_id: str) -> SpatialCode:
    """The code in which two objects have each other's boxes; both stand still."""
    boxes = {a_id: code.object(b_id), b_id: code.object(a_id)}
    return replace(code, objects=tuple(
        _boxed(o, boxes[o.id].center_m, boxes[o.id].size_m, boxes[o.id].quaternion_wxyz)
        if o.id in boxes else o for o in code.objects
    ))  # fmt: skip


def mirrored(code: SpatialCode) -> SpatialCode:
    """The code with world x negated; boxes keep their extents, cameras see the mirror image."""
    return replace(
        code, objects=tuple(_mirrored_object(item) for item in code.objects),
        cameras=tuple(_mirrored_camera(camera) for camera in code.cameras),
    )  # fmt: skip


def moved(code: SpatialCode, ids: Iterable[str], by_m: Vec3) -> SpatialCode:
    """The code with some objects moved."""
    chosen = set(ids)
    return replace(code, objects=tuple(
        _boxed(o, _plus(o.center_m, by_m), o.size_m, o.quaternion_wxyz) if o.id in chosen else o
        for o in code.objects
    ))  # fmt: skip


def larger(code: SpatialCode) -> SpatialCode:
    """The code with every object, and the room's area, larger by half, each where it is."""
    objects = tuple(
        _boxed(o, o.center_m, _times(o.size_m, _LARGER), o.quaternion_wxyz) for o in code.objects
    )
    room = code.room and replace(code.room, area_m2=code.room.area_m2 * _LARGER)
    return replace(code, objects=objects, room=room)


def one_more(code: SpatialCode, object_id: str) -> SpatialCode:
    """The code with a copy of an object, far away."""
    item, num = code.object(object_id), len(code.objects) + 1
    stem = item.id.rpartition("_")[0]
    taken = {o.id for o in code.objects}
    while f"{stem}_{num}" in taken:
        num += 1
    center = _plus(item.center_m, (_FAR_M, 0.0, 0.0))
    copy = replace(_boxed(item, center, item.size_m, item.quaternion_wxyz), id=f"{stem}_{num}")
    return replace(code, objects=(*code.objects, copy))


def backwards(code: SpatialCode) -> SpatialCode:
    """The code as if the video had been played from its end."""
    end = max((o.last_seen_s for o in code.objects), default=0.0)
    objects = tuple(
        replace(_boxed(o, o.center_m, o.size_m, o.quaternion_wxyz),
                first_seen_s=end - o.first_seen_s, last_seen_s=end)
        for o in code.objects
    )  # fmt: skip
    return replace(code, objects=objects)


def telling(question: Question, code: SpatialCode) -> Iterator[SpatialCode]:
    """Rooms in which the question may well have another answer; the likeliest first."""
    context, family = Context(code), family_of(question)
    named = [sorted(ids_of(reference, context)) for reference in family.references(question)]
    if all(named):
        yield from family.telling(question, code, named)


def mirrored_and_moved(code: SpatialCode, named: Sequence[Sequence[str]]) -> Iterator[SpatialCode]:
    """The mirrored room, and those in which a named thing is far away."""
    yield mirrored(code)
    for step in (
        (_FAR_M, 0.0, 0.0),
        (-_FAR_M, 0.0, 0.0),
        (0.0, _FAR_M, 0.0),
        (0.0, -_FAR_M, 0.0),
    ):
        for ids in reversed(named):
            yield moved(code, ids, step)


def stacked(code: SpatialCode, a_id: str, b_id: str) -> Iterator[SpatialCode]:
    """One object in the other's place, far from it, on it, under it, in it."""
    a, b = code.object(a_id), code.object(b_id)
    yield permuted(code, a_id, b_id)
    yield moved(code, [a_id], (_FAR_M, 0.0, _FAR_M))
    rise = (a.size_m[2] + b.size_m[2]) / 2
    for part, up_m in ((1.0, rise), (1.0, -rise), (0.5, 0.0)):
        size = a.size_m if up_m else _times(b.size_m, part)
        inside = _boxed(a, _plus(b.center_m, (0.0, 0.0, up_m)), size, b.quaternion_wxyz)
        yield replace(code, objects=tuple(inside if o.id == a_id else o for o in code.objects))


def _boxed(item: SceneObject, center_m: Vec3, size_m: Vec3, quaternion_wxyz: Vec4) -> SceneObject:
    """The object in another box, where it stands still."""
    return replace(
        item, center_m=center_m, size_m=size_m, quaternion_wxyz=quaternion_wxyz,
        motion="static", track=(),
    )  # fmt: skip


def _plus(a: Vec3, b: Vec3) -> Vec3:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _times(a: Vec3, factor: float) -> Vec3:
    return (a[0] * factor, a[1] * factor, a[2] * factor)


def _mirrored_object(item: SceneObject) -> SceneObject:
    (x, y, z), (qw, qx, qy, qz) = item.center_m, item.quaternion_wxyz
    # M R M with M = diag(-1, 1, 1): an axis of rotation keeps its x, as a pseudovector
    return _boxed(item, (-x, y, z), item.size_m, (qw, qx, -qy, -qz))


def _mirrored_camera(camera: Camera) -> Camera:
    (a, b, c, x), *rest = camera.T_world_camera
    # the camera's own x axis turns as well, or it would not be a rotation
    rows = [(a, -b, -c, -x), *((-row[0], *row[1:]) for row in rest[:2]), rest[2]]
    return replace(camera, T_world_camera=tuple(rows))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Change:
    """A changed room, and what has been deleted from it, if anything."""

    code: SpatialCode
    deleted: str | None = None


def share_followed(question: Question, code: SpatialCode, statements: Sequence[Any]) -> float:
    """Share of the changes that the stated reasoning follows; 1 where none makes sense.

    0 where the reasoning gives nothing even in the room as it is.
    """
    question = replace(question, options=())
    context = Context(code)
    references = family_of(question).references(question)
    named = {i for reference in references for i in ids_of(reference, context)}
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
    if family_of(question).counted(question) is not None:
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
        if family_of(question).counted(question) is not None:
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
    case = Case.of(question, read.cast, context)
    if not all(case.found):
        return None
    needs = case.family.needs(case)
    used = [fact for fact in read.facts if any(need.accepts(fact) for need in needs)]
    return case.family.allows(case, used)


def _truth(question: Question, code: SpatialCode) -> Meaning | None:
    """The solver's answer in a room, as a meaning; None where things are missing."""
    answer = solve(question, code)
    if not answer.grounded:
        return None
    return meaning_of(question, answer.value)


def _changes(question: Question, room: SpatialCode, named: list[str]) -> Iterator[Change]:
    family = family_of(question)
    if family.mirrors(question):
        yield Change(mirrored(room))
    for object_id in named:
        yield Change(without(room, object_id), object_id)
    single = all(one.object_id is not None for one in family.references(question))
    if single and family.permutes:
        for a_id, b_id in pairwise(named):
            yield Change(permuted(room, a_id, b_id))
