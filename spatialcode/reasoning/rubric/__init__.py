"""The spatial rubric: reasoning scored by recomputing it from the code."""

from spatialcode.reasoning.rubric.config import RubricConfig, RubricScore
from spatialcode.reasoning.rubric.scoring import score

__all__ = ["RubricConfig", "RubricScore", "score"]
