"""Language models that complete prompts: behind an endpoint, or in this process."""

from spatialcode.reasoning.models.loading import (
    Completion,
    CompletionModel,
    ModelSpec,
    load_model,
)

__all__ = ["Completion", "CompletionModel", "ModelSpec", "load_model"]
