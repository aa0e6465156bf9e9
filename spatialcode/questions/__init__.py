"""Typed questions about a spatial code: read from text, generated from codes. Loads no torch."""

from __future__ import annotations

from spatialcode.questions.types import (
    AbsoluteDistance,
    AppearanceOrder,
    Configuration,
    Counting,
    ObjectSize,
    Option,
    Question,
    QuestionItem,
    Reference,
    RelativeDirection,
    RelativeDistance,
    RoomSize,
    RoutePlanning,
    UnparsedQuestion,
)

__all__ = [
    "AbsoluteDistance",
    "AppearanceOrder",
    "Configuration",
    "Counting",
    "ObjectSize",
    "Option",
    "Question",
    "QuestionItem",
    "Reference",
    "RelativeDirection",
    "RelativeDistance",
    "RoomSize",
    "RoutePlanning",
    "UnparsedQuestion",
]
