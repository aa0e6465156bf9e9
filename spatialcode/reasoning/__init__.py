"""From a question and a spatial code to an answer, and what a model's reasoning is worth."""
