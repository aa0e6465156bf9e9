"""The rubric's settings and its result."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spatialcode.config import require, setting


@dataclass(frozen=True)
class RubricConfig:
    """Weights (renormalised over the terms that apply), gate and lengths.

    ``gate``: the answer term that opens the process terms. ``full_chars``, ``zero_chars``: the
    length that brevity forgives, and the one from which it is 0. ``max_chars``: a longer
    completion is not read and scores 0.
    """

    weight_format: float = setting("weight of the answer's form", 0.05)
    weight_answer: float = setting("weight of the answer", 0.40)
    weight_smooth: float = setting("weight of the smooth numeric answer", 0.10)
    weight_grounding: float = setting("weight of cited objects", 0.10)
    weight_perspective: float = setting("weight of roles and vectors", 0.10)
    weight_geometry: float = setting("weight of recomputed quantities", 0.10)
    weight_consistency: float = setting("weight of reasoning entailing the answer", 0.10)
    weight_brevity: float = setting("weight of brevity", 0.10)
    weight_counterfactual: float = setting("weight of reasoning that follows changed rooms", 0.0)
    gate: float = setting("answer term that opens process terms", 0.5)
    full_chars: int = setting("characters up to which brevity forgives length", 4000)
    zero_chars: int = setting("characters from which brevity is 0", 8000)
    max_chars: int = setting("characters of a completion that is read at all", 16000)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(math.isfinite(value) and value >= 0, name, "a finite number >= 0", value)
        ordered = self.full_chars < self.zero_chars <= self.max_chars
        require(ordered, "zero_chars", "full_chars < zero_chars <= max_chars", self.zero_chars)
        paid = self.weight_format + self.weight_answer
        require(paid > 0, "weight_answer", "weight on format or answer", paid)

    @property
    def pays_process(self) -> bool:
        """Whether anything is paid beside the answer and its form."""
        names = ("grounding", "perspective", "geometry", "consistency", "brevity", "counterfactual")
        return any(getattr(self, f"weight_{name}") > 0 for name in names)


@dataclass(frozen=True)
class RubricScore:
    """``total`` in [0, 1]; the terms that apply, each in [0, 1]; why a term is below 1."""

    total: float
    terms: dict[str, float]
    reasons: dict[str, str]
