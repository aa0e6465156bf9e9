"""Programs over a spatial code: a small safe expression language, and questions written in it."""

from spatialcode.reasoning.program.interpreter import DEFAULT_LIMITS, Limits, Result, run
from spatialcode.reasoning.program.of_question import answer_of_program, to_program

__all__ = ["DEFAULT_LIMITS", "Limits", "Result", "answer_of_program", "run", "to_program"]
