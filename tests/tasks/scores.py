"""How well a program answers a task: the oracle of what tasks promise."""

from __future__ import annotations

from spatialcode.errors import ProgramError, SchemaError
from spatialcode.reasoning.evidence import Answer
from spatialcode.reasoning.families.registry import family_named, family_names
from spatialcode.reasoning.metrics import mean_relative_accuracy
from spatialcode.reasoning.program.of_question import answer_of_program
from spatialcode.tasks.tasks import Task

NUMERIC_FAMILIES = frozenset(name for name in family_names() if family_named(name).numeric)


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
