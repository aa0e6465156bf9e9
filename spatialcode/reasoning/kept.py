"""Which boxes of a code a question needs, and in which order the others may go.

A question needs the objects of the kinds that it names, all of them: which of several is meant,
only their comparison tells. What it does not name by words (the size of the room) needs everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace

from spatialcode.questions.types import Forward, Question, Reference
from spatialcode.reasoning.resolve import resolve
from spatialcode.scene.index import SceneIndex
from spatialcode.scene.schema import SceneObject, SpatialCode


def references_of(question: Question) -> tuple[Reference, ...]:
    """Every noun phrase of a question, those inside selectors included; each once."""
    found: list[Reference] = []
    for field in fields(question):
        for reference in _references(getattr(question, field.name)):
            found.append(replace(reference, selector=None))
            while reference.selector is not None and reference.selector.anchor is not None:
                reference = reference.selector.anchor
                found.append(replace(reference, selector=None))
    return tuple(dict.fromkeys(found))


def _references(value: object) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, Forward):
        yield value.until
    elif isinstance(value, tuple):
        for part in value:
            yield from _references(part)


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
