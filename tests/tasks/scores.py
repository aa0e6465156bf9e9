"""How well a program answers a task: the oracle of what tasks promise."""

from __future__ import annotations

from spatialcode.errors import ProgramError, SchemaError
from spatialcode.questions.types import NUMERIC_FAMILIES
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.program import answer_of_program
from spatialcode.tasks.tasks import Task


def accuracy(task: Task, program: str) -> float:
    """0 to 1: the right letter, or mean relative accuracy of a number (as VSI-Bench scores)."""
    try:
        return score_of(task, answer_of_program(program, task.question, task.code))
    except (ProgramError, SchemaError):
        return 0.0


def score_of(task: Task, given: Answer) -> float:
    """`accuracy` of an answer."""
    if task.family in NUMERIC_FAMILIES:
        return mean_relative_accuracy(float(given.value), float(task.gold))
    return float(given.option == task.gold)
