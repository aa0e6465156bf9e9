"""The rubric's settings and its result."""

from __future__ import annotations

import math
from dataclasses import dataclass, make_dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from spatialcode.config import require, setting
from spatialcode.reasoning.rubric.terms.registry import TERMS, WATCHERS

_PREFIX = "weight_"


@dataclass(frozen=True)
class _RubricSettings:
    """The settings that are no term's weight, and what is asked of all of them."""

    gate: float = setting("answer term that opens process terms", 0.5)
    full_chars: int = setting("characters up to which brevity forgives length", 4000)
    zero_chars: int = setting("characters from which brevity is 0", 8000)
    max_chars: int = setting("characters of a completion that is read at all", 16000)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(math.isfinite(value) and value >= 0, name, "a finite number >= 0", value)
        ordered = self.full_chars < self.zero_chars <= self.max_chars
        require(ordered, "zero_chars", "full_chars < zero_chars <= max_chars", self.zero_chars)
        # these two apply to every question, so that there is always something to divide by
        weights = self.weights()
        paid = weights["format"] + weights["answer"]
        require(paid > 0, "weight_answer", "weight on format or answer", paid)

    def weights(self) -> dict[str, float]:
        """Each registered term's weight, in the registry's order."""
        return {name: getattr(self, _PREFIX + name) for name in TERMS}

    def with_weight(self, name: str, weight: float) -> Self:
        """The same settings but for one term's weight."""
        changed: dict[str, Any] = {_PREFIX + name: weight}
        return replace(self, **changed)

    @property
    def pays_process(self) -> bool:
        """Whether anything is paid beside the answer and its form."""
        weights = self.weights()
        return any(one.process and weights[name] > 0 for name, one in TERMS.items())


class RubricConfig(_RubricSettings):
    """A setting ``weight_<name>`` for each term of the registry, the gate, and lengths.

    Weights are renormalised over the terms that apply. ``gate``: the answer term that opens the
    process terms. ``full_chars``, ``zero_chars``: the length that brevity forgives, and the one
    from which it is 0. ``max_chars``: a longer completion is not read and scores 0.
    """

    if TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None: ...


def _take_weights() -> None:
    """Give `RubricConfig` one setting for each registered term.

    Its fields are inherited from a dataclass made of the registry, so that a term that is
    registered later becomes a setting too, of the one class that schemas name.
    """
    fields = []
    for one in TERMS.values():
        about = one.meaning[0].lower() + one.meaning[1:].rstrip(".")
        fields.append((_PREFIX + one.name, float, setting(f"weight of {about}", one.weight)))
    RubricConfig.__bases__ = (
        make_dataclass("Weights", fields, bases=(_RubricSettings,), frozen=True),
    )


WATCHERS.append(_take_weights)
_take_weights()


@dataclass(frozen=True)
class RubricScore:
    """``total`` in [0, 1]; the terms that apply, each in [0, 1]; why a term is below 1."""

    total: float
    terms: dict[str, float]
    reasons: dict[str, str]
