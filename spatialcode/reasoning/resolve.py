"""Which objects of a code a reference means, and which boxes of a code a question needs.

The surest label wins: objects of a weaker match ("monitor" for "tv") are taken only where no
object matches better. Modifiers ("blue") cannot be decided from boxes and narrow nothing. Boxes of
one kind that overlap by half are one thing found twice, and the surest of them stands for it.

A question needs the objects of the kinds that it names, all of them: which of several is meant,
only their comparison tells. What it does not name by words (the size of the room) needs everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace

from spatialcode.questions.names import HEAD, SAME, candidates, match
from spatialcode.questions.types import Forward, Question, Reference
from spatialcode.scene.boxes import Boxes
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject, SpatialCode


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


def references_of(question: Question) -> tuple[Reference, ...]:
    """Every noun phrase of a question, those inside selectors included; each once."""
    found: list[Reference] = []
    for field in fields(question):
        for reference in references_in(getattr(question, field.name)):
            found.append(replace(reference, selector=None))
            while reference.selector is not None and reference.selector.anchor is not None:
                reference = reference.selector.anchor
                found.append(replace(reference, selector=None))
    return tuple(dict.fromkeys(found))


def references_in(value: object) -> Iterator[Reference]:
    """The references that a field of a question holds, without those inside selectors."""
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, Forward):
        yield value.until
    elif isinstance(value, tuple):
        for part in value:
            yield from references_in(part)


def named_ids(question: Question, code: SpatialCode) -> frozenset[str]:
    """Ids of the objects whose kinds the question names; empty where it names none that is there.

    A kind is resolved as the solver does: the surest label, by synonyms and head nouns.
    """
    index = SceneIndex.of(code)
    references = references_of(question)
    return frozenset(item.id for one in references for item in resolve(one, index))


def kept_code(question: Question, code: SpatialCode) -> SpatialCode:
    """The code with only the boxes of the kinds that the question names.

    The whole code where the question names nothing. Cameras and room stay as they are; a kind that
    is not in the code leaves nothing in its place.
    """
    if not references_of(question):
        return code
    named = named_ids(question, code)
    return replace(code, objects=tuple(item for item in code.objects if item.id in named))


def by_need(question: Question, code: SpatialCode) -> list[SceneObject]:
    """A code's objects, the most needed first: from the end of this list they are dropped.

    First those named, in the code's order. Then the others by the distance of their centre to the
    nearest named centre (metres, 3D); equal ones, and all where nothing is named, by score, highest
    first; equal ones in the code's order.
    """
    named = named_ids(question, code)
    anchors = [item.center_m for item in code.objects if item.id in named]

    def need(item: SceneObject) -> tuple[bool, float, float]:
        if item.id in named:
            return False, 0.0, 0.0
        away_m = min((math.dist(item.center_m, anchor) for anchor in anchors), default=0.0)
        return True, away_m, -item.score

    return sorted(code.objects, key=need)
