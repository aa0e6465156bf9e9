"""Whether two typed questions ask the same, whatever their words."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

from spatialcode.questions.types import Question, Reference

_WORDING = frozenset({"text", "phrase", "reason"})


def same_question(a: Question, b: Question) -> bool:
    """Equal but for the text and the phrases in which things are named; options count."""
    return _same(a, b)


def same_reference(a: Reference, b: Reference) -> bool:
    """Whether two phrases name a thing in the same way: "tv" and "the television" do not."""
    return _same(a, b)


def _same(a: object, b: object) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    kind: Any = type(a)
    if names := _compared(kind):
        return all(_same(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, tuple):
        assert isinstance(b, tuple)
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@lru_cache
def _compared(kind: Hashable) -> tuple[str, ...]:
    """Names of a type's fields that say what is asked; none for what is no dataclass."""
    if not is_dataclass(kind):
        return ()
    return tuple(one.name for one in fields(kind) if one.name not in _WORDING)
