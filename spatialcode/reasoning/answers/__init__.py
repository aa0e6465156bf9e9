"""Answers read from what a language model wrote."""

from spatialcode.reasoning.answers.extraction import Extracted, NoAnswer, extract

__all__ = ["Extracted", "NoAnswer", "extract"]
