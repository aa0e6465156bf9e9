"""All families of questions: which there are, the family of a question, the parser of all of them.

Families that come with the package are loaded at the first look-up, so that a module may import
this one whatever the families import of that module.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from spatialcode.errors import SchemaError
from spatialcode.questions.parse import parse_with
from spatialcode.questions.types import Question
from spatialcode.reasoning.families.family import Family, Sentences, Unparsed

#: Modules of this package, each with its ``FAMILY``, in the order of reports.
_MODULES = (
    "counting", "absolute_distance", "object_size", "room_size", "relative_distance",
    "relative_direction", "route_planning", "appearance_order", "configuration",
)  # fmt: skip
_UNPARSED = Unparsed()
#: Families that were registered beside those of the package.
_registered: list[Family[Any]] = []


def register(family: Family[Any]) -> None:
    """Add a family, behind all others. SchemaError where its type or a name is taken."""
    taken = {name for one in families() for name in one.names}
    if family.question_type in {one.question_type for one in families()} or not taken.isdisjoint(
        family.names
    ):
        raise SchemaError("family", "a type and names that no other has", family.names)
    _registered.append(family)
    _all.cache_clear()


def unregister(family: Family[Any]) -> None:
    """Take a family out again that `register` added."""
    _registered.remove(family)
    _all.cache_clear()


@lru_cache(maxsize=1)
def _all() -> tuple[Family[Any], ...]:
    built_in = (import_module(f"{__package__}.{name}").FAMILY for name in _MODULES)
    return (*built_in, *_registered)


def families() -> tuple[Family[Any], ...]:
    """All families, in the order of reports; the same tuple until one is added or taken out."""
    return _all()


def family_names() -> tuple[str, ...]:
    """The names of all families in the order of reports, each level by itself."""
    return tuple(name for family in families() for name in family.names)


def family_named(name: str) -> Family[Any]:
    """The family with that name. SchemaError where there is none."""
    found = next((family for family in families() if name in family.names), None)
    if found is None:
        raise SchemaError("family", f"one of {', '.join(family_names())}", name)
    return found


def family_of(question: Question) -> Family[Any]:
    """The family of a question; of an `UnparsedQuestion` one that knows nothing."""
    return _by_type(families()).get(type(question), _UNPARSED)


@lru_cache(maxsize=4)
def _by_type(known: tuple[Family[Any], ...]) -> dict[type, Family[Any]]:
    return {family.question_type: family for family in known}


def families_with_levels() -> tuple[Family[Any], ...]:
    """Families whose names are levels, which reports also average into one, their ``group``."""
    return tuple(family for family in families() if family.group)


def templates() -> dict[str, Sentences]:
    """The sentences of all families' generated questions, by template."""
    return {name: found for family in families() for name, found in family.templates.items()}


def parse(text: str, options: Sequence[str] = ()) -> Question:
    """The typed question that a text asks; `UnparsedQuestion` where no family's rule fits.

    ``options``: choices such as "A. left" or "left". Never raises for a string.
    """
    return parse_with([family.reader for family in families()], text, options)
