"""Whether two typed questions ask the same, whatever their words."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from spatialcode.questions.types import Question, Reference

_WORDING = frozenset({"text", "phrase", "reason"})


def same_question(a: Question, b: Question) -> bool:
    """Equal but for the text and the phrases in which things are named; options count."""
    return bool(_content(a) == _content(b))


def same_reference(a: Reference, b: Reference) -> bool:
    """Whether two phrases name a thing in the same way: "tv" and "the television" do not."""
    return bool(_content(a) == _content(b))


def _content(value: Any) -> Any:
    if is_dataclass(value):
        named = [(one.name, getattr(value, one.name)) for one in fields(value)]
        return type(value), *((name, _content(v)) for name, v in named if name not in _WORDING)
    return tuple(_content(v) for v in value) if isinstance(value, tuple) else value
