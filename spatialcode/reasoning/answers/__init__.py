"""Answers read from what a language model wrote."""

from spatialcode.reasoning.answers.choices import NoAnswer
from spatialcode.reasoning.answers.extraction import Extracted, extract

__all__ = ["Extracted", "NoAnswer", "extract"]
