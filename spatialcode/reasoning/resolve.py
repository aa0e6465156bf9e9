"""Which objects of a code a reference means.

The surest label wins: objects of a weaker match ("monitor" for "tv") are taken only where no
object matches better. Modifiers ("blue") cannot be decided from boxes and narrow nothing. Boxes of
one kind that overlap by half are one thing found twice, and the surest of them stands for it.
"""

from __future__ import annotations

from spatialcode.questions.names import HEAD, SAME, candidates, match
from spatialcode.questions.types import Reference
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject


def resolve(reference: Reference, index: SceneIndex) -> tuple[SceneObject, ...]:
    """The objects meant, in the code's order; empty where there is none. With a selector, one."""
    if reference.object_id is not None:
        item = index.found(reference.object_id)
        return () if item is None else (item,)
    labels = candidates(reference.noun, (item.label for item in index.objects))
    if not labels:
        return ()
    kinds = {label for label, strength in labels if strength == labels[0][1]}
    found = distinct(tuple(item for item in index.objects if item.label in kinds), index)
    return found if reference.selector is None else select(reference, found, index)


def fit(reference: Reference, item: SceneObject) -> float:
    """How surely the reference means a thing of that label, by `names.match`; 1 where it has the
    thing's id. A modifier, which no box shows, leaves as much doubt as a head noun.
    """
    if reference.object_id is not None:
        return SAME
    return match(reference.noun, item.label) * (HEAD if reference.modifiers else SAME)


def distinct(found: tuple[SceneObject, ...], index: SceneIndex) -> tuple[SceneObject, ...]:
    """Things of one kind without those that another, surer one is a twin of; order is kept."""
    if not any(item.id in index.twins for item in found):
        return found
    kept: set[str] = set()
    for item in sorted(found, key=lambda item: -item.score):  # stable: the code's order after that
        if kept.isdisjoint(index.twins.get(item.id, ())):
            kept.add(item.id)
    return tuple(item for item in found if item.id in kept)


def against(
    found: tuple[SceneObject, ...], meant: tuple[SceneObject, ...]
) -> tuple[tuple[SceneObject, ...], tuple[SceneObject, ...]]:
    """What is compared with what, where some are chosen by their distance to others.

    Nothing is compared with itself, nor with its own kind, where there is anything else.
    """
    anchors = tuple(item for item in meant if item not in found) or meant
    return tuple(item for item in found if item not in anchors) or found, anchors


def select(
    reference: Reference, found: tuple[SceneObject, ...], index: SceneIndex
) -> tuple[SceneObject, ...]:
    """The one that the reference's selector picks; empty where its anchor is not in the code."""
    assert reference.selector is not None
    kind, anchor = reference.selector.kind, reference.selector.anchor
    if anchor is not None:
        others, anchors = against(found, resolve(anchor, index))
        if not anchors:
            return ()

        def distance(item: SceneObject) -> float:
            apart = (index.distance_m(item.id, one.id) for one in anchors if one.id != item.id)
            return min(apart, default=0.0)

        return (min(others, key=distance) if kind == "nearest" else max(others, key=distance),)
    corners = {item.id: Boxes.of([item]).corners()[0] for item in found}
    measure = {
        "largest": lambda item: item.size_m[0] * item.size_m[1] * item.size_m[2],
        "smallest": lambda item: -item.size_m[0] * item.size_m[1] * item.size_m[2],
        "longest": lambda item: max(item.size_m),
        "tallest": lambda item: item.size_m[2],
        "shortest": lambda item: -item.size_m[2],
        "highest": lambda item: float(corners[item.id][:, 2].max()),
        "lowest": lambda item: -float(corners[item.id][:, 2].min()),
        "first_seen": lambda item: -item.first_seen_s,
        "last_seen": lambda item: item.last_seen_s,
    }.get(kind, lambda _: 0.0)  # nearest or farthest of nothing: any
    return (max(found, key=measure),)
