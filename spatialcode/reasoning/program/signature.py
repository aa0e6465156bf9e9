"""A function of the program language: its name, its parameters, what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from spatialcode.reasoning.program.limits import Refused
from spatialcode.reasoning.program.scene import Scene
from spatialcode.reasoning.program.values import Value

Given = Mapping[str, Value]
Apply = Callable[[Scene, Given], Value]


@dataclass(frozen=True)
class Function:
    """A function: its parameters in order, and what it does.

    ``optional``: parameters after the required ones, with their defaults as written. ``variadic``:
    it takes any number of values, at least one, under the name of its only parameter.
    """

    name: str
    required: tuple[str, ...]
    apply: Apply
    optional: Mapping[str, str] = field(default_factory=dict)
    variadic: bool = False

    def signature(self) -> str:
        """As the language's page shows it."""
        optional = [f"{name}={default}" for name, default in self.optional.items()]
        star = "*" if self.variadic else ""
        return f"{self.name}({', '.join([star + n for n in self.required] + optional)})"

    def bind(self, num_positional: int, keywords: Sequence[str]) -> tuple[str, ...]:
        """The parameters that the arguments are for, in order; Refused where they do not fit."""
        if self.variadic:
            if keywords or not num_positional:
                raise self._misused("it takes one or more values, without names")
            return self.required * num_positional
        names = (*self.required, *self.optional)
        if num_positional > len(names):
            raise self._misused(f"it takes at most {len(names)} arguments, got {num_positional}")
        bound = [*names[:num_positional], *keywords]
        for name in keywords:
            if name not in names:
                raise self._misused(f"it has no argument {name!r}")
            if bound.count(name) > 1:
                raise self._misused(f"argument {name!r} is given twice")
        lacking = [name for name in self.required if name not in bound]
        if lacking:
            raise self._misused(f"argument {lacking[0]!r} is missing")
        return tuple(bound)

    def _misused(self, reason: str) -> Refused:
        return Refused("arguments", f"{self.signature()}: {reason}")
