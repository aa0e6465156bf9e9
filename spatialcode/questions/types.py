"""What a question asks, as data: one frozen type a family.

The families are VSI-Bench's (Yang et al., "Thinking in Space", CVPR 2025) and its names for
them, and ``configuration`` after RoboSpatial (Song et al., CVPR 2025): does a relation hold
between two things. A typed question holds what the text and the options say and nothing else; which
objects of a code are meant is found when it is answered. Everything else about a family is in its
module of `reasoning.families`.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, get_args

from spatialcode.errors import SchemaError
from spatialcode.scene.relations import Level

SelectorKind = Literal[
    "largest", "smallest", "longest", "tallest", "shortest", "highest", "lowest",
    "first_seen", "last_seen", "nearest", "farthest",
]  # fmt: skip
Turn = Literal["left", "right", "back"]
Relation = Literal["left", "right", "front", "behind", "above", "below", "on", "inside"]
Viewpoint = Literal["camera", "object", "observer"]

TURNS: tuple[Turn, ...] = get_args(Turn)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
#: Relations that depend on where one looks from.
VIEWED_RELATIONS: frozenset[Relation] = frozenset({"left", "right", "front", "behind"})

#: Words for a direction, as options name them, by level.
DIRECTION_WORDS: dict[Level, tuple[str, ...]] = {
    "easy": ("left", "right"),
    "medium": ("left", "right", "back"),
    "hard": ("front-left", "front-right", "back-left", "back-right"),
}


@dataclass(frozen=True)
class Selector:
    """Which of several things of a kind: by ``kind``, compared with ``anchor`` if it needs one."""

    kind: SelectorKind
    anchor: Reference | None = None


@dataclass(frozen=True)
class Reference:
    """A thing as a question names it.

    ``noun``: lower-case kind, singular, without article or modifiers ("trash bin").
    ``modifiers``: words that boxes cannot decide ("blue", "wooden"). ``selector``: "the largest
    …", "the chair nearest the tv". ``object_id``: an id of the code ("chair_2"), where the text
    names one. ``phrase``: as it stands in the question.
    """

    noun: str
    phrase: str = ""
    modifiers: tuple[str, ...] = ()
    selector: Selector | None = None
    object_id: str | None = None

    def __post_init__(self) -> None:
        if not self.noun:
            raise SchemaError("noun", "a word", self.noun)
        if not self.phrase:
            object.__setattr__(self, "phrase", self.noun)


@dataclass(frozen=True)
class Option:
    """One choice: its letter and its text, as given."""

    letter: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of any family: ``text`` and ``options`` as given; no options for a number."""

    text: str = ""
    options: tuple[Option, ...] = ()

    @property
    def family(self) -> str:
        """The family's name, as benchmarks call it; every type of question states its own."""
        raise NotImplementedError(f"{type(self).__name__} states no family")


@dataclass(frozen=True, kw_only=True)
class Counting(Question):
    """How many things of a kind there are. The answer is a whole number."""

    target: Reference
    family: ClassVar[str] = "object_counting"


@dataclass(frozen=True, kw_only=True)
class ObjectSize(Question):
    """The longest extent of a thing, in ``unit``."""

    target: Reference
    unit: Literal["cm", "m"] = "cm"
    family: ClassVar[str] = "object_size_estimation"


@dataclass(frozen=True, kw_only=True)
class RoomSize(Question):
    """Floor area of the room or rooms, in square metres."""

    family: ClassVar[str] = "room_size_estimation"


@dataclass(frozen=True, kw_only=True)
class AbsoluteDistance(Question):
    """Smallest distance between two things, in ``unit``."""

    a: Reference
    b: Reference
    unit: Literal["cm", "m"] = "m"
    family: ClassVar[str] = "object_abs_distance"


@dataclass(frozen=True, kw_only=True)
class RelativeDistance(Question):
    """Which candidate is closest to (or farthest from) the anchor, by smallest distance.

    ``candidates``: one an option, in the order of the options.
    """

    anchor: Reference
    candidates: tuple[Reference, ...]
    extreme: Literal["closest", "farthest"] = "closest"
    family: ClassVar[str] = "object_rel_distance"


@dataclass(frozen=True, kw_only=True)
class RelativeDirection(Question):
    """Where the target is for one who stands at the observer and faces ``facing``.

    ``level`` easy: left or right; medium: left, right, or back (135 degrees and more); hard: the
    quadrants front-left, front-right, back-left, back-right.
    """

    observer: Reference
    facing: Reference
    target: Reference
    level: Level

    @property
    def family(self) -> str:
        return f"object_rel_direction_{self.level}"


@dataclass(frozen=True)
class Forward:
    """A route's step: go forward until a thing is reached."""

    until: Reference


@dataclass(frozen=True)
class Blank:
    """A route's step that is to be filled in with a turn."""


@dataclass(frozen=True, kw_only=True)
class RoutePlanning(Question):
    """Which turns, one a ``Blank`` in ``steps``, lead from start to destination."""

    start: Reference
    facing: Reference
    destination: Reference
    steps: tuple[Forward | Blank, ...]
    family: ClassVar[str] = "route_planning"


@dataclass(frozen=True, kw_only=True)
class AppearanceOrder(Question):
    """In which order kinds of things first appear; ``candidates`` in the order of the text."""

    candidates: tuple[Reference, ...]
    family: ClassVar[str] = "obj_appearance_order"


@dataclass(frozen=True, kw_only=True)
class Configuration(Question):
    """Whether ``relation`` holds of ``a`` with regard to ``b``: yes or no.

    ``view``: for left, right, front and behind, as seen by the first camera, from ``b``'s own
    front, or by one at ``observer`` who faces ``facing`` (``b`` where it is None).
    """

    a: Reference
    relation: Relation
    b: Reference
    view: Viewpoint = "camera"
    observer: Reference | None = None
    facing: Reference | None = None
    family: ClassVar[str] = "configuration"

    def __post_init__(self) -> None:
        if (self.view == "observer") != (self.observer is not None):
            raise SchemaError("observer", "one exactly where view is 'observer'", self.observer)


@dataclass(frozen=True, kw_only=True)
class UnparsedQuestion(Question):
    """A question that no rule reads; ``reason`` says how far reading came."""

    reason: str
    family: ClassVar[str] = "unparsed"


@dataclass(frozen=True, kw_only=True)
class QuestionItem:
    """One row of a question set, as benchmarks publish them.

    ``options``: "A. left"-like strings, empty for a number. ``ground_truth``: a letter or a
    number as text. ``scene``: which room or video it is about.
    """

    id: str
    scene: str
    question_type: str
    question: str
    options: tuple[str, ...]
    ground_truth: str
    dataset: str = ""


#: Fields of questions and references that hold words and not what is asked.
_WORDING = frozenset({"text", "phrase", "reason"})


def same_meaning(a: object, b: object) -> bool:
    """Whether two questions or references are equal but for the text and the phrases in which
    things are named; options count. "tv" and "the television" are not the same.
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    kind: Any = type(a)
    if names := _compared(kind):
        return all(same_meaning(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, tuple):
        assert isinstance(b, tuple)
        return len(a) == len(b) and all(map(same_meaning, a, b))
    return bool(a == b)


@lru_cache
def _compared(kind: Hashable) -> tuple[str, ...]:
    """Names of a type's fields that say what is asked; none for what is no dataclass."""
    if not is_dataclass(kind):
        return ()
    return tuple(one.name for one in fields(kind) if one.name not in _WORDING)
