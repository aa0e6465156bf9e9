"""Rewards of programs in this process, from the answer alone: no usual program is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from spatialcode.errors import ProgramError, SchemaError, SpatialCodeError
from spatialcode.grpo.types import Scored
from spatialcode.reasoning.program import answer_of_program
from spatialcode.tasks.tasks import Task, score_of

TaskT_contra = TypeVar("TaskT_contra", contravariant=True)

#: A number counts as right from this mean relative accuracy on: within a tenth.
RIGHT = 0.9
ANSWER_WEIGHT, FORM_WEIGHT = 0.9, 0.1


class Reward(Protocol[TaskT_contra]):
    """Scores completions, one a task; where several are of one task it is repeated."""

    def __call__(
        self, tasks: Sequence[TaskT_contra], completions: Sequence[str]
    ) -> list[Scored]: ...


def program_rewards(tasks: Sequence[Task], completions: Sequence[str]) -> list[Scored]:
    """`program_reward` of each."""
    return list(map(program_reward, tasks, completions))


def program_reward(task: Task, completion: str) -> Scored:
    """1 for the right answer, 0.1 for a wrong one from a program that runs and fits the question,
    else 0.

    Numbers are right or wrong too: credit for coming near would be credit for another thing of
    about that size. An error that is none of the program's is no reward at all.
    """
    try:
        given = answer_of_program(completion, task.question, task.code)
    except (ProgramError, SchemaError) as error:
        return Scored({"answer": 0.0, "form": 0.0}, 0.0, (str(error),))
    except SpatialCodeError as error:
        return Scored(None, None, error=f"{type(error).__name__}: {error}")
    right = float(score_of(task, given) >= RIGHT)
    total = ANSWER_WEIGHT * right + FORM_WEIGHT
    return Scored({"answer": right, "form": 1.0}, total)
