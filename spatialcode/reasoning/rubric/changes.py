"""Changed rooms: what a counterfactual asks about. Each is a code again, checked as every code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from spatialcode.questions.types import (
    AppearanceOrder,
    Configuration,
    Counting,
    ObjectSize,
    Question,
    RoomSize,
)
from spatialcode.reasoning.rubric.facts import ids_of
from spatialcode.reasoning.rubric.needs import references
from spatialcode.reasoning.rubric.verify import Context
from spatialcode.scene.schema import Camera, SceneObject, SpatialCode, Vec3, Vec4

#: Beyond any room: what is moved so far is nobody's neighbour.
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
    context = Context(code)
    named = [sorted(ids_of(reference, context)) for reference in references(question)]
    if not all(named):
        return
    if isinstance(question, Counting):
        yield one_more(code, named[0][0])
    elif isinstance(question, ObjectSize | RoomSize):
        yield larger(code)
    elif isinstance(question, AppearanceOrder):
        yield backwards(code)
    else:
        if isinstance(question, Configuration):
            yield from _stacked(code, named[0][0], named[1][0])
        yield mirrored(code)
        for step in (
            (_FAR_M, 0.0, 0.0),
            (-_FAR_M, 0.0, 0.0),
            (0.0, _FAR_M, 0.0),
            (0.0, -_FAR_M, 0.0),
        ):
            for ids in reversed(named):
                yield moved(code, ids, step)


def _stacked(code: SpatialCode, a_id: str, b_id: str) -> Iterator[SpatialCode]:
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
