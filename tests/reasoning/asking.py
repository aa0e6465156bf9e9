"""Every question that a code leaves room for, as typed questions: nothing is read or drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from spatialcode.questions.types import (
    DIRECTION_WORDS,
    RELATIONS,
    VIEWED_RELATIONS,
    AbsoluteDistance,
    AppearanceOrder,
    Blank,
    Configuration,
    Counting,
    Forward,
    ObjectSize,
    Option,
    Question,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
)
from spatialcode.scene.schema import SpatialCode


def options(*texts: str) -> tuple[Option, ...]:
    return tuple(Option("ABCDEFGH"[n], text) for n, text in enumerate(texts))


YES_NO = options("yes", "no")
TURNS = options("Turn Left", "Turn Right", "Turn Back")


def things(code: SpatialCode, most: int = 4) -> list[Reference]:
    """The first things by id, so that kinds with several are named too."""
    return [Reference(item.label, item.id, object_id=item.id) for item in code.objects[:most]]


def kinds(code: SpatialCode, most: int = 4) -> list[Reference]:
    return [Reference(label) for label in dict.fromkeys(o.label for o in code.objects)][:most]


def of_one(code: SpatialCode) -> Iterator[Question]:
    yield RoomSize()
    for kind in kinds(code):
        yield Counting(target=kind)
        yield ObjectSize(target=kind)
        yield ObjectSize(target=kind, unit="m")


def of_two(named: list[Reference]) -> Iterator[Question]:
    for a, b in permutations(named, 2):
        yield AbsoluteDistance(a=a, b=b)
        yield AbsoluteDistance(a=a, b=b, unit="cm")
        for relation in RELATIONS:
            if relation not in VIEWED_RELATIONS:
                yield Configuration(a=a, relation=relation, b=b, options=YES_NO)
                continue
            for view in ("camera", "object"):
                yield Configuration(a=a, relation=relation, b=b, view=view, options=YES_NO)


def of_three(named: list[Reference]) -> Iterator[Question]:
    for a, b, c in permutations(named, 3):
        for level, words in DIRECTION_WORDS.items():
            yield RelativeDirection(
                observer=a, facing=b, target=c, level=level, options=options(*words)
            )
        for relation in sorted(VIEWED_RELATIONS):
            yield Configuration(
                a=b, relation=relation, b=c, view="observer", observer=a, facing=c, options=YES_NO
            )
        yield RoutePlanning(
            start=a, facing=b, destination=c, steps=(Blank(), Forward(c)), options=TURNS
        )
        words = [
            f"Turn {x}, Turn {y}" for x in ("Left", "Right", "Back") for y in ("Left", "Right")
        ]
        yield RoutePlanning(
            start=a, facing=b, destination=a, options=options(*words),
            steps=(Blank(), Forward(c), Blank(), Forward(b)),
        )  # fmt: skip


def of_many(named: list[Reference]) -> Iterator[Question]:
    for anchor in named:
        others = tuple(one for one in named if one is not anchor)
        if len(others) < 2:
            continue
        texts = [one.phrase for one in others]
        for extreme in ("closest", "farthest"):
            yield RelativeDistance(
                anchor=anchor, candidates=others, extreme=extreme, options=options(*texts)
            )
        if len({one.phrase for one in others}) == len(others):
            orders = [", ".join(order) for order in permutations(texts)]
            yield AppearanceOrder(candidates=others, options=options(*orders[:6]))


def every_question(code: SpatialCode) -> Iterator[Question]:
    """All families, levels, relations and views, over the first things and kinds of a code."""
    yield from of_one(code)
    for named in (things(code), kinds(code)):
        yield from of_two(named)
        yield from of_three(named)
        yield from of_many(named)
