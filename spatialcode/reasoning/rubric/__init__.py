"""The spatial rubric: reasoning scored by recomputing it from the code."""

from spatialcode.reasoning.rubric.scoring import RubricConfig, RubricScore, score

__all__ = ["RubricConfig", "RubricScore", "score"]
