"""The spatial rubric: reasoning scored by recomputing it from the code."""
